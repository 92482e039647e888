// The frame of every view: navigation, the state of the gateway, theme and zone, keys of the keyboard.
import { call } from "./api.js";
import { Confirm, Dialog } from "./dialog.js";
import { clip } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { leave, link, place, reasonToStay, wanted } from "./router.js";
import { moveRow } from "./table.js";
import { setTheme, setZone, status, theme, zone, zones } from "./store.js";
import { Badge, Notice } from "./ui.js";

const GROUPS = [
  ["Watch", [["overview", "Overview", "o"], ["requests", "Requests", "r"], ["prompts", "Prompt cache", "c"]]],
  ["Serve", [["targets", "Targets", "t"], ["policies", "Policies and plugins", "p"]]],
  ["Access", [["keys", "Keys", "k"], ["limits", "Limits and budgets", "l"]]],
  ["Try", [["playground", "Playground", "y"], ["editor", "Policy editor", "e"]]],
  ["Run", [["generation", "Configuration", "g"], ["audit", "Audit log", "a"]]],
];

const ICONS = {
  overview: "M3 13h4l2-7 4 11 2-6 1 2h5",
  requests: "M4 6h16M4 12h16M4 18h10",
  prompts: "M4 7c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zM4 7v10c0 1.7 3.6 3 8 3s8-1.3 8-3V7M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  targets: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
  policies: "M4 5h10M18 5h2M4 12h2M10 12h10M4 19h10M18 19h2M16 3v4M8 10v4M16 17v4",
  keys: "M8 15a4 4 0 1 1 3.5-6H21v4h-3v3h-4v-3h-2.5A4 4 0 0 1 8 15z",
  limits: "M4 18a8 8 0 1 1 16 0M12 18l4-6",
  playground: "M4 5h16v11H9l-5 4z",
  editor: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  generation: "M20 11a8 8 0 0 0-14-4L4 9M4 4v5h5M4 13a8 8 0 0 0 14 4l2-2M20 20v-5h-5",
  audit: "M6 3h9l4 4v14H6zM9 11h7M9 15h7",
};

function Icon({ name }) {
  return html`<svg class="nav-icon" viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

/** The mark of the gateway. */
export function Mark() {
  return html`<svg class="brand-mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M5 13c3.7 0 3.7 3 7.3 3s3.7-3 7.4-3 3.6 3 7.3 3M5 20c3.7 0 3.7 3 7.3 3s3.7-3 7.4-3 3.6 3 7.3 3" />
  </svg>`;
}

const STATES = { ready: ["ok", "ready"], unready: ["warn", "not ready"], draining: ["warn", "draining"] };

function GatewayState() {
  const { data, error } = status.value;
  if (!data) return html`<span class="gateway"><${Badge} kind=${error ? "bad" : "busy"}>${error ? "unreachable" : "connecting"}<//></span>`;
  const [kind, word] = error ? ["bad", "unreachable"] : STATES[data.state] ?? ["info", data.state];
  return html`<a class="gateway" href="#/generation" title=${`Generation ${data.generation}, version ${data.version}`}>
    <${Badge} kind=${kind}>${word}<//><span class="faint">${clip(data.version, 16)} · gen ${data.generation}</span>
  </a>`;
}

function Zone() {
  return html`<label class="side-field"><span>Time zone</span>
    <select value=${zone.value} onChange=${(event) => setZone(event.currentTarget.value)}>
      ${zones().map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
  </label>`;
}

function Theme() {
  return html`<label class="side-field"><span>Theme</span>
    <select value=${theme.value} onChange=${(event) => setTheme(event.currentTarget.value)}>
      <option value="system">System</option><option value="light">Light</option><option value="dark">Dark</option>
    </select>
  </label>`;
}

async function signOut() {
  await call("/logout", { method: "POST" }).catch(() => null);
  location.assign("/login");
}

