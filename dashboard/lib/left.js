// The rules of limits and budgets in words, and what is left of their counters.
import { count, dateTime, day, dollars, duration, money } from "./format.js";
import { html } from "./html.js";
import { now, clockOffset, zone } from "./store.js";
import { Table } from "./table.js";
import { Meter, Name } from "./ui.js";

const UNITS = {
  requests: "requests",
  tokens: "tokens",
  input_tokens: "input tokens",
  output_tokens: "output tokens",
  concurrent: "requests at the same time",
};

/** The owner of the counters of a rule: `key`, `value of the tag team`. */
export function ownerOf(per) {
  return per.startsWith("tag:") ? `value of the tag ${per.slice(4)}` : { model: "model", target: "target", key: "key" }[per] ?? per;
}

function windowOf(ms) {
  const known = { 1000: "second", 60_000: "minute", 3_600_000: "hour", 86_400_000: "day" }[ms];
  return known ? `a ${known}`.replace("a hour", "an hour") : `in ${duration(ms)}`;
}

/** `6,000 requests a minute for each key`. */
export function limitTitle(rule) {
  const window = rule.window_ms == null ? "" : ` ${windowOf(rule.window_ms)}`;
  return `${count(rule.number)} ${UNITS[rule.unit] ?? rule.unit}${window} for each ${ownerOf(rule.per)}`;
}

/** `$20 a day for each key`. */
export function budgetTitle(rule) {
  const every = `a ${rule.every}`.replace("a hour", "an hour");
  return `${money(rule.usd).replace(/\.0+$/, "")} ${every} for each ${ownerOf(rule.per)}`;
}

/** The requests that a rule applies to; `null` for all. */
export function whenOf({ when }) {
  const parts = [when.model && `model ${when.model}`, when.key && `key ${when.key}`, ...when.tags.map((it) => `tag ${it}`)];
  const text = parts.filter(Boolean).join(", ");
  return text ? `only ${text}` : null;
}

function levelOf(share, warnAt) {
  if (share >= 1) return "bad";
  return share >= warnAt ? "warn" : "";
}

function Level({ share, warnAt, label }) {
  const kind = levelOf(share, warnAt);
  return html`<span class="level"><${Meter} share=${share} kind=${kind} label=${label} />
    <span class=${kind ? `${kind}-text` : ""}>${kind === "bad" ? "used up" : kind === "warn" ? "nearly used up" : ""}</span></span>`;
}

function fullAt(ms, age) {
  const rest = ms - age;
  return rest > 0 ? `in ${duration(Math.ceil(rest / 1000) * 1000)}` : html`<span class="faint">now</span>`;
}

/** The counters of a limit. `at` is the time of the data by the browser's clock. */
export function LimitCounters({ rule, at, linkOf }) {
  const age = Math.max(0, now.value - at);
  const columns = [
    { label: "Owner", kind: "full", cell: (row) => html`<${Name} value=${row.owner} none="(none)" />` },
    { label: "In use", kind: "full", cell: (row) => html`<${Level} share=${row.used / rule.number} warnAt=${0.8} label=${`used by ${row.owner}`} />` },
    { label: "Used", isNumber: true, sort: (row) => row.used, cell: (row) => count(row.used) },
    { label: "Left", isNumber: true, sort: (row) => row.left, cell: (row) => html`<strong>${count(row.left)}</strong>` },
    rule.window_ms != null && { label: "Full again", isNumber: true, cell: (row) => (row.used > 0 ? fullAt(row.full_in_ms, age) : html`<span class="faint">now</span>`) },
  ];
  return html`<${Table} label=${limitTitle(rule)} kind="cards counters" columns=${columns.filter(Boolean)} rows=${rule.counters} keyOf=${(row) => row.owner} linkOf=${linkOf} />`;
}

/** The sums of a budget. */
export function BudgetCounters({ rule, linkOf }) {
  const warnAt = rule.warn_at_usd == null ? 0.8 : dollars(rule.warn_at_usd) / (dollars(rule.usd) || 1);
  const columns = [
    { label: "Owner", kind: "full", cell: (row) => html`<${Name} value=${row.owner} none="(none)" />` },
    { label: "Spent", kind: "full", cell: (row) => html`<${Level} share=${dollars(row.used_usd) / (dollars(rule.usd) || 1)} warnAt=${warnAt} label=${`spent by ${row.owner}`} />` },
    { label: "Used", isNumber: true, sort: (row) => dollars(row.used_usd), cell: (row) => money(row.used_usd) },
    { label: "Left", isNumber: true, sort: (row) => dollars(row.left_usd), cell: (row) => html`<strong>${money(row.left_usd)}</strong>` },
  ];
  return html`<${Table} label=${budgetTitle(rule)} kind="cards counters" columns=${columns} rows=${rule.counters} keyOf=${(row) => row.owner} linkOf=${linkOf} />`;
}

/** The period of a budget and the time to its end. */
export function periodOf(rule, timezone) {
  const rest = Date.parse(rule.ends_at) - now.value - clockOffset.value;
  const end = rest > 0 ? `ends in ${duration(rest)}` : "has ended";
  const show = rule.every === "hour" ? dateTime : day;
  return `since ${show(rule.begins_at, timezone ?? zone.value)} ${timezone ?? zone.value}, ${end}`;
}
