// Tests of the dashboard's modules that need no browser: `node --test tests/browser/lib.test.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { attentionOf } from "../../dashboard/lib/attention.js";
import { linesOf } from "../../dashboard/lib/course.js";
import { curlOf } from "../../dashboard/lib/curl.js";
import { csvOf } from "../../dashboard/lib/csv.js";
import { partsOf, placeOf } from "../../dashboard/lib/excerpt.js";
import * as format from "../../dashboard/lib/format.js";
import { columnsOf, filled, hitRate, stepsOf, totalOf } from "../../dashboard/lib/series.js";
import { beginOf, localOf, momentOf } from "../../dashboard/lib/zones.js";
import { readEvents, withQuery } from "../../dashboard/lib/api.js";

test("invisible characters are written as escapes, and lines stay", () => {
  assert.equal(format.plain("a\u202Egnp.exe"), "a\\u{202E}gnp.exe");
  assert.equal(format.plain("a\u200Bb\uFEFF\u2066c\u2069"), "a\\u{200B}b\\u{FEFF}\\u{2066}c\\u{2069}");
  assert.equal(format.plain("\u0000\u001b[31m\u007f"), "\\u{0000}\\u{001B}[31m\\u{007F}");
  assert.equal(format.plain("\u{E0041}\u{E007F}"), "\\u{E0041}\\u{E007F}");
  assert.equal(format.plain("\ud800x"), "\\u{D800}x");
  assert.equal(format.plain("\u3164\u115f\u034f"), "\\u{3164}\\u{115F}\\u{034F}");
  assert.equal(format.plain("line\n\ttab é 語 😀"), "line\n\ttab é 語 😀");
  assert.equal(format.plain(format.plain("\u202E")), "\\u{202E}");
});

test("money keeps every digit of a decimal string", () => {
  assert.equal(format.nano("0.1"), 100_000_000n);
  assert.equal(format.nano("9007199254740993.000000001"), 9007199254740993000000001n);
  assert.equal(format.nano("-0.5"), -500_000_000n);
  for (const text of [null, undefined, "", "x", "1e3", ".5", "1."]) assert.equal(format.nano(text), null);
  assert.equal(format.sumNano(["0.1", "0.2", null]), 300_000_000n);
  assert.equal(format.exactUsd(format.sumNano(["0.1", "0.2"])), "0.3");
  assert.equal(format.exactUsd(-1_500_000_000n), "-1.5");
});

test("amounts are rounded for reading", () => {
  const shown = { 0: "$0", "0.00001": "<$0.0001", "0.0123": "$0.0123", "0.99995": "$1.0000", "1.005": "$1.01", "1234.565": "$1,234.57", "12345.6": "$12,346", "-2.5": "−$2.50" };
  for (const [text, wanted] of Object.entries(shown)) assert.equal(format.money(text), wanted, text);
  assert.equal(format.money(null), "–");
});

test("numbers, shares and durations are short", () => {
  assert.deepEqual([0, 999, 1000, 12_345, 999_960, 1_500_000, 2e9].map(format.short), ["0", "999", "1k", "12.3k", "1M", "1.5M", "2B"]);
  assert.deepEqual([0, 0.0004, 0.042, 0.5, 0.9996, 1].map(format.percent), ["0%", "<0.1%", "4.2%", "50%", ">99.9%", "100%"]);
  assert.deepEqual([0, 0.34, 812, 1240, 59_000, 60_000, 123_000, 90_061_000].map(format.duration),
    ["0 ms", "340 µs", "812 ms", "1.24 s", "59 s", "1 min", "2 min 3 s", "1 d 1 h"]);
  assert.deepEqual([null, undefined].map(format.duration), ["–", "–"]);
  assert.deepEqual([0, 4000, 65_000].map(format.ago), ["now", "4 s ago", "1 min 5 s ago"]);
});

test("a cell of a CSV file runs no formula", () => {
  assert.deepEqual(["=1+1", "+x", "-x", "@x", "\tx", "-1.5", "a,b", 'a"b', null].map(format.csvCell),
    ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "-1.5", '"a,b"', '"a""b"', ""]);
});

test("a CSV file has a line of names and a line for each row", () => {
  assert.equal(csvOf(["a", "b"], [{ a: "=x", b: 1, c: 2 }, { a: null }]), "a,b\r\n'=x,1\r\n,\r\n");
});

test("times are shown in the zone", () => {
  assert.equal(format.dateTime("2026-11-29T23:30:05Z", "Europe/Berlin"), "2026-11-30 00:30:05");
  assert.equal(format.clock("2026-11-29T23:30:05Z", "Asia/Kolkata"), "05:00:05");
  assert.equal(format.day("2026-11-29T23:30:05Z", "America/New_York"), "2026-11-29");
  assert.equal(format.dateTime("no time", "UTC"), "–");
  assert.equal(format.dayPlus("2026-03-01", -1), "2026-02-28");
});

