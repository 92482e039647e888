// Filters: labelled fields in a row that keep their values in the hash, so that a filtered view has an address.
import { clip, plain } from "./format.js";
import { html, useEffect, useId, useState } from "./html.js";
import { place, setQuery } from "./router.js";
import { zone } from "./store.js";
import { localOf, momentOf } from "./zones.js";

/** A row of filters with a button that clears those of `names`. */
export function FilterBar({ names, children, label = "Filters" }) {
  const isUsed = names.some((name) => place.value.query[name] != null);
  const clear = () => setQuery(Object.fromEntries(names.map((name) => [name, null])));
  return html`<form class="filters" role="search" aria-label=${label} onSubmit=${(event) => event.preventDefault()}>
    ${children}
    ${isUsed && html`<button type="button" class="quiet" onClick=${clear}>Clear filters</button>`}
  </form>`;
}

/** Changes of a filter begin at the first page again. */
const FIRST_PAGE = { after: null };

/** A text that is applied after a short pause, or at Enter. `isFirst`: `/` focuses it. */
export function TextFilter({ name, label, placeholder, isFirst = false, size = 18 }) {
  const id = useId();
  const applied = place.value.query[name] ?? "";
  const [text, setText] = useState(applied);
  useEffect(() => setText(applied), [applied]);
  useEffect(() => {
    if (text === applied) return undefined;
    const timer = setTimeout(() => setQuery({ [name]: text || null, ...FIRST_PAGE }, true), 350);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} type="search" value=${text} size=${size} placeholder=${placeholder} spellcheck=${false} autocomplete="off"
      data-filter=${isFirst ? "" : undefined} onInput=${(event) => setText(event.currentTarget.value)} />
  </div>`;
}

/** A choice among values. `options`: a list of `[value, text]`; the first one, `null`, is "all". */
export function ChoiceFilter({ name, label, options, all = "all" }) {
  const id = useId();
  const chosen = place.value.query[name] ?? null;
  const known = options.map(([value]) => value);
  const shown = chosen != null && !known.includes(chosen) ? [...options, [chosen, chosen]] : options;
  // the first letter keeps an empty value, such as that of requests without a key, apart from "all"
  const change = (event) => {
    const found = event.currentTarget.value;
    setQuery({ [name]: found === "" ? null : found.slice(1), ...FIRST_PAGE });
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} value=${chosen == null ? "" : `=${chosen}`} onChange=${change}>
      <option value="">${all}</option>
      ${shown.map(([value, text]) => html`<option key=${value} value=${`=${value}`}>${plain(clip(text, 48))}</option>`)}
    </select>
  </div>`;
}

/** A date and a time in the chosen zone; the hash has them in UTC. */
export function MomentFilter({ name, label }) {
  const id = useId();
  const applied = place.value.query[name];
  const change = (event) => {
    const moment = momentOf(event.currentTarget.value, zone.value);
    setQuery({ [name]: Number.isNaN(moment) ? null : new Date(moment).toISOString(), ...FIRST_PAGE });
  };
  return html`<div class="field">
    <label for=${id}>${label} <span class="faint">${zone.value}</span></label>
    <input id=${id} type="datetime-local" value=${applied ? localOf(applied, zone.value) : ""} onChange=${change} />
  </div>`;
}

/** Buttons of which one is pressed: `options` is a list of `[value, text]`. */
export function Choice({ label, options, value, onChoose }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(([it, text]) => html`<button key=${it} type="button" aria-pressed=${it === value} onClick=${() => onChoose(it)}>${text}</button>`)}
  </div>`;
}
