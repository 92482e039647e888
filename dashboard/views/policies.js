// Policies and plugins: each stage with its runs, times and last error, each plugin with its grants and tools.
import { get } from "../lib/api.js";
import { partsOf, placeOf } from "../lib/excerpt.js";
import { count, micros, percent, plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { now } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Empty, Head, Loaded, Name, Pairs, Since } from "../lib/ui.js";

const zero = (value, kind = "") => (value > 0 ? html`<span class=${kind}>${count(value)}</span>` : html`<span class="faint">0</span>`);

function numberColumns(isTool) {
  return [
    { label: isTool ? "Calls" : "Runs", isNumber: true, sort: (row) => row.numbers.runs, cell: (row) => zero(row.numbers.runs) },
    !isTool && { label: "Edits", isNumber: true, sort: (row) => row.numbers.edits, cell: (row) => html`${zero(row.numbers.edits)}${row.numbers.edits > 0 && html` <span class="faint">${percent(row.numbers.edits / row.numbers.runs)}</span>`}` },
    !isTool && { label: "Denials", isNumber: true, sort: (row) => row.numbers.denials, cell: (row) => zero(row.numbers.denials, "warn-text") },
    { label: "Failures", isNumber: true, sort: (row) => row.numbers.failures, cell: (row) => zero(row.numbers.failures, "bad-text") },
    { label: "Median", title: "p50 of the time of a run", isNumber: true, sort: (row) => row.numbers.p50_us, cell: (row) => micros(row.numbers.p50_us) },
    { label: "p99", isNumber: true, sort: (row) => row.numbers.p99_us, cell: (row) => micros(row.numbers.p99_us) },
    { label: "All time", title: "the time of all runs", isNumber: true, sort: (row) => row.numbers.total_us, cell: (row) => micros(row.numbers.total_us) },
  ].filter(Boolean);
}

/** The last error of a stage or a tool: its line of the source, its request, a way into the editor. */
function LastError({ error, name, hook, isPolicy }) {
  const { sentence, source } = partsOf(error.message);
  const place = placeOf(sentence);
  return html`<div class="last-error">
    <p class="last-error-head"><strong><${Name} value=${name} /></strong> <span class="faint">${hook}, <${Since} at=${error.at} /></span>
      <a href=${link("requests", [error.request_id])}>the request</a>
      ${isPolicy && html`<a href=${link("editor", [name], { line: place?.[2] })}>open in the editor</a>`}
    </p>
    <p class="bad-text"><${Name} value=${sentence} most=${600} /></p>
    ${source && html`<pre class="text source" tabindex="0" aria-label="the line of the source">${source}</pre>`}
  </div>`;
}

const ON_ERROR = { deny: "refuse", skip: "skip the stage" };

function StageName({ row }) {
  if (row.n > 0) return html`<span class="faint">〃<span class="hidden-text">${row.stage.name}</span></span>`;
  return html`<span class="stage-number" aria-hidden="true">${row.place}</span> <${Name} value=${row.stage.name} />`;
}

const PIPELINE = [
  { label: "Stage", cell: (row) => html`<${StageName} row=${row} />` },
  { label: "Hook", kind: "bare", cell: (row) => (row.hook ? html`<code>${row.hook}</code>` : html`<span class="faint">no hook</span>`) },
  ...numberColumns(false).map(({ sort: _, ...column }) => column),
  { label: "Kind", cell: (row) => row.stage.kind },
  { label: "On error", cell: (row) => ON_ERROR[row.stage.on_error] ?? row.stage.on_error },
  { label: "Edit", kind: "bare", cell: (row) => row.n === 0 && row.stage.kind === "policy" && html`<a class="button small" href=${link("editor", [row.stage.name])} aria-label=${`Edit ${row.stage.name}`}>Edit</a>` },
];

const NO_NUMBERS = { runs: 0, failures: 0, denials: 0, edits: 0, total_us: null, p50_us: null, p99_us: null, last_error: null };

/** A row for each hook of each stage. */
function rowsOf(stages) {
  return stages.flatMap((stage, at) => {
    const hooks = stage.hooks.length ? stage.hooks : [{ hook: null, numbers: NO_NUMBERS }];
    return hooks.map((it, n) => ({ stage, place: at + 1, n, ...it }));
  });
}

function Pipeline({ stages }) {
  const rows = rowsOf(stages);
  const errors = rows.filter((it) => it.numbers.last_error);
  return html`<${Card}><${Table} label="Pipeline" kind="cards" columns=${PIPELINE} rows=${rows} keyOf=${(row) => `${row.place} ${row.hook}`} /><//>
    ${errors.length > 0 && html`<${Card} title="Last errors" note="since the start of the process">${errors.map((it) => html`
      <${LastError} key=${`${it.place} ${it.hook}`} error=${it.numbers.last_error} name=${it.stage.name} hook=${it.hook} isPolicy=${it.stage.kind === "policy"} />`)}<//>`}`;
}

