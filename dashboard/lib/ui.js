// Small parts of every view: badges, key-values, cut texts, empty states, notices, copy buttons, the age of data.
import { ago, clip, clock, dateTime, day, exactUsd, money, nano, plain } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { clockOffset, now, zone } from "./store.js";

const MARKS = { ok: "✓", warn: "!", bad: "✕", busy: "…", off: "○", info: "i" };

/** A state as colour, mark and word. `kind`: `ok`, `warn`, `bad`, `busy`, `off`, `info`; `plain` has no mark. */
export function Badge({ kind = "plain", children, title }) {
  return html`<span class=${`badge ${kind}`} title=${title}>
    ${MARKS[kind] && html`<span class="mark" aria-hidden="true">${MARKS[kind]}</span>`}${children}
  </span>`;
}

/** A name that others chose, cut in the middle of nowhere at `most` characters; the whole is its title. */
export function Name({ value, none = "–", most = 80, mono = false }) {
  if (value == null || value === "") return html`<span class="faint">${none}</span>`;
  const text = String(value);
  const shown = clip(text, most);
  return html`<span class=${mono ? "name mono" : "name"} title=${shown === text ? undefined : text}>${shown}</span>`;
}

const CUT = 2048;

/** A text of any length: 2 KB of it, with a button for the rest. `load` fetches the whole if `value` is a part only. */
export function Long({ value, load, label = "the whole text", mono = true }) {
  const [whole, setWhole] = useState(null);
  const [isOpen, setOpen] = useState(false);
  const [error, setError] = useState(null);
  const text = whole ?? value ?? "";
  const isLong = text.length > CUT || (load && whole == null);
  const shown = isOpen || !isLong ? text : text.slice(0, CUT);

  async function toggle() {
    if (!isOpen && load && whole == null) {
      try {
        setWhole(await load());
      } catch (failure) {
        setError(failure);
        return;
      }
    }
    setOpen(!isOpen);
  }

  return html`<div class="long">
    <pre class=${mono ? "text" : "text prose"} tabindex="0" aria-label=${label}>${shown}${isLong && !isOpen && "…"}</pre>
    ${(isLong || isOpen) &&
    html`<button type="button" class="small" onClick=${toggle} aria-expanded=${isOpen}>
      ${isOpen ? "Show less" : load && whole == null ? "Show all" : `Show all ${text.length.toLocaleString("en-US")} characters`}
    </button>`}
    ${error && html`<${Problem} error=${error} />`}
  </div>`;
}

/** Pairs of a term and its value: `rows` is a list of `[term, value, hint]`; rows without a value are left out. */
export function Pairs({ rows, wide = false }) {
  return html`<dl class=${wide ? "pairs wide" : "pairs"}>
    ${rows
      .filter(([, value]) => value !== undefined && value !== null && value !== false && value !== "")
      .map(([term, value, hint]) => html`<div key=${term}><dt title=${hint}>${term}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** A list or a chart without content says why, and offers the way out. */
export function Empty({ title, children }) {
  return html`<div class="empty">
    <svg viewBox="0 0 64 24" width="64" height="24" aria-hidden="true" class="wave">
      <path d="M2 9c7.5 0 7.5 6 15 6s7.5-6 15-6 7.5 6 15 6 7.5-6 15-6" />
    </svg>
    <p class="empty-title">${title}</p>
    ${children && html`<div class="empty-text">${children}</div>`}
  </div>`;
}

/** A message that stays until its cause is gone. */
export function Notice({ kind = "info", title, children, role }) {
  return html`<div class=${`notice ${kind}`} role=${role ?? (kind === "bad" ? "alert" : "status")}>
    <span class="mark" aria-hidden="true">${MARKS[kind]}</span>
    <div>${title && html`<strong>${title}</strong>`}<div>${children}</div></div>
  </div>`;
}

/** Whether a gateway without a ledger refused the request. */
export function isWithoutLedger(error) {
  return error.status === 404 && error.message.startsWith("there is no ledger");
}

/** An error of the API in words. A route that this gateway does not have is no alarm. */
export function Problem({ error, subject = "this", again }) {
  if (!error) return null;
  if (isWithoutLedger(error)) {
    return html`<${Empty} title="The ledger is off">With <code>ledger</code> in the config the gateway records requests, their cost and the writes of operators. It is on by default.<//>`;
  }
  const retry = again && html` <button type="button" class="small" onClick=${again}>Try again</button>`;
  if (error.status === 404 && error.type === "not_found_error" && /route|path/.test(error.message)) {
    return html`<${Notice} kind="warn">This gateway's version cannot show ${subject}: ${error.message}.${retry}<//>`;
  }
  const cause = error.status ? `${error.message} (${error.status} ${error.type ?? ""})` : error.message;
  return html`<${Notice} kind="bad">${cause}${retry}<//>`;
}

/** The lines of a page while its first data is on the way. */
export function Loading({ lines = 4 }) {
  return html`<div class="loading" role="status" aria-label="Loading">
    ${Array.from({ length: lines }, (_, n) => html`<div key=${n} class="bone"></div>`)}
  </div>`;
}

/** Loading, an error without data, or the content. */
export function Loaded({ from, subject, lines, children }) {
  if (from.data != null) {
    return html`${from.error && html`<${Problem} error=${from.error} subject=${subject} again=${from.reload} />`}${children(from.data)}`;
  }
  return from.error
    ? html`<${Problem} error=${from.error} subject=${subject} again=${from.reload} />`
    : html`<${Loading} lines=${lines} />`;
}

/** A button that copies a text; `text` may be a function, also one that loads it. */
export function Copy({ text, label = "Copy", done = "Copied", small = true, title }) {
  const [state, setState] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  async function copy() {
    try {
      await navigator.clipboard.writeText(await (typeof text === "function" ? text() : text));
      setState(done);
    } catch {
      setState("The browser did not allow it");
    }
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setState(""), 2000);
  }
  return html`<button type="button" class=${small ? "small copy" : "copy"} onClick=${copy} title=${title}>
    <span aria-live="polite">${state || label}</span>
  </button>`;
}

