// The story of one request as a waterfall: stages, targets that were passed over, attempts, tools, in order of time.
import { Changes } from "./changes.js";
import { linesOf } from "./course.js";
import { duration, micros, plural } from "./format.js";
import { html, useState } from "./html.js";
import { Badge, Name } from "./ui.js";

const OUTCOMES = { ran: null, edited: ["info", "edited"], denied: ["warn", "denied"], failed: ["bad", "failed"] };
const ATTEMPTS = { success: ["ok", "answered"], refused: ["warn", "refused"], failed: ["bad", "failed"], timed_out: ["bad", "timed out"] };
const REASONS = {
  cooling: "it cools down after failures",
  limit: "its limit was reached",
  retry_budget: "the retry budget was used up",
};

/** The reason why a target was passed over, in words. */
export function reasonOf(note) {
  if (note.kind === "passed_over") return REASONS[note.detail] ?? html`the stage <${Name} value=${note.detail} none="(unknown)" /> asked for it`;
  return note.kind === "dropped" ? "the target cannot read this part of the request" : "a budget was used up";
}

function Bar({ line, total }) {
  const left = `${Math.min(100, (line.begin / total) * 100)}%`;
  if (line.kind === "note") return html`<span class="wf-mark" style=${{ left }} aria-hidden="true">◇</span>`;
  const width = `max(3px, ${Math.max(0, (Math.min(line.end, total) - line.begin) / total) * 100}%)`;
  const share = line.kind === "attempt" && line.end > line.begin ? `${((line.first - line.begin) / (line.end - line.begin)) * 100}%` : null;
  const isFaulty = line.attempt ? line.attempt.outcome !== "success" : line.call?.is_error || line.stage?.outcome === "failed";
  return html`<span class=${`wf-bar ${line.kind} ${isFaulty ? "faulty" : ""}`} style=${{ left, width }} aria-hidden="true">
    ${share && html`<span class="wf-wait" style=${{ width: share }}></span>`}
  </span>`;
}

function timeOf(line) {
  if (line.kind === "stage") return `${micros(line.stage.us)}${line.stage.runs > 1 ? ` · ${line.stage.runs} runs` : ""}`;
  if (line.kind === "tool") return duration(line.call.ms);
  return line.kind === "attempt" ? duration(line.attempt.ms) : "";
}

function Facts({ line, hasTurns }) {
  if (line.kind === "note") return html`<span class="faint">${line.sub}: ${reasonOf(line.note)}</span>`;
  if (line.kind === "stage") {
    const outcome = OUTCOMES[line.stage.outcome];
    return html`<span class="faint">${line.sub}</span>${outcome && html` <${Badge} kind=${outcome[0]}>${outcome[1]}<//>`}`;
  }
  if (line.kind === "tool") return html`<span class="faint">server tool${hasTurns ? `, turn ${line.call.turn}` : ""}</span>${line.call.is_error && html` <${Badge} kind="bad">error<//>`}`;
  const { attempt } = line;
  const [kind, word] = ATTEMPTS[attempt.outcome] ?? ["off", "left"];
  return html`<${Badge} kind=${kind}>${attempt.status ?? ""} ${word}<//>
    <span class="faint"> ${hasTurns ? `turn ${attempt.turn} · ` : ""}${attempt.ttft_ms != null ? `first event ${duration(attempt.ttft_ms)}` : (attempt.error ?? "")}</span>`;
}

const KINDS = { stage: "stage", note: "decision", attempt: "attempt", tool: "tool" };

/** `2 changes`, or `3 edits` of the pieces of a stream. */
function sizeOf(steps) {
  const edits = steps.reduce((sum, it) => sum + (it.edits ?? 0), 0);
  const changes = steps.reduce((sum, it) => sum + (it.edits == null ? it.changes.length : 0), 0);
  return [changes > 0 && plural(changes, "change"), edits > 0 && plural(edits, "edit")].filter(Boolean).join(", ") || "1 change";
}