function wishesOf({ hosts, models, kv_bytes: bytes, publish }) {
  return [
    hosts.length > 0 && `hosts ${hosts.join(", ")}`,
    models.length > 0 && `models ${models.join(", ")}`,
    bytes > 0 && `${count(bytes)} bytes of store`,
    publish && "publishing files",
  ].filter(Boolean);
}

function Suspended({ ms, at }) {
  const rest = ms - Math.max(0, now.value - at);
  return html`<${Badge} kind="bad">suspended${rest > 0 ? ` for ${Math.ceil(rest / 1000)} s` : ""}<//>`;
}

function Plugin({ plugin, at }) {
  const wishes = wishesOf(plugin.wants);
  const errors = plugin.tools.filter((it) => it.numbers.last_error);
  const columns = [{ label: "Server tool", cell: (row) => html`<code><${Name} value=${row.name} /></code>` }, ...numberColumns(true)];
  const state = plugin.suspended_ms != null
    ? html`<${Suspended} ms=${plugin.suspended_ms} at=${at} />`
    : plugin.lacking ? html`<${Badge} kind="warn">lacks a grant<//>` : html`<${Badge} kind="ok">ready<//>`;
  return html`<${Card} title=${html`<${Name} value=${plugin.name} />`} note=${`${plugin.version} · ${plugin.file}.wasm`} tools=${state}>
    <${Pairs} wide=${true} rows=${[
      ["Asks for", wishes.length ? html`<${Name} value=${wishes.join("; ")} most=${300} />` : html`<span class="faint">nothing</span>`],
      ["Granted", html`<${Name} value=${plugin.granted} most=${300} />`],
      ["Lacks", plugin.lacking && html`<span class="warn-text"><${Name} value=${plugin.lacking} most=${300} /></span> <span class="faint">in <code>plugins.config.${plugin.file}</code></span>`],
      ["Stages", plugin.stages.length > 0 && plugin.stages.join(", ")],
    ]} />
    ${plugin.tools.length > 0 && html`<${Table} label=${`Tools of ${plugin.name}`} kind="cards" columns=${columns} rows=${plugin.tools} keyOf=${(row) => row.name} />`}
    ${errors.map((it) => html`<${LastError} key=${it.name} error=${it.numbers.last_error} name=${plugin.name} hook=${it.name} isPolicy=${false} />`)}
  <//>`;
}

function totalsOf(stages) {
  const all = stages.flatMap((it) => it.hooks.map((hook) => hook.numbers));
  const sum = (name) => all.reduce((total, it) => total + it[name], 0);
  return `${plural(stages.length, "stage")}, ${plural(sum("edits"), "edit")}, ${plural(sum("denials"), "denial")}, ${plural(sum("failures"), "failure")} since the start`;
}

export default function View() {
  useTitle("Policies and plugins");
  const stages = useLoad((signal) => get("/api/policies", null, signal), [], 3000);
  const plugins = useLoad((signal) => get("/api/plugins", null, signal), [], 3000);
  return html`
    <${Head} title="Policies and plugins" note="The stages that requests pass, in their order, and the plugins with their tools.">
      <a class="button" href="#/editor">Policy editor</a>
    <//>
    <div class="section-head"><h2>Pipeline</h2><span class="note">${stages.data && totalsOf(stages.data.stages)}</span><${Age} at=${stages.at} /></div>
    <${Loaded} from=${stages} subject="policies">${(data) => (data.stages.length
      ? html`<${Pipeline} stages=${data.stages} />`
      : html`<div class="card"><${Empty} title="The pipeline has no stage">List policies in <code>pipeline</code> of the config, in their order. The <a href="#/editor">editor</a> tries a draft without it.<//></div>`)}<//>
    <div class="section-head"><h2>Plugins</h2><span class="note">Times count from the start of the process.</span><${Age} at=${plugins.at} /></div>
    <${Loaded} from=${plugins} subject="plugins">${(data) => (data.plugins.length
      ? html`<div class="grid two">${data.plugins.map((plugin) => html`<${Plugin} key=${plugin.file} plugin=${plugin} at=${plugins.at} />`)}</div>`
      : html`<div class="card"><${Empty} title="No plugin is loaded">The gateway loads every <code>*.wasm</code> of <code>plugins.dir</code>.<//></div>`)}<//>`;
}
