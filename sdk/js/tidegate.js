/**
 * The SDK for Tidegate plugins in JavaScript: server tools, hooks, and the functions of the gateway.
 *
 * A plugin is an object (`plugin.js`); `app.js` turns it into the exports of a component:
 *
 *     import * as border from "tidegate:plugin/host@0.1.0";
 *     import { component } from "./tidegate.js";
 *     import plugin from "./plugin.js";
 *     export const { describe, callTool, onRequest, onUpstreamRequest, onResponse } = component(plugin, border);
 *
 * Each call gets a fresh instance of the whole engine: nothing is kept from one call to the next. If a function throws
 * a `Problem`, the model (for a tool) or the operator (for a hook) reads it. Any other error is a problem with the code
 * `internal`, and its stack is in the gateway's log. In tests, `MockHost` replaces the gateway.
 */

/** The error of a plugin. Its text leaves the plugin, so it must not contain secrets. */
export class Problem extends Error {
  constructor(message, code = "invalid_input", retryable = false) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

/** The functions of the gateway: the last argument of every tool and hook. */
export class Host {
  #border;

  constructor(border) {
    this.#border = border;
  }

  /** The operator's settings under `plugins.config.NAME`; `null` while the plugin is built. */
  get config() {
    return JSON.parse(this.#border.config());
  }

  /** The facts of the exchange: `request_id`, `key`, `tags`, `model`, `session`, `headers`, `with`. */
  get context() {
    return JSON.parse(this.#border.context());
  }

  /** Writes a line to the gateway's log: `error`, `warn`, `info`, `debug` or `trace`. */
  log(message, level = "info") {
    this.#border.log(level, message);
  }

  /** Returns the nanoseconds since 1970, a bigint. */
  clock() {
    return this.#border.clock();
  }

  /**
   * Fetches through the egress guard. The plugin has to request the host, and the operator has to allow it.
   * `redirects` is the number of followed redirects (5 if left out). The next redirect is returned as the response,
   * with its `location()`.
   */
  fetch(url, { method = "GET", headers = {}, body, maxBytes, timeoutMs, redirects } = {}) {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const request = { method, url, headers: Object.entries(headers), body: bytes, maxBytes, timeoutMs, redirects };
    const { status, url: from, headers: got, body: content, truncated } = asked(() => this.#border.fetch(request));
    const text = () => new TextDecoder().decode(content);
    const header = (name) => headerOf(got, name);
    const location = () => locationOf(status, got);
    const json = () => JSON.parse(text());
    return { status, url: from, headers: got, body: content, truncated, text, header, location, json };
  }

  /** Calls a model through the gateway: takes a Messages request and returns the message that answers it. */
  modelCall(request) {
    return JSON.parse(asked(() => this.#border.modelCall(JSON.stringify(request))));
  }

  /** Returns the bytes of a key of the plugin's own store, or `undefined`. */
  kvGet(key) {
    return this.#border.kvGet(key);
  }

  /** Keeps bytes for some seconds, or until the gateway stops. */
  kvSet(key, value, ttlSeconds) {
    asked(() => this.#border.kvSet(key, value, ttlSeconds));
  }

  /** Removes a value. Returns false if there was none. */
  kvRemove(key) {
    return this.#border.kvRemove(key);
  }

  /** Keeps a file for a while at an unguessable address, and returns that address. */
  publish(mediaType, content) {
    return asked(() => this.#border.publish(mediaType, content));
  }
}

const headerOf = (headers, name) => headers.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];

/** Returns the destination of a redirect, often relative to its address; `undefined` if there is no redirect. */
const locationOf = (status, headers) =>
  [301, 302, 303, 307, 308].includes(status) ? headerOf(headers, "location") : undefined;

/** A request or a message that the gateway holds, read and written by JSON pointer (`/messages/-1/role`). */
export class Document {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /** Returns the value at a pointer, or `undefined`. */
  get(pointer) {
    const text = this.#handle.get(pointer);
    return text == null ? undefined : JSON.parse(text);
  }

  set(pointer, value) {
    try {
      this.#handle.set(pointer, JSON.stringify(value));
    } catch (error) {
      throw new Problem(String(error.payload ?? error.message), "cannot_set");
    }
  }

  /** Removes a value. Returns false if there was none. */
  remove(pointer) {
    return this.#handle.remove(pointer);
  }

  /** Returns the whole text, which then crosses the border. */
  bytes() {
    return this.#handle.bytes();
  }
}

/** A hook's decision: another model (alias). */
export const route = (model) => ({ tag: "route", val: model });
/** A hook's decision: a whole message of the Messages API instead of calling the upstream. */
export const respond = (message) => ({ tag: "respond", val: JSON.stringify(message) });
/** A hook's decision: reject the request with a status from 400 to 599. */
export const deny = (status, message) => ({ tag: "deny", val: { status, message } });
/** A decision before an attempt: skip this target, for a reason. The gateway tries the next one. */
export const passOver = (why) => ({ tag: "pass-over", val: why });


/** `onUnsupported` is called like `onUpstreamRequest`, but only if the target does not support all of the request. */
const HOOKS = {
  onRequest: "on-request",
  onUpstreamRequest: "on-upstream-request",
  onUnsupported: "on-unsupported",
  onResponse: "on-response",
};

/** Returns the manifest, which the gateway reads when it loads the plugin. */
export function manifest(plugin, host) {
  let hooks = Object.keys(HOOKS).filter((hook) => plugin[hook]);
  // `null` while the plugin is built
  if (host.config !== null) {
    try {
      plugin.check?.(host.config);
      // the hooks that have work with the config and the stage's parameters: the others are not called
      if (plugin.hooks) hooks = plugin.hooks(host.config, host.context.with ?? {});
    } catch (error) {
      throw error instanceof Problem ? new Problem(error.message, "invalid_config") : error;
    }
  }
  const tools = Object.entries(plugin.tools ?? {}).map(([name, tool]) => ({
    name,
    description: tool.description,
    input_schema: { type: "object", properties: tool.input ?? {}, required: tool.required ?? [] },
    options_schema: { type: "object", properties: tool.options ?? {}, additionalProperties: false },
  }));
  return {
    name: plugin.name,
    version: plugin.version,
    hooks: hooks.map((hook) => HOOKS[hook] ?? hook),
    tools,
    wants: { hosts: [], models: [], kv_bytes: 0, publish: false, ...plugin.wants },
    config_schema: plugin.configSchema ?? { type: "object" },
  };
}

/** Runs a tool and returns a text, an array of content blocks, or anything else that is JSON. */
export function callTool(plugin, name, input, options, host) {
  const tool = Object.hasOwn(plugin.tools ?? {}, name) ? plugin.tools[name] : undefined;
  if (!tool) throw new Problem(`there is no tool \`${name}\``, "unknown_tool");
  for (const needed of tool.required ?? []) {
    if (!Object.hasOwn(input, needed)) throw new Problem(`the input does not fit: \`${needed}\` is missing`);
  }
  const result = tool.run(input, options, host);
  return typeof result === "string" || Array.isArray(result) ? result : JSON.stringify(result);
}

/** Returns the exports of a component. */
export function component(plugin, border) {
  const host = new Host(border);
  const guarded = (run) => {
    try {
      return run();
    } catch (error) {
      if (error instanceof Problem) throw { code: error.code, message: error.message, retryable: error.retryable };
      border.log("error", `${error}\n${error?.stack ?? ""}`);
      throw { code: "internal", message: String(error), retryable: false };
    }
  };
  const hook = (name, ...given) => guarded(() => plugin[name]?.(...given, host) ?? { tag: "next" });
  return {
    describe: () => guarded(() => JSON.stringify(manifest(plugin, host))),
    callTool: (name, input, options) =>
      guarded(() => JSON.stringify(callTool(plugin, name, JSON.parse(input), JSON.parse(options), host))),
    onRequest: (request) => hook("onRequest", new Document(request)),
    onUpstreamRequest: (request, target) => {
      const name = plugin.onUpstreamRequest ? "onUpstreamRequest" : "onUnsupported";
      return hook(name, new Document(request), JSON.parse(target));
    },
    onResponse: (message) => hook("onResponse", new Document(message)),
  };
}

function asked(ask) {
  try {
    return ask();
  } catch (error) {
    const problem = error.payload;
    if (!problem?.code) throw error;
    throw new Problem(problem.message, problem.code, problem.retryable);
  }
}

/** Replaces the gateway in tests: `new MockHost({ clock: 7n }).callTool(plugin, "dice", { sides: 6 })`. */
export class MockHost {
  logs = [];
  kept = new Map();
  published = [];

  constructor({ config = {}, context = {}, clock = 0n, onFetch, onModelCall } = {}) {
    const unreachable = ({ url }) => {
      throw new Problem(`nothing answers \`${url}\`: give \`onFetch\``, "unreachable");
    };
    const silent = () => {
      throw new Problem("no model answers: give `onModelCall`", "not_granted");
    };
    this.border = {
      config: () => JSON.stringify(config),
      context: () => JSON.stringify(context),
      clock: () => clock,
      log: (level, message) => this.logs.push([level, message]),
      fetch: (request) => followed(request, onFetch ?? unreachable),
      modelCall: (request) => JSON.stringify((onModelCall ?? silent)(JSON.parse(request))),
      kvGet: (key) => this.kept.get(key),
      kvSet: (key, value) => void this.kept.set(key, value),
      kvRemove: (key) => this.kept.delete(key),
      publish: (mediaType, content) => `https://gateway.test/files/${this.published.push([mediaType, content])}`,
    };
    this.host = new Host(this.border);
  }

  manifest(plugin) {
    return manifest(plugin, this.host);
  }

  /** Returns the result's content; throws the `Problem` that the model would read. */
  callTool(plugin, name, input, options = {}) {
    return callTool(plugin, name, input, options, this.host);
  }

  /** Returns the hook's decision; its edits are in `body`. */
  onRequest(plugin, body) {
    return plugin.onRequest(new Document(tree(body)), this.host) ?? { tag: "next" };
  }

  onUpstreamRequest(plugin, body, target) {
    return plugin.onUpstreamRequest(new Document(tree(body)), target, this.host) ?? { tag: "next" };
  }

  onResponse(plugin, message) {
    return plugin.onResponse(new Document(tree(message)), this.host) ?? { tag: "next" };
  }
}

/** Sends the request hop by hop, as the gateway follows redirects. */
function followed(request, ask) {
  const most = Math.min(request.redirects ?? 5, 5);
  let hop = request;
  for (let count = 0; count <= most; count++) {
    const answer = { url: hop.url, headers: [], truncated: false, ...ask(hop) };
    const location = locationOf(answer.status, answer.headers);
    if (location === undefined || (count === most && request.redirects !== undefined)) return answer;
    const { status } = answer;
    const isGetNow = (status === 303 && hop.method !== "HEAD") || (status <= 302 && hop.method === "POST");
    hop = { ...hop, ...(isGetNow && { method: "GET", body: undefined }), url: new URL(location, hop.url).href };
  }
  throw new Problem("more than 5 redirects: ask for where they lead", "too_many_redirects");
}

function tree(root) {
  const cut = (pointer) => pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const at = (value, key) => (Array.isArray(value) && Number(key) < 0 ? value.length + Number(key) : key);
  const walk = (way) => way.reduce((value, key) => value?.[at(value, key)], root);
  const parent = (pointer) => {
    const way = cut(pointer);
    const last = way.pop();
    return [walk(way), last];
  };
  return {
    get: (pointer) => JSON.stringify(walk(cut(pointer))),
    set: (pointer, text) => {
      const [holder, last] = parent(pointer);
      if (holder === null || typeof holder !== "object") throw new Error(`nothing can be set at \`${pointer}\``);
      holder[last === "-" && Array.isArray(holder) ? holder.length : at(holder, last)] = JSON.parse(text);
    },
    remove: (pointer) => {
      const [holder, last] = parent(pointer);
      const key = at(holder, last);
      if (holder === null || typeof holder !== "object" || !Object.hasOwn(holder, key)) return false;
      if (Array.isArray(holder)) holder.splice(key, 1);
      else delete holder[key];
      return true;
    },
    bytes: () => new TextEncoder().encode(JSON.stringify(root)),
  };
}
