// Answers for the routes of the admin API that a gateway may lack, in the form of the contract.
import { createHash } from "node:crypto";
import http from "node:http";

import { body, fail, send, HEADERS } from "./serve.mjs";

const MINUTE = 60_000;

const POLICIES = {
  "cap-max-tokens": {
    text: 'const MAX = 4096;\n\nfn on_request(request, ctx) {\n    if request.max_tokens > MAX {\n        request.max_tokens = MAX;\n        log("info", "max_tokens was cut");\n    }\n}\n',
    cases: true,
    pipeline: true,
  },
  "system-note": {
    text: 'fn on_request(request, ctx) {\n    request.system = "Answer in one sentence.";\n}\n',
    cases: true,
    pipeline: true,
  },
  "library/redact": {
    text: "fn redact(text) {\n    text.replace(\"secret\", \"***\");\n    text\n}\n",
    library: true,
  },
  "draft-only": { text: "fn on_answer(answer, ctx) {\n}\n" },
};

const definition = (section, kind, signature, returns, help) => ({
  name: /(\w+)[(:]/.exec(signature)[1], kind, section, signature, returns, help,
});

const DEFINITIONS = [
  definition("Hooks", "function", "on_request(request: Map, ctx: Ctx)", "", "Runs before anything else.\nExample: fn on_request(request, ctx) { }"),
  definition("Hooks", "function", "on_text(text: String, ctx: Ctx) -> ?", "?", "Runs for the text of an answer.\nExample: fn on_text(text, ctx) { text }"),
  definition("Verbs", "function", "deny(status: int, message: String)", "", "Rejects with a status.\nExample: deny(403, \"no\")"),
  definition("Verbs", "function", "respond(text: String)", "", "Answers in place of the model.\nExample: respond(\"pong\")"),
  definition("Verbs", "function", "log(level: String, text: String)", "", "Writes to the gateway's log.\nExample: log(\"info\", \"hello\")"),
  definition("request", "field", "request.max_tokens: int", "int", "The most tokens of the answer."),
  definition("request", "field", "request.messages: Array", "Array", "The conversation."),
  definition("ctx", "field", "ctx.key: String", "String", "The client's key."),
];

function etag(text) {
  return `"${createHash("sha256").update(text).digest("hex").slice(0, 16)}"`;
}

/** Returns problems for unbalanced brackets and for the word `oops`. */
function problems(text) {
  const found = [];
  const open = [];
  const lines = text.split("\n");
  lines.forEach((line, at) => {
    [...line].forEach((letter, column) => {
      if ("({[".includes(letter)) open.push({ letter, line: at + 1, column: column + 1 });
      if (")}]".includes(letter) && open.pop() === undefined) {
        found.push({ line: at + 1, column: column + 1, message: `unexpected \`${letter}\`` });
      }
    });
    const word = line.indexOf("oops");
    if (word >= 0) found.push({ line: at + 1, column: word + 1, message: "unknown name `oops`" });
  });
  for (const { letter, line, column } of open) found.push({ line, column, message: `\`${letter}\` is not closed` });
  return found;
}

function overview({ response, url }) {
  const minutes = Number(url.searchParams.get("minutes") ?? 15);
  if (!(minutes >= 1 && minutes <= 60)) {
    return fail(response, 400, "invalid_request_error", "`minutes`: expected a number from 1 to 60", { field: "minutes" });
  }
  const now = Math.floor(Date.now() / 10_000) * 10_000;
  const buckets = [];
  for (let at = now - minutes * MINUTE; at < now; at += 10_000) {
    const wave = Math.max(0, Math.round(6 + 5 * Math.sin(at / 90_000) + 2 * Math.sin(at / 17_000)));
    const isIdle = wave === 0;
    buckets.push({
      at: new Date(at).toISOString(),
      requests: wave,
      errors: wave > 10 ? 1 : 0,
      uncached: wave * 900,
      write: wave * 400,
      read: wave * 8000,
      output: wave * 350,
      cost_usd: (wave * 0.0123).toFixed(6),
      unpriced: at % 600_000 === 0 ? 1 : 0,
      unpriced_tokens: at % 600_000 === 0 ? 1200 : 0,
      ttft_p50_ms: isIdle ? null : 420 + 20 * wave,
      ttft_p95_ms: isIdle ? null : 1250 + 70 * wave,
    });
  }
  const sum = (name) => buckets.reduce((all, it) => all + Number(it[name] ?? 0), 0);
  const total = {};
  for (const name of ["requests", "errors", "uncached", "write", "read", "output", "unpriced", "unpriced_tokens"]) total[name] = sum(name);
  total.cost_usd = sum("cost_usd").toFixed(6);
  total.ttft_p50_ms = 540;
  total.ttft_p95_ms = 1900;
  const part = (name, share, isRest = false) => ({
    name,
    is_rest: isRest,
    requests: Math.round(total.requests * share),
    errors: Math.round(total.errors * share),
    cost_usd: (Number(total.cost_usd) * share).toFixed(6),
  });
  send(response, 200, {
    at: new Date().toISOString(),
    interval_s: 10,
    since: new Date(now - minutes * MINUTE).toISOString(),
    running: 3,
    buckets,
    total,
    models: [part("claude-opus-4-8", 0.6), part("claude-sonnet-5", 0.3), part("claude-haiku-4-5", 0.08), part("", 0.02, true)],
    keys: [part("ci", 0.5), part("dev", 0.35), part("", 0.15)],
  });
}

/** An exchange of the ledger. */
function exchange(n, more = {}) {
  const id = `01a2${String(n).padStart(28, "0")}`;
  return {
    id,
    at: new Date(Date.now() - (400 - n) * MINUTE).toISOString(),
    operation: "messages",
    key: "dev",
    user_id: null,
    session: "5b0c0e36-7a5e-4a53-9a3c-4a3a6fdc9d11",
    request_id: `req_fixture${n}`,
    upstream_request_id: `req_up_${n}`,
    parent: null,
    model: "claude-opus-4-8",
    target: "anthropic/claude-opus-4-8",
    route: null,
    is_stream: true,
    status: 200,
    ending: "whole",
    error: null,
    uncached: 312,
    write_5m: 2210,
    write_1h: 0,
    read: 48_120,
    output: 611,
    cost_usd: "0.054312",
    cost_state: "priced",
    unpriced_tokens: 0,
    ttft_ms: 812,
    ms: 9120,
    attempts: 1,
    stop: "tool_use",
    trace_id: null,
    prefix: "continues",
    broken_at: null,
    broken_by: null,
    broken_stage: null,
    lost_tokens: null,
    lost_usd: null,
    ...more,
  };
}

function broken(by, at, stage, lost) {
  return { prefix: "broken", broken_by: by, broken_at: at, broken_stage: stage, lost_tokens: lost, lost_usd: (lost * 0.0000045).toFixed(6), read: 0 };
}

const SESSION = "5b0c0e36-7a5e-4a53-9a3c-4a3a6fdc9d11";

function prompts({ response }) {
  const first = new Date(Date.now() - 400 * MINUTE).toISOString();
  const last = new Date(Date.now() - MINUTE).toISOString();
  const row = (session, key, requests, breaks, lost) => ({
    session, key, model: "claude-opus-4-8", first, last, requests, breaks, lost_usd: lost,
  });
  const rows = [
    row(SESSION, "dev", 12, 4, "0.712"),
    row("quiet-session", "ci", 40, 0, "0"),
    row("<script>alert(1)</script>\u202Egnp.exe", "ci", 2, 1, null),
  ];
  send(response, 200, { rows, next: null });
}

function prompt({ response, values }) {
  const all = { session: values[0] };
  const rows = [
    exchange(1, { ...all, prefix: "first", read: 0, write_5m: 48_120 }),
    exchange(2, all),
    exchange(3, { ...all, ...broken("client", "messages.3", null, 21_000) }),
    exchange(4, all),
    exchange(5, { ...all, ...broken("stage", "system", "system-note", 48_300) }),
    exchange(6, all),
    exchange(7, { ...all, ...broken("failover", "model", null, 51_000), target: "bedrock/claude-opus-4-8", attempts: 2 }),
    exchange(8, all),
    exchange(9, { ...all, ...broken("timeout", "tools", null, 52_400) }),
  ];
  send(response, 200, { rows, next: null });
}

const change = (op, path, before, after, isCut = false) => ({ op, path, before, after, is_cut: isCut });

const CHANGES = [
  change("replace", "/max_tokens", "64000", "4096"),
  change("add", "/system", null, "Answer in one sentence."),
  change("replace", "/messages/0/content/0/text", "…The password is hunter2.…", "…The password is ***.…", true),
  change("remove", "/metadata", '{"user_id":"u1"}', null),
];

function changes({ response, url, values }) {
  const full = url.searchParams.get("full");
  const step = (stage, kind, of, more = {}) => ({
    stage, kind, hook: "on_request", turn: 0, target: null, changes: of, edits: null, is_cut: false, ...more,
  });
  if (full && full !== "body") {
    const whole = change("replace", full, `${"b".repeat(9000)} hunter2`, `${"b".repeat(9000)} ***`);
    const steps = [step("redact", "plugin", [whole])];
    return send(response, 200, { is_recorded: true, why: null, request: null, steps, is_cut: false });
  }
  if (values[0].endsWith("f")) {
    const why = "`admin.record` is off: the config must set it before the request";
    return send(response, 200, { is_recorded: false, why, request: null, steps: [], is_cut: false });
  }
  send(response, 200, {
    is_recorded: true,
    why: null,
    is_cut: false,
    request: {
      is_cut: false,
      method: "POST",
      path: "/v1/messages",
      headers: [["content-type", "application/json"], ["x-api-key", "***"], ["user-agent", "<script>alert(2)</script>"]],
      body: JSON.stringify({ model: "claude-opus-4-8", max_tokens: 64000, messages: [{ role: "user", content: [{ type: "text", text: "The password is hunter2." }] }] }, null, 2),
    },
    steps: [
      step("cap-max-tokens", "policy", CHANGES.slice(0, 1)),
      step("system-note", "policy", CHANGES.slice(1, 2)),
      step("redact", "plugin", CHANGES.slice(2), { is_cut: true }),
      step("redact", "plugin", [change("replace", "", "hunter2 ", "*** ")], { hook: "on_text", turn: 1, edits: 3, is_cut: true }),
      step("gateway", "gateway", [], { hook: "attempt", turn: 1, target: "anthropic/claude-opus-4-8", is_cut: true }),
    ],
  });
}

async function evaluate({ request, response }) {
  const asked = await body(request);
  const found = problems(asked.policy.text);
  if (found.length > 0) return send(response, 200, { problems: found, steps: [], request: null, answer: null, error: null });
  const after = { ...(asked.request ?? { model: "sim", max_tokens: 64000, messages: [] }), max_tokens: 4096 };
  const step = {
    stage: asked.policy.name, hook: "on_request", verdict: "continue", detail: "",
    changes: CHANGES.slice(0, 1), logs: ["info: max_tokens was cut"], is_cut: false,
    effects: [{ kind: "tag", name: "capped", value: "yes" }, { kind: "route", name: "", value: "claude-small" }],
  };
  send(response, 200, { problems: [], steps: [step], request: after, answer: null, error: null });
}

async function check({ request, response }) {
  send(response, 200, { problems: problems((await body(request)).text) });
}

async function cases({ request, response }) {
  const { text } = await body(request);
  if (problems(text).length > 0) return send(response, 200, { problems: problems(text), cases: [] });
  send(response, 200, {
    problems: [],
    cases: [
      { name: "a large max_tokens is cut", line: 1, is_passed: true, message: "" },
      { name: "a small one stays", line: 4, is_passed: false, message: "`max_tokens`: expected 100, found 4096" },
    ],
  });
}

function files({ response }) {
  const rows = Object.entries(POLICIES).map(([name, it]) => ({
    name, is_library: it.library ?? false, has_cases: it.cases ?? false, in_pipeline: it.pipeline ?? false,
  }));
  send(response, 200, { is_editable: true, rows });
}

function file({ response, values }) {
  const found = POLICIES[values[0]];
  if (!found) return fail(response, 404, "not_found_error", `there is no policy \`${values[0]}\``);
  const cases = found.cases ? "- name: a small one stays\n  request: { max_tokens: 100 }\n  expect: { unchanged: true }\n" : null;
  send(response, 200, { name: values[0], is_library: found.library ?? false, text: found.text, cases }, { etag: etag(found.text) });
}

async function save({ request, response, values }) {
  const found = POLICIES[values[0]];
  const { text } = await body(request);
  const version = request.headers["if-match"];
  const isNew = request.headers["if-none-match"] === "*";
  if (!version && !isNew) return fail(response, 428, "invalid_request_error", "`if-match`: expected an etag");
  if (found ? version !== etag(found.text) && version !== "*" : !isNew) {
    return fail(response, 412, "invalid_request_error", "the file has another version");
  }
  const wrong = problems(text);
  if (wrong.length > 0) return send(response, 422, { problems: wrong, generation: 1 });
  POLICIES[values[0]] = { ...found, text };
  send(response, 200, { problems: [], generation: 2 }, { etag: etag(text) });
}

/** The events of a streamed answer with thinking, text and a tool call. */
function events(model) {
  const message = {
    id: "msg_fixture", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null,
    usage: { input_tokens: 12, output_tokens: 1 },
  };
  const words = "The sea is calm. <script>alert(3)</script> **This** is text, not a page.".split(/(?<= )/);
  const block = (index, start, deltas) => [
    { type: "content_block_start", index, content_block: start },
    ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
    { type: "content_block_stop", index },
  ];
  return [
    { type: "message_start", message },
    ...block(0, { type: "thinking", thinking: "", signature: "" }, [
      { type: "thinking_delta", thinking: "The user asks about the sea. " },
      { type: "thinking_delta", thinking: "I look at it." },
      { type: "signature_delta", signature: "c2ln" },
    ]),
    ...block(1, { type: "text", text: "" }, words.map((text) => ({ type: "text_delta", text }))),
    ...block(2, { type: "tool_use", id: "toolu_1", name: "tide_table", input: {} }, [
      { type: "input_json_delta", partial_json: '{"port": ' },
      { type: "input_json_delta", partial_json: '"Husum"}' },
    ]),
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 42 } },
    { type: "message_stop" },
  ];
}

