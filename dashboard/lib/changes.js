// The changes of a request or an answer, as a difference with marks that do not depend on colours.
import { lines, short } from "./diff.js";
import { micros } from "./format.js";
import { html, useState } from "./html.js";
import { Badge, Name, Problem } from "./ui.js";

const MOST_LINES = 400;
const MARKS = { same: " ", add: "+", remove: "−", gap: "⋯" };
const WORDS = { add: "added", remove: "removed", replace: "changed" };

/** Returns a value as people read it: an object or a list with indents, a text as it is. */
export function readable(value) {
  if (value == null || !/^[[{]/.test(value)) return value ?? "";
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
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

/** The place of a change in words. */
function placeOf(change) {
  return change.path === "" ? "a piece of the stream" : change.path;
}

/** One change. `full(path)` loads the whole values of a change whose values were cut. */
export function Change({ change, full }) {
  const [whole, setWhole] = useState(null);
  const [error, setError] = useState(null);
  const before = readable((whole ?? change).before);
  const after = readable((whole ?? change).after);
  const word = WORDS[change.op] ?? change.op;

  async function load() {
    setError(null);
    try {
      setWhole(await full(change.path));
    } catch (failure) {
      setError(failure);
    }
  }

  return html`<li class="change">
    <p class="change-head">
      <span class=${`op ${change.op}`}>${word}</span>
      <code><${Name} value=${placeOf(change)} most=${120} mono /></code>
    </p>
    <${Diff} before=${before} after=${after} label=${`${word}: ${placeOf(change)}`} />
    ${change.is_cut && full && !whole && html`<button type="button" class="small" onClick=${load}>Show all</button>`}
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

const EFFECTS = { header: "sets the header", response_header: "sets the header of the answer", tag: "sets the tag", count: "counts", event: "sends the event", route: "routes to" };

/** The side effects of a stage in a dry run. */
function Effects({ effects }) {
  return html`<ul class="effects">${effects.map((it, n) => {
    const { kind, name, value } = it;
    const isRemoved = value == null && kind.endsWith("header");
    return html`<li key=${n}>${isRemoved ? "removes the header" : (EFFECTS[kind] ?? kind)} <code><${Name} value=${name || value} most=${80} mono /></code>${name && value != null && value !== "" && html`: <${Name} value=${String(value)} most=${160} />`}</li>`;
  })}</ul>`;
}

/** What a step's list leaves out. */
function rest(step) {
  if (step.edits != null && step.edits > step.changes.length) return `${step.edits} edits in all: the first ones are shown.`;
  if (!step.is_cut) return null;
  return step.changes.length === 0 ? "The values were too large to be recorded." : "There are further changes.";
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
    ${(step.changes.length > 0 || !rest(step)) && html`<${Changes} changes=${step.changes} full=${full} />`}
    ${rest(step) && html`<p class="faint">${rest(step)}</p>`}
    ${step.effects?.length > 0 && html`<${Effects} effects=${step.effects} />`}
    ${step.logs?.length > 0 && html`<pre class="text" tabindex="0" aria-label="the log">${step.logs.join("\n")}</pre>`}
  </li>`;
}

/** The steps of a request through the pipeline. `full(path, number)` loads the whole values of a change of a step. */
export function Steps({ steps, full, none = "No stage ran." }) {
  if (!steps?.length) return html`<p class="faint">${none}</p>`;
  return html`<ol class="steps">${steps.map((step, n) => html`<${Step} key=${n} step=${step} full=${full && ((path) => full(path, n))} />`)}</ol>`;
}
