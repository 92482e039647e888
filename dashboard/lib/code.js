// An editor of code: CodeMirror in a shadow root, where its styles pass the content security policy.
import { html, useEffect, useRef, useState } from "./html.js";
import { rhai } from "./rhai.js";

let loading = null;

/** Loads CodeMirror once, when the first editor appears. */
function codemirror() {
  loading ??= import("../vendor/codemirror.js").catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

// the colours come from the page, through properties that a shadow root inherits
function theme(cm) {
  const t = cm.tags;
  const colours = cm.HighlightStyle.define([
    { tag: t.keyword, color: "light-dark(#8a1c7c, #e7a3e4)" },
    { tag: [t.string, t.special(t.string)], color: "light-dark(#14622d, #93d9a4)" },
    { tag: [t.number, t.bool, t.atom, t.null], color: "light-dark(#854600, #eab676)" },
    { tag: t.comment, color: "light-dark(#56606b, #a3adb8)", fontStyle: "italic" },
    { tag: [t.propertyName, t.definition(t.propertyName)], color: "light-dark(#0a5a6e, #86d6e8)" },
    { tag: [t.definition(t.variableName), t.function(t.variableName)], color: "light-dark(#0b53a0, #8cc0ff)" },
  ]);
  const look = cm.EditorView.theme({
    "&": {
      color: "light-dark(#1b1f24, #e6e9ed)",
      backgroundColor: "light-dark(#ffffff, #14171c)",
      border: "1px solid light-dark(#868e97, #6b7480)",
      borderRadius: "6px",
      fontSize: "13px",
      height: "100%",
    },
    "&.cm-focused": { outline: "2px solid var(--accent, light-dark(#0b53a0, #8cc0ff))", outlineOffset: "1px" },
    ".cm-scroller": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace", overflow: "auto" },
    ".cm-content": { caretColor: "light-dark(#000, #fff)" },
    ".cm-cursor": { borderLeftColor: "light-dark(#000, #fff)" },
    ".cm-gutters": {
      color: "light-dark(#56606b, #a3adb8)",
      backgroundColor: "light-dark(#f3f5f7, #1b1f26)",
      borderRight: "1px solid light-dark(#d3d8de, #333a44)",
    },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "light-dark(#0b53a00f, #8cc0ff14)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
      background: "light-dark(#b9d6fb, #2d4a70)",
    },
    ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "light-dark(#cfe8cf, #2f5236)" },
    ".cm-specialChar": { color: "light-dark(#a3132a, #ffa3ad)" },
    ".cm-tooltip, .cm-panels": {
      color: "light-dark(#1b1f24, #e6e9ed)",
      backgroundColor: "light-dark(#ffffff, #20252d)",
      border: "1px solid light-dark(#868e97, #6b7480)",
    },
    ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
      color: "#ffffff",
      background: "light-dark(#0b53a0, #1f5fa8)",
    },
    ".cm-completionInfo": { maxWidth: "min(24rem, 60vw)", whiteSpace: "pre-wrap" },
    ".cm-diagnostic-error": { borderLeftColor: "light-dark(#c3192f, #ff7b89)" },
    ".cm-button, .cm-textfield": {
      color: "inherit",
      background: "light-dark(#f3f5f7, #2a303a)",
      border: "1px solid light-dark(#868e97, #6b7480)",
    },
    ".cm-panel label": { fontSize: "13px" },
  });
  return [cm.syntaxHighlighting(colours), look];
}

/** Shows a character that has no shape, or that turns the direction of text, by its number. */
function special(code) {
  const shown = document.createElement("span");
  const number = code.toString(16).toUpperCase().padStart(4, "0");
  shown.className = "cm-specialChar";
  shown.textContent = `U+${number}`;
  shown.title = `The character U+${number}`;
  return shown;
}

function language(cm, name) {
  if (name === "json") return [cm.json()];
  if (name === "yaml") return [cm.StreamLanguage.define(cm.yaml)];
  if (name === "rhai") return [cm.StreamLanguage.define(rhai), cm.indentUnit.of("    ")];
  return [];
}

