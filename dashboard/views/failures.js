// The newest requests that failed or were refused, on the overview.
import { get } from "../lib/api.js";
import { exchangeLink, Result } from "../lib/exchange.js";
import { duration } from "../lib/format.js";
import { useLoad } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Loaded, Name, shortTime, Time } from "../lib/ui.js";

const COLUMNS = [
  { label: "Time", cell: (row) => html`<${Time} at=${row.at} show=${shortTime} />` },
  { label: "Result", kind: "bare", cell: (row) => html`<${Result} row=${row} />` },
  { label: "Error", kind: "full", cell: (row) => html`<${Name} value=${row.error} most=${60} />` },
  { label: "Model", cell: (row) => html`<${Name} value=${row.model || row.route} none="(none)" />` },
  { label: "Target", cell: (row) => html`<${Name} value=${row.target} none="no attempt" />` },
  { label: "Key", cell: (row) => html`<${Name} value=${row.key} none="(no key)" />` },
  { label: "Attempts", isNumber: true, cell: (row) => row.attempts },
  { label: "Duration", isNumber: true, cell: (row) => duration(row.ms) },
];

export function Failures() {
  const found = useLoad((signal) => get("/api/exchanges", { result: "error", limit: 6 }, signal), [], 5000);
  const tools = html`<a href=${link("requests", [], { result: "error" })}>All errors</a>`;
  return html`<${Card} title="Last errors" note=${html`<${Age} at=${found.at} source=${`from the ledger, ${zone.value}`} />`} tools=${tools}>
    <${Loaded} from=${found} subject="the last errors">${({ rows }) => (rows.length
      ? html`<${Table} label="Last errors" kind="cards" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.id} linkOf=${exchangeLink} />`
      : html`<p class="inside"><${Badge} kind="ok">none<//> The ledger has no request that failed or was refused.</p>`)}<//>
  <//>`;
}
