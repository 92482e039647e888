// Numbers, money, durations, times and foreign texts as the dashboard shows them.

const INVISIBLE =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu;
const MAY_BE_INVISIBLE = /[^\n\t\x20-\x7e]/;

/** Returns the text with bidi controls, zero-width and control characters written as `\u{202E}`. */
export function plain(text) {
  if (!MAY_BE_INVISIBLE.test(text)) return text;
  return text.replace(INVISIBLE, (found) => {
    if (found === "\n" || found === "\t") return found;
    return `\\u{${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`;
  });
}

/** Returns the start of a text, for a place with little room. */
export function clip(text, most = 80) {
  const all = [...text.slice(0, most * 2)];
  return all.length > most || text.length > most * 2 ? `${all.slice(0, most).join("")}…` : text;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 12345 → `12,345`. */
export function count(number) {
  return number == null ? "–" : whole.format(number);
}

const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

/** 12345 → `12.3k`. */
export function short(number) {
  if (number == null) return "–";
  const size = Math.abs(number);
  for (const [unit, name] of UNITS) {
    if (size < unit * 0.9995) continue;
    const value = number / unit;
    const digits = Math.abs(value) >= 99.95 ? 0 : 1;
    return `${value.toFixed(digits).replace(/\.0$/, "")}${name}`;
  }
  return Number.isInteger(number) ? String(number) : number.toFixed(size < 10 ? 1 : 0);
}

/** 0.1234 → `12.3%`. */
export function percent(share) {
  if (share == null || Number.isNaN(share)) return "–";
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}%`;
  if (value < 0.1) return "<0.1%";
  if (value > 99.9) return ">99.9%";
  return `${value.toFixed(value < 10 ? 1 : 0)}%`;
}

/** `one` thing or several: `1 request`, `2 requests`. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// ── money: decimal strings of dollars, as whole billionths, never as floating-point numbers ──

/** `"0.0123"` → `12300000n`; `null` for a text that is no amount. */
export function nano(usd) {
  const found = /^(-?)(\d+)(?:\.(\d+))?$/.exec(usd ?? "");
  if (!found) return null;
  const value = BigInt(found[2]) * 1_000_000_000n + BigInt((found[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return found[1] ? -value : value;
}

/** The sum of decimal strings, in billionths. */
export function sumNano(amounts) {
  return amounts.reduce((sum, usd) => sum + (nano(usd) ?? 0n), 0n);
}

/** Billionths → an exact decimal string. */
export function exactUsd(value) {
  const size = value < 0n ? -value : value;
  const rest = (size % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${size / 1_000_000_000n}${rest ? `.${rest}` : ""}`;
}

function rounded(size, digits) {
  const unit = 10n ** BigInt(9 - digits);
  const parts = (size + unit / 2n) / unit;
  const base = 10n ** BigInt(digits);
  const rest = digits ? `.${(parts % base).toString().padStart(digits, "0")}` : "";
  return `${whole.format(parts / base)}${rest}`;
}

/** Billionths → `$1,234.56`, `$0.0123`, `<$0.0001`. */
export function moneyOfNano(value) {
  const size = value < 0n ? -value : value;
  const sign = value < 0n ? "−" : "";
  if (size === 0n) return "$0";
  if (size < 100_000n) return `<${sign}$0.0001`;
  return `${sign}$${rounded(size, size >= 10_000_000_000_000n ? 0 : size >= 1_000_000_000n ? 2 : 4)}`;
}

/** A decimal string of dollars → the shown amount; `–` for none. */
export function money(usd) {
  const value = nano(usd);
  return value == null ? "–" : moneyOfNano(value);
}

/** Dollars as a number, only for the height of a chart. */
export function dollars(usd) {
  return Number(nano(usd) ?? 0n) / 1e9;
}

// ── durations and times ──

/** Milliseconds → `812 ms`, `1.24 s`, `2 min 3 s`, `3 h 5 min`, `2 d 4 h`. */
export function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1) return ms === 0 ? "0 ms" : `${Math.round(ms * 1000)} µs`;
  if (ms < 999.5) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, "")} s`;
  const seconds = Math.round(ms / 1000);
  const parts = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([unit]) => seconds >= unit);
  const [unit, name] = parts[first];
  const [next, nextName] = parts[first + 1] ?? [0, ""];
  const rest = next ? Math.floor((seconds % unit) / next) : 0;
  return `${Math.floor(seconds / unit)} ${name}${rest ? ` ${rest} ${nextName}` : ""}`;
}

/** Microseconds → `340 µs`, `1.2 ms`. */
export function micros(us) {
  return us == null ? "–" : duration(us / 1000);
}

/** The age of a moment: `now`, `4 s ago`, `3 min ago`. */
export function ago(ms) {
  return ms < 1500 ? "now" : `${duration(Math.floor(ms / 1000) * 1000).replace(/(\d)\.\d+ s/, "$1 s")} ago`;
}

const formats = new Map();

function formatOf(zone, kind) {
  const key = `${zone} ${kind}`;
  if (!formats.has(key)) {
    const day = { year: "numeric", month: "2-digit", day: "2-digit" };
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    const parts = { day, clock, both: { ...day, ...clock } }[kind];
    formats.set(key, new Intl.DateTimeFormat("sv-SE", { timeZone: zone, ...parts }));
  }
  return formats.get(key);
}

function dateOf(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** A moment → `2026-11-29 14:03:07` in the zone. */
export function dateTime(moment, zone) {
  const date = dateOf(moment);
  return date ? formatOf(zone, "both").format(date) : "–";
}

/** A moment → `14:03:07` in the zone. */
export function clock(moment, zone) {
  const date = dateOf(moment);
  return date ? formatOf(zone, "clock").format(date) : "–";
}

/** A moment → its day in the zone, `2026-11-29`. */
export function day(moment, zone) {
  const date = dateOf(moment);
  return date ? formatOf(zone, "day").format(date) : "–";
}

/** A day and a number of days → another day: `2026-11-29`, -6 → `2026-11-23`. */
export function dayPlus(text, days) {
  return new Date(Date.parse(`${text}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** A cell of a CSV file; a cell that a spreadsheet would run as a formula gets a quote. */
export function csvCell(value) {
  const text = value == null ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
