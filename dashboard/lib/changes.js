// The changes of a request or an answer, as a difference with marks that do not depend on colours.
import { lines, short } from "./diff.js";
import { micros } from "./format.js";
import { html, useState } from "./html.js";
import { Badge, Name, Problem } from "./ui.js";

const CUT = 2048;
const MOST_LINES = 400;
const MARKS = { same: " ", add: "+", remove: "−", gap: "⋯" };
const WORDS = { add: "added", remove: "removed", replace: "changed" };

/** Returns a value as people read it: the text itself of a JSON string, an object with indents. */
export function readable(value) {
  if (value == null) return "";
  try {
    const found = JSON.parse(value);
    return typeof found === "string" ? found : JSON.stringify(found, null, 2);
  } catch {
    return value;
  }
}

/** The lines of a difference. */
export function Diff({ before, after, label = "the difference", around = 3 }) {
  const all = short(lines(before, after), around);
  const shown = all.slice(0, MOST_LINES);
  return html`<pre class="diff" tabindex="0" aria-label=${label}>${shown.map(
    (line, n) => html`<span key=${n} class=${`line ${line.op}`}><span class="sign">${MARKS[line.op]}</span> ${line.text}${"\n"}</span>`,
  )}${all.length > MOST_LINES && html`<span class="line gap">${`⋯ ${all.length - MOST_LINES} further lines`}</span>`}</pre>`;
}

function isCut(value) {
  return value != null && value.length >= CUT;
}

function cut(value) {
  const text = readable(value);
  return text.length > CUT ? `${text.slice(0, CUT)}…` : text;
}

/** One change. `full(path)` loads the whole values of a change whose values were cut. */
export function Change({ change, full }) {
  const [whole, setWhole] = useState(null);
  const [error, setError] = useState(null);
  const isLong = isCut(change.before) || isCut(change.after);
  const before = whole ? readable(whole.before) : cut(change.before);
  const after = whole ? readable(whole.after) : cut(change.after);

  async function load() {
    setError(null);
    try {
      setWhole(full ? await full(change.path) : change);
    } catch (failure) {
      setError(failure);
    }
  }

  return html`<li class="change">
    <p class="change-head">
      <span class=${`op ${change.op}`}>${WORDS[change.op] ?? change.op}</span>
      <code><${Name} value=${change.path || "/"} most=${120} mono /></code>
    </p>
    <${Diff} before=${before} after=${after} label=${`${WORDS[change.op] ?? change.op} at ${change.path}`} />
    ${isLong && !whole && html`<button type="button" class="small" onClick=${load}>Show all</button>`}
    <${Problem} error=${error} subject="the whole value" />
  </li>`;
}

/** The changes that one step made. */
export function Changes({ changes, full }) {
  if (!changes?.length) return html`<p class="faint">no change</p>`;
  return html`<ul class="changes">${changes.map((it, n) => html`<${Change} key=${`${n} ${it.path}`} change=${it} full=${full} />`)}</ul>`;
}

const VERDICTS = {
  continue: ["ok", "continues"],
  deny: ["bad", "denies"],
  respond: ["info", "responds"],
  error: ["bad", "fails"],
};

/** The verdict of a stage in a dry run. */
export function Verdict({ verdict }) {
  const [kind, word] = VERDICTS[verdict] ?? ["plain", verdict];
  return html`<${Badge} kind=${kind}>${word}<//>`;
}

function logLine(line) {
  if (typeof line === "string") return line;
  const { level, message, text } = line;
  return `${level ? `${level}: ` : ""}${message ?? text ?? JSON.stringify(line)}`;
}

/** One step: a stage, its hook, its verdict, its changes and its log. */
function Step({ step, full }) {
  const where = [step.hook, step.turn > 1 && `turn ${step.turn}`, step.target, step.us != null && micros(step.us)];
  return html`<li class="step">
    <p class="step-head">
      <strong><${Name} value=${step.stage} most=${60} /></strong>
      <span class="faint">${where.filter(Boolean).join(" · ")}</span>
      ${step.kind && step.kind !== "policy" && html`<${Badge}>${step.kind}<//>`}
      ${step.verdict && html`<${Verdict} verdict=${step.verdict} />`}
    </p>
    ${step.detail && html`<p class="detail">${step.detail}</p>`}
    <${Changes} changes=${step.changes} full=${full} />
    ${step.is_cut && html`<p class="faint">There are further changes: the list was cut.</p>`}
    ${step.logs?.length > 0 && html`<pre class="text" tabindex="0" aria-label="the log">${step.logs.map(logLine).join("\n")}</pre>`}
  </li>`;
}

/** The steps of a request through the pipeline. */
export function Steps({ steps, full, none = "No stage ran." }) {
  if (!steps?.length) return html`<p class="faint">${none}</p>`;
  return html`<ol class="steps">${steps.map((step, n) => html`<${Step} key=${n} step=${step} full=${full} />`)}</ol>`;
}
