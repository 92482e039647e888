// The overview: requests, tokens, money, errors, times and the cache, now and over the last days.
import { get } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { Choice } from "../lib/filter.js";
import { count, day, dayPlus, duration, moneyOfNano, percent, plural, short } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useMemo } from "../lib/html.js";
import { setQuery } from "../lib/router.js";
import { columnsOf, filled, hitRate, liveOf, moneyOfNumber, stepOf, totalOf } from "../lib/series.js";
import { ownZone, zone } from "../lib/store.js";
import { Age, Empty, Head, Loaded } from "../lib/ui.js";
import { Attention } from "./attention.js";
import { Failures } from "./failures.js";
import { daysOf, LiveShares, PastShares } from "./shares.js";

const RANGES = [
  ["15m", "15 min"], ["60m", "60 min"], ["today", "Today"], ["yesterday", "Yesterday"], ["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"],
];

/** The days and the step of a range; live ranges have minutes instead. */
function spanOf(range) {
  const live = /^(\d+)m$/.exec(range);
  if (live) return { minutes: Number(live[1]) };
  const today = day(Date.now(), zone.value);
  if (range === "yesterday") return { from: dayPlus(today, -1), to: dayPlus(today, -1), step: "quarter" };
  const days = { today: 0, "7d": 6, "30d": 29, "90d": 89 }[range] ?? 0;
  return { from: dayPlus(today, -days), to: today, step: days === 0 ? "quarter" : days === 6 ? "hour" : "day" };
}

function Tile({ title, value, unit, parts, foot, kind = "", tip }) {
  return html`<div class=${`tile ${kind}`} title=${tip}>
    <h2>${title}</h2>
    <p class="tile-value">${value}${unit && html`<span class="tile-unit">${unit}</span>`}</p>
    <p class="tile-parts">${parts}</p>
    <p class="tile-foot">${foot}</p>
  </div>`;
}

/** The part of the sum that is missing: requests, or their tokens. */
function Unpriced({ total }) {
  const { unpriced, unpriced_tokens: tokens } = total;
  if (!unpriced && !tokens) return "every request has a price";
  const text = unpriced ? `${count(unpriced)} unpriced` : `${short(tokens)} tokens unpriced`;
  return html`<span class="warn-text" title="The sum lacks the tokens of these requests: add a price to prices_file">+ ${text}</span>`;
}

/** The six figures of a range. */
function Tiles({ total, times, foot, minutes, running }) {
  const input = total.uncached + total.write + total.read;
  const share = total.requests ? total.errors / total.requests : null;
  const pace = minutes ? `${short(total.requests / minutes)} a minute${running ? ` · ${count(running)} running` : ""}` : `${short(total.requests - total.errors)} answered`;
  return html`<div class="tiles">
    <${Tile} title="Requests" value=${count(total.requests)} parts=${pace} foot=${foot} />
    <${Tile} title="Errors" value=${count(total.errors)} kind=${share > 0.05 ? "alarm" : ""} parts=${`${percent(share)} of the requests`} foot=${foot} />
    <${Tile} title="Tokens" value=${short(input + total.output)} tip=${`${count(input)} in, ${count(total.output)} out`}
      parts=${`${short(input)} in · ${short(total.output)} out`} foot=${foot} />
    <${Tile} title="Cost" value=${moneyOfNano(total.nano)} parts=${html`<${Unpriced} total=${total} />`} foot=${foot} />
    <${Tile} title=${times.title} value=${times.value} parts=${times.parts} foot=${foot} />
    <${Tile} title="Cache hit rate" value=${percent(hitRate(total))} parts=${`${short(total.read)} of ${short(input)} input`} foot=${foot} />
  </div>`;
}

function Charts({ points, total, step, isDaily, isLive, note }) {
  const columns = useMemo(() => columnsOf(points), [points]);
  const shared = { x: columns.x, step, isDaily, note };
  const series = useMemo(() => seriesOf(columns, isLive), [columns, isLive]);
  const tokens = [total.read, total.write, total.uncached, total.output].map(short);
  return html`<div class="grid three charts">
    <${Chart} ...${shared} title="Requests" kind="stack" series=${series.requests} format=${short} totals=${[count(total.requests - total.errors), count(total.errors)]} />
    <${Chart} ...${shared} title="Cost" kind="bars" series=${series.cost} format=${moneyOfNumber} totals=${[moneyOfNano(total.nano)]} empty="No request of this time had a cost." />
    <${Chart} ...${shared} title="Tokens" kind="stack" series=${series.tokens} format=${short} totals=${tokens} />
    <${Chart} ...${shared} title=${isLive ? "Time to first event" : "Mean duration"} kind="lines" series=${series.times} format=${duration} />
    <${Chart} ...${shared} title="Cache hit rate" kind="lines" series=${series.hits} format=${percent} most=${1} totals=${[percent(hitRate(total))]} />
    <${Chart} ...${shared} title="Error rate" kind="lines" series=${series.rate} format=${percent} totals=${[percent(total.requests ? total.errors / total.requests : null)]} empty="No request of this time failed." />
  </div>`;
}

