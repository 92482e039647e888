// One key: its settings, what is left of its limits and budgets, and its revocation.
import { get, read, write } from "../lib/api.js";
import { Confirm } from "../lib/dialog.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useEffect, useState } from "../lib/html.js";
import { BudgetCounters, budgetTitle, LimitCounters, limitTitle, periodOf, whenOf } from "../lib/left.js";
import { keepUnless, leave, link } from "../lib/router.js";
import { Age, Badge, Card, Empty, Head, Loaded, Name, Pairs, Time } from "../lib/ui.js";
import { bodyOf, Changed, draftOf, KeyFields } from "./key-form.js";
import { KeyUsage } from "./key-usage.js";
import { stateOf } from "./keys.js";

/** The fields of the draft that differ from the key. */
function changesOf(key, draft) {
  const body = bodyOf(draft);
  const changed = Object.entries(body).filter(([name, value]) => {
    const before = name === "expires" && key.expires ? new Date(key.expires).toISOString() : (key[name] ?? null);
    return JSON.stringify(value) !== JSON.stringify(before);
  });
  return Object.fromEntries(changed);
}

function hasChanges(key, draft) {
  try {
    return Object.keys(changesOf(key, draft)).length > 0;
  } catch {
    return true;
  }
}

function Settings({ loaded, path, onSaved }) {
  const { data: key, etag } = loaded;
  const [draft, setDraft] = useState(() => draftOf(key));
  const [error, setError] = useState(null);
  const isChanged = hasChanges(key, draft);
  useEffect(() => setDraft(draftOf(key)), [etag]);
  useEffect(() => keepUnless(() => (isChanged ? "The changes of the key are not saved." : null), 2), [isChanged]);

  async function save(event) {
    event.preventDefault();
    setError(null);
    try {
      await write("PATCH", path, changesOf(key, draft), etag);
      await onSaved();
    } catch (failure) {
      setError(failure);
    }
  }

  return html`<${Card} title="Settings">
    <form class="inside form" onSubmit=${save}>
      <${KeyFields} draft=${draft} setDraft=${setDraft} />
      <${Changed} error=${error} what="The key was changed meanwhile. Discard your changes to see it." />
      <div class="dialog-tools">
        <button type="button" disabled=${!isChanged} onClick=${() => { setDraft(draftOf(key)); setError(null); onSaved(); }}>Discard</button>
        <button type="submit" class="primary" disabled=${!isChanged || !draft.name.trim()}>Save</button>
      </div>
    </form>
  <//>`;
}

/** The rules whose counters belong to this key, by its name or a tag. */
function rulesFor(data, key, owner) {
  const isOwn = (rule) => (rule.per === "key" ? owner === key.name : rule.per.startsWith("tag:") && key.tags[rule.per.slice(4)] === owner);
  return data.rules.filter((rule) => isOwn(rule) && rule.counters.length > 0);
}

async function leftOf(key, signal) {
  const owners = [...new Set([key.name, ...Object.values(key.tags)])];
  const found = await Promise.all(owners.map(async (owner) => {
    const [limits, budgets] = await Promise.all(["limits", "budgets"].map((name) => get(`/api/${name}`, { owner }, signal)));
    return { limits: rulesFor(limits, key, owner), budgets: rulesFor(budgets, key, owner), timezone: budgets.timezone };
  }));
  return { limits: found.flatMap((it) => it.limits), budgets: found.flatMap((it) => it.budgets), timezone: found[0].timezone };
}

function Left({ item }) {
  const found = useLoad((signal) => leftOf(item, signal), [item.name, JSON.stringify(item.tags)], 3000);
  return html`<${Card} title="Left" note=${html`<${Age} at=${found.at} source="limits and budgets" />`}>
    <${Loaded} from=${found} subject="limits">${(data) => html`
      ${data.budgets.map((rule, n) => html`<div class="left-rule" key=${`b${n}`}><h3>${budgetTitle(rule)}</h3><p class="note">${[periodOf(rule, data.timezone), whenOf(rule)].filter(Boolean).join(" · ")}</p><${BudgetCounters} rule=${rule} /></div>`)}
      ${data.limits.map((rule, n) => html`<div class="left-rule" key=${`l${n}`}><h3>${limitTitle(rule)}</h3>${whenOf(rule) && html`<p class="note">${whenOf(rule)}</p>`}<${LimitCounters} rule=${rule} at=${found.at} /></div>`)}
      ${!data.budgets.length && !data.limits.length && html`<${Empty} title="Nothing is used">A rule appears here once the key has sent a request that it applies to.<//>`}`}<//>
  <//>`;
}

function Actions({ loaded, path, reload }) {
  const { data: key, etag } = loaded;
  const [question, setQuestion] = useState(null);
  const close = () => setQuestion(null);
  const flip = async () => {
    await write("PATCH", path, { disabled: !key.disabled }, etag);
    await reload();
  };
  const revoke = async () => {
    await write("DELETE", path, undefined, etag);
    leave(link("keys"));
  };
  return html`
    <a class="button" href=${link("requests", [], { key: key.name })}>Its requests</a>
    <button type="button" onClick=${() => setQuestion("flip")}>${key.disabled ? "Enable" : "Disable"}</button>
    <button type="button" class="danger" onClick=${() => setQuestion("revoke")}>Revoke</button>
    ${question === "flip" && html`<${Confirm} title=${key.disabled ? "Enable this key?" : "Disable this key?"} action=${key.disabled ? "Enable" : "Disable"} act=${flip} onClose=${close} isDangerous=${!key.disabled}>
      <p>${key.disabled ? "The gateway accepts" : "The gateway refuses"} requests with the key <strong>${key.name}</strong> within a second.</p><//>`}
    ${question === "revoke" && html`<${Confirm} title="Revoke this key?" action="Revoke for good" act=${revoke} onClose=${close}>
      <p>Every gateway refuses the key <strong>${key.name}</strong> (${key.hint}) within a second. This cannot be undone. Running streams go on to their end.</p><//>`}`;
}

/** The page of a key. */
export function OneKey({ id }) {
  const path = `/api/keys/${encodeURIComponent(id)}`;
  const found = useLoad((signal) => read(path, null, signal), [path]);
  useTitle(found.data ? `Key ${found.data.data.name}` : "Key");
  const crumbs = html`<a href="#/keys" class="back">Keys</a> <span class="faint">/</span> `;
  if (found.error?.status === 404) return html`<${Head} title=${html`${crumbs}${id}`} /><div class="card"><${Empty} title="The key store has no such key">It may have been revoked. <a href="#/audit">The audit log</a> has the revocations.<//></div>`;
  if (!found.data) return html`<${Head} title=${html`${crumbs}…`} /><${Loaded} from=${found} subject="this key">${() => null}<//>`;
  const key = found.data.data;
  const [kind, word] = stateOf(key);
  return html`
    <${Head} title=${html`${crumbs}<${Name} value=${key.name} most=${60} />`} note=${html`<${Badge} kind=${kind}>${word}<//> <span class="mono">${key.hint}</span>`}>
      <${Actions} loaded=${found.data} path=${path} reload=${found.reload} />
    <//>
    <div class="grid two">
      <div><${Settings} loaded=${found.data} path=${path} onSaved=${found.reload} /></div>
      <div>
        <${Left} item=${key} />
        <${Card} title="Facts"><${Pairs} wide=${true} rows=${[["Id", html`<span class="mono">${key.id}</span>`], ["Made", html`<${Time} at=${key.created_at} />`]]} /><//>
      </div>
    </div>
    <${KeyUsage} name=${key.name} />`;
}
