// The states of the gateway that need a person, at the top of the overview; nothing while all is well.
import { get } from "../lib/api.js";
import { attentionOf, SOURCES } from "../lib/attention.js";
import { plural } from "../lib/format.js";
import { useLoad } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { link } from "../lib/router.js";
import { clockOffset, now } from "../lib/store.js";
import { Badge, Name } from "../lib/ui.js";

const MOST = 4;
const WORDS = { bad: "problem", warn: "warning" };

/** A source that fails is left out: the page of the source shows its error. */
async function sourcesOf(signal) {
  const answers = await Promise.allSettled(SOURCES.map((name) => get(`/api/${name}`, null, signal)));
  return Object.fromEntries(SOURCES.map((name, n) => [name, answers[n].value ?? null]));
}

export function Attention() {
  const [isOpen, setOpen] = useState(false);
  const found = useLoad(sourcesOf, [], 8000);
  if (!found.data) return null;
  const all = attentionOf(found.data, now.value + clockOffset.value);
  if (!all.length) return null;
  const shown = isOpen ? all : all.slice(0, MOST);
  return html`<section class="card attention" aria-label="Needs attention">
    <ul>${shown.map(({ kind, text, to }) => html`<li key=${text}><${Badge} kind=${kind}>${WORDS[kind]}<//><a href=${link(...to)}><${Name} value=${text} most=${160} /></a></li>`)}</ul>
    ${all.length > MOST && html`<button type="button" class="quiet small" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "Show fewer" : `Show ${plural(all.length - MOST, "more", "more")}`}</button>`}
  </section>`;
}