test("days begin at midnight of the zone, also when the clocks change", () => {
  const at = (day, zone) => new Date(beginOf(day, zone)).toISOString();
  assert.equal(at("2026-03-29", "Europe/Berlin"), "2026-03-28T23:00:00.000Z");
  assert.equal(at("2026-03-30", "Europe/Berlin"), "2026-03-29T22:00:00.000Z");
  assert.equal(at("2026-10-26", "Europe/Berlin"), "2026-10-25T23:00:00.000Z");
  assert.equal(at("2026-11-29", "Asia/Kathmandu"), "2026-11-28T18:15:00.000Z");
  assert.equal(localOf("2026-11-29T12:05:00Z", "America/Los_Angeles"), "2026-11-29T04:05");
  assert.equal(new Date(momentOf("2026-07-01T12:00", "Europe/Berlin")).toISOString(), "2026-07-01T10:00:00.000Z");
  assert.ok(Number.isNaN(momentOf("", "UTC")));
});

test("steps without a request are filled with empty points", () => {
  const zone = "Europe/Berlin";
  const point = { requests: 2, errors: 1, uncached: 10, write_5m: 3, write_1h: 2, read: 5, output: 7, cost_usd: "0.1", unpriced: 1, ms: 400 };
  const series = { zone, from: "2026-03-28", to: "2026-03-30", points: [{ ...point, at: "2026-03-29T00:00:00+01:00" }] };
  const points = filled(series, "day", Date.parse("2026-03-30T20:00:00Z"));
  assert.deepEqual(points.map((it) => it.requests), [0, 2, 0]);
  assert.equal(points[2].at - points[1].at, 23 * 3600);
  assert.equal(points[1].write, 5);
  const hours = stepsOf({ zone, from: "2026-03-29", to: "2026-03-29", step: "hour" }, Date.parse("2027-01-01T00:00:00Z"));
  assert.equal(hours.length, 23);
  const total = totalOf([...points, ...points]);
  assert.deepEqual([total.requests, total.errors, total.nano], [4, 2, 200_000_000n]);
  const columns = columnsOf(points);
  assert.deepEqual([columns.good[1], columns.mean, columns.hits[0]], [1, [null, 200, null], null]);
  assert.equal(hitRate({ uncached: 10, write: 5, read: 5 }), 0.25);
});

const ATTEMPT = { turn: 1, model: "m", target: "a/m", status: 200, outcome: "success", error: null, ttft_ms: 20, ms: 100 };

test("the course has passed-over targets, attempts, tools and stages in order", () => {
  const story = {
    exchange: { ms: 400 },
    attempts: [{ ...ATTEMPT, n: 0, begun_ms: 5, outcome: "failed", ttft_ms: null, ms: 50 }, { ...ATTEMPT, n: 1, begun_ms: 60 }, { ...ATTEMPT, n: 2, turn: 2, begun_ms: 200, ms: null }],
    stages: [{ n: 0, name: "cap", hook: "on_request", us: 2000, runs: 1, outcome: "edited" }, { n: 1, name: "words", hook: "on_text", us: 500, runs: 9, outcome: "ran" }],
    tool_calls: [{ n: 0, turn: 1, tool: "datetime", ms: 30, is_error: false }],
    notes: [{ n: 0, kind: "passed_over", attempts: 1, name: "b/m", detail: "cooling" }, { n: 1, kind: "rerouted", attempts: 9, name: "cheap", detail: null }],
  };
  const { total, lines, turns } = linesOf(story);
  assert.equal(total, 400);
  assert.equal(turns, 2);
  assert.deepEqual(lines.map((it) => it.id), ["stage 0", "attempt 0", "note 0", "attempt 1", "tool 0", "attempt 2", "note 1", "stage 1"]);
  const [cap, , note, second, tool, last] = lines;
  assert.deepEqual([cap.begin, cap.end, note.begin, second.first, second.end], [0, 2, 60, 80, 160]);
  assert.deepEqual([tool.begin, tool.end, last.end], [160, 190, 400]);
});

test("a request without an attempt has a course", () => {
  const { total, lines } = linesOf({ exchange: { ms: 0 }, attempts: [], stages: [], tool_calls: [], notes: [] });
  assert.ok(total > 0);
  assert.deepEqual(lines, []);
});

