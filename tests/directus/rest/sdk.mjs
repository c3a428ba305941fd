// The unmodified SDK of Directus against a server of ours: each case prints one line of JSON.
// node sdk.mjs URL
import { createRequire } from "node:module";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const sdk = require("@directus/sdk");

const url = process.argv[2];
const ana = { email: "ana@example.com", password: "demo-password" };
const bruno = { email: "bruno@example.com", password: "demo-password" };

const soon = (ms) => new Promise((done) => setTimeout(done, ms));

// A fetch that keeps cookies, as a browser does for requests with `credentials: "include"`; `answers` has all.
function browser() {
  const jar = new Map();
  const answers = [];
  const fetchWithCookies = async (address, options = {}) => {
    const headers = { ...options.headers };
    if (options.credentials === "include" && jar.size) {
      headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    }
    const answer = await fetch(address, { ...options, headers });
    answers.push(answer);
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (options.credentials !== "include") continue;
      if (/max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  };
  return { jar, answers, fetch: fetchWithCookies };
}

function client(mode, options = {}, page = browser()) {
  const credentials = mode === "json" ? {} : { credentials: "include" };
  const made = sdk
    .createDirectus(url, { globals: { fetch: page.fetch } })
    .with(sdk.authentication(mode, { ...credentials, ...options }))
    .with(sdk.rest(credentials));
  return Object.assign(made, { page });
}

const plain = () => sdk.createDirectus(url).with(sdk.rest());

// What the SDK rejects with, and whether it takes it for an error of Directus.
async function refused(promise) {
  try {
    return { resolved: await promise };
  } catch (error) {
    return {
      known: sdk.isDirectusError(error),
      code: error.errors?.[0]?.extensions?.code,
      message: typeof error.message === "string" && error.message.length > 0,
      status: error.response?.status,
    };
  }
}

const emailOf = async (made) => (await made.request(sdk.readMe({ fields: ["email"] }))).email;

const cases = {
  async "ping, health, info"() {
    const made = plain();
    const { project, ...rest } = await made.request(sdk.serverInfo());
    return {
      ping: await made.request(sdk.serverPing()),
      health: await made.request(sdk.serverHealth()),
      project: project.project_name,
      rest: Object.keys(rest),
    };
  },

  async "providers"() {
    return await plain().request(sdk.readProviders());
  },

  async "json: login, readMe, refresh, logout"() {
    const made = client("json");
    const first = await made.login(ana);
    const email = await emailOf(made);
    const second = await made.refresh();
    const after = await emailOf(made);
    const token = await made.getToken();
    await made.logout();
    const old = plain().with(sdk.staticToken(token));
    return {
      members: Object.keys(first).sort(),
      expires: first.expires,
      email,
      rotated: second.refresh_token !== first.refresh_token && second.access_token === token,
      after,
      token: await made.getToken(),
      old: await refused(old.request(sdk.readMe())),
      cookies: [...made.page.jar.keys()],
    };
  },

  async "cookie: login, readMe, refresh, logout"() {
    const made = client("cookie");
    const first = await made.login(ana);
    const before = made.page.jar.get("directus_refresh_token");
    const email = await emailOf(made);
    const second = await made.refresh();
    const cookie = made.page.jar.get("directus_refresh_token");
    await made.logout();
    return {
      members: Object.keys(first).sort(),
      email,
      rotated: cookie !== before && second.access_token !== first.access_token,
      cookies: [...made.page.jar.keys()],
      after: await refused(made.refresh()),
    };
  },

  async "session: login, readMe, refresh, logout"() {
    const made = client("session");
    const first = await made.login(ana);
    const before = made.page.jar.get("directus_session_token");
    const token = await made.getToken();
    const email = await emailOf(made);
    const second = await made.refresh();
    const after = await emailOf(made);
    const rotated = made.page.jar.get("directus_session_token") !== before;
    const updated = await made.request(sdk.updateMe({ last_name: "Session" }, { fields: ["last_name"] }));
    await made.logout();
    return {
      first: first.expires,
      second: second.expires,
      token,
      email,
      after,
      rotated,
      updated,
      cookies: [...made.page.jar.keys()],
      out: await refused(made.request(sdk.readMe())),
    };
  },

  async "session cookie as bearer token, as a Nuxt server sends it"() {
    const made = client("session");
    await made.login(ana);
    const server = plain().with(sdk.staticToken(made.page.jar.get("directus_session_token")));
    return await emailOf(server);
  },

  async "token is refreshed by itself before it ends"() {
    const made = client("json", { msRefreshBeforeExpires: 3600_000 - 500 });
    const first = await made.login(ana);
    const end = Date.now() + 10_000;
    const refreshes = () => made.page.answers.filter((each) => each.url.endsWith("/auth/refresh")).length;
    while (refreshes() < 2 && Date.now() < end) await soon(20);
    made.stopRefreshing();
    const email = await emailOf(made);
    return { again: refreshes() >= 2, email, other: (await made.getToken()) !== first.access_token };
  },

  async "session is refreshed by itself before it ends"() {
    const made = client("session", { msRefreshBeforeExpires: 86_400_000 - 500 });
    await made.login(ana);
    const first = made.page.jar.get("directus_session_token");
    const end = Date.now() + 10_000;
    while (made.page.jar.get("directus_session_token") === first && Date.now() < end) await soon(20);
    made.stopRefreshing();
    return { email: await emailOf(made), other: made.page.jar.get("directus_session_token") !== first };
  },

  async "two tabs that refresh at once both go on"() {
    const page = browser();
    const [one, two] = [client("session", {}, page), client("session", {}, page)];
    await one.login(ana);
    await Promise.all([one.refresh(), two.refresh(), one.refresh()]);
    return [await emailOf(one), await emailOf(two)];
  },

  async "static token is set, used, and removed"() {
    const made = client("json");
    await made.login(bruno);
    const token = "a-static-token-for-the-sdk";
    const shown = await made.request(sdk.updateMe({ token }, { fields: ["token"] }));
    const fixed = plain().with(sdk.staticToken(token));
    const email = await emailOf(fixed);
    const inQuery = await sdk.createDirectus(url).with(sdk.rest()).request(
      sdk.customEndpoint({ path: "/users/me", params: { access_token: token, fields: "email" } }),
    );
    await made.request(sdk.updateMe({ token: null }));
    return { shown, email, inQuery, after: await refused(fixed.request(sdk.readMe())) };
  },

  async "updateMe changes what a user says"() {
    const made = client("json");
    await made.login(ana);
    const me = await made.request(sdk.updateMe({ first_name: "Ana", last_name: "Lima", language: "fr-FR" }));
    return [me.first_name, me.last_name, me.language, typeof me.id];
  },

  async "readMe with fields in every form"() {
    const made = client("json");
    await made.login(ana);
    return [
      Object.keys(await made.request(sdk.readMe({ fields: ["id", "email"] }))),
      Object.keys(await made.request(sdk.readMe({ fields: ["email", { role: ["name"] }] }))),
      Object.keys(await made.request(sdk.readMe({ fields: ["*"] }))).includes("status"),
    ];
  },

  async "token of one request"() {
    const made = client("json");
    await made.login(ana);
    const token = await made.getToken();
    const one = await plain().request(sdk.withToken(token, sdk.readMe({ fields: ["email"] })));
    return one.email;
  },

  async "info for users"() {
    const made = client("json");
    await made.login(ana);
    const info = await made.request(sdk.serverInfo());
    return { queryLimit: info.queryLimit, websocket: info.websocket };
  },

  async "base URL with a slash at its end"() {
    return await sdk.createDirectus(`${url}/`).with(sdk.rest()).request(sdk.serverPing());
  },

  async "password by mail"() {
    const made = plain();
    return [
      await made.request(sdk.passwordRequest(ana.email)),
      await made.request(sdk.passwordReset("a-token", "a-new-password-1")),
      (await client("json").login(ana)).expires,
    ];
  },

  async "every failure is an error of Directus"() {
    const made = client("json");
    await made.login(ana);
    const at = (path, method = "GET", body) =>
      made.request(sdk.customEndpoint({ path, method, ...(body ? { body } : {}) }));
    const found = {
      password: () => client("json").login({ ...ana, password: "wrong" }),
      payload: () => client("json").login({ email: 7, password: true }),
      anonymous: () => plain().request(sdk.readMe()),
      token: () => plain().with(sdk.staticToken("a.b.c")).request(sdk.readMe()),
      field: () => made.request(sdk.readMe({ fields: ["secret"] })),
      value: () => made.request(sdk.updateMe({ email: "no e-mail" })),
      taken: () => made.request(sdk.updateMe({ email: bruno.email })),
      route: () => at("/users/nowhere/7"),
      collection: () => at("/files/7"),
      method: () => at("/users/me", "DELETE"),
      json: () => at("/auth/login", "POST", "{"),
      size: () => at("/auth/login", "POST", JSON.stringify({ email: "x".repeat(2_000_000), password: "x" })),
      provider: () => client("json").login(ana, { provider: "ldap" }),
      refresh: () => client("json").refresh(),
    };
    const codes = {};
    for (const [name, ask] of Object.entries(found)) {
      const { known, message, code, status, resolved } = await refused(ask());
      codes[name] = known && message ? `${status} ${code}` : { known, message, code, status, resolved };
    }
    return codes;
  },
};

for (const [name, play] of Object.entries(cases)) {
  try {
    console.log(JSON.stringify({ case: name, result: await play() }));
  } catch (error) {
    const told = error?.errors ? JSON.stringify(error.errors) : "";
    console.log(JSON.stringify({ case: name, error: `${error?.stack ?? error} ${told}` }));
  }
}
process.exit(0);
