// The lines of the waterfall of one request: places and lengths in milliseconds since its begin.

/** The hooks that run before an upstream is called. */
const BEFORE = new Set(["on_request", "on_upstream_request"]);

function endOf(attempt, total) {
  return attempt.begun_ms + (attempt.ms ?? Math.max(0, total - attempt.begun_ms));
}

const NOTES = { passed_over: "passed over", dropped: "dropped", rerouted: "sent to another model" };

function noteLine(note, begin) {
  return { id: `note ${note.n}`, kind: "note", name: note.name, sub: NOTES[note.kind] ?? note.kind, begin, note };
}

function attemptLine(attempt, total) {
  const end = endOf(attempt, total);
  const first = attempt.ttft_ms == null ? end : Math.min(end, attempt.begun_ms + attempt.ttft_ms);
  return { id: `attempt ${attempt.n}`, kind: "attempt", name: attempt.target, begin: attempt.begun_ms, first, end, attempt };
}

/** The calls of a turn begin when its last attempt ends. */
function toolLine(call, begin) {
  return { id: `tool ${call.n}`, kind: "tool", name: call.tool, begin, end: begin + call.ms, call };
}

/** Stages have a duration but no begin: those of the request end at the first attempt, others run along the answer. */
function stageLine(stage, begin) {
  return { id: `stage ${stage.n}`, kind: "stage", name: stage.name, sub: stage.hook, begin, end: begin + stage.us / 1000, stage };
}

function turnLines(turn, story, total) {
  const attempts = story.attempts.filter((it) => it.turn === turn);
  const lines = [];
  for (const attempt of attempts) {
    for (const note of story.notes.filter((it) => it.attempts === attempt.n)) lines.push(noteLine(note, attempt.begun_ms));
    lines.push(attemptLine(attempt, total));
  }
  const end = attempts.length ? endOf(attempts.at(-1), total) : 0;
  const calls = story.tool_calls.filter((it) => it.turn === turn).map((call) => toolLine(call, end));
  return [...lines, ...calls];
}

/** The lines of the waterfall in order. */
export function linesOf(story) {
  const { exchange, attempts, stages, tool_calls: calls, notes } = story;
  const total = Math.max(exchange.ms, ...attempts.map((it) => endOf(it, exchange.ms)), 0.001);
  const early = stages.filter((it) => BEFORE.has(it.hook));
  const lines = [];
  let at = 0;
  for (const stage of early) {
    lines.push(stageLine(stage, at));
    at += stage.us / 1000;
  }
  const turns = [...new Set([...attempts, ...calls].map((it) => it.turn))].sort((a, b) => a - b);
  for (const turn of turns) lines.push(...turnLines(turn, story, total));
  const late = notes.filter((note) => !attempts.some((it) => it.n === note.attempts));
  lines.push(...late.map((note) => noteLine(note, attempts.length ? endOf(attempts.at(-1), total) : at)));
  const answered = attempts.at(-1);
  const streamed = answered ? Math.min(total, answered.begun_ms + (answered.ttft_ms ?? answered.ms ?? 0)) : at;
  lines.push(...stages.filter((it) => !BEFORE.has(it.hook)).map((stage) => stageLine(stage, streamed)));
  return { total, lines, turns: turns.length };
}
