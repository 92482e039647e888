// The dashboard: shows the view of the present hash in the frame.
import { Fragment, html, render, useEffect, useRef, useState } from "./lib/html.js";
import { place } from "./lib/router.js";
import { Shell } from "./lib/shell.js";
import { title, watchStatus } from "./lib/store.js";
import { Empty, Head, Loading, Notice } from "./lib/ui.js";

const VIEWS = {
  overview: () => import("./views/overview.js"),
  requests: () => import("./views/requests.js"),
  request: () => import("./views/request.js"),
  prompts: () => import("./views/prompts.js"),
  targets: () => import("./views/targets.js"),
  policies: () => import("./views/policies.js"),
  keys: () => import("./views/keys.js"),
  limits: () => import("./views/limits.js"),
  playground: () => import("./views/playground.js"),
  editor: () => import("./views/editor.js"),
  generation: () => import("./views/generation.js"),
  audit: () => import("./views/audit.js"),
};

/** `#/requests/ID` is a view of its own. */
function viewOf({ name, parts }) {
  return name === "requests" && parts.length ? "request" : name;
}

function Missing() {
  title.value = "Not found";
  return html`<${Head} title="Not found" />
    <${Empty} title="The dashboard has no such page"><a href="#/overview">Go to the overview</a><//>`;
}

/** Loads the module of a view once; the last view stays until the next one is there. */
function useView(name) {
  const [loaded, setLoaded] = useState({ name: null, View: null, error: null });
  useEffect(() => {
    let isOver = false;
    const load = VIEWS[name] ?? (async () => ({ default: Missing }));
    load().then(
      (module) => isOver || setLoaded({ name, View: module.default, error: null }),
      (error) => isOver || setLoaded({ name, View: null, error }),
    );
    return () => {
      isOver = true;
    };
  }, [name]);
  return loaded;
}

/** Keyboard and screen reader follow a change of the view; the first view takes no focus. */
function useFocus(key) {
  const isFirst = useRef(true);
  useEffect(() => {
    if (!key) return;
    if (!isFirst.current) {
      scrollTo(0, 0);
      document.querySelector("main h1")?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [key]);
}

function App() {
  const { name, View, error } = useView(viewOf(place.value));
  const { parts, query } = place.value;
  const isCurrent = name === viewOf(place.value);
  useFocus(isCurrent && (View || error) ? [name, ...parts].join("/") : null);
  return html`<${Shell}>
    ${error && html`<${Notice} kind="bad">The page could not be loaded: ${String(error.message)}. <a href="/">Load the dashboard again</a><//>`}
    ${View && isCurrent ? html`<${Fragment} key=${name}><${View} parts=${parts} query=${query} /><//>` : !error && html`<${Loading} lines=${6} />`}
  <//>`;
}

render(html`<${App} />`, document.getElementById("app"));
watchStatus();
