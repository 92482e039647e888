// The live tail of the requests: events of the gateway, held while the user points at the list.
import { follow } from "../lib/api.js";
import { useEffect, useMemo, useRef, useState } from "../lib/html.js";

/** The most rows that the tail keeps. */
const MOST = 200;
/** The time for which a new row is marked, in milliseconds. */
const FRESH_MS = 1500;

const EMPTY = { rows: [], held: [], state: "off", lost: 0, at: 0 };

/**
 * Follows the exchanges that end, newest first, while `isOn`. `passes(row)` filters; another `key` begins anew.
 * Returns `{ rows, held, state, lost, at, hold, isFresh }`: `held` is the number of rows that wait while the user points
 * at the list, `hold` the properties of the element around the list.
 */
export function useTail(isOn, passes, key) {
  const [tail, setTail] = useState(EMPTY);
  const filter = useRef(passes);
  filter.current = passes;
  const isHeld = useRef(false);
  const arrivals = useRef(new Map());

  useEffect(() => setTail((old) => ({ ...EMPTY, state: old.state })), [key]);

  useEffect(() => {
    if (!isOn) {
      setTail((old) => ({ ...old, state: "off" }));
      return undefined;
    }
    const onEvent = ({ event, data }) => {
      if (event !== "exchanges") return;
      const { rows, lost } = JSON.parse(data);
      const found = rows.filter((row) => filter.current(row)).sort((a, b) => (a.at < b.at ? 1 : -1));
      for (const row of found) arrivals.current.set(row.request_id, Date.now());
      setTail((old) => grown(old, found, lost ?? 0, isHeld.current));
    };
    const onState = (state) => setTail((old) => ({ ...old, state: typeof state === "string" ? state : "failed" }));
    return follow("/api/exchanges/live", onEvent, onState);
  }, [isOn, key]);

  const hold = useMemo(() => holder(isHeld, () => setTail(released)), []);
  const isFresh = (row) => Date.now() - (arrivals.current.get(row.request_id) ?? 0) < FRESH_MS;
  return { ...tail, held: tail.held.length, hold, isFresh };
}

function grown(old, found, lost, isHeld) {
  const next = { ...old, lost: old.lost + lost, at: Date.now() };
  if (isHeld) return { ...next, held: [...found, ...old.held].slice(0, MOST) };
  return found.length ? { ...next, rows: [...found, ...old.rows].slice(0, MOST) } : next;
}

function released(old) {
  return old.held.length ? { ...old, rows: [...old.held, ...old.rows].slice(0, MOST), held: [] } : old;
}

/** The time without a movement after which a pointer holds the rows no longer, in milliseconds. */
const REST_MS = 8000;

/** Rows stay where they are while the pointer moves or the focus is among them. */
function holder(isHeld, release) {
  let isPointed = false;
  let isFocused = false;
  let timer = 0;
  const update = () => {
    const was = isHeld.current;
    isHeld.current = isPointed || isFocused;
    if (was && !isHeld.current) release();
  };
  const rest = () => {
    isPointed = false;
    update();
  };
  return {
    onPointerMove: (event) => {
      isPointed = event.pointerType === "mouse";
      update();
      clearTimeout(timer);
      timer = setTimeout(rest, REST_MS);
    },
    onPointerLeave: () => {
      clearTimeout(timer);
      rest();
    },
    onFocusIn: () => {
      isFocused = true;
      update();
    },
    onFocusOut: () => {
      isFocused = false;
      update();
    },
  };
}
