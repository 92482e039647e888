// Sums over time for charts: the steps of a range without gaps, and figures from points.
import { dayPlus, dollars, moneyOfNano, sumNano } from "./format.js";
import { beginOf } from "./zones.js";

const STEPS = { quarter: 900_000, hour: 3_600_000 };

/** The beginnings of all steps from the first day to the last one, none after `until`. */
export function stepsOf({ from, to, zone, step }, until) {
  const moments = [];
  if (step === "day") {
    for (let day = from; day <= to; day = dayPlus(day, 1)) moments.push(beginOf(day, zone));
  } else {
    const end = Math.min(beginOf(dayPlus(to, 1), zone), until);
    for (let at = beginOf(from, zone); at < end; at += STEPS[step]) moments.push(at);
  }
  return moments.filter((at) => at <= until);
}

const NONE = { requests: 0, errors: 0, uncached: 0, write: 0, read: 0, output: 0, cost_usd: "0", unpriced: 0, ms: 0 };

/** The points of `/api/usage/series` with an empty point for each step that it leaves out. */
export function filled(series, step, until) {
  const known = new Map();
  for (const point of series.points) {
    const { write_5m: short, write_1h: long } = point;
    known.set(Date.parse(point.at), { ...point, write: short + long });
  }
  const moments = new Set([...stepsOf({ ...series, step }, until), ...known.keys()]);
  return [...moments].sort((a, b) => a - b).map((at) => ({ ...NONE, ...known.get(at), at: at / 1000 }));
}

/** The points of `/api/overview`. */
export function liveOf(overview) {
  return overview.buckets.map((bucket) => ({ ...bucket, at: Date.parse(bucket.at) / 1000 }));
}

/** The share of input tokens that came from the cache; `null` without input. */
export function hitRate({ uncached, write, read }) {
  const all = uncached + write + read;
  return all > 0 ? read / all : null;
}

/** The sums of points. */
export function totalOf(points) {
  const sum = (name) => points.reduce((all, it) => all + (it[name] ?? 0), 0);
  const total = {};
  for (const name of ["requests", "errors", "uncached", "write", "read", "output", "unpriced", "ms"]) total[name] = sum(name);
  return { ...total, nano: sumNano(points.map((it) => it.cost_usd)) };
}

/** The columns of points as the charts need them. */
export function columnsOf(points) {
  const of = (pick) => points.map(pick);
  return {
    x: of((it) => it.at),
    good: of((it) => it.requests - it.errors),
    errors: of((it) => it.errors),
    uncached: of((it) => it.uncached),
    write: of((it) => it.write),
    read: of((it) => it.read),
    output: of((it) => it.output),
    cost: of((it) => dollars(it.cost_usd)),
    p50: of((it) => it.ttft_p50_ms ?? null),
    p95: of((it) => it.ttft_p95_ms ?? null),
    mean: of((it) => (it.requests ? it.ms / it.requests : null)),
    hits: of(hitRate),
  };
}

/** The seconds between two points; `fallback` for fewer than two. */
export function stepOf(points, fallback) {
  return points.length > 1 ? points[1].at - points[0].at : fallback;
}

/** Dollars of a chart's axis. */
export function moneyOfNumber(value) {
  return value == null ? "–" : moneyOfNano(BigInt(Math.round(value * 1e9)));
}
