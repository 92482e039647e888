// Run natively, without a gateway: `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "./plugin.js";
import { MockHost } from "./tidegate.js";

const convert = (input, options) => JSON.parse(new MockHost().callTool(plugin, "units", input, options));

test("a length becomes another", () => {
  assert.deepEqual(convert({ value: 5, from: "km", to: "mi" }), { value: 3.107, unit: "mi" });
});

test("a temperature is no matter of a factor", () => {
  assert.deepEqual(convert({ value: 100, from: "c", to: "f" }), { value: 212, unit: "f" });
});

test("the operator says how many digits there are", () => {
  assert.equal(convert({ value: 1, from: "in", to: "m" }, { digits: 4 }).value, 0.0254);
});

test("what cannot become the other is a problem for the model", () => {
  assert.throws(() => convert({ value: 1, from: "kg", to: "m" }), /`kg` cannot become `m`/);
});
