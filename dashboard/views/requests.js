// The requests of the ledger with filters, pages by their key, and the ones that end right now.
import { get } from "../lib/api.js";
import { saveCsv } from "../lib/csv.js";
import { Cached, exchangeLink, Input, Remarks, Result } from "../lib/exchange.js";
import { ChoiceFilter, FilterBar, MomentFilter, TextFilter } from "../lib/filter.js";
import { count, duration, plural, short } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { link, setQuery } from "../lib/router.js";
import { now, zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Cost, Empty, Head, isWithoutLedger, Loaded, Name, shortTime, Time } from "../lib/ui.js";
import { useTail } from "./tail.js";

const FILTERS = ["key", "model", "target", "result", "status", "operation", "session", "request_id", "tag", "from", "to"];

/** Filters that the events of the live tail cannot answer. */
const NOT_LIVE = ["tag", "to"];

const COLUMNS = [
  { label: "Time", cell: (row) => html`<span class="nowrap"><${Time} at=${row.at} show=${shortTime} /></span>` },
  { label: "Result", kind: "bare", cell: (row) => html`<${Result} row=${row} />` },
  { label: "Model", kind: "full", cell: (row) => html`<${ModelCell} row=${row} />` },
  { label: "Key", cell: (row) => html`<${Name} value=${row.key} none="(no key)" most=${40} />` },
  { label: "Input", title: "input tokens", isNumber: true, cell: (row) => html`<${Input} row=${row} />` },
  { label: "Cached", title: "share of the input that came from the cache", isNumber: true, cell: (row) => html`<${Cached} row=${row} />` },
  { label: "Output", title: "output tokens", isNumber: true, cell: (row) => (row.output ? short(row.output) : html`<span class="faint">–</span>`) },
  { label: "Cost", isNumber: true, cell: (row) => html`<${Cost} row=${row} />` },
  { label: "First event", isNumber: true, cell: (row) => duration(row.ttft_ms) },
  { label: "Duration", isNumber: true, cell: (row) => duration(row.ms) },
  { label: "Remarks", kind: "full bare", cell: (row) => Remarks({ row }) },
];

/** The model that the client named, and the target's if it has another name. */
function ModelCell({ row }) {
  const own = row.target.slice(row.target.indexOf("/") + 1);
  return html`<${Name} value=${row.model || row.route} none="(none)" most=${60} />
    ${row.target && html` <span class="at">${own === row.model ? "at" : "→"} <${Name} value=${own === row.model ? row.target.slice(0, -own.length - 1) : row.target} most=${60} /></span>`}`;
}

function options(names, none) {
  return (names ?? []).map((name) => [name, name === "" ? none : name]);
}

function Filters() {
  const names = useLoad((signal) => get("/api/usage/names", { zone: zone.value }, signal), [zone.value], 60_000).data;
  return html`<${FilterBar} names=${FILTERS}>
    <${TextFilter} name="request_id" label="Request id" placeholder="request-id of the answer" isFirst=${true} size=${22} />
    <${ChoiceFilter} name="key" label="Key" options=${options(names?.keys, "(no key)")} />
    <${ChoiceFilter} name="model" label="Model" options=${options(names?.models, "(none)")} />
    <${ChoiceFilter} name="target" label="Target" options=${options(names?.targets, "(none)")} />
    <${ChoiceFilter} name="result" label="Result" options=${[["ok", "answered"], ["error", "errors"]]} />
    <${More} />
  <//>`;
}

function More() {
  const [isOpen, setOpen] = useState(false);
  if (!isOpen) return html`<button type="button" class="quiet" aria-expanded="false" onClick=${() => setOpen(true)}>More filters</button>`;
  return html`
    <${TextFilter} name="status" label="Status" placeholder="such as 429" size=${8} />
    <${ChoiceFilter} name="operation" label="Kind" options=${[["messages", "messages"], ["count_tokens", "count_tokens"], ["forward", "forwarded"]]} />
    <${TextFilter} name="session" label="Session" placeholder="the whole id" />
    <${TextFilter} name="tag" label="Tag" placeholder="name:value" size=${14} />
    <${MomentFilter} name="from" label="From" /><${MomentFilter} name="to" label="To" />`;
}

function matches(row, query) {
  if (["key", "model", "target", "session", "operation"].some((name) => query[name] != null && row[name] !== query[name])) return false;
  if (query.status != null && String(row.status) !== query.status) return false;
  if (query.request_id != null && row.request_id !== query.request_id && row.upstream_request_id !== query.request_id) return false;
  if (query.from != null && Date.parse(row.at) < Date.parse(query.from)) return false;
  const isError = row.status >= 400 || row.error != null;
  return query.result == null || (query.result === "error") === isError;
}

const EXPORTED = [
  "at", "request_id", "upstream_request_id", "operation", "key", "session", "model", "target", "status", "ending", "error", "stop", "uncached",
  "write_5m", "write_1h", "read", "output", "cost_usd", "cost_state", "ttft_ms", "ms", "attempts", "prefix", "broken_at", "broken_by", "broken_stage", "lost_tokens", "lost_usd",
];

function filtersOf(query) {
  return Object.fromEntries([...FILTERS, "after"].map((name) => [name, query[name]]));
}

