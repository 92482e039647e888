// The place within the dashboard, which is the hash of the address: `#/requests/ID?key=ci`.
import { signal } from "./html.js";

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The hash → `{ name, parts, query }`: the view, the further segments, and an object of the parameters. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, ...parts] = path.split("/").map(decoded);
  return { name: name || "overview", parts: parts.filter(Boolean), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** A place → its hash: `link("requests", [id], { key })`. Parameters without a value are left out. */
export function link(name, parts = [], query = {}) {
  const path = [name, ...parts].map(encodeURIComponent).join("/");
  const pairs = Object.entries(query).filter(([, value]) => value != null && value !== false);
  const search = new URLSearchParams(pairs).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

/** The present place. */
export const place = signal(parse(location.hash));

let keeper = null;
let kept = 1;

/** The hash that the user wants to go to, while the dashboard asks whether unsaved text may be dropped. */
export const wanted = signal(null);

/**
 * Registers a function that returns why the view should not be left, or `null`. A place with the same first `depth`
 * segments is not another one. Returns the function to undo it.
 */
export function keepUnless(reason, depth = 1) {
  keeper = reason;
  kept = depth;
  return () => {
    if (keeper === reason) keeper = null;
  };
}

/** Leaves the view in spite of its reason. */
export function leave(hash) {
  keeper = null;
  wanted.value = null;
  location.hash = hash;
}

/** Why the present view should not be left, or `null`. */
export function reasonToStay() {
  return keeper?.() ?? null;
}

function isOther(next) {
  const start = ({ name, parts }) => [name, ...parts].slice(0, kept).join("/");
  return start(next) !== start(place.value);
}

let shown = location.hash;

addEventListener("hashchange", () => {
  if (location.hash === shown) return;
  const next = parse(location.hash);
  if (isOther(next) && reasonToStay()) {
    wanted.value = location.hash;
    history.replaceState(null, "", shown || "#/");
    return;
  }
  shown = location.hash;
  place.value = next;
});

addEventListener("beforeunload", (event) => {
  if (reasonToStay()) event.preventDefault();
});

/** Goes to a hash. `isReplaced`: the present place leaves no entry in the history, such as for each letter of a filter. */
export function go(hash, isReplaced = false) {
  if (hash === location.hash) return;
  if (!isReplaced) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  shown = hash;
  place.value = parse(hash);
}

/** Changes parameters of the present place; `null` removes one. */
export function setQuery(changes, isReplaced = false) {
  const { name, parts, query } = place.value;
  go(link(name, parts, { ...query, ...changes }), isReplaced);
}
