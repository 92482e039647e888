// The dry run of a policy, and its cases: the panels beside the editor.
import { get } from "../lib/api.js";
import { Diff, Steps } from "../lib/changes.js";
import { Code } from "../lib/code.js";
import { AreaField, SelectField, TextField } from "../lib/fields.js";
import { evaluate, test } from "../lib/files.js";
import { clip, clock } from "../lib/format.js";
import { useLoad } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { Panel } from "../lib/panel.js";
import { parse, print } from "../lib/request.js";
import { zone } from "../lib/store.js";
import { Badge, Long, Notice, Problem } from "../lib/ui.js";

const SAMPLE = "";
const FIRST = print({
  model: "claude-sonnet-5",
  max_tokens: 64000,
  system: "You are a harbour pilot.",
  messages: [{ role: "user", content: "When is high tide?" }],
});

// ── the input ──

async function recent(signal) {
  const { rows } = await get("/api/exchanges", { limit: 30 }, signal);
  return rows.filter((row) => row.operation === "messages");
}

function named(row) {
  return `${clock(row.at, zone.value)} ${clip(row.model, 40)}${row.key ? `, ${clip(row.key, 24)}` : ""}, ${row.status}`;
}

function optional(text, field) {
  if (text.trim() === "") return null;
  const { body, problem } = parse(text);
  if (problem) throw new Error(`${field}: ${problem}`);
  return body;
}

