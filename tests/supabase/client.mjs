// The unmodified client of Supabase against a server of ours: each case prints one line of JSON.
// node client.mjs URL ANON_KEY USER_TOKEN OTHER_TOKEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const { createClient } = require("@supabase/supabase-js");
const { RealtimeClient: OldClient } = require("realtime-js-2.10");
const WebSocket = require("ws");

const [url, key, token, otherToken] = process.argv.slice(2);
const clients = [];

function client({ accessToken, ...realtime } = {}) {
  const made = createClient(url, key, {
    ...(accessToken ? { accessToken } : {}),
    realtime: { transport: WebSocket, ...realtime },
    auth: { persistSession: false, autoRefreshToken: false },
  });
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

// Subscribe, and wait until the channel says so; `statuses` has all that it said.
async function joined(channel, wanted = "SUBSCRIBED") {
  channel.statuses = [];
  channel.errors = [];
  channel.subscribe((status, error) => {
    channel.statuses.push(status);
    if (error) channel.errors.push(error.message);
  });
  await until(() => channel.statuses.includes(wanted), `${wanted}, got ${channel.statuses} ${channel.errors}`);
  return channel;
}

function rows(channel, asked) {
  const seen = [];
  channel.on("postgres_changes", { schema: "public", ...asked }, (change) => seen.push(change));
  return seen;
}

// A second program, which writes to the table: the parent does it, and answers with a line.
const lines = [];
process.stdin.setEncoding("utf8").on("data", (text) => lines.push(...text.split("\n").filter(Boolean)));
async function sql(statement) {
  const before = lines.length;
  console.log(JSON.stringify({ sql: statement }));
  await until(() => lines.length > before, "the parent");
}

const cases = {
  async "channel says SUBSCRIBED"() {
    const channel = await joined(client().channel("a"));
    return { state: channel.state, statuses: channel.statuses };
  },

  async "broadcast reaches another client and not its sender"() {
    const heard = [], back = [];
    const one = await joined(client().channel("b").on("broadcast", { event: "vu" }, (m) => heard.push(m)));
    const two = await joined(client().channel("b").on("broadcast", { event: "vu" }, (m) => back.push(m)));
    await two.send({ type: "broadcast", event: "vu", payload: { n: 7 } });
    await until(() => heard.length, "the broadcast");
    return { heard: heard[0], back, other: one.statuses };
  },

  async "broadcast with self comes back, and with ack is answered"() {
    const back = [];
    const channel = client().channel("c", { config: { broadcast: { self: true, ack: true } } });
    await joined(channel.on("broadcast", { event: "*" }, (m) => back.push(m.payload)));
    const answers = [];
    for (const n of [1, 2, 3]) answers.push(await channel.send({ type: "broadcast", event: "vu", payload: { n } }));
    await until(() => back.length === 3, "three");
    return { answers, back };
  },

  async "bytes travel as bytes"() {
    const heard = [];
    await joined(client().channel("d").on("broadcast", { event: "raw" }, (m) => heard.push(m.payload)));
    const sender = await joined(client().channel("d"));
    await sender.send({ type: "broadcast", event: "raw", payload: new Uint8Array([1, 2, 255]).buffer });
    await until(() => heard.length, "the bytes");
    return { bytes: [...new Uint8Array(heard[0])] };
  },

  async "names of channels hold anything"() {
    const heard = [], name = "salle:é/ ☃ 1";
    await joined(client().channel(name).on("broadcast", { event: "vu" }, (m) => heard.push(m.payload)));
    const sender = await joined(client().channel(name));
    await sender.send({ type: "broadcast", event: "vu", payload: { text: "é☃" } });
    await until(() => heard.length, "the broadcast");
    return heard[0];
  },

  async "channel is left, and joined again"() {
    const one = client(), heard = [];
    const first = await joined(one.channel("e"));
    const left = await one.removeChannel(first);
    await joined(one.channel("e").on("broadcast", { event: "vu" }, (m) => heard.push(m.payload)));
    const sender = await joined(client().channel("e"));
    await sender.send({ type: "broadcast", event: "vu", payload: { n: 1 } });
    await until(() => heard.length, "the broadcast");
    return { left, closed: first.statuses.at(-1), heard };
  },

  async "heartbeats are answered"() {
    const seen = [];
    const one = client({ heartbeatIntervalMs: 100, heartbeatCallback: (status) => seen.push(status) });
    await joined(one.channel("f"));
    await until(() => seen.filter((status) => status === "ok").length >= 3, "heartbeats");
    return { timeouts: seen.filter((status) => status === "timeout") };
  },

  async "row changes are told with old and new"() {
    const channel = client().channel("g");
    const seen = rows(channel, { event: "*", table: "humeur" });
    await joined(channel);
    await sql("INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('Zoé', '🔥', '2026-12-01 10:00:00')");
    await sql("UPDATE demo_mood SET emoji = '🙂' WHERE nom = 'Zoé'");
    await sql("DELETE FROM demo_mood WHERE nom = 'Zoé'");
    await until(() => seen.length === 3, "three changes");
    const [made, changed, gone] = seen;
    return {
      kinds: seen.map((each) => each.eventType),
      made: [made.new.nom, made.new.emoji, made.old],
      changed: [changed.new.emoji, changed.old.id === made.new.id],
      gone: [gone.new, gone.old.id === made.new.id],
      errors: seen.map((each) => each.errors),
      table: made.table,
      late: Date.now() - Date.parse(made.commit_timestamp) < 10000,
    };
  },

  async "write right after SUBSCRIBED is told"() {
    const counts = [];
    for (let n = 0; n < 5; n += 1) {
      const channel = client().channel(`h${n}`);
      const seen = rows(channel, { event: "INSERT", table: "humeur" });
      await joined(channel);
      await sql("INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('h', 'x', '2026-12-01 10:00:00')");
      await until(() => seen.length, "the row");
      counts.push(seen.length);
    }
    return counts;
  },

  async "filters and several subscriptions on one channel"() {
    const channel = client().channel("i");
    const all = rows(channel, { event: "*", table: "humeur" });
    const some = rows(channel, { event: "INSERT", table: "humeur", filter: "nom=in.(Max,Zoé)" });
    const none = rows(channel, { event: "INSERT", table: "humeur", filter: "nom=eq.nobody" });
    await joined(channel);
    await sql("INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('Max', 'x', '2026-12-01 10:00:00')");
    await sql("INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('Lea', 'x', '2026-12-01 10:00:00')");
    await until(() => all.length === 2, "two changes");
    return { some: some.map((each) => each.new.nom), none };
  },

  async "system message says that changes are live"() {
    const said = [];
    const channel = client().channel("j").on("system", {}, (message) => said.push(message));
    rows(channel, { event: "*", table: "humeur" });
    await joined(channel);
    await until(() => said.length, "the message");
    return said[0];
  },

  async "unknown table is told, and broadcasts go on"() {
    const said = [], heard = [];
    const channel = client().channel("k", { config: { broadcast: { self: true } } });
    channel.on("system", {}, (m) => said.push(m)).on("broadcast", { event: "vu" }, (m) => heard.push(m));
    rows(channel, { event: "*", table: "nothing" });
    await joined(channel);
    await until(() => said.length, "the message");
    await channel.send({ type: "broadcast", event: "vu", payload: {} });
    await until(() => heard.length, "the broadcast");
    return { status: said[0].status, extension: said[0].extension };
  },

  async "private channel refuses who has no right"() {
    const channel = await joined(client().channel("probe-private-1", { config: { private: true } }), "CHANNEL_ERROR");
    return channel.errors[0];
  },

  async "private channel lets its user in"() {
    const one = client({ accessToken: async () => token });
    await one.realtime.setAuth();
    const channel = await joined(one.channel("probe-private-2", { config: { private: true } }));
    return channel.statuses;
  },

  async "token of another user closes a private channel"() {
    let current = token;
    const one = client({ accessToken: async () => current, heartbeatIntervalMs: 200 });
    await one.realtime.setAuth();
    const channel = await joined(one.channel("probe-private-3", { config: { private: true } }));
    current = otherToken;
    await until(() => channel.statuses.includes("CLOSED"), "CLOSED");
    return channel.statuses;
  },

  async "orders are told to users and not to the anonymous"() {
    const one = client({ accessToken: async () => token });
    await one.realtime.setAuth();
    const mine = one.channel("l"), theirs = client().channel("l");
    const seen = rows(mine, { event: "INSERT", table: "orders" });
    const unseen = rows(theirs, { event: "INSERT", table: "orders" });
    await joined(mine);
    await joined(theirs);
    await sql("INSERT INTO demo_order (customer_name, status, total) VALUES ('Ana', 'open', 12.50)");
    await until(() => seen.length, "the order");
    await soon(100);
    return { total: seen[0].new.total, unseen };
  },

  async "presence is synced, and tells who comes and goes"() {
    const said = [];
    const room = (key) => client().channel("p", { config: { presence: { key } } });
    const watcher = room("watcher");
    watcher.on("presence", { event: "join" }, ({ key, newPresences }) => said.push(["join", key, newPresences[0].nom]));
    watcher.on("presence", { event: "leave" }, ({ key, leftPresences }) => said.push(["leave", key, leftPresences[0].nom]));
    let syncs = 0;
    watcher.on("presence", { event: "sync" }, () => (syncs += 1));
    await joined(watcher);
    const zoe = await joined(room("zoe"));
    const answer = await zoe.track({ nom: "Zoé" });
    await until(() => said.length === 1, "the join");
    const there = Object.keys(watcher.presenceState());
    await zoe.untrack();
    await until(() => said.length === 2, "the leave");
    return { answer, said, there, left: watcher.presenceState(), synced: syncs >= 2 };
  },

  async "presence of a client that comes late is complete"() {
    const one = client().channel("q", { config: { presence: { key: "one" } } }).on("presence", { event: "sync" }, () => {});
    await joined(one);
    await one.track({ n: 1 });
    const late = client().channel("q").on("presence", { event: "sync" }, () => {});
    await joined(late);
    await until(() => late.presenceState().one, "the state");
    return late.presenceState().one.map(({ n }) => n);
  },

  async "wrong key is refused for ever, and said"() {
    const one = createClient(url, "nonsense", { realtime: { transport: WebSocket } });
    clients.push(one);
    const channel = await joined(one.channel("m"), "CHANNEL_ERROR");
    return { statuses: [...new Set(channel.statuses)] };
  },

  async "client of version 1.0.0 hears and speaks"() {
    const old = new OldClient(`${url.replace("http", "ws")}/realtime/v1`, { params: { apikey: key } });
    const heard = [], back = [], seen = [];
    const channel = old.channel("n").on("broadcast", { event: "vu" }, (m) => heard.push(m.payload));
    channel.on("postgres_changes", { event: "INSERT", schema: "public", table: "humeur" }, (m) => seen.push(m));
    await joined(channel);
    const now = await joined(client().channel("n").on("broadcast", { event: "vu" }, (m) => back.push(m.payload)));
    await now.send({ type: "broadcast", event: "vu", payload: { n: 1 } });
    await channel.send({ type: "broadcast", event: "vu", payload: { n: 2 } });
    await sql("INSERT INTO demo_mood (nom, emoji, created_at) VALUES ('old', 'x', '2026-12-01 10:00:00')");
    await until(() => heard.length && back.length && seen.length, "all three");
    old.disconnect();
    return { heard, back, nom: seen[0].new.nom };
  },
};

for (const [name, run] of Object.entries(cases)) {
  let line; // as it is before the sockets are closed, which is told too
  try {
    line = JSON.stringify({ case: name, result: (await run()) ?? null });
  } catch (error) {
    line = JSON.stringify({ case: name, error: String(error?.stack ?? error) });
  }
  await Promise.all(clients.splice(0).map((each) => each.realtime.disconnect()));
  console.log(line);
}
process.exit(0);
