// Drafts of policies that are not saved. They live in the tab's `sessionStorage`.
import { signal } from "./html.js";

const PREFIX = "tidegate.draft.";

/** Grows with each change of a draft. */
export const revision = signal(0);

function storage() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

/** Returns the draft of a policy, `{ text, etag }`, or `null`. `etag` is the version that it began with. */
export function draft(name) {
  try {
    const found = JSON.parse(storage()?.getItem(PREFIX + name) ?? "null");
    return typeof found?.text === "string" ? found : null;
  } catch {
    return null;
  }
}

/** Keeps a draft. Returns whether the browser has room for it. */
export function keep(name, text, etag) {
  try {
    storage()?.setItem(PREFIX + name, JSON.stringify({ text, etag }));
  } catch {
    return false;
  }
  revision.value += 1;
  return true;
}

/** Removes a draft. */
export function drop(name) {
  storage()?.removeItem(PREFIX + name);
  revision.value += 1;
}

/** Returns the names of all drafts. */
export function names() {
  const all = storage();
  if (!all) return [];
  const found = [];
  for (let i = 0; i < all.length; i += 1) {
    const key = all.key(i);
    if (key.startsWith(PREFIX)) found.push(key.slice(PREFIX.length));
  }
  return found.sort();
}
