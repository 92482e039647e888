// Hooks of the views: data that is loaded again while the page is visible, and a title.
import { useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { title } from "./store.js";

/**
 * Loads data, and again every `every` milliseconds while the page is visible (0: once). Old data stays in place while
 * new data is loaded, and if that fails. `load` receives an abort signal; it runs anew when a value of `inputs` changes.
 * Returns `{ data, error, at, isLoading, reload }`; `at` is the time of the last success.
 */
export function useLoad(load, inputs = [], every = 0) {
  const [state, setState] = useState({ data: null, error: null, at: 0, isLoading: true });
  const latest = useRef(load);
  latest.current = load;
  const reload = useRef(() => {});

  useEffect(() => {
    let timer = 0;
    let running = null;
    let isOver = false;

    async function run(isFresh) {
      clearTimeout(timer);
      running?.abort();
      const mine = new AbortController();
      running = mine;
      if (isFresh) setState((old) => ({ ...old, isLoading: true }));
      let pause = every;
      try {
        const data = await latest.current(mine.signal);
        if (mine.signal.aborted) return;
        setState({ data, error: null, at: Date.now(), isLoading: false });
      } catch (error) {
        if (mine.signal.aborted) return;
        setState((old) => ({ ...old, error, isLoading: false }));
        // another try cannot mend a refused request; a gateway that is away gets a rest
        pause = error.status >= 400 && error.status < 500 ? 0 : Math.max(every, 5000);
      }
      if (every && pause && !isOver) timer = setTimeout(next, pause);
    }

    function next() {
      if (!document.hidden) run(false);
    }

    function onVisibility() {
      if (every && !document.hidden) next();
      else clearTimeout(timer);
    }

    reload.current = () => run(false);
    setState((old) => ({ ...old, error: null, isLoading: true }));
    run(true);
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      isOver = true;
      clearTimeout(timer);
      running?.abort();
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [...inputs, every]);

  return { ...state, reload: () => reload.current() };
}

/** Sets the title of the tab. */
export function useTitle(text) {
  useLayoutEffect(() => {
    title.value = text;
  }, [text]);
}

/** A value that follows another one after a pause of `ms`, such as the text of a filter. */
export function useSettled(value, ms = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