/** A time in the chosen zone; the title has the zone and the UTC time. */
export function Time({ at, show = dateTime }) {
  if (!at) return html`<span class="faint">–</span>`;
  const utc = new Date(at);
  if (Number.isNaN(utc.getTime())) return html`<span>${plain(String(at))}</span>`;
  const title = `${dateTime(at, zone.value)} ${zone.value} · ${utc.toISOString()}`;
  return html`<time datetime=${utc.toISOString()} title=${title}>${show(at, zone.value)}</time>`;
}

/** A moment in a list: the time of day, with the date if it is not today. */
export function shortTime(at, zoneName) {
  return day(at, zoneName) === day(now.peek(), zoneName) ? clock(at, zoneName) : dateTime(at, zoneName).slice(5);
}

/** How long ago a moment of the gateway's clock was. */
export function Since({ at }) {
  const passed = now.value + clockOffset.value - Date.parse(at);
  return html`<${Time} at=${at} show=${() => ago(Math.max(0, passed))} />`;
}

/** The age of the shown data and its source: `live · now`. `at` is a time of the browser's clock. */
export function Age({ at, source }) {
  const age = at ? Math.max(0, now.value - at) : null;
  const isOld = age != null && age > 30_000;
  return html`<span class=${isOld ? "age old" : "age"}>
    ${source && html`<span>${source}</span>`}<span>${age == null ? "no data yet" : isOld ? `not updated for ${ago(age).replace(" ago", "")}` : ago(age)}</span>
  </span>`;
}

/** The cost of an exchange in its states: priced, estimated, in part without a price, unknown. */
export function Cost({ row }) {
  const value = nano(row.cost_usd);
  const exact = value == null ? "" : `$${exactUsd(value)}`;
  switch (row.cost_state) {
    case "priced":
      return html`<span title=${exact}>${money(row.cost_usd)}</span>`;
    case "estimated":
      return html`<span title=${`${exact}, from estimated tokens`}>≈ ${money(row.cost_usd)}</span>`;
    case "unmetered":
      return html`<span class="faint" title="the upstream's answer does not name its cost">not metered</span>`;
    default:
      return html`<span title=${`${row.unpriced_tokens} tokens have no price`}>
        ${value == null ? "" : `${money(row.cost_usd)} + `}<span class="warn-text">no price</span>
      </span>`;
  }
}

/** A bar of a share, with its text beside it. */
export function Meter({ share, kind = "", label }) {
  const width = `${Math.min(100, Math.max(0, share * 100))}%`;
  return html`<span class=${`meter ${kind}`} role="meter" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(Math.min(100, share * 100))} aria-label=${label}>
    <span style=${{ width }}></span>
  </span>`;
}

/** The head of a view: its title, a sentence, and controls at the right. */
export function Head({ title, note, children }) {
  return html`<header class="head">
    <div class="head-text"><h1 tabindex="-1">${title}</h1>${note && html`<p class="note">${note}</p>`}</div>
    ${children && html`<div class="head-tools">${children}</div>`}
  </header>`;
}

/** A box with a title. */
export function Card({ title, note, tools, children, kind = "" }) {
  return html`<section class=${`card ${kind}`}>
    ${(title || note || tools) &&
    html`<div class="card-head">
      <h2>${title}</h2>${note && html`<p class="note">${note}</p>`}${tools && html`<div class="card-tools">${tools}</div>`}
    </div>`}
    ${children}
  </section>`;
}
