// One session of the prompt cache: each request with its prompt, and the place, the cause and the cost of each break.
import { get } from "../lib/api.js";
import { breakerOf, causeOf, exchangeLink, inputOf, placeOf, Result } from "../lib/exchange.js";
import { count, duration, exactUsd, moneyOfNano, money, percent, plural, short, sumNano } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { zone } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Copy, Empty, Head, Loaded, Name, shortTime, Time } from "../lib/ui.js";

const WORDS = { client: "the client", failover: "failover", timeout: "too long a pause", budget: "a budget", gateway: "the gateway" };

/** The breaks by their cause, those with the most lost tokens first. */
function causesOf(rows) {
  const causes = new Map();
  for (const row of rows.filter((it) => it.prefix === "broken")) {
    const name = breakerOf(row) ?? "unknown";
    const id = `${row.broken_by} ${name}`;
    const cause = causes.get(id) ?? { id, by: row.broken_by, name, rows: [] };
    cause.rows.push(row);
    causes.set(id, cause);
  }
  const lost = (cause) => cause.rows.reduce((sum, it) => sum + (it.lost_tokens ?? 0), 0);
  return [...causes.values()].map((it) => ({ ...it, lost: lost(it), nano: sumNano(it.rows.map((row) => row.lost_usd)), unpriced: it.rows.filter((row) => row.lost_usd == null && row.lost_tokens > 0).length }))
    .sort((a, b) => b.lost - a.lost);
}

function Cause({ cause }) {
  const isStage = cause.by === "stage";
  return html`<li class="cause">
    <span class="cause-name">${isStage ? html`the stage <strong><${Name} value=${cause.name} /></strong>` : html`<strong>${WORDS[cause.by] ?? cause.name}</strong>`}</span>
    <span>${plural(cause.rows.length, "break")}</span>
    <span>${short(cause.lost)} tokens lost</span>
    <span class="cause-cost" title=${`$${exactUsd(cause.nano)}`}>${moneyOfNano(cause.nano)}${cause.unpriced > 0 && html` <span class="warn-text">+ ${cause.unpriced} without a price</span>`}</span>
    ${isStage && html`<a href=${link("editor", [cause.name])}>open in the editor</a>`}
  </li>`;
}

function Figures({ rows }) {
  const sum = (name) => rows.reduce((all, it) => all + (it[name] ?? 0), 0);
  const input = rows.reduce((all, it) => all + inputOf(it), 0);
  const broken = rows.filter((it) => it.prefix === "broken");
  const unpriced = broken.filter((it) => it.lost_usd == null && it.lost_tokens > 0).length;
  const tile = (title, value, sub) => html`<div class="tile"><h2>${title}</h2><p class="tile-value">${value}</p><p class="tile-parts">${sub}</p></div>`;
  return html`<div class="tiles four">
    ${tile("Requests", count(rows.length), html`<${Time} at=${rows[0].at} show=${shortTime} /> to <${Time} at=${rows.at(-1).at} show=${shortTime} /> ${zone.value}`)}
    ${tile("Cache hit rate", input ? percent(sum("read") / input) : "–", `${short(sum("read"))} of ${short(input)} input tokens`)}
    ${tile("Breaks", count(broken.length), `${short(sum("lost_tokens"))} tokens were not read`)}
    ${tile("Lost", moneyOfNano(sumNano(broken.map((it) => it.lost_usd))), unpriced ? html`<span class="warn-text">+ ${unpriced} without a price</span>` : "beyond the price of a read")}
  </div>`;
}

/** The prompt of a request: read from the cache, written to it, neither. The lost part is drawn after it. */
function Prompt({ row, most }) {
  const written = row.write_5m + row.write_1h;
  const width = (value) => ({ width: `${most > 0 ? (value / most) * 100 : 0}%` });
  const title = `${count(row.read)} read from the cache, ${count(written)} written to it, ${count(row.uncached)} neither`;
  return html`<span class="prompt" role="img" aria-label=${title} title=${title}>
    <span class="p-read" style=${width(row.read)}></span><span class="p-write" style=${width(written)}></span><span class="p-other" style=${width(row.uncached)}></span>
  </span>`;
}

function Break({ row }) {
  if (row.prefix !== "broken") {
    const [kind, word] = { continues: ["ok", "continues"], first: ["info", "first"] }[row.prefix] ?? ["off", "not followed"];
    return html`<${Badge} kind=${kind}>${word}<//>`;
  }
  return html`<${Badge} kind="warn">broken<//> <span>at <strong>${placeOf(row.broken_at)}</strong>: ${causeOf(row)}</span>`;
}

