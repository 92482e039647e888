// One request: its figures, the waterfall with the changes of each stage, usage by turn, the prompt cache, its headers.
import { get } from "../lib/api.js";
import { curlOf } from "../lib/curl.js";
import { inputOf, kindOf, Result, Verdict } from "../lib/exchange.js";
import { count, duration, percent, plural, short } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { Waterfall } from "../lib/story.js";
import { Table } from "../lib/table.js";
import { zone } from "../lib/store.js";
import { Card, Copy, Cost, Empty, Head, isWithoutLedger, Loaded, Long, Name, Notice, Pairs, Problem, Since, Time } from "../lib/ui.js";

const RETRIES = 3;

/** A request that just ended is in the ledger within a second. */
async function storyOf(id, signal) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await get(`/api/exchanges/${encodeURIComponent(id)}`, null, signal);
    } catch (error) {
      if (error.status !== 404 || tries === RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
  }
}

function Figure({ title, value, sub }) {
  return html`<div class="tile"><h2>${title}</h2><p class="tile-value">${value}</p><p class="tile-parts">${sub}</p></div>`;
}

function Figures({ row, turns }) {
  const input = inputOf(row);
  return html`<div class="tiles">
    <${Figure} title="Duration" value=${duration(row.ms)} sub=${html`<${Since} at=${row.at} />`} />
    <${Figure} title="First event" value=${duration(row.ttft_ms)} sub=${row.is_stream ? "of the stream" : "not a stream"} />
    <${Figure} title="Input" value=${short(input)} sub=${`${count(row.uncached)} not cached`} />
    <${Figure} title="From the cache" value=${input ? percent(row.read / input) : "–"} sub=${`${short(row.read)} read, ${short(row.write_5m + row.write_1h)} written`} />
    <${Figure} title="Output" value=${short(row.output)} sub=${`${plural(row.attempts, "attempt")}, ${plural(turns, "turn")}`} />
    <${Figure} title="Cost" value=${html`<${Cost} row=${row} />`} sub=${row.unpriced_tokens ? `${count(row.unpriced_tokens)} tokens without a price` : row.cost_state} />
  </div>`;
}

function Id({ value }) {
  return value ? html`<span class="id"><${Name} value=${value} mono /> <${Copy} text=${value} /></span>` : null;
}

function Facts({ story }) {
  const { exchange: row, tags } = story;
  return html`<${Card} title="Facts">
    <${Pairs} wide=${true} rows=${[
      ["Time", html`<${Time} at=${row.at} /> <span class="faint">${zone.value}</span>`],
      ["Result", html`<${Result} row=${row} />${row.error && html` <span class="bad-text"><${Name} value=${row.error} /></span>`}`],
      ["Key", html`<${Name} value=${row.key} none="(no key)" />`],
      ["User", row.user_id && html`<${Name} value=${row.user_id} />`],
      ["Model", html`<${Name} value=${row.model} none="(none)" />`],
      ["Target", html`<${Name} value=${row.target} none="no attempt" />`],
      ["Kind", `${row.operation}${row.is_stream ? ", streamed" : ""}`],
      ["Route", row.route],
      ["Stop reason", row.stop && html`<${Name} value=${row.stop} />`],
      ["Session", row.session && html`<a href=${link("prompts", [row.session])}><${Name} value=${row.session} mono /></a>`],
      ["Tags", tags.length > 0 && html`<span class="tags">${tags.map((it) => html`<a key=${it.tag + it.value} class="tag" href=${link("requests", [], { tag: `${it.tag}:${it.value}` })}><${Name} value=${`${it.tag}: ${it.value}`} most=${60} /></a>`)}</span>`],
      ["Request id", html`<${Id} value=${row.request_id} />`, "the gateway's own id"],
      ["Upstream id", html`<${Id} value=${row.upstream_request_id} />`, "the client received it as request-id"],
      ["Trace", row.trace_id && html`<${Id} value=${row.trace_id} />`],
      ["Caused by", row.parent && html`<a href=${link("requests", [row.parent])}><${Name} value=${row.parent} mono /></a>`],
    ]} />
  <//>`;
}

const tokens = (label, pick, title) => ({ label, title, isNumber: true, cell: (row) => (pick(row) ? count(pick(row)) : html`<span class="faint">0</span>`) });

const TURNS = [
  { label: "Turn", cell: (row) => `${row.turn}` },
  { label: "Target", kind: "full", cell: (row) => html`<${Name} value=${row.target} />` },
  { label: "Status", cell: (row) => `${row.status ?? "–"} ${row.error ?? ""}` },
  tokens("Input", (row) => row.uncached),
  tokens("Written", (row) => row.write_5m + row.write_1h, "written to the cache"),
  tokens("Read", (row) => row.read, "read from the cache"),
  tokens("Output", (row) => row.output),
  { label: "Cost", isNumber: true, cell: (row) => html`<${Cost} row=${{ ...row, cost_state: row.unpriced_tokens ? "unpriced" : "priced", cost_usd: row.unpriced_tokens && row.cost_usd === "0" ? null : row.cost_usd }} />` },
  { label: "Upstream id", kind: "full", cell: (row) => html`<${Name} value=${row.upstream_request_id} mono most=${40} />` },
];

