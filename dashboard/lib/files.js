// The policy files of the gateway: reading, checking, trying, testing and saving them.
import { ask, call, read } from "./api.js";

const path = (name) => `/api/files/${encodeURIComponent(name)}`;

/** Returns a file, `{ name, text, cases, etag }`. */
export async function load(name, signal) {
  const { data, etag } = await read(path(name), {}, signal);
  return { name, text: data.text, cases: data.cases ?? null, etag };
}

/**
 * Saves a text. `etag` is the version that it began with, `null` for a new file. Returns `{ etag, generation, problems }`:
 * with problems the file is written, and the gateway goes on with its last good generation.
 * Fails with an `ApiError`: 412 if the file has another version, 422 with `problems` if the text cannot be used.
 */
export async function save(name, text, etag) {
  const headers = etag === null ? { "if-none-match": "*" } : { "if-match": etag };
  const response = await call(path(name), { method: "PUT", body: { text }, headers });
  const { generation, problems } = await response.json();
  return { etag: response.headers.get("etag") ?? (await load(name)).etag, generation, problems };
}

/** Returns the problems of a text. */
export async function check(name, text, signal) {
  return (await ask("/api/check", { name, text }, signal)).problems;
}

/** Runs the cases beside a policy, or those of `cases`. */
export async function test(name, text, cases, signal) {
  return ask("/api/test", { name, text, cases }, signal);
}

/** Runs a policy over a request. */
export async function evaluate(body, signal) {
  return ask("/api/eval", body, signal);
}
