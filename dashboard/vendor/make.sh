#!/bin/sh
# Makes the vendored modules of the dashboard from pinned npm packages, and prints their SHA-256.
# Needs node and npm, in a temporary folder only. The results are committed: nothing here runs in a build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  preact@11.2.0 @preact/signals@2.11.4 @preact/signals-core@1.14.5 htm@3.1.1 uplot@1.6.32 esbuild@0.28.2 \
  @codemirror/view@6.43.15 @codemirror/state@6.7.6 @codemirror/commands@6.11.1 @codemirror/language@6.13.1 \
  @codemirror/lint@6.9.8 @codemirror/autocomplete@6.20.4 @codemirror/search@6.7.2 @codemirror/lang-json@6.0.2 \
  @codemirror/legacy-modes@6.5.5 @lezer/common@1.5.5 @lezer/highlight@1.2.5 @lezer/json@1.0.3 @lezer/lr@1.4.12 \
  style-mod@4.1.5 w3c-keyname@2.2.8 crelt@1.0.7 @marijn/find-cluster-break@1.0.4 >/dev/null

cat >preact.mjs <<'JS'
export { default as htm } from "htm";
export { h, render, Fragment, createContext, cloneElement } from "preact";
export {
  useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback, useContext, useReducer, useId,
} from "preact/hooks";
export { signal, computed, effect, batch, untracked, useSignal, useComputed, useSignalEffect } from "@preact/signals";
JS
cat >uplot.mjs <<'JS'
export { default } from "uplot";
JS
cat >codemirror.mjs <<'JS'
export { EditorState, EditorSelection, StateEffect, StateField, Compartment, Annotation, Text } from "@codemirror/state";
export {
  EditorView, Decoration, keymap, lineNumbers, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars,
  drawSelection, placeholder, hoverTooltip,
} from "@codemirror/view";
export { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
export {
  StreamLanguage, HighlightStyle, syntaxHighlighting, bracketMatching, indentOnInput, indentUnit, syntaxTree,
} from "@codemirror/language";
export { linter, lintGutter, lintKeymap, setDiagnostics, forceLinting, diagnosticCount } from "@codemirror/lint";
export {
  autocompletion, completionKeymap, closeBrackets, closeBracketsKeymap, completionStatus, startCompletion,
} from "@codemirror/autocomplete";
export { search, searchKeymap, highlightSelectionMatches } from "@codemirror/search";
export { json, jsonParseLinter } from "@codemirror/lang-json";
export { yaml } from "@codemirror/legacy-modes/mode/yaml";
export { tags } from "@lezer/highlight";
JS

bundle() { # the source, the result, its banner
  ./node_modules/.bin/esbuild "$1" --bundle --format=esm --target=es2022 --minify --legal-comments=none \
    --log-level=warning --banner:js="$3" --outfile="$here/$2"
}
bundle preact.mjs preact.js \
  "/*! preact 11.2.0, @preact/signals 2.11.4 (MIT); htm 3.1.1 (Apache-2.0). See README.md beside this file. */"
bundle uplot.mjs uplot.js "/*! uPlot 1.6.32 (MIT). See README.md beside this file. */"
bundle codemirror.mjs codemirror.js \
  "/*! CodeMirror 6 (MIT): view 6.43.15, state 6.7.6 and more. See README.md beside this file. */"
cp node_modules/uplot/dist/uPlot.min.css "$here/uplot.css"

cd "$here"
sha256sum preact.js uplot.js uplot.css codemirror.js