/** Returns the offset of a line and a column, both from 1. A column counts characters, not UTF-16 units. */
export function offset(text, line, column) {
  const at = text.line(Math.min(Math.max(1, line ?? 1), text.lines));
  let units = 0;
  let left = Math.max(1, column ?? 1) - 1;
  for (const letter of at.text) {
    if (left === 0) break;
    units += letter.length;
    left -= 1;
  }
  return at.from + units;
}

function diagnostics(state, problems) {
  const text = state.doc;
  return problems.map(({ line, column, message }) => {
    const from = offset(text, line, column);
    const rest = text.lineAt(from).text.slice(from - text.lineAt(from).from);
    const length = /^[\w]+/.exec(rest)?.[0].length ?? (rest ? 1 : 0);
    return { from, to: from + length, severity: "error", message };
  });
}

function info(row) {
  return () => {
    const shown = document.createElement("div");
    shown.textContent = [row.signature, row.help].filter(Boolean).join("\n\n");
    return shown;
  };
}

// the names of parameters without their types: `on_text(text: String, ctx: Ctx) -> ?` → `on_text(text, ctx)`
function head(row) {
  const inside = /\(([^)]*)\)/.exec(row.signature ?? "")?.[1] ?? "";
  const names = inside.split(",").map((it) => it.split(":")[0].trim()).filter(Boolean);
  return `${row.name}(${names.join(", ")})`;
}

const isHook = (row) => row.kind === "function" && (row.section === "Hooks" || /^on_[a-z_]+$/.test(row.name));

function option(row) {
  const label = row.name.split(".").at(-1);
  const type = { function: "function", field: "property" }[row.kind] ?? "variable";
  const apply = isHook(row) ? head(row) : row.kind === "function" ? `${label}(` : label;
  return { label, type, detail: row.returns ?? "", info: info(row), apply };
}

// the names that the text itself defines
function locals(text) {
  const names = new Set();
  for (const [, name] of text.matchAll(/\b(?:let|const|fn|for)\s+([A-Za-z_]\w*)/g)) names.add(name);
  for (const [, inside] of text.matchAll(/\bfn\s+\w+\s*\(([^)]*)\)/g)) {
    for (const name of inside.split(",")) if (/^\s*[A-Za-z_]\w*\s*$/.test(name)) names.add(name.trim());
  }
  return [...names].map((label) => ({ label, type: "variable" }));
}

function unique(options) {
  const seen = new Map();
  for (const it of options) if (!seen.has(it.label)) seen.set(it.label, it);
  return [...seen.values()];
}

/** Returns a source of completions from the rows of `/api/definitions`. */
export function completions(rows) {
  return (context) => {
    const field = context.matchBefore(/\b(\w+)\??\.\w*/);
    const start = context.matchBefore(/\w+/);
    if (!field && !start && !context.explicit) return null;
    const from = start ? start.from : context.pos;
    if (!field) {
      const isHead = /\bfn\s+$/.test(context.state.sliceDoc(Math.max(0, from - 12), from));
      const named = rows.filter((row) => row.kind !== "field" && isHook(row) === isHead).map(option);
      return { from, options: unique([...named, ...locals(context.state.sliceDoc())]), validFor: /^\w*$/ };
    }
    const parent = field.text.split(/\??\./)[0];
    const fields = rows.filter((row) => row.kind === "field");
    const of = fields.filter((row) => row.section === parent || row.signature?.startsWith(`${parent}.`));
    return { from, options: unique((of.length > 0 ? of : fields).map(option)), validFor: /^\w*$/ };
  };
}

// A browser that replaces coloured text itself adds inline styles, which the content security policy reports.
function replaced(cm, event, view) {
  const { main } = view.state.selection;
  if (event.inputType !== "insertText" || !event.data || main.empty || view.composing || view.state.readOnly) return false;
  event.preventDefault();
  const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  const handlers = view.state.facet(cm.EditorView.inputHandler);
  if (!handlers.some((handle) => handle(view, main.from, main.to, event.data, insert))) view.dispatch(insert());
  return true;
}

function jsonProblems(cm) {
  const parse = cm.jsonParseLinter();
  return (view) => (view.state.doc.length === 0 ? [] : parse(view));
}

