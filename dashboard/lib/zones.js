// Moments in a time zone: the begin of a day, and the fields for a date and a time.

/** The difference of a zone to UTC at a moment, in milliseconds. */
function offset(moment, zone) {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
    hour: "numeric", minute: "numeric", second: "numeric",
  }).formatToParts(moment);
  const part = (type) => Number(parts.find((it) => it.type === type).value);
  const local = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
  return local - Math.floor(moment / 1000) * 1000;
}

/** A local time such as `2026-11-29T14:05` in a zone → its moment in milliseconds; `NaN` for another text. */
export function momentOf(local, zone) {
  const utc = Date.parse(`${local}Z`);
  if (Number.isNaN(utc)) return NaN;
  const guess = utc - offset(utc, zone);
  return utc - offset(guess, zone);
}

/** The moment at which a day begins in a zone, in milliseconds. */
export function beginOf(day, zone) {
  return momentOf(`${day}T00:00:00`, zone);
}

/** A moment → the local time that a field for date and time needs, `2026-11-29T14:05`. */
export function localOf(moment, zone) {
  const utc = Date.parse(moment);
  return Number.isNaN(utc) ? "" : new Date(utc + offset(utc, zone)).toISOString().slice(0, 16);
}
