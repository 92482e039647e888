// The development server of the dashboard. It needs Node and nothing else.
//
//   node tests/browser/serve.mjs --gateway http://127.0.0.1:4001 --port 4080 --fixtures
//
// It serves `dashboard/` as the gateway does, with the same headers, and passes `/api`, `/login`, `/logout`, `/metrics`
// and the probes to the admin listener of a gateway. With `--fixtures` it answers the routes that the gateway's
// `/api/openapi.json` lacks from `fixtures.mjs`.
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { fixtures } from "./fixtures.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DASHBOARD = path.resolve(HERE, "../../dashboard");

/** The headers of pages and assets. The gateway sends the same. */
export const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".md": "text/plain; charset=utf-8",
};

const PROXIED = /^\/(api(\/|$)|login$|logout$|metrics$|healthz$|readyz$)/;

/** Sends the gateway's error envelope. */
export function fail(response, status, type, message, more = {}) {
  send(response, status, { type: "error", error: { type, message, ...more } });
}

/** Sends JSON. */
export function send(response, status, body, headers = {}) {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    ...HEADERS,
    "content-type": "application/json",
    "content-length": bytes.length,
    ...headers,
  });
  response.end(bytes);
}

/** Reads the body of a request as JSON; `null` without a body. */
export async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString("utf8");
  return text ? JSON.parse(text) : null;
}

class Server {
  constructor(options) {
    this.gateway = new URL(options.gateway);
    this.token = options.token ?? "";
    this.sessions = new Set();
    this.fixtures = options.fixtures ? fixtures(options) : [];
    this.paths = new Set();
    this.hasPages = false;
  }

  /** Reads which routes the gateway has. */
  async learn() {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const answer = await fetch(new URL("/api/openapi.json", this.gateway), { headers });
    if (!answer.ok) throw new Error(`${answer.url}: expected status 200, found ${answer.status}`);
    this.paths = new Set(Object.keys((await answer.json()).paths));
    const login = await fetch(new URL("/login", this.gateway), { redirect: "manual" });
    this.hasPages = login.status !== 404 && login.status !== 401;
  }

  /** Returns whether the gateway has a route for this path. */
  knows(pathname) {
    const parts = pathname.split("/");
    return [...this.paths].some((route) => {
      const wanted = route.split("/");
      return wanted.length === parts.length && wanted.every((it, i) => it.startsWith("{") || it === parts[i]);
    });
  }

  async handle(request, response) {
    const url = new URL(request.url, "http://dashboard");
    const { pathname } = url;
    if (!this.hasPages) {
      if (pathname === "/login" || pathname === "/logout") return this.sign(request, response, pathname);
      const isOpen = pathname.startsWith("/assets/") || pathname === "/healthz" || pathname === "/readyz";
      if (this.token && !isOpen && !this.isSigned(request)) return refuse(request, response);
    }
    const page = { "/": "index.html", "/login": "login.html" }[pathname];
    if (page && request.method === "GET") return this.hasPages ? this.proxy(request, response, page) : this.file(response, page);
    if (pathname.startsWith("/assets/")) return this.file(response, decodeURIComponent(pathname.slice(8)));
    const fixture = this.knows(pathname) ? null : find(this.fixtures, request.method, pathname);
    if (fixture) return fixture.route.answer({ request, response, url, values: fixture.values });
    if (PROXIED.test(pathname)) return this.proxy(request, response);
    fail(response, 404, "not_found_error", `there is no route \`${pathname}\``);
  }

  isSigned(request) {
    return request.headers.authorization === `Bearer ${this.token}` || this.sessions.has(sessionOf(request));
  }

  /** Signs a user in and out in place of a gateway that cannot. */
  async sign(request, response, pathname) {
    if (request.method === "GET" && pathname === "/login") {
      if (this.token) return this.file(response, "login.html");
      response.writeHead(303, { ...HEADERS, location: "/" });
      return response.end();
    }
    if (request.method !== "POST") return fail(response, 405, "invalid_request_error", "expected `POST`");
    const gone = "tidegate_admin=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";
    if (pathname === "/logout") {
      this.sessions.delete(sessionOf(request));
      response.writeHead(204, { ...HEADERS, "set-cookie": gone });
      return response.end();
    }
    const wanted = (await body(request))?.token;
    if (wanted !== this.token) return fail(response, 401, "authentication_error", "the token is wrong");
    const session = randomBytes(24).toString("base64url");
    this.sessions.add(session);
    const cookie = `tidegate_admin=${session}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200`;
    response.writeHead(204, { ...HEADERS, "set-cookie": cookie });
    response.end();
  }