function extensions(cm, options) {
  const { EditorView, keymap } = cm;
  const saves = { key: "Mod-s", preventDefault: true, run: () => (options.current.onSave?.(), true) };
  const on = [
    cm.lineNumbers(),
    cm.history(),
    cm.drawSelection(),
    cm.highlightSpecialChars({ render: special }),
    cm.bracketMatching(),
    cm.indentOnInput(),
    cm.highlightActiveLine(),
    cm.highlightActiveLineGutter(),
    cm.search({ top: true }),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": options.current.label, spellcheck: "false", tabindex: "0" }),
    EditorView.domEventHandlers({ beforeinput: (event, view) => replaced(cm, event, view) }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) options.current.onChange?.(update.state.sliceDoc());
    }),
    ...language(cm, options.current.language),
    ...theme(cm),
  ];
  if (options.current.isReadOnly) {
    // the content stays in the order of Tab, so that it can be scrolled and searched with keys
    on.push(cm.EditorState.readOnly.of(true), keymap.of([...cm.searchKeymap, ...cm.defaultKeymap]));
    return on;
  }
  on.push(cm.closeBrackets(), cm.lintGutter());
  if (options.current.complete) on.push(cm.autocompletion({ override: [(context) => options.current.complete(context)] }));
  if (options.current.check) on.push(cm.linter((view) => checked(view, options), { delay: 300 }));
  else if (options.current.language === "json") on.push(cm.linter(jsonProblems(cm), { delay: 300 }));
  const keys = [saves, ...cm.closeBracketsKeymap, ...cm.completionKeymap, ...cm.lintKeymap, ...cm.searchKeymap];
  on.push(keymap.of([...keys, ...cm.historyKeymap, ...cm.defaultKeymap]));
  if (options.current.indents) on.push(keymap.of([cm.indentWithTab]));
  return on;
}

// an answer that arrives after further edits belongs to a text that is gone: CodeMirror drops it
async function checked(view, options) {
  const problems = await options.current.check(view.state.sliceDoc());
  return diagnostics(view.state, problems ?? []);
}

function remote(cm, view) {
  return {
    text: () => view.state.sliceDoc(),
    set(text) {
      if (text === view.state.sliceDoc()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    show(problems) {
      view.dispatch(cm.setDiagnostics(view.state, diagnostics(view.state, problems)));
    },
    goto(line, column) {
      const at = offset(view.state.doc, line, column);
      view.dispatch({ selection: { anchor: at }, scrollIntoView: true });
      view.focus();
    },
    recheck: () => cm.forceLinting(view),
    focus: () => view.focus(),
  };
}

/**
 * An editor. `text` is its first text; a new `document` (any value) begins with `text` anew.
 * `label` names it for screen readers; `language` is `rhai`, `json`, `yaml` or nothing; `check(text)` returns problems
 * with line and column; `complete` is a source of completions; `handle` (a ref) receives `text`, `set`, `show`, `goto`,
 * `recheck` and `focus`; `indents`: Tab indents, and Escape before Tab leaves the editor.
 */
export function Code(props) {
  const host = useRef(null);
  const options = useRef(props);
  options.current = props;
  const [failure, setFailure] = useState(null);
  const [isReady, setReady] = useState(false);
  const { document: key, isReadOnly, language: kind, label, indents } = props;
  useEffect(() => {
    let view = null;
    let isGone = false;
    const { handle } = options.current;
    codemirror().then(
      (cm) => {
        if (isGone) return;
        const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
        const state = cm.EditorState.create({ doc: options.current.text, extensions: extensions(cm, options) });
        view = new cm.EditorView({ state, root, parent: root });
        // the heights of lines are known once the styles of the shadow root are in use
        requestAnimationFrame(() => view?.requestMeasure());
        if (handle) handle.current = remote(cm, view);
        setReady(true);
      },
      (error) => setFailure(error),
    );
    return () => {
      isGone = true;
      if (handle) handle.current = null;
      view?.destroy();
      view = null;
    };
  }, [key, isReadOnly, kind, label, indents]);
  if (failure) return html`<p class="error" role="alert">The editor could not be loaded: ${failure.message}</p>`;
  return html`<div class="code ${props.class ?? ""}" aria-busy=${!isReady}><div class="code-host" ref=${host}></div></div>`;
}
