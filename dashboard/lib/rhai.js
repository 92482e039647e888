// The colours of a Rhai policy in CodeMirror: a reader of tokens for `StreamLanguage.define`.

const KEYWORDS = new Set(
  "as break case catch const continue default do else export fn for global if import in let loop private return switch this throw try until while".split(
    " ",
  ),
);
const ATOMS = new Set(["true", "false"]);
const HOOK = /^(on|tool)_[a-z_]+$/;

function comment(stream, state) {
  while (!stream.eol()) {
    if (stream.match("/*")) state.depth += 1;
    else if (stream.match("*/")) {
      state.depth -= 1;
      if (state.depth === 0) break;
    } else stream.next();
  }
  return "comment";
}

// reads to the end of a text in quotes, or in an interpolated text to the next `${`
function quoted(stream, state) {
  const quote = state.quotes.at(-1);
  while (!stream.eol()) {
    if (quote === "`" && stream.match("${")) {
      state.quotes.push("{");
      state.braces.push(0);
      state.indent += 1;
      return "string";
    }
    const letter = stream.next();
    if (letter === "\\" && quote !== "`") {
      if (stream.eol()) return "string";
      stream.next();
    } else if (letter === quote) {
      state.quotes.pop();
      return "string";
    }
  }
  // a text in simple quotes ends with its line, unless the line ends with a backslash
  if (quote !== "`") state.quotes.pop();
  return "string";
}

function bracket(letter, state) {
  if (state.quotes.at(-1) !== "{") return;
  const last = state.braces.length - 1;
  if (letter === "{") state.braces[last] += 1;
  else if (letter === "}" && state.braces[last] === 0) {
    state.quotes.pop();
    state.braces.pop();
  } else if (letter === "}") state.braces[last] -= 1;
}

function word(stream, state) {
  const name = stream.current();
  const isField = state.isField;
  state.isField = false;
  if (state.isName) {
    state.isName = false;
    return "def";
  }
  if (isField) return "propertyName";
  if (name === "fn") state.isName = true;
  if (KEYWORDS.has(name)) return "keyword";
  if (ATOMS.has(name)) return "atom";
  if (HOOK.test(name)) return "def";
  if (stream.match(/^\s*\(/, false)) return "variableName.function";
  if (stream.match(/^\s*:(?!:)/, false)) return "propertyName";
  return "variableName";
}

function token(stream, state) {
  if (state.depth > 0) return comment(stream, state);
  const inside = state.quotes.at(-1);
  if (inside !== undefined && inside !== "{") return quoted(stream, state);
  if (stream.eatSpace()) return null;
  if (stream.match("//")) {
    stream.skipToEnd();
    return "comment";
  }
  if (stream.match("/*")) {
    state.depth = 1;
    return comment(stream, state);
  }
  if (stream.match(/^0[xob][\da-f_]+|^\d[\d_]*(\.\d[\d_]*)?(e[+-]?\d+)?/i)) return "number";
  if (stream.match(/^[a-z_][\w]*/i)) return word(stream, state);
  const letter = stream.next();
  if (letter === '"' || letter === "'" || letter === "`") {
    state.quotes.push(letter);
    return quoted(stream, state);
  }
  state.isField = letter === "." && stream.peek() !== "." ? true : letter === "?" ? state.isField : false;
  if ("{}".includes(letter)) bracket(letter, state);
  if ("(){}[]".includes(letter)) {
    if ("([{".includes(letter)) state.indent += 1;
    else state.indent = Math.max(0, state.indent - 1);
    return "bracket";
  }
  return "+-*/%=<>!&|^?".includes(letter) ? "operator" : "punctuation";
}

/** The mode. */
export const rhai = {
  name: "rhai",
  startState: () => ({ depth: 0, quotes: [], braces: [], indent: 0, isField: false, isName: false }),
  copyState: (state) => ({ ...state, quotes: [...state.quotes], braces: [...state.braces] }),
  token,
  indent: (state, after, context) => {
    if (state.depth > 0 || (state.quotes.length > 0 && state.quotes.at(-1) !== "{")) return null;
    const closes = /^\s*[})\]]/.test(after) ? 1 : 0;
    return Math.max(0, state.indent - closes) * context.unit;
  },
  languageData: {
    commentTokens: { line: "//", block: { open: "/*", close: "*/" } },
    indentOnInput: /^\s*[})\]]$/,
    closeBrackets: { brackets: ["(", "[", "{", '"', "`"] },
  },
};
