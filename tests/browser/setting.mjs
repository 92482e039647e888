// The gateway of the suite: a real one with the simulator behind it, in a folder of its own.
import { spawn, execFileSync } from "node:child_process";
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const TOKEN = "admin-token-of-the-browser-suite";

/** The longest wait for anything: a machine that runs other suites is ten times as slow as a quiet one. */
export const PATIENCE = 60_000;

export const KEYS = { ci: "sk-browser-ci-0123456789abcdef", dev: "sk-browser-dev-0123456789abcdef" };

/** A policy that changes the system prompt of marked requests, so that the cached prefix breaks. */
const POLICIES = {
  "redact": `// Replaces passwords in every text.
fn on_request(request, ctx) {
    each_text(request, |text| regex_replace(text, "hunter\\\\d", "[password]"));
}
`,
  "stamp": `// Puts another stamp into the system prompt of each request that wants one.
fn on_request(request, ctx) {
    let text = last_user_text(request);
    if text.contains("stamp:") { request.system[0].text = "stamped: " + text + " " + request.system[0].text; }
}
`,
  "refuse": `// Denies requests with a certain word.
fn on_request(request, ctx) {
    if last_user_text(request).contains("forbidden") { deny(403, "this word is <b>forbidden</b>"); }
}
`,
  "stumble": `// Fails for a certain word.
fn on_request(request, ctx) {
    if last_user_text(request).contains("stumble") {
        throw "it stumbled over <i>a stone</i>";
    }
}
`,
};

const CASES = {
  redact: `- name: a password is replaced
  request: { model: claude-x, messages: [{ role: user, content: "it is hunter2" }] }
  expect:
    request: { model: claude-x, messages: [{ role: user, content: "it is [password]" }] }
- name: another text stays
  request: { model: claude-x, messages: [{ role: user, content: "hello" }] }
  expect: { unchanged: true }
`,
};

/** Waits until `condition` returns something; a failure names `what`. */
export async function until(what, condition, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function freePorts(number) {
  const servers = Array.from({ length: number }, () => net.createServer());
  const ports = [];
  for (const server of servers) {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    ports.push(server.address().port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Returns the parts of `admin` that this binary knows: a config with an unknown key is refused. */
function adminConfig(binary, port) {
  const schema = execFileSync(binary, ["schema"], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  const admin = { listen: `127.0.0.1:${port}`, token: TOKEN };
  const text = JSON.stringify(JSON.parse(schema));
  const entry = /"AdminConfig":\{.*?"additionalProperties":false/.exec(text)?.[0] ?? text;
  if (entry.includes('"record":')) admin.record = { requests: 200, bytes: 33554432 };
  if (entry.includes('"edit":')) admin.edit = true;
  return admin;
}

function config(binary, place, [port, admin], plugins) {
  const both = [{ provider: "sim", model: "first" }, { provider: "sim", model: "second" }];
  const keys = Object.entries(KEYS).map(([name, key]) => ({ name, key, tags: { team: name === "ci" ? "harbour" : "sea" } }));
  const stages = [...Object.keys(POLICIES), "cap-max-tokens"];
  return {
    listen: `127.0.0.1:${port}`,
    admin: adminConfig(binary, admin),
    log: { level: "warn" },
    providers: { sim: { type: "simulator" } },
    models: {
      "claude-main": { targets: both, cooldown: "10m" },
      "claude-*": { provider: "sim" },
      "*": { provider: "sim" },
    },
    keys,
    ledger: "sqlite",
    key_store: "ledger",
    limits: { rules: [{ per: "key", requests: "5000/1h", concurrent: 200 }, { per: "tag:team", tokens: "90000000/1h" }] },
    budgets: { rules: [{ per: "key", usd: 50, every: "day", warn_at: 0.8 }] },
    // the time of a hook is that of the wall: a busy machine needs more of it
    policies: { dir: "policies", time_limit: "5s" },
    ...(plugins ? { plugins: { dir: "plugins" } } : {}),
    pipeline: stages.map((policy) => (policy === "cap-max-tokens" ? { policy, with: { limit: 4096 } } : { policy })),
  };
}

export class Gateway {
  constructor(binary, place, ports, options) {
    this.binary = binary;
    this.place = place;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.admin = `http://127.0.0.1:${ports[1]}`;
    this.options = options;
    this.child = null;
  }

  /** Writes a folder for a gateway. */
  static async prepare(binary, place, options = {}) {
    mkdirSync(path.join(place, "policies"), { recursive: true });
    for (const [name, text] of Object.entries(POLICIES)) writeFileSync(path.join(place, "policies", `${name}.rhai`), text);
    for (const [name, text] of Object.entries(CASES)) writeFileSync(path.join(place, "policies", `${name}.cases.yaml`), text);
    for (const name of ["cap-max-tokens.rhai", "cap-max-tokens.cases.yaml"]) {
      copyFileSync(path.join(ROOT, "policies", name), path.join(place, "policies", name));
    }
    const plugin = [path.join(ROOT, "plugins"), path.dirname(binary)].map((it) => path.join(it, "datetime.wasm")).find(existsSync);
    if (plugin) {
      mkdirSync(path.join(place, "plugins"));
      symlinkSync(plugin, path.join(place, "plugins", "datetime.wasm"));
      mkdirSync(path.join(place, ".tidegate"), { recursive: true });
      if (options.compiled) {
        // compiled plugins are known by content: one that has not changed is not compiled again
        mkdirSync(options.compiled, { recursive: true });
        symlinkSync(options.compiled, path.join(place, ".tidegate", "cache"));
      }
    }
    const ports = await freePorts(2);
    const text = JSON.stringify(config(binary, place, ports, Boolean(plugin)), null, 1);
    writeFileSync(path.join(place, "tidegate.yaml"), text);
    return new Gateway(binary, place, ports, { ...options, hasPlugin: Boolean(plugin) });
  }

  async start() {
    const log = openSync(path.join(this.place, "log"), "a");
    const options = { cwd: this.place, stdio: ["ignore", log, log] };
    this.child = spawn(this.binary, ["--config", "tidegate.yaml", "serve"], options);
    closeSync(log);
    const { child } = this;
    await until("the gateway is ready", async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}:\n${this.log()}`);
      return fetch(`${this.admin}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  log() {
    return readFileSync(path.join(this.place, "log"), "utf8").slice(-4000);
  }

  async stop() {
    const { child } = this;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(timer);
  }

  /** Returns JSON of the admin API. */
  async api(pathname, init = {}) {
    const headers = { authorization: `Bearer ${TOKEN}`, ...init.headers };
    const answer = await fetch(this.admin + pathname, { ...init, headers });
    if (!answer.ok) throw new Error(`${pathname}: expected a success, found ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** Sends a request of a client, and reads its whole answer. */
  async send(body, { key = "dev", headers = {}, pathname = "/v1/messages" } = {}) {
    const answer = await fetch(this.url + pathname, {
      method: "POST",
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": KEYS[key] ?? key, ...headers },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, text, id: answer.headers.get("request-id"), headers: answer.headers };
  }
}
