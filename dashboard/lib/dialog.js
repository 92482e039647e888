// Dialogs: a box over the page, and a question before a change that cannot be undone.
import { html, useEffect, useId, useRef, useState } from "./html.js";
import { Problem } from "./ui.js";

/** A modal dialog. `Esc`, the close button and a click outside call `onClose`, unless `isHeld`. */
export function Dialog({ title, onClose, children, isHeld = false, kind = "" }) {
  const box = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.focus?.();
  }, []);
  function onCancel(event) {
    event.preventDefault();
    if (!isHeld) onClose();
  }
  function onClick(event) {
    if (event.target === box.current && !isHeld) onClose();
  }
  return html`<dialog ref=${box} class=${`dialog ${kind}`} aria-labelledby=${id} onCancel=${onCancel} onClick=${onClick}>
    <div class="dialog-inside">
      <div class="dialog-head">
        <h2 id=${id}>${title}</h2>
        ${!isHeld && html`<button type="button" class="icon" aria-label="Close" onClick=${onClose}>✕</button>`}
      </div>
      ${children}
    </div>
  </dialog>`;
}

/** Asks before `act` runs; shows its error, and closes after its success. */
export function Confirm({ title, children, action, act, onClose, isDangerous = true }) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  async function run() {
    setBusy(true);
    setError(null);
    try {
      await act();
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="dialog-text">${children}</div>
    <${Problem} error=${error} />
    <div class="dialog-tools">
      <button type="button" onClick=${onClose}>Cancel</button>
      <button type="button" class=${isDangerous ? "danger" : "primary"} disabled=${isBusy} onClick=${run}>${isBusy ? "Working…" : action}</button>
    </div>
  <//>`;
}
