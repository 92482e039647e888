// The pictures keep their size and their colours.
import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";

import { decode, shrink } from "./png.mjs";

function image(width, height, colour) {
  const lines = [];
  for (let y = 0; y < height; y += 1) {
    lines.push(0);
    for (let x = 0; x < width; x += 1) lines.push(...colour(x, y));
  }
  const chunk = (name, data) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(name, "latin1"), data, Buffer.alloc(4)]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const data = zlib.deflateSync(Buffer.from(lines));
  return Buffer.concat([Buffer.alloc(8), chunk("IHDR", head), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

/** Returns the colours of an image with a palette. */
function shown(bytes) {
  const found = {};
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    found[bytes.toString("latin1", at + 4, at + 8)] = bytes.subarray(at + 8, at + 8 + length);
    at += 12 + length;
  }
  const width = found.IHDR.readUInt32BE(0);
  const lines = zlib.inflateSync(found.IDAT);
  const place = (x, y) => lines[y * (width + 1) + 1 + x] * 3;
  return { width, height: found.IHDR.readUInt32BE(4), at: (x, y) => [...found.PLTE.subarray(place(x, y), place(x, y) + 3)] };
}

test("an image with few colours stays exact", () => {
  const colour = (x, y) => [x * 16, y * 16, 7];
  const found = shown(shrink(image(15, 15, colour)));
  assert.deepEqual([found.width, found.height], [15, 15]);
  for (const [x, y] of [[0, 0], [14, 3], [7, 14]]) assert.deepEqual(found.at(x, y), colour(x, y));
});

test("an image with many colours keeps each of them nearly", () => {
  const colour = (x, y) => [x * 4, y * 4, (x + y) * 2];
  const found = shown(shrink(image(64, 64, colour)));
  for (let x = 0; x < 64; x += 5) {
    for (let y = 0; y < 64; y += 5) {
      const off = found.at(x, y).map((value, n) => Math.abs(value - colour(x, y)[n]));
      assert.ok(Math.max(...off) <= 40, `${x},${y}: ${off}`);
    }
  }
});

test("an image with another form is refused", () => {
  const bytes = image(1, 1, () => [0, 0, 0]);
  bytes[8 + 8 + 9] = 3;
  assert.throws(() => decode(bytes), /RGB/);
});