function Target({ row, before }) {
  if (before && before.target === row.target) return html`<span class="faint" title=${row.target}>the same</span>`;
  return html`<${Name} value=${row.target} most=${50} />`;
}

function Lost({ row }) {
  if (row.prefix !== "broken" || !row.lost_tokens) return html`<span class="faint">–</span>`;
  return html`<strong>${row.lost_usd == null ? html`<span class="warn-text">no price</span>` : money(row.lost_usd)}</strong><span class="cell-sub">${short(row.lost_tokens)} tokens</span>`;
}

function columnsOf(rows) {
  const most = Math.max(...rows.map(inputOf));
  const before = new Map(rows.map((row, n) => [row, n ? Date.parse(row.at) - Date.parse(rows[n - 1].at) : null]));
  return [
    { label: "Time", cell: (row) => html`<span class="nowrap"><${Time} at=${row.at} show=${shortTime} /></span>${before.get(row) != null && html`<span class="cell-sub">+ ${duration(Math.round(before.get(row) / 1000) * 1000).replace(/^0 ms$/, "0 s")}</span>`}` },
    { label: "Result", kind: "bare", cell: (row) => html`<${Result} row=${row} />` },
    { label: "Target", kind: "full", cell: (row) => html`<${Target} row=${row} before=${rows[rows.indexOf(row) - 1]} />` },
    { label: "Prompt", kind: "full bare", cell: (row) => html`<${Prompt} row=${row} most=${most} />` },
    { label: "Input", isNumber: true, cell: (row) => short(inputOf(row)) },
    { label: "Read", title: "share of the input that was read from the cache", isNumber: true, cell: (row) => (inputOf(row) ? percent(row.read / inputOf(row)) : "–") },
    { label: "Prefix", kind: "full bare", cell: (row) => html`<${Break} row=${row} />` },
    { label: "Lost", isNumber: true, cell: (row) => html`<${Lost} row=${row} />` },
  ];
}

function Course({ rows, next }) {
  return html`
    <p class="legend prompt-legend"><span><span class="swatch p-read"></span>read from the cache</span><span><span class="swatch p-write"></span>written to it</span><span><span class="swatch p-other"></span>neither</span></p>
    <${Table} label="Requests of the session" kind="cards session" columns=${columnsOf(rows)} rows=${rows} keyOf=${(row) => row.id} linkOf=${exchangeLink} classOf=${(row) => (row.prefix === "broken" && row.lost_tokens ? "broken" : "")} />
    ${next != null && html`<p class="pager faint">The session has further requests.</p>`}`;
}

function Body({ data }) {
  const { rows } = data;
  const causes = causesOf(rows);
  return html`
    <${Figures} rows=${rows} />
    ${causes.length > 0
      ? html`<${Card} title="Causes" note="those with the most lost tokens first"><ul class="causes">${causes.map((it) => html`<${Cause} key=${it.id} cause=${it} />`)}</ul><//>`
      : html`<p class="summary"><${Badge} kind="ok">unbroken<//> Each prompt goes on where the one before ended.</p>`}
    <${Card} title="Course" note="in order of time"><${Course} rows=${rows} next=${data.next} /><//>`;
}

/** The page of a session. `keyName` tells apart the sessions of two keys with the same id. */
export function OneSession({ session, keyName }) {
  useTitle("Session");
  const path = `/api/prompts/${encodeURIComponent(session)}`;
  const found = useLoad((signal) => get(path, { key: keyName }, signal), [path, keyName], 10_000);
  const title = html`<a href="#/prompts" class="back">Prompt cache</a> <span class="faint">/</span> <${Name} value=${session} mono most=${50} />`;
  return html`
    <${Head} title=${title} note=${html`<${Age} at=${found.at} source="from the ledger" />`}>
      <${Copy} small=${false} text=${session} label="Copy the session's id" />
      <a class="button" href=${link("requests", [], { session })}>Its requests</a>
    <//>
    <${Loaded} from=${found} subject="this session" lines=${8}>${(data) => (data.rows.length
      ? html`<${Body} data=${data} />`
      : html`<div class="card"><${Empty} title="The ledger has no request of this session">Rows are deleted after <code>ledger.keep</code>.<//></div>`)}<//>`;
}
