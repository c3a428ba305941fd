/**
 * One person's page: what the guide leaves to its reader.
 *
 * The sockets are the guide's. Its three files are inserted once there is a token; they call the functions
 * that this module puts on `window`, and this module calls their `sendMessage()` and looks at their `chatSocket`.
 */

/* global chatSocket, sendMessage */

import { addMessage, follow, loadHistory } from './messages.js';
import { showNotification } from './notices.js';
import { hideTypingIndicator, showTypingIndicator } from './typing.js';

// The guide's code finds these by name, as a page with one <script> would have them.
Object.assign(window, { addMessage, showNotification, showTypingIndicator, hideTypingIndicator });

const element = (id) => document.getElementById(id);
const signIn = element('sign-in');
const composer = element('composer');
const input = element('message-input');
const problem = element('problem');
const earlier = element('earlier');

function enter(state) {
  document.body.dataset.state = state;
  element('state').textContent = element('state').dataset[state.replace(/-(.)/, (_, letter) => letter.toUpperCase())];
  for (const control of composer.elements) control.disabled = state !== 'connected';
}

/** POST JSON; what the server says of an error is what the person reads. */
async function post(url, { body, headers } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify(body ?? {}),
    });
  } catch {
    throw new Error(problem.dataset.unreachable);
  }
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

/** Do it; if it fails, say why. */
async function attempt(action) {
  problem.textContent = '';
  try {
    await action();
  } catch (error) {
    problem.textContent = error.message;
  }
}

signIn.addEventListener('submit', (event) => {
  event.preventDefault();
  signIn.querySelector('button').disabled = true;
  attempt(async () => {
    const { url, username, password } = signIn.dataset;
    const { access } = await post(url, { body: { username, password } });
    // The guide reads it from localStorage. That belongs to the origin, so it would be the same in both
    // halves of the window: here each half keeps its own.
    window.token = access;
    enter('connecting');
    await insertTheGuide();
    watch(chatSocket);
  }).finally(() => {
    signIn.querySelector('button').disabled = false;
  });
});

/** Run the guide's files, in the order in which they stand in the page. */
function insertTheGuide() {
  const scripts = [...element('guide').content.cloneNode(true).children];
  const loaded = scripts.map(
    (script) =>
      new Promise((resolve, reject) => {
        script.async = false;
        script.addEventListener('load', resolve);
        script.addEventListener('error', () => reject(new Error(problem.dataset.unreachable)));
      }),
  );
  document.body.append(...scripts);
  return Promise.all(loaded);
}

/** Listen beside the guide: when to load the history, what the server refuses, when it hangs up. */
function watch(socket) {
  // First connected, then the history: what is said in between arrives twice and is drawn once.
  socket.addEventListener('open', () =>
    attempt(async () => {
      await showHistory();
      if (socket.readyState !== WebSocket.OPEN) return;
      enter('connected');
      if (document.hasFocus()) input.focus();
    }),
  );
  socket.addEventListener('message', (event) => {
    const data = JSON.parse(event.data);
    problem.textContent = data.type === 'error' ? data.message : '';
    // A socket is open a moment before it listens. Whatever fell in between shows as a gap in `seq`.
    if (data.type === 'message' && follow(data.seq)) attempt(() => showHistory());
  });
  socket.addEventListener('close', ({ code }) => {
    enter('closed');
    const said = element('closed').querySelector('span');
    said.textContent = (code === 4401 ? said.dataset.revoked : said.dataset.code).replace('{code}', code);
    element('closed').hidden = false;
  });
}

/** Show a page of the history, and offer the one before it. */
async function showHistory(url) {
  const next = await loadHistory(window.token, url);
  earlier.hidden = !next;
  earlier.onclick = () => attempt(() => showHistory(next));
}

composer.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!input.value.trim() || chatSocket.readyState !== WebSocket.OPEN) return;
  sendMessage(input.value);
  input.value = '';
});

input.addEventListener('keydown', (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    composer.requestSubmit();
  }
});

element('sign-out').addEventListener('click', () =>
  attempt(async () => {
    await post(element('sign-out').dataset.url, { headers: { Authorization: `Bearer ${window.token}` } });
    location.reload();
  }),
);

element('again').addEventListener('click', () => location.reload());
