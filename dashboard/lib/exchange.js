// An exchange in words: its result, its tokens, the verdict about the prompt cache, its remarks.
import { count, money, percent, short } from "./format.js";
import { html } from "./html.js";
import { link } from "./router.js";
import { Badge, Name } from "./ui.js";

const ENDINGS = { caller_left: "client left", broken: "broken off" };

/** `ok`, `warn` or `bad`: refused requests and clients that left are no faults of the gateway. */
export function kindOf({ status, ending }) {
  if (status >= 500 || ending === "broken") return "bad";
  return status >= 400 || ending === "caller_left" ? "warn" : "ok";
}

/** The status and the end of an exchange. */
export function Result({ row }) {
  const end = ENDINGS[row.ending];
  return html`<${Badge} kind=${kindOf(row)}>${row.status || "–"}${end ? ` ${end}` : ""}<//>`;
}

/** All input tokens of a row. */
export function inputOf(row) {
  return row.uncached + row.write_5m + row.write_1h + row.read;
}

/** The input of a row; the title has its kinds. */
export function Input({ row }) {
  const all = inputOf(row);
  if (!all) return html`<span class="faint">–</span>`;
  const title = `${count(row.uncached)} not cached, ${count(row.write_5m + row.write_1h)} written to the cache, ${count(row.read)} read from it`;
  return html`<span title=${title}>${short(all)}</span>`;
}

/** The share of the input that came from the cache. */
export function Cached({ row }) {
  const all = inputOf(row);
  return row.read && all ? percent(row.read / all) : html`<span class="faint">–</span>`;
}

const CAUSES = {
  client: () => "the client changed it",
  stage: (row) => html`the stage <${Name} value=${row.broken_stage} none="(unknown)" /> changed it`,
  failover: () => "the request went to another target",
  timeout: () => "the cache had not been used for too long",
  budget: () => "a used-up budget sent the request to another model",
  gateway: () => "the gateway changed it for this target",
};

/** The first place outside of the cache in words. */
export function placeOf(brokenAt) {
  const message = /^messages\.(\d+)$/.exec(brokenAt ?? "");
  if (message) return `message ${Number(message[1]) + 1}`;
  return { model: "the model, so nothing is in the cache", tools: "the tools", system: "the system prompt" }[brokenAt] ?? brokenAt;
}

/** The reason for a break. */
export function causeOf(row) {
  return CAUSES[row.broken_by]?.(row) ?? html`<${Name} value=${row.broken_by} none="unknown cause" />`;
}

/** A short word for the cause of a break: `client`, `policy clock`, `failover`. */
export function breakerOf(row) {
  return row.broken_by === "stage" ? (row.broken_stage ?? "stage") : row.broken_by;
}

/** The verdict about the prompt cache as a badge and a sentence. */
export function Verdict({ row }) {
  if (row.prefix === "continues") return html`<p><${Badge} kind="ok">continues<//> The prompt goes on where the session's previous one ended.</p>`;
  if (row.prefix === "first") return html`<p><${Badge} kind="info">first<//> The session has no earlier prompt to go on from.</p>`;
  if (row.prefix === "broken") {
    const lost = row.lost_tokens == null ? null : row.lost_tokens === 0 ? " Nothing in the cache was lost." : html` <strong>${count(row.lost_tokens)} tokens</strong> of the cache were not read${row.lost_usd == null ? "; their price is not known" : html`, which cost <strong>${money(row.lost_usd)}</strong> more`}.`;
    return html`<p><${Badge} kind="warn">broken<//> The cached prefix ends at <strong>${placeOf(row.broken_at)}</strong>: ${causeOf(row)}.${lost}</p>`;
  }
  return html`<p><${Badge} kind="off">not followed<//> ${row.session ? "The request has no cache_control." : "The request names no session, or has no cache_control."}</p>`;
}

/** The small facts of a row of a list: the error, retries, a broken cache, the kind of the request. */
export function Remarks({ row }) {
  const stop = row.stop && row.stop !== "end_turn" ? row.stop : null;
  const isPlain = row.attempts <= 1 && !row.error && row.prefix !== "broken" && row.operation === "messages" && !row.parent && !stop;
  if (isPlain) return null;
  return html`<span class="tags">
    ${row.error && html`<span class="bad-text"><${Name} value=${row.error} most=${40} /></span>`}
    ${row.attempts > 1 && html`<${Badge} kind="info">${row.attempts} attempts<//>`}
    ${row.prefix === "broken" && html`<${Badge} kind="warn" title=${`the cached prefix broke at ${placeOf(row.broken_at)}`}>cache: ${breakerOf(row)}<//>`}
    ${row.operation !== "messages" && html`<${Badge}>${row.operation === "forward" ? (row.route ?? "forwarded") : row.operation}<//>`}
    ${row.parent && html`<${Badge}>by a plugin<//>`}
    ${stop && html`<span class="tag"><${Name} value=${stop} most=${30} /></span>`}
  </span>`;
}

/** The hash of the page of an exchange. */
export function exchangeLink(row) {
  return link("requests", [row.id ?? row.request_id]);
}
