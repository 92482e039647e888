// The editor of policies: completion, problems as you type, a dry run, the cases, and saving.
import { get } from "../lib/api.js";
import { Diff } from "../lib/changes.js";
import { Code, completions } from "../lib/code.js";
import { Dialog } from "../lib/dialog.js";
import { draft, drop, keep, names as draftNames, revision } from "../lib/drafts.js";
import { TextField } from "../lib/fields.js";
import { check, load, save } from "../lib/files.js";
import { plural } from "../lib/format.js";
import { useLoad, useTitle } from "../lib/hooks.js";
import { html, useCallback, useEffect, useRef, useState } from "../lib/html.js";
import { Panel } from "../lib/panel.js";
import { go, link } from "../lib/router.js";
import { Badge, Empty, Head, Loading, Name, Notice, Problem } from "../lib/ui.js";
import { Cases, DryRun } from "./dryrun.js";

const TEMPLATE = "// Describe in one line what this policy does.\n\nfn on_request(request, ctx) {\n}\n";

// ── the list ──

function rowsOf(files) {
  const known = new Set(files.map((row) => row.name));
  const fresh = draftNames().filter((name) => !known.has(name));
  return [...fresh.map((name) => ({ name, isNew: true })), ...files];
}

function Item({ row, chosen, query }) {
  const isDraft = draft(row.name) !== null;
  return html`<li>
    <a href=${link("editor", [row.name], query)} aria-current=${row.name === chosen ? "page" : undefined}>
      <${Name} value=${row.name} most=${60} />
      ${isDraft && html` <${Badge} kind="warn">${row.isNew ? "new draft" : "draft"}<//>`}
      ${row.in_pipeline && html` <${Badge}>in use<//>`}
      ${row.is_library && html` <${Badge}>library<//>`}
    </a>
  </li>`;
}

const RIGHT_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** Asks for the name of a new policy, which begins with `text`. */
function NewPolicy({ taken, text = TEMPLATE, onClose }) {
  const [name, setName] = useState("");
  const isRight = RIGHT_NAME.test(name);
  const problem =
    name && !isRight ? "Expected up to 64 of a-z, 0-9, - and _, a letter or digit first." : taken.includes(name) ? "This name is in use." : null;
  function create(event) {
    event.preventDefault();
    if (!isRight || problem) return;
    keep(name, text, null);
    onClose();
    go(link("editor", [name]));
  }
  return html`<${Dialog} title="New policy" onClose=${onClose}>
    <form onSubmit=${create}>
      <${TextField} label="Name" value=${name} onInput=${setName} hint="The name of the file without .rhai." />
      ${problem && html`<p class="error" role="alert">${problem}</p>`}
      <div class="dialog-tools">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="primary" disabled=${!isRight || problem !== null}>Create the draft</button>
      </div>
    </form>
  <//>`;
}

function List({ files, chosen, query }) {
  const [isNew, setNew] = useState(false);
  // a change of a draft changes the marks of the list
  revision.value;
  const rows = rowsOf(files.rows);
  return html`<${Panel} title="Policies" tools=${html`<button type="button" class="small" onClick=${() => setNew(true)}>New…</button>`}>
    ${rows.length === 0 && html`<${Empty} title="There is no policy file">The config names their folder: <code>policies.dir</code>.<//>`}
    <nav aria-label="Policies"><ul class="files">${rows.map((row) => html`<${Item} key=${row.name} row=${row} chosen=${chosen} query=${query} />`)}</ul></nav>
    ${isNew && html`<${NewPolicy} taken=${rows.map((row) => row.name)} onClose=${() => setNew(false)} />`}
  <//>`;
}

// ── a file and its draft ──

/** Loads a file; a new policy has none. Returns the text to begin with; `file` is `null` if there is no such policy. */
async function opened(name, isNew, signal) {
  const kept = draft(name);
  if (isNew && kept === null) return { name, file: null };
  const file = isNew ? { name, text: "", cases: null, etag: null } : await load(name, signal);
  return { name, file, text: kept?.text ?? file.text, base: kept ? kept.etag : file.etag };
}

