// The playground: a message through the gateway as a chosen key, with the story of the request beside the answer.
import { ApiError, get, readEvents } from "../lib/api.js";
import { Steps } from "../lib/changes.js";
import { Code } from "../lib/code.js";
import { draft, names as draftNames } from "../lib/drafts.js";
import { AreaField, SelectField, TextField, TickField } from "../lib/fields.js";
import { Choice } from "../lib/filter.js";
import { count, duration, micros, money } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { apply, content, empty, reply, whole } from "../lib/message.js";
import { Panel } from "../lib/panel.js";
import { message, parse, print, sample, withMessage } from "../lib/request.js";
import { link, place } from "../lib/router.js";
import { Badge, Copy, Cost, Empty, Head, Name, Notice, Pairs, Problem } from "../lib/ui.js";

const BODY = "tidegate.playground.body";
const NONE = "";
const OWN = "=own";

// ── the names to choose from ──

async function choices(signal) {
  const [used, keys, files, models] = await Promise.all([
    get("/api/usage/names", {}, signal).catch(() => ({ keys: [], models: [] })),
    get("/api/keys", {}, signal).catch(() => ({ keys: [] })),
    get("/api/files", {}, signal).catch(() => ({ rows: [] })),
    get("/api/targets", {}, signal).catch(() => ({ aliases: [] })),
  ]);
  const names = (rows) => rows.map((row) => (typeof row === "string" ? row : row.name)).filter(Boolean);
  const aliases = names(models.aliases).filter((name) => !name.includes("*"));
  return {
    keys: [...new Set([...names(keys.keys), ...names(used.keys)])].sort(),
    models: [...new Set([...aliases, ...names(used.models)])].sort(),
    policies: files.rows.filter((row) => !row.is_library).map((row) => row.name),
  };
}

// ── the body: one text of JSON, shown as a form or as itself ──

function remembered() {
  try {
    return sessionStorage.getItem(BODY);
  } catch {
    return null;
  }
}

function remember(text) {
  try {
    sessionStorage.setItem(BODY, text);
  } catch {
    // a body that is too large for the browser's store is lost with the page
  }
}

function number(text) {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function Form({ body, change, models, onSend }) {
  const text = message(body);
  const set = (name) => (value) => change({ ...body, [name]: value });
  const onKeyDown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSend();
  };
  return html`<div class="form">
    <div class="form-row">
      <${TextField} label="Model" value=${body.model ?? ""} options=${models} onInput=${set("model")} />
      <${TextField} label="Max tokens" value=${String(body.max_tokens ?? "")} inputmode="numeric"
        onInput=${(value) => set("max_tokens")(number(value))} />
      <${TickField} label="Streamed" value=${body.stream === true} onChange=${set("stream")} />
    </div>
    ${text === null
      ? html`<p class="note">The last message is no text of the user: edit it in the JSON.</p>`
      : html`<${AreaField} label="Message" rows=${5} value=${text} onKeyDown=${onKeyDown} hint="Ctrl+Enter sends."
          onInput=${(value) => change(withMessage(body, value))} />`}
  </div>`;
}

// ── the draft of a policy ──

function DraftChoice({ chosen, choose, policies }) {
  const known = new Set([...policies, ...draftNames()]);
  const options = [...known].sort().map((name) => [name, draft(name) ? `${name} (draft)` : name]);
  return html`<${SelectField} label="Policy" value=${chosen} onChange=${choose}
    hint="A draft takes the place of its stage in this request only."
    options=${[[NONE, "the pipeline as it is"], ...options, [OWN, "a new text"]]} />`;
}

const OWN_TEXT = 'fn on_request(request, ctx) {\n    request.system = "Answer in one sentence.";\n}\n';

