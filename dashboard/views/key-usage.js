// The use of a key in the last 30 days: requests and cost of each day.
import { get } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { count, day, dayPlus, moneyOfNano, percent, short } from "../lib/format.js";
import { useLoad } from "../lib/hooks.js";
import { html, useMemo } from "../lib/html.js";
import { columnsOf, filled, hitRate, moneyOfNumber, totalOf } from "../lib/series.js";
import { zone } from "../lib/store.js";
import { Age, Empty, Loaded } from "../lib/ui.js";

const DAY_S = 86_400;

function Charts({ data, at }) {
  const points = useMemo(() => filled(data, "day", at), [data]);
  const columns = useMemo(() => columnsOf(points), [points]);
  const series = useMemo(() => ({
    requests: [{ label: "answered", values: columns.good, colour: "c1" }, { label: "failed or refused", values: columns.errors, colour: "c5" }],
    cost: [{ label: "US dollars", values: columns.cost, colour: "c2" }],
  }), [columns]);
  const total = totalOf(points);
  const shared = { x: columns.x, step: DAY_S, isDaily: true, note: zone.value };
  if (!total.requests) return html`<div class="card"><${Empty} title="The key has sent no request in these days" /></div>`;
  const unpriced = total.unpriced ? html`, <span class="warn-text">${count(total.unpriced)} unpriced</span>` : "";
  return html`
    <p class="summary soft">${count(total.requests)} requests, ${moneyOfNano(total.nano)}${unpriced}, ${short(total.output)} output tokens, ${percent(hitRate(total))} of the input from the cache.</p>
    <div class="grid two">
      <${Chart} ...${shared} title="Requests" kind="stack" series=${series.requests} format=${short} totals=${[count(total.requests - total.errors), count(total.errors)]} />
      <${Chart} ...${shared} title="Cost" series=${series.cost} format=${moneyOfNumber} totals=${[moneyOfNano(total.nano)]} empty="No request of this time had a cost." />
    </div>`;
}

/** `name` is the name of the key, as the ledger has it. */
export function KeyUsage({ name }) {
  const to = day(Date.now(), zone.value);
  const from = dayPlus(to, -29);
  const found = useLoad((signal) => get("/api/usage/series", { key: name, from, to, step: "day", zone: zone.value }, signal), [name, from, zone.value], 60_000);
  return html`
    <div class="section-head"><h2>Last 30 days</h2><${Age} at=${found.at} source=${`from the ledger, ${zone.value}`} /></div>
    <${Loaded} from=${found} subject="the use of this key">${(data) => html`<${Charts} data=${data} at=${found.at} />`}<//>`;
}