test("a command line has no credential and quotes its texts", () => {
  const recorded = {
    method: "POST", path: "/v1/messages?beta=true",
    headers: [["Host", "gateway"], ["X-Api-Key", "***"], ["Authorization", "Bearer ***"], ["Content-Length", "10"], ["user-agent", "it's"]],
    body: '{"a":"it\'s $HOME `x`"}',
  };
  const line = curlOf({ operation: "messages", session: null }, recorded);
  assert.equal(line, `curl "$ANTHROPIC_BASE_URL"'/v1/messages?beta=true' \\\n  -H 'user-agent: it'\\''s' \\\n  -H "x-api-key: $ANTHROPIC_API_KEY" \\\n  --data-raw '{"a":"it'\\''s $HOME \`x\`"}'`);
  const bare = curlOf({ operation: "count_tokens", session: "s1", model: "m", is_stream: false }, null);
  assert.match(bare, /^curl "\$ANTHROPIC_BASE_URL"'\/v1\/messages\/count_tokens'/);
  assert.match(bare, /x-tidegate-session-id: s1/);
});

test("the error of a policy has its sentence and its line apart", () => {
  const source = "    let x = request.nothing.at.all;";
  const message = `policy "guard" failed at policies/guard.rhai:5:29: cannot read \`at\` of \`()\`: in this case: ${source}\\n${" ".repeat(28)}^`;
  assert.deepEqual(partsOf(message), { sentence: message.slice(0, message.indexOf(source) - 2), source: `${source}\n${" ".repeat(28)}^` });
  assert.deepEqual([...placeOf(message)].slice(0, 4), ["policies/guard.rhai:5:29", "policies/guard.rhai", "5", "29"]);
  assert.deepEqual(partsOf("no source here"), { sentence: "no source here", source: null });
});

test("parameters without a value are left out", () => {
  assert.equal(withQuery("/api/x", { a: null, b: undefined, key: "", c: "x&y" }), "/api/x?key=&c=x%26y");
  assert.equal(withQuery("/api/x", null), "/api/x");
});

function responseOf(parts) {
  const encoder = new TextEncoder();
  const stream = new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(typeof part === "string" ? encoder.encode(part) : part);
      controller.close();
    },
  });
  return { body: stream };
}

test("server-sent events are read across any cut of their bytes", async () => {
  const text = ': comment\r\nid: 7\r\nevent: exchanges\r\ndata: {"a":\r\ndata: "é"}\r\n\r\ndata: x\n\nevent: lone\n\n';
  const bytes = new TextEncoder().encode(text);
  const wanted = [{ event: "exchanges", data: '{"a":\n"é"}', id: "7" }, { event: "message", data: "x", id: "7" }];
  for (let at = 1; at < bytes.length; at += 1) {
    const found = [];
    await readEvents(responseOf([bytes.slice(0, at), bytes.slice(at)]), (event) => found.push(event));
    assert.deepEqual(found, wanted, `cut at ${at}`);
  }
});

test("states that need a person are found, the bad ones first", () => {
  const now = Date.parse("2026-11-29T12:00:00Z");
  const reload = { is_successful: false, problems: [{}, {}], needs_restart: ["listen"] };
  const target = (state) => ({ target: `a/${state}`, messages: { state } });
  const failed = (at) => ({ hook: "on_request", numbers: { failures: 3, last_error: at && { at } } });
  const data = {
    generation: { last_reload: reload },
    targets: { aliases: [{ name: "one", targets: [target("cooling"), target("healthy")] }, { name: "two", targets: [target("cooling")] }, { name: "three", targets: [target("healthy")] }] },
    budgets: { rules: [{ usd: "20", every: "day", warn_at_usd: "16", counters: [{ owner: "a", used_usd: "16" }, { owner: "b", used_usd: "15.9" }, { owner: "c", used_usd: "20" }] }] },
    limits: { rules: [{ unit: "input_tokens", counters: [{ owner: "d", left: 0 }, { owner: "e", left: 1 }] }] },
    policies: { stages: [{ name: "s", hooks: [failed("2026-11-29T11:50:00Z"), failed("2026-11-29T11:00:00Z"), failed(null)] }] },
    plugins: null,
  };
  const found = attentionOf(data, now);
  assert.deepEqual(found.map((it) => it.kind), ["bad", "bad", "bad", "warn", "warn", "warn", "warn", "warn"]);
  assert.deepEqual(found.map((it) => it.text), [
    "The last reload found 2 problems: the files on disk are not in use", "No target of two is healthy", "c has used up its $20.00 a day",
    "A restart is needed for listen", "1 target of one cooling down: a/cooling", "a has used 80% of its $20.00 a day",
    "d is at its limit of input tokens", "The stage s failed in on_request, 3 times since the start",
  ]);
  assert.deepEqual(attentionOf({}, now), []);
});
