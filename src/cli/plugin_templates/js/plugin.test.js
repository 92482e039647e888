// Run natively, against a stand-in for the gateway: `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "./plugin.js";
import { MockHost } from "./tidegate.js";

test("a die shows one of its sides", () => {
  assert.equal(new MockHost({ clock: 7n }).callTool(plugin, "TOOL", { sides: 6 }), "2");
});

test("the declaration bounds what the model may ask for", () => {
  const ask = () => new MockHost().callTool(plugin, "TOOL", { sides: 9 }, { max_sides: 6 });
  assert.throws(ask, { message: "`sides` must be from 1 to 6" });
});