/** The changes of one step. `full(path, number)` loads a cut value of the step with this number. */
function StepChanges({ step, full }) {
  const load = full && ((path) => full(path, step.number));
  const isTooLarge = step.is_cut && !step.changes.length;
  return html`
    ${isTooLarge ? html`<p class="faint">The values were too large to be recorded.</p>` : html`<${Changes} changes=${step.changes} full=${load} />`}
    ${step.is_cut && !isTooLarge && html`<p class="faint">${step.edits != null ? `The first of ${plural(step.edits, "edit")} of the stream.` : "There are further changes: the list was cut."}</p>`}`;
}

function hasContent(step) {
  return step.changes.length > 0 || step.is_cut || step.edits > 0;
}

function Line({ line, total, hasTurns, steps, full }) {
  const [isOpen, setOpen] = useState(false);
  return html`<li class="wf-line">
    <div class="wf-label">
      <span class=${`wf-kind ${line.kind}`}>${KINDS[line.kind]}</span>
      <div>
      <strong><${Name} value=${line.name} none="(unnamed)" most=${60} /></strong>
      <span class="wf-facts"><${Facts} line=${line} hasTurns=${hasTurns} /></span>
      ${steps.length > 0 && html`<button type="button" class="small" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "Hide" : "Show"} ${sizeOf(steps)}</button>`}
      </div>
    </div>
    <div class="wf-track"><${Bar} line=${line} total=${total} /></div>
    <div class="wf-time">${timeOf(line)}</div>
    ${isOpen && html`<div class="wf-changes">${steps.map((step) => html`<div key=${step.number}>
      ${steps.length > 1 && html`<p class="faint">${[step.turn > 0 && `turn ${step.turn}`, step.target].filter(Boolean).join(", ")}</p>`}
      <${StepChanges} step=${step} full=${full} /></div>`)}</div>`}
  </li>`;
}

/** The steps of `/changes` that belong to a line. */
function stepsOf(line, steps) {
  if (line.kind === "stage") return steps.filter((it) => it.stage === line.name && it.hook === line.sub && it.kind !== "gateway");
  if (line.kind !== "attempt") return [];
  return steps.filter((it) => it.kind === "gateway" && it.turn === line.attempt.turn && it.target === line.attempt.target);
}

/** `story` is that of `/api/exchanges/{id}`, `steps` those of its `/changes`; `full(path, number)` loads a cut value of a step. */
export function Waterfall({ story, steps = [], full }) {
  const { total, lines, turns } = linesOf(story);
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const used = new Set();
  const numbered = steps.map((step, number) => ({ ...step, number })).filter(hasContent);
  const rows = lines.map((line) => {
    const own = stepsOf(line, numbered).filter((step) => !used.has(step));
    own.forEach((step) => used.add(step));
    return html`<${Line} key=${line.id} ...${{ line, total, hasTurns: turns > 1, steps: own, full }} />`;
  });
  const others = numbered.filter((step) => !used.has(step));
  return html`<div class="wf">
    <div class="wf-axis" aria-hidden="true"><span></span><div>${marks.map((it) => html`<span key=${it} style=${{ left: `${it * 100}%` }}>${duration(total * it)}</span>`)}</div><span></span></div>
    <ol>${rows}</ol>
    ${others.length > 0 && html`<${Others} steps=${others} full=${full} />`}
    <p class="wf-legend faint">
      <span><span class="wf-key attempt"></span>answer</span><span><span class="wf-key wait"></span>wait for the first event</span>
      <span><span class="wf-key tool"></span>server tool</span><span><span class="wf-key stage"></span>stage: its time is exact, its place follows the order</span>
    </p>
  </div>`;
}

function Others({ steps, full }) {
  return html`<div class="wf-others">${steps.map((step) => html`<details key=${step.number}>
    <summary><strong><${Name} value=${step.kind === "gateway" ? "the gateway" : step.stage} /></strong> <span class="faint">${step.hook}${step.turn ? `, turn ${step.turn}` : ""}</span> ${sizeOf([step])}</summary>
    <${StepChanges} step=${step} full=${full} />
  </details>`)}</div>`;
}
