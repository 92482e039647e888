// The keys of the key store: the list, a new key, and one key with what is left for it.
import { read } from "../lib/api.js";
import { count, day, plain } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { link, setQuery } from "../lib/router.js";
import { now } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Empty, Head, Loaded, Name, Time } from "../lib/ui.js";
import { NewKey } from "./key-form.js";
import { OneKey } from "./key.js";

/** The state of a key: `[kind, word]`. */
export function stateOf(key) {
  if (key.disabled) return ["off", "disabled"];
  if (key.expires && Date.parse(key.expires) <= now.value) return ["warn", "expired"];
  return ["ok", "active"];
}

/** A list of patterns; `null` stands for all. */
export function Patterns({ values, all }) {
  if (values == null) return html`<span class="faint">${all}</span>`;
  if (!values.length) return html`<${Badge} kind="warn">none<//>`;
  return html`<span class="tags">${values.map((it) => html`<span class="tag mono" key=${it}><${Name} value=${it} most=${40} /></span>`)}</span>`;
}

/** The tags of a key. */
export function Tags({ tags }) {
  const pairs = Object.entries(tags);
  if (!pairs.length) return html`<span class="faint">none</span>`;
  return html`<span class="tags">${pairs.map(([name, value]) => html`<span class="tag" key=${name}><${Name} value=${`${name}: ${value}`} most=${40} /></span>`)}</span>`;
}

function StateBadge({ row }) {
  const [kind, word] = stateOf(row);
  return html`<${Badge} kind=${kind}>${word}<//>`;
}

const COLUMNS = [
  { label: "Name", sort: (row) => row.name, cell: (row) => html`<${Name} value=${row.name} />` },
  { label: "State", kind: "bare", sort: (row) => stateOf(row)[1], cell: (row) => html`<${StateBadge} row=${row} />` },
  { label: "Key", cell: (row) => html`<span class="mono faint nowrap">${row.hint}</span>` },
  { label: "Models", cell: (row) => html`<${Patterns} values=${row.models} all="all" />` },
  { label: "Server tools", cell: (row) => html`<${Patterns} values=${row.tools} all="all" />` },
  { label: "Tags", cell: (row) => html`<${Tags} tags=${row.tags} />` },
  { label: "Made", sort: (row) => row.created_at, cell: (row) => html`<${Time} at=${row.created_at} show=${day} />` },
  { label: "Expires", sort: (row) => row.expires, cell: (row) => (row.expires ? html`<${Time} at=${row.expires} show=${day} />` : html`<span class="faint">never</span>`) },
];

function Find({ value }) {
  return html`<form class="filters" role="search" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <div class="field"><label for="find-key">Name or tag</label>
      <input id="find-key" type="search" data-filter="" autocomplete="off" spellcheck=${false} value=${value} onInput=${(event) => setQuery({ find: event.currentTarget.value || null }, true)} />
    </div>
  </form>`;
}

function passes(key, text) {
  const all = [key.name, key.hint, key.id, ...Object.entries(key.tags).flat(), ...(key.models ?? [])];
  return all.some((it) => it.toLowerCase().includes(text.toLowerCase()));
}

function Unavailable({ error, again }) {
  return html`<div class="card"><${Empty} title="The gateway makes no keys">
    <p>${error.message}</p>
    <p>With <code>key_store: ledger</code> in the config, keys can be made, changed and revoked here. Keys of the config work beside them, and are not listed.</p>
    <button type="button" class="small" onClick=${again}>Try again</button>
  <//></div>`;
}

function List({ query }) {
  useTitle("Keys");
  const [isMaking, setMaking] = useState(false);
  const found = useLoad((signal) => read("/api/keys", null, signal), [], 10_000);
  const find = query.find ?? "";
  const keys = found.data?.data.keys ?? [];
  const rows = find ? keys.filter((key) => passes(key, find)) : keys;
  const isOff = found.data == null && [404, 409].includes(found.error?.status);
  return html`
    <${Head} title="Keys" note="Keys made while the gateway runs. Those of the config work beside them, and are not listed.">
      <button type="button" class="primary" disabled=${!found.data} onClick=${() => setMaking(true)}>New key</button>
    <//>
    ${isOff ? html`<${Unavailable} error=${found.error} again=${found.reload} />` : html`
      <${Find} value=${find} />
      <${Card} title=${`${count(rows.length)} ${rows.length === 1 ? "key" : "keys"}`} note=${html`<${Age} at=${found.at} source="key store" />`}>
        <${Loaded} from=${found} subject="keys">${() => (rows.length
          ? html`<${Table} label="Keys" kind="cards" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.id} linkOf=${(row) => link("keys", [row.id])} />`
          : html`<${Empty} title=${find ? `No key matches ${plain(find)}` : "The key store has no key yet"}>${!find && "A new key is shown once; the gateway keeps only its digest."}<//>`)}<//>
      <//>`}
    ${isMaking && html`<${NewKey} etag=${found.data.etag} onClose=${() => setMaking(false)} onMade=${found.reload} />`}`;
}

export default function View({ parts, query }) {
  return parts.length ? html`<${OneKey} key=${parts[0]} id=${parts[0]} />` : html`<${List} query=${query} />`;
}
