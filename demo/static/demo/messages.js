/** The list of messages: each once, in the order of the server, and the history above it. */

const log = document.getElementById('messages');
const blank = document.getElementById('message').content.firstElementChild;
const me = document.body.dataset.username;
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short' });
const calendar = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'full', timeStyle: 'medium' });
let head = 0;

/** Draw a message; the guide calls this with what the socket received. */
export function addMessage(data) {
  let before = log.lastElementChild;
  while (Number(before.dataset.id) > data.message_id) before = before.previousElementSibling;
  if (Number(before.dataset.id) === data.message_id) return;

  const atTheEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const row = rowOf(data);
  before.after(row);
  group(row);
  group(row.nextElementSibling);
  if (atTheEnd || row.classList.contains('mine')) log.scrollTop = log.scrollHeight;
}

function rowOf(data) {
  const row = blank.cloneNode(true);
  const sentAt = new Date(data.created_at);
  row.dataset.id = data.message_id;
  row.dataset.by = data.sender_username;
  row.classList.toggle('mine', data.sender_username === me);
  row.querySelector('b').textContent = data.sender_username;
  row.querySelector('time').dateTime = data.created_at;
  row.querySelector('time').title = calendar.format(sentAt);
  row.querySelector('time').textContent = clock.format(sentAt);
  row.querySelector('.content').textContent = data.content;
  return row;
}

/** Who speaks is said once for what they say within five minutes. */
function group(row) {
  const previous = row?.previousElementSibling;
  if (!previous) return;
  const time = (one) => Date.parse(one.querySelector('time')?.dateTime);
  row.classList.toggle('continued', row.dataset.by === previous.dataset.by && time(row) - time(previous) < 300_000);
}

/** Note the position of a live message; true when something between it and the one before was missed. */
export function follow(seq) {
  const missed = head > 0 && seq > head + 1;
  head = Math.max(head, seq);
  return missed;
}

/** Fetch a page of the history, by default the newest; returns where the one before it is, if there is one. */
export async function loadHistory(token, url = log.dataset.history) {
  const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
  const page = await response.json();
  if (!response.ok) throw new Error(page.detail);

  const fromTheEnd = log.scrollHeight - log.scrollTop;
  page.results.filter((message) => !message.deleted_at).forEach(addMessage);
  log.scrollTop = url === log.dataset.history ? log.scrollHeight : log.scrollHeight - fromTheEnd;
  head = Math.max(head, page.last_seq);
  return page.next;
}
