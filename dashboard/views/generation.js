// The configuration in use: its generation, the problems of the last reload, and the drain of the gateway.
import { call, read, write } from "../lib/api.js";
import { Confirm } from "../lib/dialog.js";
import { clip, count, duration, plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { clockOffset, now, refreshStatus, status } from "../lib/store.js";
import { Table } from "../lib/table.js";
import { Age, Badge, Card, Copy, Head, Loaded, Name, Notice, Pairs, Problem, Since, Time } from "../lib/ui.js";

const PROBLEMS = [
  { label: "Place", cell: (row) => html`<code><${Name} value=${row.path} most=${120} /></code>` },
  { label: "Problem", kind: "full bare", cell: (row) => html`<span class="problem-text">${row.message}</span>` },
];

function LastReload({ reload }) {
  const tools = reload.is_successful ? html`<${Badge} kind="ok">successful<//>` : html`<${Badge} kind="bad">${plural(reload.problems.length, "problem")}<//>`;
  return html`<${Card} title="Last reload" note=${html`<${Since} at=${reload.at} />, took ${duration(reload.took_ms)}`} tools=${tools}>
    ${!reload.is_successful && html`<${Notice} kind="bad" title="The files on disk are not in use.">The gateway goes on with the last good generation. Correct these problems and reload.<//>`}
    ${reload.problems.length > 0 && html`<${Table} label="Problems of the last reload" kind="cards" columns=${PROBLEMS} rows=${reload.problems} keyOf=${(row) => row.path + row.message} />`}
    ${reload.needs_restart.length > 0 && html`<${Notice} kind="warn" title="These settings wait for a restart:">${reload.needs_restart.map((it) => html`<code key=${it}>${it}</code> `)}<//>`}
    ${reload.is_successful && !reload.needs_restart.length && html`<p class="inside faint">The files on disk are in use.</p>`}
  <//>`;
}

function Facts({ generation }) {
  const { data } = status.value;
  return html`<${Card} title="Gateway">
    <${Pairs} wide=${true} rows=${[
      ["Version", data?.version],
      ["Running since", data && html`<${Time} at=${data.started_at} /> <span class="faint">${duration(Math.max(0, now.value + clockOffset.value - Date.parse(data.started_at)))}</span>`],
      ["Generation", html`<strong>${generation.number}</strong> <span class="faint">built <${Since} at=${generation.built_at} /></span>`],
      ["Generations alive", html`${count(generation.live)} <span class="faint">${generation.live > 1 ? "older ones serve requests that began before the reload" : ""}</span>`],
      ["Digest of the files", html`<span class="mono" title=${generation.config_digest}>${clip(generation.config_digest, 16)}</span> <${Copy} text=${generation.config_digest} />`],
      ["Requests in progress", data && count(data.active_requests)],
      ["Ledger", data && html`<${LedgerState} ledger=${data.ledger} />`],
    ]} />
  <//>`;
}

function LedgerState({ ledger }) {
  if (!ledger.is_on) return html`<${Badge} kind="off">off<//> <span class="faint">requests are not recorded</span>`;
  const isBad = ledger.failures > 0;
  return html`<${Badge} kind=${isBad ? "warn" : "ok"}>${isBad ? plural(ledger.failures, "failure") : "on"}<//>
    <span class="faint"> ${count(ledger.written)} written, ${count(ledger.waiting)} waiting</span>`;
}

const STATES = { ready: ["ok", "ready"], unready: ["warn", "not ready"], draining: ["warn", "draining"] };

function Drain() {
  const found = useLoad((signal) => read("/api/drain", null, signal), [], 2000);
  const [question, setQuestion] = useState(null);
  if (!found.data) return html`<${Problem} error=${found.error} subject="the drain" />`;
  const { data, etag } = found.data;
  const [kind, word] = STATES[data.state] ?? ["info", data.state];
  const done = async () => {
    await found.reload();
    refreshStatus();
  };
  const post = (stop) => async () => {
    await write("POST", "/api/drain", { stop }, etag ?? "*");
    await done();
  };
  const undo = async () => {
    await call("/api/drain", { method: "DELETE", headers: { "if-match": etag ?? "*" } });
    await done();
  };
  const close = () => setQuestion(null);
  return html`<${Card} title="Readiness" tools=${html`<${Badge} kind=${kind}>${word}<//>`}>
    <div class="inside form">
      <p class="soft">A load balancer asks <code>/readyz</code>. A gateway that is not ready still serves every request that it receives.</p>
      <div class="head-tools">
        ${data.state === "unready"
          ? html`<button type="button" onClick=${() => setQuestion("ready")}>Report ready again</button>`
          : html`<button type="button" disabled=${data.state === "draining"} onClick=${() => setQuestion("unready")}>Report not ready</button>`}
        <button type="button" class="danger" disabled=${data.state === "draining"} onClick=${() => setQuestion("stop")}>Drain and stop</button>
      </div>
    </div>
    ${question === "ready" && html`<${Confirm} title="Report ready again?" action="Report ready" act=${undo} onClose=${close} isDangerous=${false}><p>Load balancers send requests to this gateway again.</p><//>`}
    ${question === "unready" && html`<${Confirm} title="Report not ready?" action="Report not ready" act=${post(false)} onClose=${close}><p>Load balancers stop sending requests to this gateway. It goes on serving those that it receives.</p><//>`}
    ${question === "stop" && html`<${Confirm} title="Drain and stop this gateway?" action="Drain and stop" act=${post(true)} onClose=${close}><p>The gateway finishes the ${plural(data.active_requests, "request")} in progress and ends, as after SIGTERM. This page cannot start it again.</p><//>`}
  <//>`;
}

function ReloadButton({ etag, done }) {
  const [state, setState] = useState({ isBusy: false, error: null, result: null });
  async function reload() {
    setState({ isBusy: true, error: null, result: null });
    try {
      const result = await write("POST", "/api/generation/reload", undefined, etag);
      setState({ isBusy: false, error: null, result });
    } catch (error) {
      setState({ isBusy: false, error, result: null });
    }
    await done();
  }
  const { isBusy, error, result } = state;
  return html`
    ${error && (error.status === 412 ? html`<span class="warn-text" role="alert">Another reload came in between: look at its result, then try again.</span>` : html`<span class="bad-text" role="alert">${error.message}</span>`)}
    ${result && html`<span role="status" class=${result.is_successful ? "ok-text" : "bad-text"}>${result.is_successful ? `Generation ${result.generation.number} is in use` : "The reload found problems"}</span>`}
    <button type="button" class="primary" disabled=${isBusy || !etag} onClick=${reload}>${isBusy ? "Reloading…" : "Reload the files"}</button>`;
}

export default function View() {
  useTitle("Configuration");
  const found = useLoad((signal) => read("/api/generation", null, signal), [], 3000);
  const done = async () => {
    await found.reload();
    refreshStatus();
  };
  return html`
    <${Head} title="Configuration" note="The config, the policies and the plugins in use. A reload takes them all, or none.">
      <${ReloadButton} etag=${found.data?.etag} done=${done} />
    <//>
    <${Loaded} from=${found} subject="the configuration">${({ data }) => html`
      <${LastReload} reload=${data.last_reload} />
      <div class="grid two"><${Facts} generation=${data} /><${Drain} /></div>
      <p class="faint"><${Age} at=${found.at} source="this gateway" /></p>`}<//>`;
}
