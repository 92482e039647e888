// The targets of each alias: health, cooldowns, errors, pace, the last failure, the retry budget.
import { get } from "../lib/api.js";
import { FilterBar, TextFilter } from "../lib/filter.js";
import { count, duration, percent, plural, short } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { now } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Empty, Head, Loaded, Meter, Name, Since } from "../lib/ui.js";

const STATES = { healthy: ["ok", "healthy"], cooling: ["bad", "cooling down"], probing: ["warn", "probing"] };

/** The health of one endpoint. A cooldown counts down between two loads. */
function Health({ health, at }) {
  const [kind, word] = STATES[health.state] ?? ["info", health.state];
  const title = health.state === "probing" ? "the cooldown is over: one request tests the target" : undefined;
  const rest = health.cooling_ms == null ? null : Math.max(0, health.cooling_ms - Math.max(0, now.value - at));
  return html`<${Badge} kind=${kind} title=${title}>${word}<//>${rest != null && html` <span class="faint nowrap">${rest > 0 ? `${duration(Math.ceil(rest / 1000) * 1000)} left` : "ends now"}</span>`}`;
}

function Both({ row, at }) {
  return html`<${Health} health=${row.messages} at=${at} />
    ${row.count_tokens.state !== "healthy" && html`<span class="cell-sub">count_tokens: <${Health} health=${row.count_tokens} at=${at} /></span>`}`;
}

function Errors({ recent }) {
  if (recent.error_rate == null) return html`<span class="faint" title=${`no attempt in the last ${duration(recent.window_ms)}`}>–</span>`;
  const kind = recent.error_rate >= 0.5 ? "bad-text" : recent.error_rate > 0 ? "warn-text" : "";
  return html`<span class=${kind} title=${`${recent.failures} of ${recent.attempts} in the last ${duration(recent.window_ms)}`}>${percent(recent.error_rate)}</span>`;
}

function Failure({ failure }) {
  if (!failure) return html`<span class="faint">none</span>`;
  return html`<span class="failure"><span class="faint nowrap"><${Since} at=${failure.at} /></span> ${failure.status ?? ""} ${failure.kind}
    <span class="cell-sub"><${Name} value=${failure.message} most=${160} /></span></span>`;
}

function columnsOf(alias, at) {
  const isWeighted = alias.targets.some((it) => it.weight !== alias.targets[0].weight);
  return [
    { label: "Target", cell: (row) => html`<${Name} value=${row.target} />` },
    { label: "Health", kind: "bare", cell: (row) => html`<${Both} row=${row} at=${at} />` },
    isWeighted && { label: "Weight", isNumber: true, cell: (row) => count(row.weight) },
    { label: "Attempts", title: "in the last minute", isNumber: true, cell: (row) => count(row.recent.attempts) },
    { label: "Errors", title: "share of the recent attempts that failed by the fault of the upstream", isNumber: true, cell: (row) => html`<${Errors} recent=${row.recent} />` },
    { label: "First content", title: "a moving average", isNumber: true, cell: (row) => (row.latency_ms == null ? html`<span class="faint">–</span>` : duration(Math.round(row.latency_ms))) },
    { label: "Tokens a second", title: "output, a moving average", isNumber: true, cell: (row) => (row.throughput == null ? html`<span class="faint">–</span>` : short(Math.round(row.throughput))) },
    { label: "Last failure", kind: "full", cell: (row) => html`<${Failure} failure=${row.last_failure} />` },
  ].filter(Boolean);
}

function RetryBudget({ budget }) {
  const { requests, extra, most, window_ms: window } = budget;
  const share = most > 0 ? extra / most : extra > 0 ? 1 : 0;
  const title = `${plural(requests, "request")}, ${extra} retries and failovers in the last ${duration(window)}; at most ${most}`;
  return html`<span class="budget" title=${title}><span class="faint">Retry budget</span>
    <${Meter} share=${share} kind=${share >= 1 ? "bad" : share >= 0.7 ? "warn" : ""} label="used part of the retry budget" />
    <span>${count(extra)} of ${count(most)}</span></span>`;
}

function Alias({ alias, at }) {
  const cooling = alias.targets.filter((it) => it.messages.state !== "healthy").length;
  const note = alias.targets.length === cooling
    ? html`<${Badge} kind="bad">no target is healthy<//>`
    : cooling > 0 ? html`<${Badge} kind="warn">${alias.targets.length - cooling} of ${alias.targets.length} healthy<//>` : null;
  return html`<${Card} title=${html`<${Name} value=${alias.name} />`} note=${note} tools=${html`<${RetryBudget} budget=${alias.retry_budget} />`}>
    <${Table} label=${`Targets of ${alias.name}`} kind="cards even" columns=${columnsOf(alias, at)} rows=${alias.targets} keyOf=${(row) => row.target}
      linkOf=${(row) => link("requests", [], row.model == null ? { model: alias.name } : { target: row.target })} />
  <//>`;
}

function Summary({ aliases }) {
  const all = new Map(aliases.flatMap((it) => it.targets).map((it) => [it.target, it]));
  const of = (state) => [...all.values()].filter((it) => it.messages.state === state).length;
  return html`<p class="summary">
    <${Badge} kind="ok">${of("healthy")} healthy<//>
    ${of("cooling") > 0 && html` <${Badge} kind="bad">${of("cooling")} cooling down<//>`}
    ${of("probing") > 0 && html` <${Badge} kind="warn">${of("probing")} probing<//>`}
    <span class="faint"> of ${plural(all.size, "target")}, ${plural(aliases.length, "alias", "aliases")}</span>
  </p>`;
}

export default function View({ query }) {
  useTitle("Targets");
  const found = useLoad((signal) => get("/api/targets", null, signal), [], 1000);
  const find = (query.find ?? "").toLowerCase();
  const passes = (alias) => !find || [alias.name, ...alias.targets.map((it) => it.target)].some((it) => it.toLowerCase().includes(find));
  return html`
    <${Head} title="Targets" note="The upstream models of each alias, as this gateway sees them."><${Age} at=${found.at} source="this gateway" /><//>
    <${FilterBar} names=${["find"]}><${TextFilter} name="find" label="Alias or target" isFirst=${true} size=${24} /><//>
    <${Loaded} from=${found} subject="targets" lines=${8}>${({ aliases }) => {
      const shown = aliases.filter(passes);
      return html`<${Summary} aliases=${aliases} />
        ${shown.map((alias) => html`<${Alias} key=${alias.name} alias=${alias} at=${found.at} />`)}
        ${!shown.length && html`<div class="card"><${Empty} title=${aliases.length ? "No alias or target has this name" : "The config has no models"} /></div>`}`;
    }}<//>`;
}
