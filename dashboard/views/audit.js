// The audit log: each write of the admin API, newest first.
import { get } from "../lib/api.js";
import { plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { setQuery } from "../lib/router.js";
import { zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Empty, Head, Loaded, Name, Time } from "../lib/ui.js";

function kindOf(status) {
  if (status >= 500) return "bad";
  return status >= 400 ? "warn" : "ok";
}

const COLUMNS = [
  { label: "Time", cell: (row) => html`<span class="nowrap"><${Time} at=${row.at} /></span>` },
  { label: "Status", kind: "bare", cell: (row) => html`<${Badge} kind=${kindOf(row.status)}>${row.status}<//>` },
  { label: "Credential", cell: (row) => html`<${Name} value=${row.credential} />` },
  { label: "Address", kind: "narrow", cell: (row) => html`<${Name} value=${row.address} mono />` },
  { label: "Write", kind: "full", cell: (row) => html`<span class="mono">${row.method} <${Name} value=${row.route} mono /></span>` },
  { label: "Object", kind: "full", cell: (row) => html`<${Name} value=${row.object} mono most=${34} />` },
  { label: "Change", kind: "full", cell: (row) => html`<${Name} value=${row.detail && changeOf(row.detail)} most=${300} />` },
];

function worded(value) {
  return value == null ? "none" : typeof value === "string" ? value : JSON.stringify(value);
}

/** The change of a key in words: its settings for a new one, else the settings that differ. */
function changeOf(detail) {
  let found = null;
  try {
    found = JSON.parse(detail);
  } catch {
    return detail;
  }
  const { before, after } = found ?? {};
  if (before === undefined || after === undefined) return detail;
  if (before === null && after !== null) return pairsOf(after).map(([name, value]) => `${name}: ${worded(value)}`).join(", ");
  if (after === null) return `revoked ${worded(before?.name ?? before)}`;
  const differing = Object.keys(after).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  return differing.map((name) => `${name}: ${worded(before[name])} → ${worded(after[name])}`).join(", ") || "no change";
}

function pairsOf(settings) {
  return Object.entries(settings).filter(([, value]) => value != null && value !== false && JSON.stringify(value) !== "{}");
}

function Pager({ next, isFirst, number }) {
  return html`<div class="pager">
    <span class="faint">${plural(number, "row")}</span>
    <span class="head-tools">
      ${!isFirst && html`<button type="button" class="small" onClick=${() => setQuery({ after: null })}>Newest</button>`}
      <button type="button" class="small" disabled=${next == null} onClick=${() => { setQuery({ after: next }); scrollTo(0, 0); }}>Older</button>
    </span>
  </div>`;
}

export default function View({ query }) {
  useTitle("Audit log");
  const { after } = query;
  const found = useLoad((signal) => get("/api/audit", { after, limit: 50 }, signal), [after], after ? 0 : 5000);
  return html`
    <${Head} title="Audit log" note="Each write of the admin API, also refused ones, with its credential and its change. Rows are kept for 365 days." />
    <${Card} title=${after ? "Older writes" : "Newest first"} note=${html`<${Age} at=${found.at} source=${zone.value} />`}>
      <${Loaded} from=${found} subject="the audit log">${(data) => (data.rows.length
        ? html`<${Table} label="Writes" kind="cards" columns=${COLUMNS} rows=${data.rows} keyOf=${(row) => row.id} /><${Pager} next=${data.next} isFirst=${!after} number=${data.rows.length} />`
        : html`<${Empty} title="Nothing was written yet">A reload, a drain and each change of a key appear here. Without a ledger, writes are in the log of the gateway only.<//>`)}<//>
    <//>`;
}
