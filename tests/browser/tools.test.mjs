// The pure modules of the editor and the playground: differences, messages from events, bodies, the colours of Rhai.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { lines, short } from "../../dashboard/lib/diff.js";
import { apply, content, empty, reply, whole } from "../../dashboard/lib/message.js";
import { message, parse, print, sample, withMessage } from "../../dashboard/lib/request.js";
import { rhai } from "../../dashboard/lib/rhai.js";
import { StreamLanguage } from "../../dashboard/vendor/codemirror.js";
import { ROOT } from "./setting.mjs";

const texts = (all, ...ops) => all.filter((line) => ops.includes(line.op)).map((line) => line.text).join("\n");

/** A generator of numbers that are the same in every run. */
function numbers(seed) {
  let state = seed;
  return (most) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * most);
  };
}

test("a difference holds both texts", () => {
  const next = numbers(7);
  for (let n = 0; n < 3000; n += 1) {
    const text = () => Array.from({ length: next(9) }, () => "abc"[next(3)]).join("\n");
    const [before, after] = [text(), text()];
    const all = lines(before, after);
    assert.equal(texts(all, "same", "remove"), before);
    assert.equal(texts(all, "same", "add"), after);
  }
});

test("a difference is as short as it can be, and keeps a few lines around it", () => {
  const before = Array.from({ length: 40 }, (_, n) => `line ${n}`);
  const after = before.with(20, "another line");
  const all = short(lines(before.join("\n"), after.join("\n")), 2);
  assert.deepEqual(
    all.map((line) => line.op),
    ["gap", "same", "same", "remove", "add", "same", "same", "gap"],
  );
  assert.equal(all[0].text, "18 equal lines");
  assert.deepEqual(short(lines("a", "a")), [{ op: "gap", text: "1 equal line" }]);
});

test("two very long texts are one block of lines each", () => {
  const text = (letter) => Array.from({ length: 4000 }, (_, n) => `${letter} ${n}`).join("\n");
  const all = lines(text("a"), text("b"));
  assert.equal(all.length, 8000);
});

const events = [
  { type: "message_start", message: { model: "m", usage: { input_tokens: 3, output_tokens: 1 } } },
  { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "", signature: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "a" } },
  { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "b" } },
  { type: "content_block_delta", index: 0, delta: { type: "signature_delta", signature: "s" } },
  { type: "content_block_stop", index: 0 },
  { type: "ping" },
  { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "t", name: "n", input: {} } },
  { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: '{"a":' } },
  { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: "[1]}" } },
  { type: "content_block_stop", index: 1 },
  { type: "content_block_start", index: 2, content_block: { type: "new_kind", words: "x" } },
  { type: "content_block_delta", index: 2, delta: { type: "new_delta", words: "y", number: 1 } },
  { type: "content_block_stop", index: 2 },
  { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 9 } },
  { type: "message_stop" },
];

function read(all) {
  const found = empty();
  for (const event of all) apply(found, event);
  return found;
}

test("events become the message that a client would have", () => {
  const found = read(events);
  assert.deepEqual(content(found), [
    { type: "thinking", thinking: "ab", signature: "s" },
    { type: "tool_use", id: "t", name: "n", input: { a: [1] } },
    { type: "new_kind", words: "xy", number: 1 },
  ]);
  assert.deepEqual(found.usage, { input_tokens: 3, output_tokens: 9 });
  assert.equal(found.stop, "tool_use");
  assert.ok(found.isWhole);
  assert.deepEqual(reply(found), [{ type: "tool_result", tool_use_id: "t", content: "" }]);
});

test("a stream that ends early, or holds an error, keeps its blocks", () => {
  const cut = read(events.slice(0, 9));
  assert.equal(cut.isWhole, false);
  assert.equal(cut.blocks[1].input, '{"a":');
  assert.equal(read([...events.slice(0, 3), { type: "error", error: { type: "overloaded_error", message: "later" } }]).error.message, "later");
  // events for a block that never began are left out
  assert.deepEqual(read([{ type: "content_block_delta", index: 4, delta: { type: "text_delta", text: "x" } }, { type: "content_block_stop", index: 4 }]).blocks, []);
});

test("a place of a block is another object after each event", () => {
  const found = empty();
  apply(found, events[1]);
  const [before] = found.blocks;
  apply(found, events[2]);
  assert.notEqual(found.blocks[0], before);
  assert.equal(before.block.thinking, "");
});

test("an answer of JSON is a message without open blocks", () => {
  const found = whole({ model: "m", content: [{ type: "text", text: "x" }], stop_reason: "end_turn", usage: {} });
  assert.ok(found.isWhole && !found.blocks[0].isOpen);
  assert.equal(reply(found), "");
});

test("the form changes the last message of the user and nothing else", () => {
  const body = { ...sample("m", "one"), tools: [1] };
  assert.equal(message(withMessage(body, "two")), "two");
  assert.deepEqual(withMessage(body, "two").tools, [1]);
  const blocks = { messages: [{ role: "user", content: [{ type: "text", text: "a", cache_control: { type: "ephemeral" } }] }] };
  assert.deepEqual(withMessage(blocks, "b").messages[0].content, [{ type: "text", text: "b", cache_control: { type: "ephemeral" } }]);
  for (const last of [{ role: "assistant", content: "x" }, { role: "user", content: [{ type: "image" }] }, { role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }]) {
    assert.equal(message({ messages: [last] }), null);
  }
  assert.equal(message({}), null);
});

test("a text that is no object of JSON has a problem", () => {
  for (const text of ["{", "[1]", "null", '"a"', ""]) assert.match(parse(text).problem, /JSON/);
  assert.equal(parse(print({ a: 1 })).problem, null);
});

const language = StreamLanguage.define(rhai);

/** Returns the kinds of a line of Rhai: `[text, kind]`. */
function kinds(text) {
  const found = [];
  language.parser.parse(text).iterate({ enter: (node) => void (node.name !== "Document" && found.push([text.slice(node.from, node.to), node.name])) });
  return Object.fromEntries(found);
}

test("Rhai has keywords, texts, numbers, comments and names", () => {
  const found = kinds('fn on_request(request, ctx) { let x = 0x1F; // why\n request.stream = `a ${x + 1} b`; deny(403, "no"); /* a /* b */ c */ }');
  const expected = { fn: "keyword", let: "keyword", on_request: "variableName.definition", "0x1F": "number", "// why": "comment", stream: "propertyName", '"no"': "string", "/* a /* b */ c */": "comment" };
  for (const [text, kind] of Object.entries(expected)) assert.equal(found[text], kind, `${text}: ${JSON.stringify(found)}`);
  assert.equal(found["`a ${"], "string");
  assert.equal(found["} b`"] ?? found[" b`"], "string");
});

test("every policy of the repository is read to its end", () => {
  const all = readdirSync(path.join(ROOT, "policies"), { recursive: true }).filter((name) => name.endsWith(".rhai"));
  assert.ok(all.length > 15);
  for (const name of all) {
    const text = readFileSync(path.join(ROOT, "policies", name), "utf8");
    const found = kinds(text);
    assert.equal(found.fn, "keyword", name);
    // a comment or a text that never ends would swallow the last bracket
    const last = text.trimEnd().at(-1);
    if (last === "}") assert.equal(found["}"], "bracket", name);
  }
});