/** Loads the text of the chosen policy: its draft, or its file. */
function useDraft(chosen) {
  const [state, setState] = useState({ name: "", text: "", error: null });
  useEffect(() => {
    const abort = new AbortController();
    if (chosen === NONE) setState({ name: "", text: "", error: null });
    else if (chosen === OWN) setState({ name: "draft", text: OWN_TEXT, error: null });
    else if (draft(chosen)) setState({ name: chosen, text: draft(chosen).text, error: null });
    else {
      get(`/api/files/${encodeURIComponent(chosen)}`, {}, abort.signal).then(
        ({ text }) => setState({ name: chosen, text, error: null }),
        (error) => !abort.signal.aborted && setState({ name: "", text: "", error }),
      );
    }
    return () => abort.abort();
  }, [chosen]);
  return [state, (text) => setState((old) => ({ ...old, text }))];
}

// ── sending ──

async function failure(response) {
  const text = await response.text();
  try {
    const body = JSON.parse(text);
    const { problems } = body;
    if (problems) return new ApiError(response.status, { type: "draft", message: "the draft has problems: nothing was sent", problems });
    return new ApiError(response.status, body.error);
  } catch {
    return new ApiError(response.status, { type: "unreadable_answer", message: text.slice(0, 2048) || "an empty answer" });
  }
}

// `fetch` itself and not `call`: a 401 with a request id is an answer of the gateway and no lost session
async function post(body, signal) {
  const headers = { "content-type": "application/json" };
  const options = { method: "POST", body: JSON.stringify(body), headers, signal, cache: "no-store" };
  let response;
  try {
    response = await fetch("/api/playground", options);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, { type: "unreachable", message: "the gateway cannot be reached" });
  }
  if (response.status === 401 && !response.headers.has("request-id")) location.assign("/login");
  return response;
}

const IDLE = { state: "idle", message: empty(), status: null, error: null, id: null, requestId: null, begun: 0, first: null, ms: null };

/** Reads an answer, and calls `show` with each new state of it. */
async function exchange(body, signal, show) {
  const begun = performance.now();
  let now = { ...IDLE, message: empty(), state: "waiting", begun };
  const update = (more) => show((now = { ...now, ...more, ms: performance.now() - begun }));
  update({});
  try {
    const response = await post(body, signal);
    update({ status: response.status, requestId: response.headers.get("request-id") });
    if (!response.ok) {
      update({ error: await failure(response), state: "failed", id: now.requestId });
      return;
    }
    if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      update({ message: whole(await response.json()), state: "done", id: now.requestId });
      return;
    }
    await readEvents(response, ({ event, data }) => {
      const found = JSON.parse(data);
      if (event === "tidegate_story") return update({ id: found.id });
      apply(now.message, found);
      update({ state: "streaming", first: now.first ?? performance.now() - begun });
    });
    const isFailed = now.message.error !== null;
    update({ state: isFailed ? "failed" : now.message.isWhole ? "done" : "cut", id: now.id ?? now.requestId });
  } catch (error) {
    if (signal.aborted) update({ state: "stopped", id: now.requestId });
    else update({ state: "failed", error, id: now.requestId });
  }
}

/** Sends requests, one at a time. Changes of the answer are shown once a frame. */
function useExchange() {
  const [shown, setShown] = useState(IDLE);
  const running = useRef(null);
  const latest = useRef(IDLE);
  const frame = useRef(0);
  const flush = () => {
    frame.current = 0;
    setShown(latest.current);
  };
  const show = (state) => {
    latest.current = state;
    if (frame.current === 0) frame.current = requestAnimationFrame(flush);
  };
  useEffect(
    () => () => {
      running.current?.abort();
      cancelAnimationFrame(frame.current);
    },
    [],
  );
  const send = (body) => {
    running.current?.abort();
    const mine = new AbortController();
    running.current = mine;
    exchange(body, mine.signal, (state) => running.current === mine && show(state));
  };
  return { shown, send, stop: () => running.current?.abort() };
}

// ── the answer ──

const TITLES = {
  text: "Text",
  thinking: "Thinking",
  redacted_thinking: "Redacted thinking",
  tool_use: "Tool call",
  server_tool_use: "Server tool call",
  mcp_tool_use: "MCP tool call",
};

