// Traffic for the suite: ordinary requests of a team, failures, sessions with a cache, and texts written to do harm.
import { until } from "./setting.mjs";

export const SCRIPT = "<script>window.harmed=1</script>";
export const IMAGE = "<img src=x onerror=window.harmed=1>";
export const BIDI = "abc\u202Egnp.exe\u2066\u200B";

/** A body with one message of the user. */
export function ask(text, more = {}) {
  return { model: "claude-sonnet-5", max_tokens: 512, messages: [{ role: "user", content: text }], ...more };
}

/** Requests of two keys, several models, streams, tools and failovers. */
async function ordinary(gateway) {
  const models = ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5", "claude-main"];
  const sent = [];
  for (let n = 0; n < 60; n += 1) {
    const text = n % 7 === 0 ? "my password is hunter2 [sim: thinking]" : `hello ${n} [sim: words ${5 + (n % 9) * 12}]`;
    const more = { model: models[n % models.length], stream: n % 3 !== 0, max_tokens: n % 11 === 0 ? 64_000 : 512 };
    sent.push(gateway.send(ask(text, more), { key: n % 2 ? "ci" : "dev" }));
  }
  sent.push(gateway.send(ask("hello [sim@first: error 529]", { model: "claude-main", stream: true })));
  sent.push(gateway.send(ask("how much?", {}), { pathname: "/v1/messages/count_tokens" }));
  if (gateway.options.hasPlugin) {
    const tools = [{ type: "gateway:datetime", name: "datetime" }];
    sent.push(gateway.send(ask('[sim: call datetime {"timezones": ["UTC", "Asia/Tokyo"]}]', { tools, stream: true }), { key: "ci" }));
  }
  await Promise.all(sent);
}

/** Requests that fail in every way. */
async function failures(gateway) {
  await Promise.all([
    gateway.send(ask("[sim: error 500]")),
    gateway.send(ask("[sim: error 429 retry-after 7]", { model: "claude-haiku-4-5" })),
    gateway.send(ask(`[sim: error 400 message ${SCRIPT}${IMAGE}]`)),
    gateway.send(ask("[sim: break after 4]", { stream: true })),
    gateway.send(ask("this is forbidden")),
    gateway.send(ask("I stumble")),
    gateway.send({ model: "claude-sonnet-5", max_tokens: -1, messages: [] }),
  ]);
}

/** A session whose cached prefix breaks: by the client, by a policy, by another target. */
async function session(gateway) {
  const headers = { "x-claude-code-session-id": "session-of-the-suite" };
  const long = "The harbour has a long history of tides and ships. ".repeat(120);
  const system = (text) => [{ type: "text", text: `${text} ${long}`, cache_control: { type: "ephemeral" } }];
  const history = [];
  const turn = async (text, more = {}) => {
    const marked = [{ type: "text", text, cache_control: { type: "ephemeral" } }];
    const messages = [...history, { role: "user", content: marked }];
    const body = { model: "claude-opus-4-8", max_tokens: 256, system: system("You are a pilot."), messages, ...more };
    await gateway.send(body, { headers });
    history.push({ role: "user", content: [{ type: "text", text }] }, { role: "assistant", content: `You said: ${text}` });
  };
  await turn("one");
  await turn("two");
  const captain = { system: system("You are a captain.") };
  await turn("three", captain);
  await turn("four", captain);
  await turn("stamp: five", captain);
  await turn("six", { ...captain, model: "claude-sonnet-5" });
}

/** Names and texts with scripts, marks of direction, and a size of one megabyte, as far as the gateway takes them. */
async function hostile(gateway) {
  const megabyte = "A".repeat(1_000_000);
  const names = [SCRIPT, IMAGE, BIDI, `${SCRIPT}${"x".repeat(300)}`, megabyte, "javascript:alert(1)", "=cmd|'/c calc'!A1"];
  const sent = names.map((model) => gateway.send(ask("hello", { model })));
  const headers = {
    "x-claude-code-session-id": `${IMAGE}`,
    "user-agent": SCRIPT,
    "x-tidegate-tags": `note=${SCRIPT}`,
  };
  sent.push(gateway.send(ask("hello", { stream: true }), { headers }));
  sent.push(gateway.send(ask("hello"), { headers: { "x-claude-code-session-id": megabyte.slice(0, 8000) } }));
  sent.push(gateway.send(ask("hello", { metadata: { user_id: `${SCRIPT}${BIDI}` } })));
  sent.push(gateway.send(ask(`${SCRIPT} ${BIDI} hunter2`)));
  sent.push(gateway.send(ask(megabyte)));
  const tool = { name: "tool_name_of_64_characters_".padEnd(64, "x"), description: SCRIPT, input_schema: { type: "object" } };
  sent.push(gateway.send(ask(`call ${tool.name}`, { tools: [tool] })));
  return Promise.allSettled(sent);
}

async function written(gateway) {
  await until("the ledger has written all rows", async () => {
    const { ledger, active_requests: active } = await gateway.api("/api/status");
    return ledger.waiting === 0 && active === 0;
  });
}

/** Sends the requests of a team, and waits until the ledger has them. */
export async function friendly(gateway) {
  await failures(gateway);
  await session(gateway);
  await ordinary(gateway);
  await written(gateway);
}

/** Sends all of it, and waits until the ledger has it. Returns the statuses of the harmful requests. */
export async function traffic(gateway) {
  await friendly(gateway);
  const harmful = await hostile(gateway);
  await written(gateway);
  return harmful.map((it) => (it.status === "fulfilled" ? it.value.status : String(it.reason)));
}

/** Returns the exchanges that the checks look at. */
export async function facts(gateway) {
  const { rows: all } = await gateway.api("/api/exchanges?limit=200");
  const failover = all.find((row) => row.attempts > 1 && row.model === "claude-main");
  const edited = all.find((row) => row.session === "session-of-the-suite" && row.broken_stage);
  if (!failover || !edited) throw new Error("the ledger lacks the failover, or the prefix that a policy broke");
  return { failover, edited, session: "session-of-the-suite", policy: "redact" };
}
