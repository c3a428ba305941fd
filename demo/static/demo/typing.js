/** Who is typing. When it ends is the server's business: it also says so for those who vanish. */

const line = document.getElementById('typing');
const names = new Set();

/** The guide calls this for everyone who begins. */
export function showTypingIndicator(username) {
  names.add(username);
  draw();
}

/** And this for everyone who stops. */
export function hideTypingIndicator(username) {
  names.delete(username);
  draw();
}

function draw() {
  line.textContent = [...names].map((name) => line.dataset.text.replace('{name}', name)).join(' · ');
}
