// The lines of the suite: `ok`, `FAIL` and `skip`, and figures.

export class Report {
  counts = { ok: 0, FAIL: 0, skip: 0 };

  line(outcome, what) {
    this.counts[outcome] += 1;
    console.log(`${outcome.padEnd(4)} ${what}`);
  }

  skip(what, why) {
    this.line("skip", `${what}: ${why}`);
  }

  figure(text) {
    console.log(`     ${text}`);
  }

  /** Runs a check. It fails by an exception, or by the list of findings that it returns. */
  async check(what, run) {
    let found;
    try {
      found = (await run()) ?? [];
    } catch (error) {
      found = [String(error.message ?? error).split("\n").slice(0, 6).join(" | ")];
    }
    if (found.length === 0) return this.line("ok", what);
    this.line("FAIL", what);
    for (const it of found.slice(0, 8)) console.log(`       ${it}`);
    return undefined;
  }
}

/** Returns the findings of expectations: `expect(condition, text)` and the list `found`. */
export function expectations() {
  const found = [];
  return { found, expect: (condition, text) => condition || found.push(text) };
}