function Usage({ attempts }) {
  if (!attempts.length) return null;
  return html`<${Card} title="Usage by turn"><${Table} label="Usage by turn" kind="cards" columns=${TURNS} rows=${attempts} keyOf=${(row) => row.n} /><//>`;
}

/** The whole body of a recorded request. */
async function bodyOf(request, path) {
  return request.is_cut ? (await get(path, { full: "body" })).request.body : request.body;
}

function Body({ request, path }) {
  if (request.body == null) return html`<p class="faint">The body was too large to be recorded.</p>`;
  return html`<${Long} value=${request.body} load=${request.is_cut && (() => bodyOf(request, path))} label="the body of the request" />`;
}

function Recorded({ changes, path }) {
  const { data, error } = changes;
  if (error) return html`<${Card} title="The request as received"><${Problem} error=${error} subject="the changes of a request" /><//>`;
  if (!data) return null;
  if (!data.is_recorded) {
    return html`<${Card} title="The request as received"><${Empty} title="Headers, body and changes were not recorded">${data.why} Set <code>admin.record</code> in the config to keep those of the last requests in memory.<//><//>`;
  }
  const { request } = data;
  if (!request) return null;
  const columns = [{ label: "Header", cell: ([name]) => html`<${Name} value=${name} mono />` }, { label: "Value", cell: ([, value]) => html`<${Name} value=${value} mono most=${300} none="(empty)" />` }];
  return html`<${Card} title="The request as received" note=${`${request.method} ${request.path}`} tools=${request.body != null && html`<${Copy} text=${() => bodyOf(request, path)} label="Copy the body" />`}>
    <${Table} label="Headers" columns=${columns} rows=${request.headers} keyOf=${(pair) => pair.join("\n")} />
    <div class="inside"><h3>Body</h3><${Body} request=${request} path=${path} /></div>
  <//>`;
}

function Tools({ story, changes, path }) {
  const recorded = changes.data?.is_recorded ? changes.data.request : null;
  const curl = async () => curlOf(story.exchange, recorded && { ...recorded, body: await bodyOf(recorded, path) });
  const address = () => `${location.origin}/${link("requests", [story.exchange.id])}`;
  return html`
    <${Copy} small=${false} text=${curl} label="Copy as curl" title=${recorded ? "with $ANTHROPIC_API_KEY in place of the credential" : "without the body, which was not recorded"} />
    <${Copy} small=${false} text=${address} label="Copy link" />
    <a class="button" href=${link("editor", [], { exchange: story.exchange.id })}>Try a policy on it</a>`;
}

function Story({ story, id }) {
  const row = story.exchange;
  const path = `/api/exchanges/${encodeURIComponent(row.id ?? id)}/changes`;
  const changes = useLoad((signal) => get(path, null, signal), [path]);
  const full = async (value, step) => {
    const found = await get(path, { full: value, step });
    return found.steps[0].changes[0];
  };
  const turns = new Set(story.attempts.map((it) => it.turn)).size;
  const title = html`<a href="#/requests" class="back" aria-label="Back to the requests">Requests</a> <span class="faint">/</span> <${Name} value=${row.model || row.route} none="request" most=${60} />`;
  return html`
    <${Head} title=${title} note=${html`<${Result} row=${row} /> <${Time} at=${row.at} /> ${zone.value}, key <${Name} value=${row.key} none="(none)" />`}><${Tools} story=${story} changes=${changes} path=${path} /><//>
    ${kindOf(row) === "bad" && !story.attempts.length && html`<${Notice} kind="warn">No upstream was called: ${story.notes.length ? "each target was passed over" : "the request ended before its first attempt"}.<//>`}
    <${Figures} row=${row} turns=${turns} />
    <${Card} title="Course" note=${changes.data && !changes.data.is_recorded ? "the changes of the stages were not recorded" : `${plural(story.stages.length, "hook")}, ${plural(story.attempts.length, "attempt")}, ${plural(story.tool_calls.length, "tool call")}`}>
      <div class="inside"><${Waterfall} story=${story} steps=${changes.data?.steps ?? []} full=${full} /></div>
    <//>
    <${Usage} attempts=${story.attempts} />
    <div class="grid two">
      <div>
        <${Card} title="Prompt cache" tools=${row.session && html`<a href=${link("prompts", [row.session])}>The whole session</a>`}><div class="inside"><${Verdict} row=${row} /></div><//>
        <${Facts} story=${story} />
      </div>
      <div><${Recorded} changes=${changes} path=${path} /></div>
    </div>`;
}

export default function View({ parts }) {
  const [id] = parts;
  useTitle("Request");
  const found = useLoad((signal) => storyOf(id, signal), [id]);
  return html`
    ${found.data == null && html`<${Head} title=${html`<a href="#/requests">Requests</a> <span class="faint">/</span> <${Name} value=${id} mono most=${40} />`} />`}
    ${found.error?.status === 404 && !isWithoutLedger(found.error)
      ? html`<div class="card"><${Empty} title="The ledger has no such request">Its row may have been deleted after <code>ledger.keep</code>, or the request is still in progress. <button type="button" class="small" onClick=${found.reload}>Try again</button><//></div>`
      : html`<${Loaded} from=${found} subject="this request" lines=${8}>${(story) => html`<${Story} key=${id} story=${story} id=${id} />`}<//>`}`;
}
