/** Notifications: counted on the bell, and shown for a while. */

const notices = document.getElementById('notices');
const blank = document.getElementById('notice').content.firstElementChild;
const count = document.getElementById('bell-count');

const SHOWN_MS = 6000; // read aloud and read slowly; never the only place of what it says
const AT_ONCE = 3; // more would cover the conversation

/** Show a notification; the guide calls this with whatever its socket received. */
export function showNotification(title, message) {
  const notice = blank.cloneNode(true);
  notice.querySelector('b').textContent = title;
  notice.querySelector('span').textContent = message;
  notices.append(notice);
  if (notices.children.length > AT_ONCE) notices.firstElementChild.remove();
  count.textContent = Number(count.textContent) + 1;

  let timer = setTimeout(() => notice.remove(), SHOWN_MS);
  notice.addEventListener('pointerenter', () => clearTimeout(timer));
  notice.addEventListener('pointerleave', () => {
    timer = setTimeout(() => notice.remove(), SHOWN_MS);
  });
}