function Nav({ isOpen, close, openKeys }) {
  return html`<nav class=${isOpen ? "side open" : "side"} id="side" aria-label="Views">
    <a class="brand" href="#/overview"><${Mark} /><span>Tidegate</span></a>
    <div class="side-scroll">
      ${GROUPS.map(([group, items]) => html`<div class="side-group" key=${group}>
        <h2>${group}</h2>
        <ul>${items.map(([name, text]) => html`<li key=${name}>
          <a href=${link(name)} aria-current=${place.value.name === name ? "page" : undefined} onClick=${close}><${Icon} name=${name} />${text}</a>
        </li>`)}</ul>
      </div>`)}
    </div>
    <div class="side-foot">
      <${GatewayState} />
      <${Zone} /><${Theme} />
      <div class="side-actions">
        <button type="button" class="quiet small" onClick=${openKeys}>Keyboard <kbd>?</kbd></button>
        <button type="button" class="quiet small" onClick=${signOut}>Sign out</button>
      </div>
    </div>
  </nav>`;
}

function KeysHelp({ onClose }) {
  const rows = [["/", "focus the filter"], ["j  k", "next and previous row"], ["Enter", "open the row"], ["Esc", "close, or leave a field"], ["?", "this list"]];
  const views = GROUPS.flatMap(([, items]) => items).map(([, text, letter]) => [`g ${letter}`, text]);
  const list = (pairs) => html`<dl class="keys-help">${pairs.map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl>`;
  return html`<${Dialog} title="Keyboard" onClose=${onClose}><div class="keys-columns">${list(rows)}${list(views)}</div><//>`;
}

const VIEW_OF_LETTER = new Map(GROUPS.flatMap(([, items]) => items.map(([name, , letter]) => [letter, name])));

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable], .editor") || target.shadowRoot;
}

/** The keys that work everywhere, except while the user types. */
function useKeys(actions) {
  useEffect(() => {
    let isAfterG = false;
    function onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.key === "Escape") {
        actions.close();
        if (isTyping(event.target)) event.target.blur();
        return;
      }
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const wasAfterG = isAfterG;
      isAfterG = event.key === "g" && !wasAfterG;
      if (wasAfterG && VIEW_OF_LETTER.has(event.key)) location.hash = link(VIEW_OF_LETTER.get(event.key));
      else if (event.key === "/") document.querySelector("main [data-filter]")?.focus();
      else if (event.key === "j") moveRow(1);
      else if (event.key === "k") moveRow(-1);
      else if (event.key === "?") actions.openKeys();
      else return;
      event.preventDefault();
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

function Warnings() {
  const { data, error } = status.value;
  if (error && error.status !== 401) {
    const cause = error.status ? `The gateway answers with an error: ${error.message}.` : "The gateway cannot be reached.";
    return html`<${Notice} kind="bad">${cause} The page shows the last data.<//>`;
  }
  if (data?.state === "draining") return html`<${Notice} kind="warn">The gateway drains: it takes no new requests, and <a href="#/generation">stops after the running ones</a>.<//>`;
  const lost = data?.ledger?.is_on && data.ledger.failures > 0 && data.ledger.waiting > 1000;
  return lost ? html`<${Notice} kind="warn">The database of the ledger is slow or away: ${data.ledger.waiting} exchanges wait in memory.<//>` : null;
}

/** The frame around a view. */
export function Shell({ children }) {
  const [isOpen, setOpen] = useState(false);
  const [hasKeys, setKeys] = useState(false);
  useKeys({ close: () => setOpen(false), openKeys: () => setKeys(true) });
  const toMain = (event) => {
    event.preventDefault();
    document.querySelector("main h1")?.focus();
  };
  return html`
    <a class="skip" href="#main" onClick=${toMain}>Skip to the content</a>
    <header class="top">
      <button type="button" class="icon" aria-expanded=${isOpen} aria-controls="side" aria-label="Menu" onClick=${() => setOpen(!isOpen)}>☰</button>
      <a class="brand" href="#/overview"><${Mark} /><span>Tidegate</span></a>
      <${GatewayState} />
    </header>
    <${Nav} isOpen=${isOpen} close=${() => setOpen(false)} openKeys=${() => setKeys(true)} />
    ${isOpen && html`<div class="veil" onClick=${() => setOpen(false)}></div>`}
    <main id="main"><${Warnings} />${children}</main>
    ${hasKeys && html`<${KeysHelp} onClose=${() => setKeys(false)} />`}
    ${wanted.value != null &&
    html`<${Confirm} title="Leave this page?" action="Leave" act=${() => leave(wanted.value)} onClose=${() => (wanted.value = null)}>
      <p>${reasonToStay()}</p>
    <//>`}
  `;
}
