// The shares of keys, models, targets and tags in a range of the overview.
import { get } from "../lib/api.js";
import { saveCsv } from "../lib/csv.js";
import { Choice } from "../lib/filter.js";
import { count, dollars, money, short } from "../lib/format.js";
import { useLoad } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { link } from "../lib/router.js";
import { zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Card, Empty, Loaded, Meter, Name } from "../lib/ui.js";

function ShareBar({ value, most, label }) {
  return html`<${Meter} share=${most > 0 ? value / most : 0} label=${label} />`;
}

function costColumn(most) {
  return [
    { label: "Cost", isNumber: true, sort: (row) => dollars(row.cost_usd), cell: (row) => html`${money(row.cost_usd)}${row.unpriced > 0 && html`<span class="cell-sub warn-text">+ ${count(row.unpriced)} unpriced</span>`}` },
    { label: "Share", title: "Compared with the row of the highest cost; by requests if nothing has a cost", cell: (row) => bar(row, most) },
  ];
}

function bar(row, most) {
  return most.cost > 0
    ? html`<${ShareBar} value=${dollars(row.cost_usd)} most=${most.cost} label="cost compared with the highest" />`
    : html`<${ShareBar} value=${row.requests} most=${most.requests} label="requests compared with the highest" />`;
}

function mostOf(rows) {
  return { cost: Math.max(0, ...rows.map((it) => dollars(it.cost_usd))), requests: Math.max(0, ...rows.map((it) => it.requests)) };
}

function LiveTable({ title, label, rows, none, filter, at, minutes }) {
  const most = mostOf(rows);
  const columns = [
    { label, cell: (row) => html`<${Name} value=${row.is_rest ? "all others" : row.name} none=${none} />` },
    { label: "Requests", isNumber: true, sort: (row) => row.requests, cell: (row) => count(row.requests) },
    { label: "Errors", isNumber: true, sort: (row) => row.errors, cell: (row) => (row.errors ? html`<span class="bad-text">${count(row.errors)}</span>` : html`<span class="faint">0</span>`) },
    ...costColumn(most),
  ];
  return html`<${Card} title=${title} note=${html`<${Age} at=${at} source=${`last ${minutes} min`} />`}>
    ${rows.length
      ? html`<${Table} label=${title} kind="shares" columns=${columns} rows=${rows} keyOf=${(row) => `${row.is_rest} ${row.name}`} linkOf=${(row) => (row.is_rest ? null : link("requests", [], { [filter]: row.name }))} />`
      : html`<${Empty} title="No request ended in this time" />`}
  <//>`;
}

/** The models and keys of the last minutes. */
export function LiveShares({ data, at, minutes }) {
  return html`<div class="grid two">
    <${LiveTable} title="By model" label="Model" rows=${data.models} none="(no model)" filter="model" at=${at} minutes=${minutes} />
    <${LiveTable} title="By key" label="Key" rows=${data.keys} none="(no key)" filter="key" at=${at} minutes=${minutes} />
  </div>`;
}

/** The days of a range with their zone. */
export function daysOf({ from, to }) {
  return from === to ? `${from}, ${zone.value}` : `${from.slice(5)} to ${to.slice(5)}, ${zone.value}`;
}

const KINDS = [["key", "Key"], ["model", "Model"], ["target", "Target"], ["tag", "Tag"]];

function flat(row) {
  return { ...row.sums, name: row.value == null ? row.name : `${row.name}: ${row.value}`, id: JSON.stringify([row.name, row.value]), raw: row };
}

function linkOf(by, { raw }) {
  if (by === "tag") return raw.value == null ? null : link("requests", [], { tag: `${raw.name}:${raw.value}` });
  return link("requests", [], { [by]: raw.name });
}

const EXPORTED = ["name", "requests", "uncached", "write_5m", "write_1h", "read", "output", "cost_usd", "unpriced", "unpriced_tokens"];

/** The keys, models, targets and tags of some days. */
export function PastShares({ span }) {
  const [by, setBy] = useState("key");
  const query = { by, from: span.from, to: span.to, zone: zone.value, limit: 200 };
  const found = useLoad((signal) => get("/api/usage", query, signal), [by, span.from, span.to, zone.value], 30_000);
  const rows = (found.data?.rows ?? []).map(flat);
  const tools = html`
    <${Choice} label="Sums by" options=${KINDS} value=${by} onChoose=${setBy} />
    <button type="button" class="small" disabled=${!rows.length} onClick=${() => saveCsv(`usage-by-${by}-${span.from}-${span.to}.csv`, EXPORTED, rows)}>Save as CSV</button>`;
  return html`<${Card} title="Shares" note=${html`<${Age} at=${found.at} source=${daysOf(span)} />`} tools=${tools}>
    <${Loaded} from=${found} subject="sums">${() => (rows.length ? html`<${PastTable} by=${by} rows=${rows} hasMore=${found.data.next != null} />` : html`<${Empty} title="The ledger has nothing to sum up here" />`)}<//>
  <//>`;
}

function PastTable({ by, rows, hasMore }) {
  const most = mostOf(rows);
  const number = (label, name) => ({ label, isNumber: true, sort: (row) => row[name], cell: (row) => html`<span title=${count(row[name])}>${short(row[name])}</span>` });
  const columns = [
    { label: KINDS.find(([it]) => it === by)[1], sort: (row) => row.name, cell: (row) => html`<${Name} value=${row.name} none="(none)" />` },
    number("Requests", "requests"),
    number("Input", "uncached"),
    { label: "Written", title: "written to the cache", isNumber: true, sort: (row) => row.write_5m + row.write_1h, cell: (row) => short(row.write_5m + row.write_1h) },
    { ...number("Read", "read"), title: "read from the cache" },
    number("Output", "output"),
    ...costColumn(most),
  ];
  return html`<${Table} label=${`Sums by ${by}`} kind="shares cards" columns=${columns} rows=${rows} keyOf=${(row) => row.id} linkOf=${(row) => linkOf(by, row)} />
    ${hasMore && html`<p class="pager faint">The ${rows.length} rows with the highest cost are shown.</p>`}`;
}