function seriesOf(columns, isLive) {
  const rate = columns.good.map((good, n) => (good + columns.errors[n] > 0 ? columns.errors[n] / (good + columns.errors[n]) : null));
  return {
    requests: [
      { label: "answered", values: columns.good, colour: "c1" },
      { label: "failed or refused", values: columns.errors, colour: "c5" },
    ],
    cost: [{ label: "US dollars", values: columns.cost, colour: "c2" }],
    tokens: [
      { label: "cache reads", values: columns.read, colour: "c4" },
      { label: "cache writes", values: columns.write, colour: "c2" },
      { label: "other input", values: columns.uncached, colour: "c1" },
      { label: "output", values: columns.output, colour: "c3" },
    ],
    times: isLive
      ? [{ label: "median", values: columns.p50, colour: "c1" }, { label: "95th percentile", values: columns.p95, colour: "c3", isDashed: true }]
      : [{ label: "mean duration of a request", values: columns.mean, colour: "c1" }],
    hits: [{ label: "share of input tokens", values: columns.hits, colour: "c1" }],
    rate: [{ label: "share of requests", values: rate, colour: "c5" }],
  };
}

/** The last minutes, from the memory of the gateway. */
function Live({ minutes }) {
  const found = useLoad((signal) => get("/api/overview", { minutes }, signal), [minutes], 2000);
  return html`<${Loaded} from=${found} subject="live figures" lines=${8}>${(data) => html`<${LiveBody} data=${data} at=${found.at} minutes=${minutes} />`}<//>`;
}

function LiveBody({ data, at, minutes }) {
  const points = useMemo(() => liveOf(data), [data]);
  const total = useMemo(() => ({ ...totalOf(points), ...data.total, nano: totalOf(points).nano }), [points]);
  const times = { title: "Time to first event", value: duration(data.total.ttft_p50_ms), parts: html`median · p95 ${duration(data.total.ttft_p95_ms)}` };
  // a young process has less than the whole window
  const covered = Math.max(1 / 6, Math.min(minutes, (Date.parse(data.at) - Date.parse(data.since)) / 60_000));
  const foot = html`<${Age} at=${at} source=${covered < minutes - 0.5 ? `since the start ${duration(covered * 60_000)} ago` : `last ${minutes} min`} />`;
  return html`
    <${Tiles} total=${total} times=${times} foot=${foot} minutes=${covered} running=${data.running} />
    ${total.requests === 0 && html`<${Quiet} running=${data.running} minutes=${minutes} />`}
    <${Charts} points=${points} total=${total} step=${data.interval_s} isLive=${true} note=${zone.value} />
    <${LiveShares} data=${data} at=${at} minutes=${minutes} />
    <${Failures} />`;
}

function Quiet({ running, minutes }) {
  return html`<div class="card"><${Empty} title=${running ? `${plural(running, "request")} in progress, none ended yet` : `No request ended in the last ${minutes} minutes`}>
    Send one to the gateway, or try the <a href="#/playground">playground</a>. <a href="#/overview?range=7d">The last 7 days</a> come from the ledger.
  <//></div>`;
}

/** Whole days, from the ledger. */
function Past({ span }) {
  const query = { from: span.from, to: span.to, step: span.step, zone: zone.value };
  const found = useLoad((signal) => get("/api/usage/series", query, signal), [span.from, span.to, span.step, zone.value], 20_000);
  return html`<${Loaded} from=${found} subject="the history" lines=${8}>${(data) => html`<${PastBody} data=${data} at=${found.at} span=${span} />`}<//>`;
}

function PastBody({ data, at, span }) {
  const points = useMemo(() => filled(data, span.step, at), [data]);
  const total = useMemo(() => totalOf(points), [points]);
  const times = { title: "Mean duration", value: duration(total.requests ? total.ms / total.requests : null), parts: "from start to end" };
  const foot = html`<${Age} at=${at} source=${daysOf(span)} />`;
  const step = { quarter: 900, hour: 3600, day: 86_400 }[span.step];
  return html`
    <${Tiles} total=${total} times=${times} foot=${foot} />
    ${total.requests === 0 && html`<div class="card"><${Empty} title="The ledger has no request of these days"><${NoLedger} /><//></div>`}
    <${Charts} points=${points} total=${total} step=${stepOf(points, step)} isDaily=${span.step === "day"} isLive=${false} note=${zone.value} />
    <${PastShares} span=${span} />`;
}

function NoLedger() {
  return html`Requests are recorded while <code>ledger</code> is on in the config, and kept for <code>ledger.keep</code>. Days begin at midnight in ${zone.value}.`;
}

export default function View({ query }) {
  useTitle("Overview");
  const range = RANGES.some(([it]) => it === query.range) ? query.range : "15m";
  const span = spanOf(range);
  const note = span.minutes ? "Live, from the memory of this gateway." : `From the ledger. Days begin at midnight in ${zone.value}${zone.value === ownZone ? "" : " (chosen)"}.`;
  return html`
    <${Head} title="Overview" note=${note}>
      <${Choice} label="Range" options=${RANGES} value=${range} onChoose=${(it) => setQuery({ range: it === "15m" ? null : it })} />
    <//>
    <${Attention} />
    ${span.minutes ? html`<${Live} key="live" minutes=${span.minutes} />` : html`<${Past} key=${range} span=${span} />`}`;
}