function pairs(text, field) {
  const found = {};
  for (const line of text.split("\n").filter((it) => it.trim())) {
    const at = line.search(/[:=]/);
    if (at < 1) throw new Error(`${field}: expected \`name: value\` in each line, found \`${clip(line, 40)}\``);
    found[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return found;
}

/** Returns the body of `/api/eval`. Fails with a sentence if a field has no right value. */
function input(policy, chosen, fields) {
  const body = { policy, with: optional(fields.with, "With") ?? {}, key: fields.key, target: fields.target.trim() || null };
  body.tags = pairs(fields.tags, "Tags");
  body.headers = pairs(fields.headers, "Headers");
  body.stream = fields.answer.startsWith("event:") ? fields.answer : null;
  body.response = body.stream ? null : optional(fields.answer, "Answer");
  if (chosen !== SAMPLE) return { ...body, exchange: chosen };
  return { ...body, request: optional(fields.request, "Request") };
}

function More({ fields, set }) {
  return html`<details class="more">
    <summary>Caller, target and answer</summary>
    <div class="form">
      <div class="form-row">
        <${TextField} label="Key" value=${fields.key} onInput=${set("key")} />
        <${TextField} label="Target" value=${fields.target} onInput=${set("target")} hint="provider/model: runs on_upstream_request." />
      </div>
      <${AreaField} label="With" rows=${2} value=${fields.with} onInput=${set("with")} hint="ctx.with, a JSON object." />
      <div class="form-row">
        <${AreaField} label="Tags" rows=${2} value=${fields.tags} onInput=${set("tags")} hint="name: value in each line." />
        <${AreaField} label="Headers" rows=${2} value=${fields.headers} onInput=${set("headers")} hint="name: value in each line." />
      </div>
      <${AreaField} label="Answer" rows=${3} value=${fields.answer} onInput=${set("answer")}
        hint="A message as JSON, or the events of a stream: runs the hooks of answers." />
    </div>
  </details>`;
}

// ── the result ──

function Result({ found, before }) {
  if (found.problems.length > 0) {
    return html`<${Notice} kind="bad" title="Nothing ran">${found.problems.map((it) => `${it.line}:${it.column} ${it.message}`).join("\n")}<//>`;
  }
  return html`<div class="result">
    <h3>Steps</h3>
    <${Steps} steps=${found.steps} none="The policy has no hook for this input." />
    ${found.request != null && before != null && html`<h3>Request before and after</h3>
      <${Diff} before=${before} after=${print(found.request)} label="the request before and after" />`}
    ${found.request != null && before == null && html`<h3>Request after</h3><${Long} value=${print(found.request)} label="the request after" />`}
    ${found.error != null && html`<h3>Error after</h3><${Long} value=${found.error} label="the message of the error" />`}
    ${found.answer != null && html`<h3>Answer after</h3>
      <${Long} value=${typeof found.answer === "string" ? found.answer : print(found.answer)} label="the answer" />`}
  </div>`;
}

/** Runs the draft over a sample or a recent request. `first` is the id of a request to begin with. */
export function DryRun({ policy, first }) {
  const [chosen, choose] = useState(first ?? SAMPLE);
  const rows = useLoad(recent, []).data ?? [];
  const [fields, setFields] = useState({ request: FIRST, key: "", target: "", with: "", tags: "", headers: "", answer: "" });
  const [state, setState] = useState({ found: null, before: null, error: null, isBusy: false });
  const set = (name) => (value) => setFields((old) => ({ ...old, [name]: value }));

  async function run() {
    setState((old) => ({ ...old, error: null, isBusy: true }));
    try {
      const body = input(policy(), chosen, fields);
      const found = await evaluate(body);
      setState({ found, before: body.request ? print(body.request) : null, error: null, isBusy: false });
    } catch (error) {
      setState({ found: null, before: null, error, isBusy: false });
    }
  }

  const known = rows.map((row) => [row.id, named(row)]);
  if (chosen !== SAMPLE && !known.some(([id]) => id === chosen)) known.unshift([chosen, `request ${chosen}`]);
  return html`<${Panel} title="Dry run" note="nothing is sent or counted"
    tools=${html`<button type="button" disabled=${state.isBusy} onClick=${run}>${state.isBusy ? "Running…" : "Run"}</button>`}>
    <${SelectField} label="Request" value=${chosen} onChange=${choose} options=${[[SAMPLE, "a sample"], ...known]}
      hint="A recent request needs admin.record in the config." />
    ${chosen === SAMPLE &&
    html`<${Code} class="short" text=${fields.request} language="json" label="The sample request" onChange=${set("request")} />`}
    <${More} fields=${fields} set=${set} />
    <${Problem} error=${state.error} subject="a dry run" />
    ${state.found && html`<${Result} found=${state.found} before=${state.before} />`}
  <//>`;
}

// ── cases ──

const FIRST_CASE = "- name: a request stays as it is\n  request: { model: claude-x, messages: [] }\n  expect: { unchanged: true }\n";

function CaseList({ rows }) {
  if (rows.length === 0) return html`<p class="faint" role="status">There is no case.</p>`;
  const failed = rows.filter((it) => !it.is_passed).length;
  const word = failed > 0 ? `${failed} of ${rows.length} failed` : `all ${rows.length} passed`;
  return html`<p role="status"><${Badge} kind=${failed > 0 ? "bad" : "ok"}>${word}<//></p>
    <ul class="cases">${rows.map(
      (it, n) => html`<li key=${n} class=${it.is_passed ? "passed" : "failed"}>
        <${Badge} kind=${it.is_passed ? "ok" : "bad"}>${it.is_passed ? "passed" : "failed"}<//> ${it.name}
        ${it.message && html`<pre class="text" tabindex="0" aria-label="the reason">${it.message}</pre>`}
      </li>`,
    )}</ul>`;
}

/** Runs the cases of a policy: those of the file beside it, or others. */
export function Cases({ policy, hasFile, text: beside }) {
  const [isOwn, setOwn] = useState(!hasFile);
  const [text, setText] = useState(beside ?? FIRST_CASE);
  const [state, setState] = useState({ found: null, error: null, isBusy: false });

  async function run() {
    setState((old) => ({ ...old, error: null, isBusy: true }));
    try {
      const { name, text: draft } = policy();
      setState({ found: await test(name, draft, isOwn ? text : null), error: null, isBusy: false });
    } catch (error) {
      setState({ found: null, error, isBusy: false });
    }
  }

  const problems = state.found?.problems ?? [];
  return html`<${Panel} title="Cases"
    tools=${html`<button type="button" disabled=${state.isBusy} onClick=${run}>${state.isBusy ? "Running…" : "Run cases"}</button>`}>
    <${SelectField} label="Cases" value=${isOwn ? "own" : "file"} onChange=${(value) => setOwn(value === "own")}
      options=${[...(hasFile ? [["file", "the file beside the policy"]] : []), ["own", "those written here"]]} />
    ${isOwn && html`<${Code} class="short" text=${text} language="yaml" label="The cases as YAML" onChange=${setText} />`}
    <${Problem} error=${state.error} subject="cases" />
    ${problems.length > 0 && html`<${Notice} kind="bad" title="No case ran">${problems.map((it) => `${it.line}:${it.column} ${it.message}`).join("\n")}<//>`}
    ${state.found && problems.length === 0 && html`<${CaseList} rows=${state.found.cases} />`}
  <//>`;
}