async function playground({ request, response, messages, keys }) {
  const asked = await body(request);
  if (messages) return relay(response, messages, asked, keys[asked.key]);
  const sent = events(asked.request.model);
  if (!asked.request.stream) {
    const content = [{ type: "text", text: "The sea is calm." }];
    return send(response, 200, { ...sent[0].message, content, stop_reason: "end_turn" }, { "request-id": "req_fixture2" });
  }
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream", "request-id": "req_fixture2" });
  for (const event of sent) {
    if (response.destroyed) return;
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  response.end(`event: tidegate_story\ndata: ${JSON.stringify({ id: exchange(2).id })}\n\n`);
}

/** Sends the request to the gateway's listener for clients. */
function relay(response, messages, asked, secret) {
  const target = new URL("/v1/messages", messages);
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  if (secret) headers["x-api-key"] = secret;
  const onward = http.request(target, { method: "POST", headers }, (answer) => {
    const id = answer.headers["request-id"] ?? "";
    const type = answer.headers["content-type"] ?? "application/json";
    response.writeHead(answer.statusCode, { ...HEADERS, "content-type": type, "request-id": id });
    answer.pipe(response, { end: false });
    answer.on("end", () => {
      const isStream = type.startsWith("text/event-stream");
      response.end(isStream ? `event: tidegate_story\ndata: ${JSON.stringify({ id })}\n\n` : "");
    });
  });
  onward.on("error", (error) => fail(response, 502, "api_error", error.message));
  response.on("close", () => onward.destroy());
  onward.end(JSON.stringify(asked.request));
}

/** Returns the routes. */
export function fixtures(options) {
  const at = (method, path, answer) => ({
    method, path: new RegExp(`^/api/${path}$`), answer: async (call) => answer({ ...call, messages: options.messages, keys: options.keys ?? {} }),
  });
  return [
    at("GET", "overview", overview),
    at("GET", "prompts", prompts),
    at("GET", "prompts/(.+)", prompt),
    at("GET", "exchanges/([^/]+)/changes", changes),
    at("POST", "eval", evaluate),
    at("POST", "check", check),
    at("POST", "test", cases),
    at("GET", "files", files),
    at("GET", "files/(.+)", file),
    at("PUT", "files/(.+)", save),
    at("GET", "definitions", ({ response }) => send(response, 200, { rows: DEFINITIONS })),
    at("POST", "playground", playground),
  ];
}