  async file(response, name) {
    const place = path.resolve(DASHBOARD, name);
    if (!place.startsWith(DASHBOARD + path.sep)) return fail(response, 404, "not_found_error", "no such file");
    const bytes = await readFile(place).catch(() => null);
    if (bytes === null) return fail(response, 404, "not_found_error", `there is no file \`${name}\``);
    const type = TYPES[path.extname(place)] ?? "application/octet-stream";
    const etag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
    response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": bytes.length, etag });
    response.end(bytes);
  }

  /** Passes a request on. A `page` takes the place of a success: the gateway decides who may see it. */
  proxy(request, response, page = null) {
    const headers = { ...request.headers, host: this.gateway.host };
    if (headers.origin) headers.origin = this.gateway.origin;
    delete headers.connection;
    if (this.token && !this.hasPages) {
      headers.authorization = `Bearer ${this.token}`;
      delete headers.cookie;
    }
    const { hostname, port } = this.gateway;
    const options = { hostname, port, method: request.method, path: request.url, headers };
    const onward = http.request(options, (answer) => {
      if (page !== null && answer.statusCode === 200) {
        answer.resume();
        this.file(response, page).catch(() => response.destroy());
        return;
      }
      const kept = { ...answer.headers };
      delete kept.connection;
      delete kept["keep-alive"];
      response.writeHead(answer.statusCode, kept);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    onward.on("error", (error) => {
      if (response.headersSent) response.destroy();
      else fail(response, 502, "api_error", `the gateway cannot be reached: ${error.message}`);
    });
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }
}

function sessionOf(request) {
  return /(?:^|;\s*)tidegate_admin=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
}

function refuse(request, response) {
  if (request.method === "GET" && (request.headers.accept ?? "").includes("text/html")) {
    response.writeHead(303, { ...HEADERS, location: "/login" });
    return response.end();
  }
  fail(response, 401, "authentication_error", "expected `authorization: Bearer TOKEN` or a session");
}

/** Finds the fixture of a request. */
function find(all, method, pathname) {
  for (const route of all) {
    if (route.method !== method) continue;
    const found = route.path.exec(pathname);
    if (found) return { route, values: found.slice(1).map(decodeURIComponent) };
  }
  return null;
}

/**
 * Starts the server.
 * @param options `gateway` (URL of the admin listener), `port` (0: any), `token`, `fixtures`, `messages` (URL of the
 * listener for clients, for a playground with real answers), `keys` (the clients' keys by their names)
 */
export async function start(options) {
  const server = new Server(options);
  await server.learn();
  const listener = http.createServer((request, response) => {
    server.handle(request, response).catch((error) => {
      if (response.headersSent) response.destroy();
      else fail(response, error instanceof SyntaxError ? 400 : 500, "api_error", String(error));
    });
  });
  await new Promise((resolve) => listener.listen(options.port ?? 0, "127.0.0.1", resolve));
  const { port } = listener.address();
  const stop = () => {
    listener.closeAllConnections();
    return new Promise((resolve) => listener.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, stop, hasPages: server.hasPages, paths: server.paths };
}

function parse(args) {
  const options = { gateway: "http://127.0.0.1:4001", port: 4080 };
  while (args.length > 0) {
    const name = args.shift();
    if (name === "--fixtures") options.fixtures = true;
    else if (name === "--port") options.port = Number(args.shift());
    else if (["--gateway", "--token", "--messages"].includes(name)) options[name.slice(2)] = args.shift();
    else throw new Error(`unknown option \`${name}\`: --gateway URL --messages URL --token T --port N --fixtures`);
  }
  return options;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = parse(process.argv.slice(2));
  const { url, hasPages } = await start(options);
  const lacks = hasPages ? " (sessions are the gateway's)" : " (the gateway has no dashboard: this server signs users in)";
  console.log(`${url}/${lacks}`);
}
