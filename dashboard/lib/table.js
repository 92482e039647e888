// Tables: sorted by a column, one link for each row, cards on a phone, a region that scrolls by itself.
import { html, useLayoutEffect, useMemo, useRef, useState } from "./html.js";

/**
 * `columns`: `{ label, cell(row), isNumber, sort(row), title, kind }`; on a phone a cell of kind `bare` has no label, and
 * one of kind `full` a line of its own. `keyOf(row)` names a row; `linkOf(row)`
 * is the hash of its page: the first cell becomes a link, and a click anywhere in the row follows it. `label` names the table.
 * With the same `columns`, a row is drawn once: cells depend on the row, and on signals that their components read.
 */
export function Table({ columns, rows, keyOf, linkOf, label, sortedBy, classOf, kind = "" }) {
  const [order, setOrder] = useState(sortedBy ?? null);
  const shown = useMemo(() => sorted(rows, columns, order), [rows, columns, order]);
  const shownColumns = useMemo(() => columns.filter(Boolean), [columns]);
  // a row that is shown already costs nothing: a live list gets new rows only
  const known = useMemo(() => new Map(), [columns]);
  const drawn = shown.map((row) => {
    if (!known.has(row)) known.set(row, html`<${Row} key=${keyOf(row)} ...${{ row, columns: shownColumns, href: linkOf?.(row), kind: classOf?.(row) }} />`);
    return known.get(row);
  });
  if (known.size > shown.length * 2) forget(known, shown);
  const region = useScrollFocus();
  return html`<div class="scroll" role="region" aria-label=${label} ref=${region}>
    <table class=${`table ${kind}`} role="table" aria-label=${label}>
      <thead role="rowgroup">
        <tr role="row">
          ${shownColumns.map((column) => html`<${HeadCell} key=${column.label} column=${column} order=${order} setOrder=${setOrder} />`)}
        </tr>
      </thead>
      <tbody role="rowgroup" data-rows=${linkOf ? "" : undefined}>
        ${drawn}
      </tbody>
    </table>
  </div>`;
}

/** A region that scrolls takes the focus, so that the keyboard can scroll it; any other is no stop of the Tab key. */
function useScrollFocus() {
  const region = useRef(null);
  useLayoutEffect(() => {
    const element = region.current;
    const update = () => {
      if (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    };
    const sizes = new ResizeObserver(update);
    sizes.observe(element);
    sizes.observe(element.firstElementChild);
    return () => sizes.disconnect();
  }, []);
  return region;
}

function forget(known, shown) {
  const kept = new Set(shown);
  for (const row of [...known.keys()]) if (!kept.has(row)) known.delete(row);
}

function sorted(rows, columns, order) {
  if (!order) return rows;
  const column = columns.find((it) => it && it.label === order.label);
  if (!column?.sort) return rows;
  const sign = order.isDown ? -1 : 1;
  return rows
    .map((row) => [column.sort(row), row])
    .sort(([a], [b]) => (a === b ? 0 : a == null ? 1 : b == null ? -1 : a < b ? -sign : sign))
    .map(([, row]) => row);
}

function HeadCell({ column, order, setOrder }) {
  const isActive = order?.label === column.label;
  const state = !column.sort ? undefined : isActive ? (order.isDown ? "descending" : "ascending") : "none";
  const flip = () => setOrder({ label: column.label, isDown: isActive ? !order.isDown : Boolean(column.isNumber) });
  return html`<th role="columnheader" scope="col" class=${column.isNumber ? "number" : ""} aria-sort=${state} title=${column.title}>
    ${column.sort
      ? html`<button type="button" class="sort" onClick=${flip}>${column.label}<span aria-hidden="true">${isActive ? (order.isDown ? " ↓" : " ↑") : ""}</span></button>`
      : column.label}
  </th>`;
}

function Row({ row, columns, href, kind }) {
  function follow(event) {
    if (!href || event.defaultPrevented || event.button !== 0) return;
    if (event.target.closest("a, button, input, select, summary") || String(getSelection())) return;
    if (event.metaKey || event.ctrlKey) open(href, "_blank", "noopener");
    else location.hash = href;
  }
  return html`<tr role="row" class=${`${href ? "linked" : ""} ${kind ?? ""}`} onClick=${follow}>
    ${columns.map((column, n) => {
      const content = column.cell(row);
      const cell = href && n === 0 ? html`<a href=${href} class="row-link">${content}</a>` : content;
      return html`<td key=${column.label} role="cell" class=${`${column.isNumber ? "number" : ""} ${column.kind ?? ""}`} data-label=${column.label}><div>${cell}</div></td>`;
    })}
  </tr>`;
}

/** Moves the focus among the rows of the view: `by` is 1 or -1. Returns whether a row took it. */
export function moveRow(by) {
  const links = [...document.querySelectorAll("main [data-rows] .row-link")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
  return true;
}
