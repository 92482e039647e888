// Requests to the admin API: JSON with readable errors, writes with `if-match`, and server-sent events by `fetch`.

/** An answer that is no success, or no answer at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    this.name = "ApiError";
    this.status = status;
    this.type = error.type;
    this.field = error.field ?? null;
    /** The problems of a refused draft, if the answer has some. */
    this.problems = error.problems ?? null;
  }

  /** Whether the gateway does not have this route or object. */
  get isMissing() {
    return this.status === 404;
  }
}

/** `path` with the parameters of `query`, without those that are `null`, `undefined` or an empty list. */
export function withQuery(path, query) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value != null) parts.set(name, value);
  }
  const text = parts.toString();
  return text ? `${path}?${text}` : path;
}

async function failureOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // an answer of a proxy, or an empty one
  }
  const known = body?.error;
  if (known?.message) return new ApiError(response.status, { problems: body.problems, ...known });
  const message = `expected JSON from the gateway, found status ${response.status}`;
  return new ApiError(response.status, { type: "unreadable_answer", message, problems: body?.problems });
}

function toLogin() {
  if (location.pathname !== "/login") location.assign(`/login${location.hash}`);
}

/** Sends a request and returns the response of a success. `options`: `method`, `body` (JSON), `headers`, `signal`. */
export async function call(path, options = {}) {
  const { method = "GET", body, headers = {}, signal } = options;
  const init = { method, signal, headers: { accept: "application/json", ...headers }, credentials: "same-origin" };
  init.cache = "no-store";
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { type: "unreachable", message: "the gateway cannot be reached" });
  }
  if (response.ok) return response;
  if (response.status === 401) toLogin();
  throw await failureOf(response);
}

/** Returns the JSON of a resource with its `etag`: `{ data, etag }`. */
export async function read(path, query, signal) {
  const response = await call(withQuery(path, query), { signal });
  return { data: await response.json(), etag: response.headers.get("etag") };
}

/** Returns the JSON of a resource. */
export async function get(path, query, signal) {
  return (await read(path, query, signal)).data;
}

/** Writes. `match` is the `etag` of the resource that the user saw. Returns the JSON of the answer, or `null`. */
export async function write(method, path, body, match) {
  const response = await call(path, { method, body, headers: { "if-match": match } });
  return response.status === 204 ? null : response.json();
}

/** Sends a `POST` that changes nothing, such as a dry run. */
export async function ask(path, body, signal) {
  return (await call(path, { method: "POST", body, signal })).json();
}

/** Reads the server-sent events of a response: calls `onEvent({ event, data, id })` for each. */
export async function readEvents(response, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let found = { event: "message", data: [], id: null };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (found.data.length) onEvent({ ...found, data: found.data.join("\n") });
        found = { event: "message", data: [], id: found.id };
        continue;
      }
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at);
      const text = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (name === "data") found.data.push(text);
      else if (name === "event") found.event = text;
      else if (name === "id") found.id = text;
    }
  }
}

const LONGEST_PAUSE = 15_000;

/**
 * Follows a stream of events until the returned function is called. It connects again after a failure, with the id of
 * the last event, and rests while the tab is hidden. `onState` receives `connecting`, `live`, `hidden` or an error.
 */
export function follow(path, onEvent, onState = () => {}) {
  let abort = null;
  let lastId = null;
  let pause = 1000;
  let timer = 0;
  let isOver = false;

  async function connect() {
    if (isOver || document.hidden) return;
    const mine = new AbortController();
    abort = mine;
    onState("connecting");
    try {
      const headers = { accept: "text/event-stream" };
      if (lastId != null) headers["last-event-id"] = lastId;
      const response = await call(path, { headers, signal: mine.signal });
      pause = 1000;
      onState("live");
      await readEvents(response, (event) => {
        lastId = event.id ?? lastId;
        if (!mine.signal.aborted) onEvent(event);
      });
      if (!mine.signal.aborted) again(new ApiError(0, { type: "ended", message: "the gateway ended the stream" }));
    } catch (error) {
      if (!mine.signal.aborted) again(error);
    }
  }

  function again(error) {
    onState(error);
    clearTimeout(timer);
    timer = setTimeout(connect, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  function stop() {
    clearTimeout(timer);
    abort?.abort();
  }

  function onVisibility() {
    stop();
    if (document.hidden) onState("hidden");
    else connect();
  }

  document.addEventListener("visibilitychange", onVisibility);
  connect();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", onVisibility);
    stop();
  };
}
