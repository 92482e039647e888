// Charts by uPlot that follow the theme and the zone, update in place, and can be read as a table.
import uPlot from "../vendor/uplot.js";
import { clock, dateTime, day } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { paint, zone } from "./store.js";
import { Table } from "./table.js";

/** The colour of a variable of the style sheet, as the canvas needs it. */
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  probe.hidden = true;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Adds up the series from the bottom, the last one first, so that each band is drawn over the taller ones. */
function stacked(x, series) {
  const sums = new Array(x.length).fill(0);
  const tops = [];
  for (const { values } of [...series].reverse()) {
    values.forEach((value, n) => (sums[n] += value ?? 0));
    tops.unshift([...sums]);
  }
  return tops;
}

function fontOf(element) {
  return `11px ${getComputedStyle(element).fontFamily}`;
}

/** `$0.1500` → `$0.15`, `2.00 s` → `2 s`: an axis needs no digits that are all zero. */
function trimmed(text) {
  return text.replace(/\.(\d*?)0+(?!\d)/, (_, kept) => (kept ? `.${kept}` : ""));
}

function axes(element, format, isDaily) {
  const [ink, grid] = [colour("faint"), colour("line")];
  const shared = { stroke: ink, font: fontOf(element), ticks: { show: false }, grid: { stroke: grid, width: 1 } };
  const time = (u, splits) => splits.map((at, n) => timeLabel(at, splits[n - 1], splits[1] - splits[0], isDaily));
  return [
    { ...shared, grid: { show: false }, space: 74, size: 24, gap: 4, values: time },
    { ...shared, size: (u, values) => 14 + 6.4 * Math.max(0, ...(values ?? []).map((it) => it.length)), gap: 4, space: 34,
      values: (u, splits) => splits.map((it) => trimmed(format(it))) },
  ];
}

function timeLabel(at, before, step, isDaily) {
  const moment = at * 1000;
  const date = day(moment, zone.value).slice(5);
  if (isDaily || step >= 86_400) return date;
  const time = clock(moment, zone.value);
  if (before != null && day(before * 1000, zone.value).slice(5) !== date) return date;
  return step < 60 ? time : time.slice(0, 5);
}

/** The points of a line without a neighbour, which no line would show. */
function lonely(u, series) {
  const values = u.data[series];
  return values.map((_, n) => n).filter((n) => values[n] != null && values[n - 1] == null && values[n + 1] == null);
}

function optionsOf(element, { series, kind, format, height, step, isDaily, most }, setAt) {
  const bars = kind !== "lines" && uPlot.paths.bars({ size: [0.82, 48], align: 1, radius: kind === "bars" && series.length === 1 ? 0.1 : 0 });
  const lines = uPlot.paths.linear();
  const shown = series.map((it) => {
    const ink = colour(it.colour);
    if (bars) return { label: it.label, stroke: ink, fill: ink, width: 0, paths: bars, points: { show: false } };
    return { label: it.label, stroke: ink, width: 2, dash: it.isDashed ? [6, 4] : undefined, paths: lines, spanGaps: false,
      points: { show: true, filter: lonely, size: 5, stroke: ink, fill: ink } };
  });
  return {
    width: element.clientWidth, height, padding: [10, 14, 0, 0], legend: { show: false },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone.value),
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: {
      x: { range: (u, from, to) => [from, bars ? to + step : Math.max(to, from + step)] },
      y: { range: (u, from, to) => [0, most ?? (to > 0 ? to * 1.08 : 1)] },
    },
    axes: axes(element, format, isDaily),
    series: [{}, ...shown],
    hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
  };
}

/**
 * A chart over time. `x`: seconds. `series`: `{ label, values, colour, isDashed }`. `kind`: `bars` (side by side at the
 * same place, the last over the first), `stack` or `lines`. `step`: seconds between two points. `total(n)` is the text of
 * a series without a cursor.
 */
export function Chart({ title, x, series, kind = "bars", format, height = 136, step, most, note, isDaily = false, totals, empty }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [at, setAt] = useState(null);
  const [isTable, setTable] = useState(false);
  const data = useMemo(() => [x, ...(kind === "stack" ? stacked(x, series) : series.map((it) => it.values))], [x, series, kind]);
  const latest = useRef(data);
  latest.current = data;
  const hasData = series.some((it) => it.values.some((value) => value != null && value !== 0));

  useEffect(() => {
    const element = box.current;
    if (!element || isTable) return undefined;
    const spec = { series, kind, format, height, step, isDaily, most };
    plot.current = new uPlot(optionsOf(element, spec, setAt), latest.current, element);
    const size = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    size.observe(element);
    return () => {
      size.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [paint.value, zone.value, kind, height, step, isDaily, isTable, hasData, series.map((it) => it.label).join()]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  const index = at != null && at < x.length ? at : null;
  return html`<section class="card chart" aria-label=${title}>
    <div class="chart-head">
      <h2>${title}</h2>
      <span class="when">${index != null ? (isDaily ? day(x[index] * 1000, zone.value) : dateTime(x[index] * 1000, zone.value)) : note}</span>
      ${hasData && html`<button type="button" class="quiet small" aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>${isTable ? "Chart" : "Table"}</button>`}
    </div>
    <div class="legend">
      ${series.map((it, n) => html`<span key=${it.label}><${Swatch} of=${it} kind=${kind} />${it.label}
        ${index != null ? html`<span class="value">${format(it.values[index])}</span>` : totals?.[n] != null && html`<span class="value">${totals[n]}</span>`}
      </span>`)}
    </div>
    ${!hasData
      ? html`<p class="faint">${empty ?? "Nothing in this time."}</p>`
      : isTable
        ? html`<${DataTable} ...${{ title, x, series, format, isDaily }} />`
        : html`<div class="plot" ref=${box} role="img" aria-label=${`${title}: a chart. The button “Table” shows its numbers.`}></div>`}
  </section>`;
}

function Swatch({ of, kind }) {
  const shape = kind === "lines" ? `swatch line ${of.isDashed ? "dash" : ""}` : "swatch";
  return html`<span class=${shape} style=${{ backgroundColor: `var(--${of.colour})` }} aria-hidden="true"></span>`;
}

function DataTable({ title, x, series, format, isDaily }) {
  const show = isDaily ? day : dateTime;
  const columns = [
    { label: "Time", cell: (n) => show(x[n] * 1000, zone.value) },
    ...series.map((it) => ({ label: it.label, isNumber: true, cell: (n) => format(it.values[n]) })),
  ];
  const rows = x.map((_, n) => n).reverse();
  return html`<${Table} label=${title} columns=${columns} rows=${rows} keyOf=${(n) => x[n]} />`;
}
