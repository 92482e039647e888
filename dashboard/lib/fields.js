// Labelled fields of forms.
import { html, useId } from "./html.js";

/** A label with a hint, and the control that `children(id, hintId)` returns. */
export function Field({ label, hint, children, kind = "" }) {
  const id = useId();
  const hintId = `${id}-hint`;
  return html`<div class=${`field ${kind}`}>
    <label for=${id}>${label}</label>
    ${children(id, hint ? hintId : undefined)}
    ${hint && html`<p class="hint" id=${hintId}>${hint}</p>`}
  </div>`;
}

/** A text of one line; `options` are offered and not enforced. */
export function TextField({ label, hint, value, onInput, options, ...more }) {
  return html`<${Field} label=${label} hint=${hint}>
    ${(id, hintId) => html`<input id=${id} type="text" value=${value} list=${options ? `${id}-list` : undefined} spellcheck=${false}
        autocomplete="off" aria-describedby=${hintId} onInput=${(event) => onInput(event.currentTarget.value)} ...${more} />
      ${options && html`<datalist id=${`${id}-list`}>${options.map((it) => html`<option key=${it} value=${it}></option>`)}</datalist>`}`}
  <//>`;
}

/** A choice: `options` is a list of `[value, text]`. */
export function SelectField({ label, hint, value, onChange, options, ...more }) {
  return html`<${Field} label=${label} hint=${hint}>
    ${(id, hintId) => html`<select id=${id} value=${value} aria-describedby=${hintId}
      onChange=${(event) => onChange(event.currentTarget.value)} ...${more}>
      ${options.map(([it, text]) => html`<option key=${it} value=${it}>${text}</option>`)}
    </select>`}
  <//>`;
}

/** A text of several lines. */
export function AreaField({ label, hint, value, onInput, rows = 4, ...more }) {
  return html`<${Field} label=${label} hint=${hint} kind="wide">
    ${(id, hintId) => html`<textarea id=${id} rows=${rows} value=${value} aria-describedby=${hintId} spellcheck=${false}
      onInput=${(event) => onInput(event.currentTarget.value)} ...${more}></textarea>`}
  <//>`;
}

/** A box to tick. */
export function TickField({ label, value, onChange }) {
  return html`<label class="check">
    <input type="checkbox" checked=${value} onChange=${(event) => onChange(event.currentTarget.checked)} /> ${label}
  </label>`;
}
