// The template tag of every view. It escapes invisible characters in all texts and cuts long ones, because everything
// that the dashboard shows was written by others.
import { h, htm } from "../vendor/preact.js";
import { plain } from "./format.js";

export {
  render, Fragment, signal, computed, effect, batch,
  useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback, useId, useSignal, useComputed, useSignalEffect,
} from "../vendor/preact.js";

/** The longest text of an element other than `pre`, `code` and `textarea`, in characters. */
export const LONGEST = 2048;

const WHOLE = new Set(["pre", "code", "textarea"]);
const SHOWN_ATTRIBUTES = ["title", "aria-label", "placeholder", "alt"];

function cut(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
}

function cleanChild(child, isWhole) {
  if (typeof child === "string") return plain(isWhole ? child : cut(child));
  return Array.isArray(child) ? child.map((it) => cleanChild(it, isWhole)) : child;
}

function cleanProps(props) {
  let result = props;
  for (const name of SHOWN_ATTRIBUTES) {
    const value = props[name];
    if (typeof value !== "string") continue;
    if (result === props) result = { ...props };
    result[name] = plain(cut(value));
  }
  return result;
}

function element(type, props, ...children) {
  const isElement = typeof type === "string";
  const isWhole = !isElement || WHOLE.has(type);
  const clean = children.map((child) => cleanChild(child, isWhole));
  return h(type, isElement && props ? cleanProps(props) : props, ...clean);
}

export const html = htm.bind(element);