function inputOf(place) {
  return place.isOpen || typeof place.block.input !== "object" ? place.input : print(place.block.input);
}

function rest(block) {
  const { type, ...others } = block;
  return print(others);
}

/** The longest text of a block that is shown without a question: a longer one makes the page slow. */
const LONGEST = 50_000;

function Block({ place }) {
  const [isWhole, setWhole] = useState(false);
  const { block } = place;
  const title = TITLES[block.type] ?? block.type;
  const isCall = block.type.endsWith("tool_use");
  const text = String((block.type === "text" ? block.text : block.type === "thinking" ? block.thinking : isCall ? inputOf(place) : rest(block)) ?? "");
  return html`<li class=${`block ${block.type === "thinking" ? "thought" : isCall ? "tool" : block.type === "text" ? "words" : "other"}`}>
    <p class="block-head">
      <strong>${title}</strong>
      ${isCall && html`<code><${Name} value=${block.name} most=${120} mono /></code>`}
      ${block.citations?.length > 0 && html`<${Badge}>${block.citations.length} citations<//>`}
      ${place.isOpen && html`<${Badge} kind="busy">writing<//>`}
    </p>
    <pre class=${block.type === "text" || block.type === "thinking" ? "text prose" : "text"} tabindex="0" aria-label=${title}>${isWhole ? text : text.slice(0, LONGEST)}</pre>
    ${text.length > LONGEST && !isWhole && html`<button type="button" class="small" onClick=${() => setWhole(true)}>Show all ${count(text.length)} characters</button>`}
  </li>`;
}

const STATES = {
  idle: ["off", "not sent"],
  waiting: ["busy", "waiting"],
  streaming: ["busy", "streaming"],
  done: ["ok", "done"],
  cut: ["bad", "cut off"],
  stopped: ["warn", "stopped"],
  failed: ["bad", "failed"],
};

function tokens(usage) {
  const parts = [
    ["input", usage.input_tokens],
    ["cache write", usage.cache_creation_input_tokens],
    ["cache read", usage.cache_read_input_tokens],
    ["output", usage.output_tokens],
  ];
  return parts.filter(([, value]) => value > 0).map(([name, value]) => `${count(value)} ${name}`).join(", ");
}

function Answer({ shown, onContinue }) {
  const { state, message: found, error } = shown;
  const [kind, word] = STATES[state];
  const isOver = state === "done" || state === "stopped";
  const problem = error ?? (found.error && { status: shown.status, ...found.error });
  return html`<${Panel} title="Answer" tools=${html`<span role="status"><${Badge} kind=${kind}>${word}<//></span>`}>
    ${state === "idle" && html`<${Empty} title="No request was sent yet">Write a message and send it. The request goes through the whole pipeline, counts against limits and budgets, and costs money.<//>`}
    <${Problem} error=${problem} subject="the playground" />
    ${error?.problems?.length > 0 && html`<ul>${error.problems.map((it, n) => html`<li key=${n}>${it.line}:${it.column} ${it.message}</li>`)}</ul>`}
    <ol class="blocks" aria-busy=${state === "streaming"}>${found.blocks.map((it, n) => it && html`<${Block} key=${n} place=${it} />`)}</ol>
    ${state !== "idle" && html`<${Pairs} rows=${[
      ["Status", shown.status],
      ["Stop reason", found.stop],
      ["First event", shown.first !== null && duration(Math.round(shown.first)), "as this browser saw it"],
      ["Duration", shown.ms !== null && duration(Math.round(shown.ms)), "as this browser saw it"],
      ["Tokens", tokens(found.usage) || null],
      ["Request", shown.requestId && html`<code>${shown.requestId}</code>`],
    ]} />`}
    ${isOver && found.blocks.length > 0 && html`<div class="tools">
      <button type="button" onClick=${onContinue}>Continue the conversation</button>
      <${Copy} text=${() => print(content(found))} label="Copy the content" small=${false} />
    </div>`}
  <//>`;
}