/** Warns before the browser leaves the page while a draft is not saved. */
function useLeaveWarning(isDirty) {
  useEffect(() => {
    if (!isDirty) return undefined;
    const warn = (event) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [isDirty]);
}

// ── conflicts ──

/** Shows both versions after a 412, and offers a way on. */
function Conflict({ name, mine, onTheirs, onMine, onClose }) {
  const theirs = useLoad((signal) => load(name, signal), [name]);
  return html`<${Dialog} title="The file has changed" kind="broad" onClose=${onClose}>
    <p><strong><${Name} value=${name} /></strong> was saved elsewhere after you opened it. Lines with − are in the file only, lines with + in your draft only.</p>
    <${Problem} error=${theirs.error} subject="the file" again=${theirs.reload} />
    ${theirs.data && html`<${Diff} before=${theirs.data.text} after=${mine} label="the file and your draft" />`}
    <div class="dialog-tools">
      <button type="button" onClick=${onClose}>Go on editing</button>
      <button type="button" disabled=${!theirs.data} onClick=${() => onTheirs(theirs.data)}>Take the file</button>
      <button type="button" class="danger" disabled=${!theirs.data} onClick=${() => onMine(theirs.data)}>Replace it with my draft</button>
    </div>
  <//>`;
}

// ── problems ──

function Problems({ problems, error, onGo }) {
  if (error) return html`<${Problem} error=${error} subject="problems" />`;
  if (problems === null) return html`<p class="problem-line faint" role="status">Checking…</p>`;
  if (problems.length === 0) return html`<p class="problem-line" role="status"><${Badge} kind="ok">no problem<//></p>`;
  return html`<div class="problem-line" role="status">
    <${Badge} kind="bad">${plural(problems.length, "problem")}<//>
    <ul class="problems">${problems.map(
      (it, n) => html`<li key=${n}><button type="button" class="link" onClick=${() => onGo(it)}>${it.line}:${it.column}</button> ${it.message}</li>`,
    )}</ul>
  </div>`;
}

// ── the editor of one policy ──

function Tools({ isDirty, canSave, isBusy, onSave, onRevert, onCopy, name }) {
  return html`<div class="tools">
    <button type="button" class="primary" disabled=${!canSave || !isDirty || isBusy} onClick=${onSave}>${isBusy ? "Saving…" : "Save"}</button>
    <button type="button" disabled=${!isDirty || isBusy} onClick=${onRevert}>Discard the draft</button>
    <button type="button" onClick=${onCopy}>Copy…</button>
    <a class="button" href=${link("playground", [], { policy: name })}>Try in the playground</a>
    <span class="faint keys">Tab indents; Esc, then Tab leaves the text. Ctrl+S saves, Ctrl+Space completes.</span>
  </div>`;
}

const REST = { isBusy: false, error: null, saved: null, isConflict: false };

function lines(problems) {
  return problems.map((it) => `${it.line}:${it.column} ${it.message}`).join("\n");
}

/** What became of a save. */
function Outcome({ saved, error }) {
  if (error?.problems) return html`<${Notice} kind="bad" title="Not saved">The text has ${plural(error.problems.length, "problem")}: the file is as it was.<//>`;
  if (error) return html`<${Problem} error=${error} subject="saving" />`;
  if (saved === null) return null;
  if (saved.problems?.length > 0) {
    return html`<${Notice} kind="warn" title="Saved, but not in use">
      The gateway goes on with generation ${saved.generation}, because the reload found problems:<pre class="text">${lines(saved.problems)}</pre><//>`;
  }
  return html`<${Notice} kind="ok">Saved. The gateway runs generation ${saved.generation}.<//>`;
}

/** Says why a policy cannot be saved, or what saving it means. */
function SaveNote({ row, isEditable }) {
  if (!isEditable) {
    return html`<${Notice} kind="info" title="Saving is off">
      <code>admin.edit: true</code> in the config turns it on. A draft can be checked, tried and tested all the same.<//>`;
  }
  if (!row?.is_library) return null;
  return row.in_pipeline
    ? html`<${Notice} kind="info">A shipped policy: saving writes a file with this name, which the gateway uses in its place.<//>`
    : html`<${Notice} kind="info" title="A shipped policy">It is read-only. Copy it to a name of your own to change it.<//>`;
}

function Opened({ start, row, taken, isEditable, definitions, exchange, onSaved }) {
  const { name } = start;
  const [file, setFile] = useState(start.file);
  const [base, setBase] = useState(start.base);
  const [text, setText] = useState(start.text);
  const [found, setFound] = useState({ problems: null, error: null });
  const [state, setState] = useState(REST);
  const [isUnkept, setUnkept] = useState(false);
  const [isCopying, setCopying] = useState(false);
  const handle = useRef(null);
  const isDirty = text !== file.text || base === null;
  useLeaveWarning(isDirty);

  function edit(next) {
    setText(next);
    setState((old) => (old.saved || old.error ? { ...old, saved: null, error: null } : old));
    if (next === file.text && base !== null) drop(name);
    else setUnkept(!keep(name, next, base));
  }

  const checkNow = useCallback(
    async (draftText) => {
      try {
        const problems = await check(name, draftText);
        setFound({ problems, error: null });
        return problems;
      } catch (error) {
        setFound({ problems: null, error });
        return [];
      }
    },
    [name],
  );

  async function write(version) {
    const mine = handle.current?.text() ?? text;
    setState({ ...REST, isBusy: true });
    try {
      const saved = await save(name, mine, version);
      setFile({ ...file, text: mine, etag: saved.etag });
      setBase(saved.etag);
      drop(name);
      setState({ ...REST, saved });
      onSaved();
    } catch (error) {
      if (error.problems) {
        setFound({ problems: error.problems, error: null });
        handle.current?.show(error.problems);
      }
      const isConflict = error.status === 412;
      setState({ ...REST, error: isConflict ? null : error, isConflict });
    }
  }

  function replace(next, etag) {
    setFile({ ...file, text: next, etag });
    setBase(etag);
    drop(name);
    setText(next);
    handle.current?.set(next);
    setState(REST);
  }

  function revert() {
    if (base !== null) return replace(file.text, file.etag);
    drop(name);
    return go(link("editor"));
  }

  const policy = () => ({ name, text: handle.current?.text() ?? text });
  const canSave = isEditable && (!row?.is_library || row.in_pipeline);
  const trySave = () => canSave && isDirty && !state.isBusy && write(base);
  return html`<div class="bench-side">
      <${Panel} title=${name} note=${isDirty ? "a draft in this tab, not saved" : "as saved"}>
        <${SaveNote} row=${row} isEditable=${isEditable} />
        <${Tools} isDirty=${isDirty} canSave=${canSave} isBusy=${state.isBusy} onSave=${trySave} onRevert=${revert} onCopy=${() => setCopying(true)} name=${name} />
        <${Code} class="tall" document=${name} text=${start.text} language="rhai" label=${`The policy ${name}`} indents handle=${handle}
          onChange=${edit} onSave=${trySave} check=${checkNow} complete=${definitions} />
        ${isUnkept && html`<${Notice} kind="warn">The browser has no room for the draft: it is lost if this page is closed.<//>`}
        <${Outcome} saved=${state.saved} error=${state.error} />
        <${Problems} problems=${found.problems} error=${found.error} onGo=${(it) => handle.current?.goto(it.line, it.column)} />
      <//>
      ${isCopying && html`<${NewPolicy} taken=${taken} text=${policy().text} onClose=${() => setCopying(false)} />`}
      ${state.isConflict &&
      html`<${Conflict} name=${name} mine=${text} onClose=${() => setState((old) => ({ ...old, isConflict: false }))}
        onTheirs=${(theirs) => replace(theirs.text, theirs.etag)} onMine=${(theirs) => write(theirs.etag)} />`}
    </div>
    <div class="bench-side">
      <${DryRun} policy=${policy} first=${exchange} />
      <${Cases} policy=${policy} hasFile=${row?.has_cases === true} text=${file.cases} />
    </div>`;
}

function Open({ name, row, taken, query, isEditable, definitions, onSaved }) {
  const isNew = row === undefined;
  const start = useLoad((signal) => opened(name, isNew, signal), [name]);
  if (start.error) return html`<div class="bench-side"><${Problem} error=${start.error} subject="the policy" again=${start.reload} /></div>`;
  if (start.data?.name !== name) return html`<div class="bench-side"><${Loading} lines=${8} /></div>`;
  if (start.data.file === null) return html`<${Empty} title="There is no such policy"><a href="#/editor">Choose another one</a>.<//>`;
  return html`<${Opened} key=${name} start=${start.data} row=${row} taken=${taken} isEditable=${isEditable} definitions=${definitions}
    exchange=${query.exchange} onSaved=${onSaved} />`;
}

/** The source of completions; without the route there are none. */
function useDefinitions() {
  const loaded = useLoad((signal) => get("/api/definitions", {}, signal), []);
  const rows = useRef([]);
  rows.current = loaded.data?.rows ?? [];
  return useCallback((context) => completions(rows.current)(context), []);
}

/** The view. */
export function Editor({ parts, query }) {
  const [name] = parts;
  useTitle(name ? `${name} · Editor` : "Editor");
  const files = useLoad((signal) => get("/api/files", {}, signal), []);
  const definitions = useDefinitions();
  const kept = query.exchange ? { exchange: query.exchange } : {};
  const row = files.data?.rows.find((it) => it.name === name);
  return html`<${Head} title="Editor" note="The policies of the gateway: write, check, try, test and save." />
    ${files.data === null && (files.error ? html`<${Problem} error=${files.error} subject="the editor" again=${files.reload} />` : html`<${Loading} />`)}
    ${files.data !== null && html`<div class="workbench">
      <${List} files=${files.data} chosen=${name} query=${kept} />
      <div class="bench">
        ${name
          ? html`<${Open} key=${name} name=${name} row=${row} taken=${rowsOf(files.data.rows).map((it) => it.name)} query=${query} isEditable=${files.data.is_editable} definitions=${definitions}
              onSaved=${files.reload} />`
          : html`<${Empty} title="No policy is open">Choose one of the list, or create one.<//>`}
      </div>
    </div>`}`;
}

export default Editor;
