// Limits and budgets: each rule with its fullest counters, what is used and what is left.
import { get } from "../lib/api.js";
import { FilterBar, TextFilter } from "../lib/filter.js";
import { count, money, plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { BudgetCounters, budgetTitle, LimitCounters, limitTitle, periodOf, whenOf } from "../lib/left.js";
import { link } from "../lib/router.js";
import { Age, Badge, Card, Empty, Head, Loaded } from "../lib/ui.js";

/** Requests of the owner of a counter. */
function linkFor(per) {
  if (per.startsWith("tag:")) return (row) => link("requests", [], { tag: `${per.slice(4)}:${row.owner}` });
  return ["key", "model", "target"].includes(per) ? (row) => link("requests", [], { [per]: row.owner }) : undefined;
}

function Shown({ rule }) {
  const more = rule.owners - rule.counters.length;
  return more > 0 ? html`<p class="pager faint">The fullest ${rule.counters.length} of ${count(rule.owners)}. The filter finds the others.</p>` : null;
}

function Nothing({ owner }) {
  return html`<p class="inside faint">${owner ? "This owner has no counter of this rule." : "Nothing is used."}</p>`;
}

function Budget({ rule, timezone, owner }) {
  const notes = [periodOf(rule, timezone), whenOf(rule), rule.warn_at_usd && `warns at ${money(rule.warn_at_usd)}`, rule.route ? `then goes to ${rule.route}` : "then refuses"].filter(Boolean);
  return html`<${Card} title=${budgetTitle(rule)} note=${notes.join(" · ")}>
    ${rule.counters.length ? html`<${BudgetCounters} rule=${rule} linkOf=${linkFor(rule.per)} />` : html`<${Nothing} owner=${owner} />`}
    <${Shown} rule=${rule} />
  <//>`;
}

function Limit({ rule, at, owner }) {
  const tools = rule.refused > 0 && html`<${Badge} kind="warn" title="since the start of the process">${plural(rule.refused, "request")} refused<//>`;
  return html`<${Card} title=${limitTitle(rule)} note=${whenOf(rule)} tools=${tools}>
    ${rule.counters.length ? html`<${LimitCounters} rule=${rule} at=${at} linkOf=${linkFor(rule.per)} />` : html`<${Nothing} owner=${owner} />`}
    <${Shown} rule=${rule} />
  <//>`;
}

function Section({ title, found, subject, empty, children }) {
  const shared = found.data?.is_shared;
  return html`
    <div class="section-head"><h2>${title}</h2><${Age} at=${found.at} source=${shared == null ? "" : shared ? "shared by all gateways" : "this gateway alone"} /></div>
    <${Loaded} from=${found} subject=${subject}>${(data) => (data.rules.length ? children(data) : html`<div class="card"><${Empty} title=${`The config has no ${subject}`}>${empty}<//></div>`)}<//>`;
}

export default function View({ query }) {
  useTitle("Limits and budgets");
  const { owner } = query;
  const limits = useLoad((signal) => get("/api/limits", { owner, limit: 20 }, signal), [owner], 2000);
  const budgets = useLoad((signal) => get("/api/budgets", { owner, limit: 20 }, signal), [owner], 5000);
  return html`
    <${Head} title="Limits and budgets" note="Each rule of the config with its fullest counters, and how much of it is left." />
    <${FilterBar} names=${["owner"]}><${TextFilter} name="owner" label="Owner" placeholder="a key, model or tag value" isFirst=${true} size=${26} /><//>
    <${Section} title="Budgets" found=${budgets} subject="budgets" empty=${html`A budget bounds what a key, a model or a team spends in a calendar period: <code>budgets.rules</code>.`}>
      ${(data) => html`<div class="grid two">${data.rules.map((rule, n) => html`<${Budget} key=${n} ...${{ rule, timezone: data.timezone, owner }} />`)}</div>`}
    <//>
    <${Section} title="Limits" found=${limits} subject="limits" empty=${html`A limit bounds requests or tokens in a time: <code>limits.rules</code>.`}>
      ${(data) => html`<div class="grid two">${data.rules.map((rule, n) => html`<${Limit} key=${n} ...${{ rule, at: limits.at, owner }} />`)}</div>`}
    <//>`;
}
