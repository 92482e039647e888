// The difference of two texts by lines.

// above this many cells the middle of a difference is shown as one block
const MOST_CELLS = 4_000_000;

function split(text) {
  return text === "" ? [] : text.split("\n");
}

// the lengths of the longest common subsequences of all ends of both lists
function table(a, b) {
  const width = b.length + 1;
  const cells = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const here = i * width + j;
      cells[here] = a[i] === b[j] ? cells[here + width + 1] + 1 : Math.max(cells[here + width], cells[here + 1]);
    }
  }
  return { cells, width };
}

function middle(a, b) {
  const removed = a.map((text) => ({ op: "remove", text }));
  const added = b.map((text) => ({ op: "add", text }));
  if (a.length === 0 || b.length === 0 || a.length * b.length > MOST_CELLS) return [...removed, ...added];
  const { cells, width } = table(a, b);
  const found = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      found.push({ op: "same", text: a[i] });
      i += 1;
      j += 1;
    } else if (cells[(i + 1) * width + j] >= cells[i * width + j + 1]) found.push(removed[i++]);
    else found.push(added[j++]);
  }
  return [...found, ...removed.slice(i), ...added.slice(j)];
}

/** Returns the lines of both texts: `{ op, text }` with `same`, `remove` or `add`. */
export function lines(before, after) {
  const a = split(before);
  const b = split(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const same = (text) => ({ op: "same", text });
  return [
    ...a.slice(0, start).map(same),
    ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map(same),
  ];
}

/** Returns the lines with `around` equal lines beside each difference; a gap is `{ op: "gap", text }`. */
export function short(all, around = 3) {
  const near = new Set();
  all.forEach((line, at) => {
    if (line.op === "same") return;
    for (let i = at - around; i <= at + around; i += 1) near.add(i);
  });
  const found = [];
  let hidden = 0;
  const close = () => {
    if (hidden > 0) found.push({ op: "gap", text: hidden === 1 ? "1 equal line" : `${hidden} equal lines` });
    hidden = 0;
  };
  all.forEach((line, at) => {
    if (!near.has(at)) hidden += 1;
    else {
      close();
      found.push(line);
    }
  });
  close();
  return found;
}