// ── the story ──

const PATIENCE = 8_000;

// The ledger writes an exchange shortly after its end. The list finds it without an error while it is not there.
async function written(requestId, signal) {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    const { rows } = await get("/api/exchanges", { request_id: requestId, limit: 1 }, signal);
    if (rows.length > 0) return rows[0].id;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return null;
}

async function story({ id, requestId }, signal) {
  if (id === null) return null;
  const known = (requestId && (await written(requestId, signal))) || id;
  const path = `/api/exchanges/${encodeURIComponent(known)}`;
  const found = await get(path, {}, signal);
  const changes = await get(`${path}/changes`, {}, signal).catch((error) => ({ is_recorded: false, why: error.message, steps: [] }));
  return { ...found, changes, path: `${path}/changes` };
}

function Attempts({ rows }) {
  if (rows.length === 0) return html`<p class="faint">No upstream was called.</p>`;
  return html`<ol class="attempts">${rows.map(
    (it) => html`<li key=${it.n} class="line-of">
      <${Name} value=${it.target} most=${60} mono />
      <${Badge} kind=${it.outcome === "success" ? "ok" : "bad"}>${it.outcome ?? "left"}${it.status ? ` ${it.status}` : ""}<//>
      <span class="faint">${duration(it.ms)}${it.ttft_ms !== null ? `, first event after ${duration(it.ttft_ms)}` : ""}, ${money(it.cost_usd)}</span>
      ${it.error && html`<p class="detail">${it.error}</p>`}
    </li>`,
  )}</ol>`;
}

const OUTCOMES = { ran: "ok", edited: "info", denied: "bad", failed: "bad" };

function Stages({ rows }) {
  if (rows.length === 0) return html`<p class="faint">No stage ran.</p>`;
  return html`<ol class="attempts">${rows.map(
    (it) => html`<li key=${it.n} class="line-of"><${Name} value=${it.name} most=${60} /> <span class="faint">${it.hook}, ${micros(it.us)}${it.runs > 1 ? `, ${it.runs} runs` : ""}</span>
      <${Badge} kind=${OUTCOMES[it.outcome] ?? "plain"}>${it.outcome}<//></li>`,
  )}</ol>`;
}

function Told({ found }) {
  const it = found.exchange;
  const full = async (path, step) => (await get(found.path, { full: path, step })).steps[0].changes[0];
  return html`<${Pairs} rows=${[
      ["Target", html`<${Name} value=${it.target} mono />`],
      ["Key", html`<${Name} value=${it.key} none="no key" />`],
      ["Cost", html`<${Cost} row=${it} />`],
      ["First event", it.ttft_ms !== null && duration(it.ttft_ms)],
      ["Duration", duration(it.ms)],
      ["Tool calls", found.tool_calls.length || null],
      ["Passed over", found.notes.map((note) => `${note.name}${note.detail ? ` (${note.detail})` : ""}`).join(", ") || null],
    ]} />
    <h3>Stages</h3>
    <${Stages} rows=${found.stages} />
    <h3>Changes</h3>
    ${found.changes.is_recorded
      ? html`<${Steps} steps=${found.changes.steps} full=${full} none="No stage changed the request." />`
      : html`<p class="faint">${found.changes.why || "The gateway did not record the changes."}</p>`}
    <h3>Attempts</h3>
    <${Attempts} rows=${found.attempts} />
    <p><a href=${link("requests", [it.id])}>Open the request</a></p>`;
}

function Story({ id, requestId }) {
  const loaded = useLoad((signal) => story({ id, requestId }, signal), [id, requestId]);
  // the story of the request before this one stays in the state of the loader
  const found = id !== null && !loaded.isLoading ? loaded.data : null;
  return html`<${Panel} title="Story">
    ${id === null && html`<p class="faint">The story appears when the request has ended: stages, changes, attempts and cost.</p>`}
    ${id !== null && loaded.isLoading && html`<p role="status" class="faint">Waiting for the ledger…</p>`}
    ${id !== null && !loaded.isLoading && html`<${Problem} error=${loaded.error} subject="the story" again=${loaded.reload} />`}
    ${found && html`<${Told} found=${found} />`}
  <//>`;
}

