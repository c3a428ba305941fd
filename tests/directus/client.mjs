// The unmodified SDK of Directus against a server of ours: each case prints one line of JSON.
// node client.mjs URL USER_TOKEN ADMIN_TOKEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const sdk = require("@directus/sdk");
const ws = require("ws");

// The SDK's loops listen only while they wait: two frames must not be told in one turn.
class WebSocket extends ws {
  constructor(address, protocols) {
    super(address, protocols, { allowSynchronousEvents: false });
  }
}

const [url, token, adminToken] = process.argv.slice(2);
const clients = [];

function client(options = {}, as = token) {
  let made = sdk.createDirectus(url, { globals: { WebSocket } });
  if (as) made = made.with(sdk.staticToken(as));
  made = made.with(sdk.realtime(options));
  clients.push(made);
  return made;
}

const soon = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(condition, what, ms = 5000) {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await soon(10);
  }
}

const lines = [];
process.stdin.setEncoding("utf8").on("data", (text) => lines.push(...text.split("\n").filter(Boolean)));
async function sql(statement) {
  const before = lines.length;
  console.log(JSON.stringify({ sql: statement }));
  await until(() => lines.length > before, "the parent");
}

const insert = (nom) =>
  sql(`INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('${nom}', 'x', '2026-12-01 10:00:00')`);

// What the generator of a subscription yields, as many as are wanted.
async function yields(subscription, many) {
  const found = [];
  for await (const message of subscription) {
    found.push(message);
    if (found.length === many) break;
  }
  return found;
}

const cases = {
  async "handshake signs in by its first frame"() {
    const one = client();
    await one.connect();
    return one.isConnected();
  },

  async "strict signs in by its address"() {
    const one = client({ authMode: "strict" });
    await one.connect();
    const { subscription } = await one.subscribe("humeur", { query: { fields: ["id"] }, uid: "s" });
    return (await yields(subscription, 1))[0].event;
  },

  async "wrong token does not connect"() {
    const one = client({ reconnect: false }, "nonsense");
    return one.connect().then(() => "connected", () => "refused");
  },

  async "rows and changes are yielded"() {
    const one = client();
    await one.connect();
    const { subscription, unsubscribe } = await one.subscribe("humeur", {
      query: { fields: ["nom"], filter: { nom: { _starts_with: "Z" } }, sort: ["-id"], limit: 5 },
      uid: "mood",
    });
    const [init] = await yields(subscription, 1);
    const events = [];
    one.onWebSocket("message", (message) => {
      if (message.type === "subscription" && message.uid === "mood") events.push(message);
    });
    await insert("Zoé");
    await insert("Max");
    await sql("UPDATE demo_mood SET nom = 'Zora' WHERE nom = 'Zoé'");
    await sql("DELETE FROM demo_mood WHERE nom = 'Zora'");
    await until(() => events.length === 3, "three events");
    unsubscribe();
    return {
      init: init.event,
      events: events.map((each) => each.event),
      rows: events.slice(0, 2).map((each) => each.data),
      key: typeof events[2].data[0],
    };
  },

  async "one event alone"() {
    const one = client();
    await one.connect();
    const events = [];
    one.onWebSocket("message", (message) => message.type === "subscription" && events.push(message));
    await one.subscribe("humeur", { event: "delete", uid: "gone" });
    await insert("gone");
    await sql("DELETE FROM demo_mood WHERE nom = 'gone'");
    await until(() => events.length === 2, "two");
    return events.map((each) => each.event);
  },

  async "collection that may not be read ends the loop with an error"() {
    const one = client();
    await one.connect();
    const { subscription } = await one.subscribe("articles", { uid: "no" });
    return yields(subscription, 1).then(() => "yielded", (error) => error.error.code);
  },

  async "uid is repeated, and a frame may carry anything"() {
    const one = client();
    await one.connect();
    const answers = [];
    one.onWebSocket("message", (message) => answers.push(message));
    one.sendMessage({ type: "ping", uid: "p1" });
    one.sendMessage({ type: "dance", uid: "d1" });
    await until(() => answers.length === 2, "two answers");
    return answers.map(({ type, uid, error }) => [type, uid, error?.code ?? null]);
  },

  async "rows are written over the socket"() {
    const one = client({}, adminToken);
    await one.connect();
    const answers = {};
    one.onWebSocket("message", (message) => message.type === "items" && (answers[message.uid] = message));
    const ask = async (uid, members) => {
      one.sendMessage({ type: "items", collection: "articles", uid, ...members });
      await until(() => answers[uid], uid);
      return answers[uid];
    };
    const made = await ask("c", { action: "create", data: { title: "Été" }, query: { fields: ["id", "title"] } });
    const id = made.data.id;
    const changed = await ask("u", { action: "update", id, data: { status: "published" } });
    const read = await ask("r", { action: "read", query: { filter: { id: { _eq: id } }, fields: ["status"], meta: "*" } });
    const wrong = await ask("w", { action: "create", data: {} });
    const gone = await ask("d", { action: "delete", id });
    return {
      title: made.data.title,
      status: changed.data.status,
      read: [read.data, read.meta.filter_count],
      wrong: wrong.error.code,
      gone: gone.data === id,
    };
  },

  async "pings of the server are answered"() {
    const one = client();
    await one.connect();
    await soon(2500); // two periods of this server's heartbeat
    return one.isConnected();
  },

  async "connection that is lost comes back with its subscriptions once"() {
    const one = client({ reconnect: { delay: 50, retries: 10 } });
    await one.connect();
    const events = [];
    one.onWebSocket("message", (message) => message.type === "subscription" && events.push(message));
    const { subscription } = await one.subscribe("humeur", { uid: "again", query: { fields: ["nom"], limit: 1 } });
    (async () => {
      for await (const _ of subscription);
    })().catch(() => {});
    await until(() => events.length === 1, "the first init");
    let socket;
    one.onWebSocket("open", function () {
      socket = this;
    });
    await insert("before");
    await until(() => events.some((each) => each.event === "create"), "the row");
    one.sendMessage("x".repeat(2 * 1024 * 1024)); // too large: the server closes the socket
    await until(() => events.filter((each) => each.event === "init").length >= 2, "another init");
    await soon(300);
    events.length = 0;
    await insert("after");
    await until(() => events.length, "the row");
    await soon(200);
    return { events: events.map((each) => [each.event, each.data[0].nom]), reopened: socket !== undefined };
  },
};

for (const [name, run] of Object.entries(cases)) {
  let line;
  try {
    line = JSON.stringify({ case: name, result: (await run()) ?? null });
  } catch (error) {
    line = JSON.stringify({ case: name, error: String(error?.stack ?? error) });
  }
  for (const each of clients.splice(0)) each.disconnect();
  console.log(line);
}
process.exit(0);
