// Makes a PNG small: at most 256 colours, chosen by median cut, in a palette.
import zlib from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const MOST_COLOURS = 256;

function chunks(bytes) {
  const found = { IDAT: [] };
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const name = bytes.toString("latin1", at + 4, at + 8);
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (name === "IDAT") found.IDAT.push(data);
    else found[name] = data;
    at += 12 + length;
  }
  return found;
}

function paeth(a, b, c) {
  const [x, y, z] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return x <= y && x <= z ? a : y <= z ? b : c;
}

/** Returns the pixels of an 8-bit RGB or RGBA image as `{ width, height, pixels }`, one number for each. */
export function decode(bytes) {
  const { IHDR, IDAT } = chunks(bytes);
  const [width, height] = [IHDR.readUInt32BE(0), IHDR.readUInt32BE(4)];
  const [depth, kind, , , interlace] = IHDR.subarray(8);
  if (depth !== 8 || ![2, 6].includes(kind) || interlace !== 0) throw new Error("expected an RGB image of 8 bits");
  const size = kind === 2 ? 3 : 4;
  const raw = zlib.inflateSync(Buffer.concat(IDAT));
  const stride = width * size;
  const lines = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const at = y * stride + x;
      const left = x >= size ? lines[at - size] : 0;
      const up = y > 0 ? lines[at - stride] : 0;
      const corner = x >= size && y > 0 ? lines[at - stride - size] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      lines[at] = raw[y * (stride + 1) + 1 + x] + guess;
    }
  }
  const pixels = new Uint32Array(width * height);
  for (let n = 0; n < pixels.length; n += 1) pixels[n] = (lines[n * size] << 16) | (lines[n * size + 1] << 8) | lines[n * size + 2];
  return { width, height, pixels };
}

const channel = (colour, n) => (colour >> (16 - 8 * n)) & 255;

function spread(box) {
  const ranges = [0, 1, 2].map((n) => {
    let [least, most] = [255, 0];
    for (const [colour] of box) {
      least = Math.min(least, channel(colour, n));
      most = Math.max(most, channel(colour, n));
    }
    return most - least;
  });
  const range = Math.max(...ranges);
  return { range, axis: ranges.indexOf(range), weight: box.reduce((sum, [, number]) => sum + number, 0) };
}

function halves(box, axis) {
  const sorted = [...box].sort((a, b) => channel(a[0], axis) - channel(b[0], axis));
  const whole = sorted.reduce((sum, [, number]) => sum + Math.sqrt(number), 0);
  let [at, part] = [0, 0];
  while (at < sorted.length - 1 && part < whole / 2) part += Math.sqrt(sorted[at++][1]);
  return [sorted.slice(0, Math.max(1, at)), sorted.slice(Math.max(1, at))];
}

/** Returns a palette, and the place in it of each colour. */
function palette(pixels) {
  const counts = new Map();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  let boxes = [[...counts]];
  if (counts.size <= MOST_COLOURS) boxes = [...counts].map((it) => [it]);
  while (boxes.length < MOST_COLOURS) {
    const known = boxes.map((box) => ({ box, ...spread(box) })).filter((it) => it.range > 0);
    if (known.length === 0) break;
    const widest = known.reduce((a, b) => (b.range * Math.cbrt(b.weight) > a.range * Math.cbrt(a.weight) ? b : a));
    boxes.splice(boxes.indexOf(widest.box), 1, ...halves(widest.box, widest.axis));
  }
  const places = new Map();
  const colours = boxes.map((box, place) => {
    for (const [colour] of box) places.set(colour, place);
    // the most frequent colour stays exact, which keeps surfaces even
    return box.reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  });
  return { colours, places };
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

function crc(bytes) {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let n = 0; n < 8; n += 1) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}

/** Returns the image with a palette. */
export function shrink(bytes) {
  const { width, height, pixels } = decode(bytes);
  const { colours, places } = palette(pixels);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const lines = Buffer.alloc((width + 1) * height);
  for (let n = 0; n < pixels.length; n += 1) lines[n + Math.floor(n / width) + 1] = places.get(pixels[n]);
  const table = Buffer.from(colours.flatMap((colour) => [0, 1, 2].map((n) => channel(colour, n))));
  const data = zlib.deflateSync(lines, { level: 9, memLevel: 9 });
  return Buffer.concat([SIGNATURE, chunk("IHDR", head), chunk("PLTE", table), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}