// ── the page ──

function Draft({ state, setText, check }) {
  if (state.error) return html`<${Problem} error=${state.error} subject="the policy" />`;
  if (!state.name) return null;
  return html`<${Code} class="short" document=${state.name} text=${state.text} language="rhai" label=${`The policy ${state.name}`}
    onChange=${setText} check=${check} />`;
}

/** Checks a draft; without the route there are no problems to show. */
export async function problemsOf(name, text) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name, text }) };
  const response = await fetch("/api/check", options);
  return response.ok ? (await response.json()).problems : [];
}

/** The view. */
export function Playground() {
  useTitle("Playground");
  const names = useLoad(choices, []).data ?? { keys: [], models: [], policies: [] };
  const [key, setKey] = useState(place.value.query.key ?? "");
  const [text, setText] = useState(() => remembered() ?? print(sample()));
  const [isRaw, setRaw] = useState(false);
  const [version, setVersion] = useState(0);
  const [chosen, choose] = useState(place.value.query.policy ?? NONE);
  const [policy, setPolicy] = useDraft(chosen);
  const { shown, send, stop } = useExchange();
  const { body, problem } = useMemo(() => parse(text), [text]);
  useEffect(() => remember(text), [text]);
  const isRunning = shown.state === "waiting" || shown.state === "streaming";
  const change = (next) => setText(print(next));

  function submit() {
    if (body === null || isRunning) return;
    const draft = policy.name ? { name: policy.name, text: policy.text } : null;
    send({ key, request: body, policy: draft });
  }

  function onContinue() {
    const messages = [...body.messages, { role: "assistant", content: content(shown.message) }];
    change({ ...body, messages: [...messages, { role: "user", content: reply(shown.message) }] });
    setVersion(version + 1);
  }

  function turn(raw) {
    setVersion(version + 1);
    setRaw(raw);
  }

  return html`<${Head} title="Playground" note="A request through the whole pipeline, as the key of your choice." />
    <div class="bench">
      <div class="bench-side">
        <${Panel} title="Request" tools=${html`<${Choice} label="Form of the request" value=${isRaw} onChoose=${turn}
          options=${[[false, "Message"], [true, "JSON"]]} />`}>
          <div class="form-row">
            <${TextField} label="Key" value=${key} options=${names.keys} onInput=${setKey} hint="The name of a key; empty: no key." />
            <${DraftChoice} chosen=${chosen} choose=${choose} policies=${names.policies} />
          </div>
          ${isRaw
            ? html`<${Code} class="tall" document=${version} text=${text} language="json" label="The body of the request"
                onChange=${setText} />`
            : body && html`<${Form} body=${body} change=${change} models=${names.models} onSend=${submit} />`}
          ${problem && html`<${Notice} kind="bad">${problem}<//>`}
          <${Draft} state=${policy} setText=${setPolicy} check=${(draftText) => problemsOf(policy.name, draftText)} />
          <div class="tools">
            <button type="button" class="primary" disabled=${body === null || isRunning} onClick=${submit}>Send</button>
            <button type="button" disabled=${!isRunning} onClick=${stop}>Stop</button>
            <button type="button" class="quiet" onClick=${() => (change(sample(body?.model)), setVersion(version + 1))}>New conversation</button>
          </div>
        <//>
        <${Answer} shown=${shown} onContinue=${onContinue} />
      </div>
      <div class="bench-side"><${Story} id=${isRunning ? null : shown.id} requestId=${shown.requestId} /></div>
    </div>`;
}

export default Playground;
