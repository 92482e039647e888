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

function Line({ line, total, hasTurns, steps, full }) {
  const [isOpen, setOpen] = useState(false);
  const changes = steps.flatMap((step) => step.changes);
  const isCut = steps.some((step) => step.is_cut);
  return html`<li class="wf-line">
    <div class="wf-label">
      <span class=${`wf-kind ${line.kind}`}>${KINDS[line.kind]}</span>
      <div>
      <strong><${Name} value=${line.name} none="(unnamed)" most=${60} /></strong>
      <span class="wf-facts"><${Facts} line=${line} hasTurns=${hasTurns} /></span>
      ${changes.length > 0 && html`<button type="button" class="small" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "Hide" : "Show"} ${plural(changes.length, "change")}</button>`}
      </div>
    </div>
    <div class="wf-track"><${Bar} line=${line} total=${total} /></div>
    <div class="wf-time">${timeOf(line)}</div>
    ${isOpen && html`<div class="wf-changes"><${Changes} changes=${changes} full=${full} />${isCut && html`<p class="faint">There are further changes: the list was cut.</p>`}</div>`}
  </li>`;
}

/** The steps of `/changes` that belong to a line. */
function stepsOf(line, steps) {
  if (line.kind === "stage") return steps.filter((it) => it.stage === line.name && it.hook === line.sub && it.kind !== "gateway");
  if (line.kind !== "attempt") return [];
  return steps.filter((it) => it.kind === "gateway" && it.turn === line.attempt.turn && it.target === line.attempt.target);
}

/** `story` is that of `/api/exchanges/{id}`, `steps` those of its `/changes`; `full(path)` loads a cut value. */
export function Waterfall({ story, steps = [], full }) {
  const { total, lines, turns } = linesOf(story);
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const used = new Set();
  const rows = lines.map((line) => {
    const own = stepsOf(line, steps).filter((step) => !used.has(step));
    own.forEach((step) => used.add(step));
    return html`<${Line} key=${line.id} ...${{ line, total, hasTurns: turns > 1, steps: own, full }} />`;
  });
  const others = steps.filter((step) => !used.has(step) && step.changes.length > 0);
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
  return html`<div class="wf-others">${steps.map((step, n) => html`<details key=${n}>
    <summary><strong><${Name} value=${step.stage} /></strong> <span class="faint">${step.kind}, ${step.hook}${step.turn ? `, turn ${step.turn}` : ""}</span> ${plural(step.changes.length, "change")}</summary>
    <${Changes} changes=${step.changes} full=${full} />
  </details>`)}</div>`;
}