/** The rows of the page with those that ended since, without doubles, by the time at which they began. */
function merged(fresh, rows) {
  if (!fresh.length) return rows;
  const known = new Set(rows.map((row) => row.request_id));
  const all = [...fresh.filter((row) => !known.has(row.request_id)), ...rows];
  return all.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

function TailState({ tail, toggle, canFollow }) {
  if (!canFollow) return html`<span class="faint">Live needs the newest page, without a tag or an end</span>`;
  const { state, held, lost } = tail;
  const word = { live: ["ok", "live"], connecting: ["busy", "connecting"], hidden: ["off", "resting"], off: ["off", "paused"] }[state] ?? ["bad", "interrupted"];
  return html`
    ${lost > 0 && html`<${Badge} kind="warn" title="This page was too slow for them; the list has them after a reload">${count(lost)} missed<//>`}
    ${held > 0 && html`<span class="faint" aria-live="polite">${count(held)} new, shown when the pointer rests or leaves the list</span>`}
    <${Badge} kind=${word[0]}>${word[1]}<//>
    <button type="button" class="small" aria-pressed=${state === "off"} onClick=${toggle}>${state === "off" ? "Resume" : "Pause"}</button>`;
}

/** A page of the ledger. Without a ledger it is empty, and the list shows what ends from now on. */
async function pageOf(query, signal) {
  try {
    return await get("/api/exchanges", { ...filtersOf(query), limit: 50 }, signal);
  } catch (error) {
    if (isWithoutLedger(error)) return { rows: [], next: null, isOff: true };
    throw error;
  }
}

function List({ query }) {
  const isFirstPage = query.after == null;
  const canFollow = isFirstPage && NOT_LIVE.every((name) => query[name] == null);
  const [isPaused, setPaused] = useState(false);
  const key = JSON.stringify(filtersOf(query));
  const found = useLoad((signal) => pageOf(query, signal), [key]);
  const tail = useTail(canFollow && !isPaused && found.data != null, (row) => matches(row, query), key);
  // a new connection begins with a new page, which has the requests that ended in between
  useEffect(() => {
    if (tail.state === "live") found.reload();
  }, [tail.state]);
  const rows = useMemo(() => merged(canFollow ? tail.rows : [], found.data?.rows ?? []), [tail.rows, found.data, canFollow]);
  const tools = html`<${TailState} tail=${tail} canFollow=${canFollow} toggle=${() => setPaused(!isPaused)} />`;
  const age = tail.state === "live" ? now.value : Math.max(found.at, tail.at);
  return html`<${Card} title=${isFirstPage ? "Newest first" : "Older requests"} note=${html`<${Age} at=${age} source=${zone.value} />`} tools=${tools}>
    <${Loaded} from=${found} subject="requests" lines=${10}>${(data) => html`
      <div ...${tail.hold}>
        ${rows.length
          ? html`<${Table} label="Requests" kind="cards requests" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.request_id + row.id} linkOf=${exchangeLink} classOf=${(row) => (tail.isFresh(row) ? "fresh" : "")} />`
          : html`<${None} query=${query} isOff=${data.isOff} />`}
      </div>
      <${Pager} next=${data.next} isFirst=${isFirstPage} rows=${rows} />`}<//>
  <//>`;
}

function None({ query, isOff }) {
  if (isOff) return html`<${Empty} title="The ledger is off">Requests that end while this page is open appear here. With <code>ledger</code> in the config the gateway keeps them, with their course.<//>`;
  const used = FILTERS.filter((name) => query[name] != null);
  if (used.length) {
    return html`<${Empty} title="No request passes these filters">Filtered by ${used.join(", ").replaceAll("_", " ")}. Old rows are deleted after <code>ledger.keep</code>.<//>`;
  }
  return html`<${Empty} title="The ledger has no request yet">Requests appear here within a second of their end, also refused and failed ones. <//>`;
}

function Pager({ next, isFirst, rows }) {
  return html`<div class="pager">
    <span class="faint">${plural(rows.length, "row")}</span>
    <span class="head-tools">
      <button type="button" class="small quiet" disabled=${!rows.length} onClick=${() => saveCsv("requests.csv", EXPORTED, rows)}>Save as CSV</button>
      ${!isFirst && html`<button type="button" class="small" onClick=${() => setQuery({ after: null })}>Newest</button>`}
      <button type="button" class="small" disabled=${next == null} onClick=${() => { setQuery({ after: next }); scrollTo(0, 0); }}>Older</button>
    </span>
  </div>`;
}

/** The requests in progress. */
function Running() {
  const found = useLoad((signal) => get("/api/exchanges/running", null, signal), [], 1000);
  const rows = found.data?.rows ?? [];
  const columns = [
    { label: "Since", cell: (row) => duration(row.ms) },
    { label: "Model", cell: (row) => html`<${Name} value=${row.model} none="(none)" />` },
    { label: "Target", cell: (row) => html`<${Name} value=${row.target} />` },
    { label: "Key", cell: (row) => html`<${Name} value=${row.key} none="(no key)" />` },
    { label: "Attempts", isNumber: true, cell: (row) => count(row.attempts) },
    { label: "Turn", isNumber: true, cell: (row) => count(row.turn) },
    { label: "Tools", isNumber: true, cell: (row) => count(row.tool_calls) },
    { label: "Output", isNumber: true, cell: (row) => short(row.output) },
  ];
  return html`<details class="card fold">
    <summary><h2>In progress</h2><strong>${found.data ? count(found.data.number) : "–"}</strong></summary>
    ${rows.length
      ? html`<${Table} label="Requests in progress" kind="cards" columns=${columns} rows=${rows} keyOf=${(row) => row.request_id} />`
      : html`<p class="inside faint">No request is in progress.</p>`}
  </details>`;
}

export default function View({ query }) {
  useTitle("Requests");
  return html`
    <${Head} title="Requests" note=${html`Every request that the gateway answered, refused or lost. <a href=${link("prompts")}>Sessions</a> are on the page of the prompt cache.`} />
    <${Filters} />
    ${query.after == null && html`<${Running} />`}
    <${List} query=${query} />`;
}
