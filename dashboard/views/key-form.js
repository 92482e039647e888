// The form of a key's settings, and the dialog that makes a key and shows it once.
import { write } from "../lib/api.js";
import { Dialog } from "../lib/dialog.js";
import { html, useId, useState } from "../lib/html.js";
import { zone } from "../lib/store.js";
import { Copy, Notice, Problem } from "../lib/ui.js";
import { localOf, momentOf } from "../lib/zones.js";

/** The settings of a key → the texts of the form. */
export function draftOf(key) {
  return {
    name: key?.name ?? "",
    models: key?.models?.join("\n") ?? null,
    tools: key?.tools?.join("\n") ?? null,
    tags: Object.entries(key?.tags ?? {}).map(([name, value]) => `${name}: ${value}`).join("\n"),
    expires: key?.expires ? localOf(key.expires, zone.value) : "",
    disabled: key?.disabled ?? false,
  };
}

function wordsOf(text) {
  return text == null ? null : text.split(/[\s,]+/).filter(Boolean);
}

function tagsOf(text) {
  const tags = {};
  for (const line of text.split("\n").map((it) => it.trim()).filter(Boolean)) {
    const found = /^([^:=]+)[:=](.*)$/.exec(line);
    if (!found) throw new Error(`tags: expected \`name: value\`, found \`${line}\``);
    tags[found[1].trim()] = found[2].trim();
  }
  return tags;
}

/** The texts of the form → the body of a request. */
export function bodyOf(draft) {
  const moment = draft.expires ? momentOf(draft.expires, zone.value) : null;
  if (Number.isNaN(moment)) throw new Error("expires: expected a date and a time");
  return {
    name: draft.name.trim(),
    models: wordsOf(draft.models),
    tools: wordsOf(draft.tools),
    tags: tagsOf(draft.tags),
    expires: moment == null ? null : new Date(moment).toISOString(),
    disabled: draft.disabled,
  };
}

function Patterns({ label, hint, value, onChange }) {
  const id = useId();
  return html`<div class="field">
    <label class="check"><input type="checkbox" checked=${value != null} onChange=${(event) => onChange(event.currentTarget.checked ? "" : null)} /> Only some ${label}</label>
    ${value != null && html`<label for=${id} class="hidden-text">${label}, one a line</label>
      <textarea id=${id} rows="2" value=${value} placeholder=${hint} spellcheck=${false} onInput=${(event) => onChange(event.currentTarget.value)}></textarea>
      ${value.trim() === "" && html`<p class="hint">Without an entry the key may use no ${label}.</p>`}`}
  </div>`;
}

/** The fields of a key. */
export function KeyFields({ draft, setDraft }) {
  const id = useId();
  const set = (name) => (value) => setDraft({ ...draft, [name]: value });
  const on = (name) => (event) => set(name)(event.currentTarget.value);
  return html`
    <div class="field"><label for=${`${id}n`}>Name</label>
      <input id=${`${id}n`} required autofocus=${!draft.name} maxlength="128" value=${draft.name} autocomplete="off" spellcheck=${false} onInput=${on("name")} />
      <p class="hint">In logs, metrics and policies, and as the owner of limits and budgets.</p></div>
    <${Patterns} label="models" hint="claude-*" value=${draft.models} onChange=${set("models")} />
    <${Patterns} label="server tools" hint="web_search" value=${draft.tools} onChange=${set("tools")} />
    <div class="field"><label for=${`${id}t`}>Tags</label>
      <textarea id=${`${id}t`} rows="2" value=${draft.tags} placeholder="team: search" spellcheck=${false} onInput=${on("tags")}></textarea>
      <p class="hint">One a line, <code>name: value</code>.</p></div>
    <div class="field"><label for=${`${id}e`}>Expires <span class="faint">${zone.value}</span></label>
      <input id=${`${id}e`} type="datetime-local" value=${draft.expires} onInput=${on("expires")} />
      <p class="hint">Empty: never.</p></div>`;
}

function Made({ made, onClose }) {
  return html`<${Dialog} title=${`The key ${made.name}`} onClose=${onClose} isHeld=${true}>
    <${Notice} kind="warn" role="status">Copy the key now: it is shown only once. The gateway keeps its digest, not the key.<//>
    <div class="field"><span class="label">Key</span><pre class="text secret" tabindex="0" aria-label="the new key">${made.key}</pre></div>
    <p class="hint">Claude Code reads it from <code>ANTHROPIC_AUTH_TOKEN</code>, the SDKs from <code>ANTHROPIC_API_KEY</code>.</p>
    <div class="dialog-tools">
      <${Copy} text=${made.key} label="Copy the key" small=${false} />
      <button type="button" class="primary" onClick=${onClose}>I have copied it</button>
    </div>
  <//>`;
}

/** Makes a key. `etag` is that of the list that the user saw. */
export function NewKey({ etag, onClose, onMade }) {
  const [draft, setDraft] = useState(() => draftOf(null));
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [made, setMade] = useState(null);

  async function make(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      setMade(await write("POST", "/api/keys", bodyOf(draft), etag));
      onMade();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  }

  if (made) return html`<${Made} made=${made} onClose=${onClose} />`;
  return html`<${Dialog} title="New key" onClose=${onClose}>
    <form class="form" onSubmit=${make}>
      <${KeyFields} draft=${draft} setDraft=${setDraft} />
      <${Changed} error=${error} what="A key was made or changed meanwhile. Close this form and open it again." />
      <div class="dialog-tools">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="primary" disabled=${isBusy || !draft.name.trim()}>Make the key</button>
      </div>
    </form>
  <//>`;
}

/** The error of a write; another change in between is explained. */
export function Changed({ error, what }) {
  return error?.status === 412 ? html`<${Notice} kind="warn">${what}<//>` : html`<${Problem} error=${error} />`;
}
