// The prompt cache: the sessions that were followed, with the breaks of their cached prefix and the cost of these.
import { get } from "../lib/api.js";
import { ChoiceFilter, FilterBar, MomentFilter } from "../lib/filter.js";
import { count, dollars, money, percent, plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link, setQuery } from "../lib/router.js";
import { zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Empty, Head, Loaded, Name, shortTime, Time } from "../lib/ui.js";
import { OneSession } from "./session.js";

const FILTERS = ["key", "from", "to"];

function Breaks({ row }) {
  if (!row.breaks) return html`<${Badge} kind="ok">none<//>`;
  return html`<${Badge} kind="warn">${count(row.breaks)}<//> <span class="faint">${percent(row.breaks / row.requests)} of the requests</span>`;
}

function Lost({ row }) {
  if (!row.breaks) return html`<span class="faint">$0</span>`;
  return row.lost_usd == null ? html`<span class="warn-text" title="the model has no price">no price</span>` : html`<strong>${money(row.lost_usd)}</strong>`;
}

const COLUMNS = [
  { label: "Session", cell: (row) => html`<${Name} value=${row.session} mono most=${60} />` },
  { label: "Key", cell: (row) => html`<${Name} value=${row.key} none="(no key)" />` },
  { label: "Model", cell: (row) => html`<${Name} value=${row.model} />` },
  { label: "Requests", isNumber: true, sort: (row) => row.requests, cell: (row) => count(row.requests) },
  { label: "Breaks", sort: (row) => row.breaks, cell: (row) => html`<${Breaks} row=${row} />` },
  { label: "Lost", title: "the cost of tokens that were in the cache and were not read from it", isNumber: true, sort: (row) => dollars(row.lost_usd), cell: (row) => html`<${Lost} row=${row} />` },
  { label: "First", cell: (row) => html`<span class="nowrap"><${Time} at=${row.first} show=${shortTime} /></span>` },
  { label: "Last", sort: (row) => row.last, cell: (row) => html`<span class="nowrap"><${Time} at=${row.last} show=${shortTime} /></span>` },
];

function Pager({ next, isFirst, number }) {
  return html`<div class="pager">
    <span class="faint">${plural(number, "session")}</span>
    <span class="head-tools">
      ${!isFirst && html`<button type="button" class="small" onClick=${() => setQuery({ after: null })}>Newest</button>`}
      <button type="button" class="small" disabled=${next == null} onClick=${() => { setQuery({ after: next }); scrollTo(0, 0); }}>Older</button>
    </span>
  </div>`;
}

function None({ isFiltered }) {
  return html`<${Empty} title=${isFiltered ? "No session passes these filters" : "No session was followed yet"}>
    The gateway follows the cached prefix of requests with a <code>cache_control</code> and a session:
    <code>x-tidegate-session-id</code>, <code>x-claude-code-session-id</code> or <code>metadata.user_id</code>.
  <//>`;
}

function List({ query }) {
  useTitle("Prompt cache");
  const { key, from, to, after } = query;
  const found = useLoad((signal) => get("/api/prompts", { key, from, to, after, limit: 50 }, signal), [key, from, to, after], after ? 0 : 10_000);
  const names = useLoad((signal) => get("/api/usage/names", { zone: zone.value }, signal), [zone.value]).data;
  const keys = (names?.keys ?? []).map((name) => [name, name === "" ? "(no key)" : name]);
  return html`
    <${Head} title="Prompt cache" note="An upstream reads the start of a prompt from its cache only while it stays the same. These sessions show where it changed, by whom, and the cost." />
    <${FilterBar} names=${FILTERS}>
      <${ChoiceFilter} name="key" label="Key" options=${keys} />
      <${MomentFilter} name="from" label="From" /><${MomentFilter} name="to" label="To" />
    <//>
    <${Card} title="Sessions" note=${html`<${Age} at=${found.at} source=${`newest first, ${zone.value}`} />`}>
      <${Loaded} from=${found} subject="sessions" lines=${8}>${(data) => (data.rows.length
        ? html`<${Table} label="Sessions" kind="cards" columns=${COLUMNS} rows=${data.rows} keyOf=${(row) => JSON.stringify([row.key, row.session])} linkOf=${(row) => link("prompts", [row.session], { key: row.key })} />
          <${Pager} next=${data.next} isFirst=${!after} number=${data.rows.length} />`
        : html`<${None} isFiltered=${FILTERS.some((name) => query[name] != null)} />`)}<//>
    <//>`;
}

export default function View({ parts, query }) {
  return parts.length ? html`<${OneSession} key=${parts[0]} session=${parts[0]} keyName=${query.key} />` : html`<${List} query=${query} />`;
}
