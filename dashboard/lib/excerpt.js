// The error of a policy in its parts: the sentence, the place in the file, the line of the source.

/** The place in a file that an error message names: `policies/guard.rhai:5:95`. */
export function placeOf(message) {
  return /([\w./-]+\.rhai):(\d+)(?::(\d+))?/.exec(message);
}

/** An error message → its sentence, and the line of the source with a caret below it. */
export function partsOf(message) {
  const text = message.replaceAll("\\n", "\n");
  const found = /^(.*)\n([ \t]*)\^\s*$/s.exec(text);
  if (!found) return { sentence: text, source: null };
  const [, head, blank] = found;
  const starts = [...head.matchAll(/: /g)].map((it) => it.index + 2).filter((at) => head.length - at >= blank.length);
  const at = starts.findLast((it) => /^[ \t]{2}/.test(head.slice(it))) ?? starts.at(-1);
  if (at == null) return { sentence: text, source: null };
  return { sentence: head.slice(0, at - 2), source: `${head.slice(at)}\n${blank}^` };
}
