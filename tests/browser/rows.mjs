// A ledger with 100,000 exchanges: how long the pages of the lists take. The times are figures, not checks.
import { execFileSync } from "node:child_process";
import path from "node:path";

import { watched } from "./browser.mjs";
import { signIn } from "./flows/sign.mjs";
import { front } from "./front.mjs";
import { expectations } from "./report.mjs";
import { Gateway, ROOT, until } from "./setting.mjs";

const BOUND_MS = 200;

/** Times the requests of the lists, each one several times. Returns lines. */
async function answers(gateway) {
  const paths = {
    "newest requests": "/api/exchanges?limit=50",
    "requests of a key": "/api/exchanges?limit=50&key=ci",
    "failed requests": "/api/exchanges?limit=50&result=error",
    "requests of a key and model, failed": "/api/exchanges?limit=50&key=dev&model=claude-sonnet-5&result=error",
    "requests of a session": "/api/exchanges?limit=50&session=session-1000",
    "names for the filters": "/api/usage/names",
    "usage by key": "/api/usage?by=key",
    "sums of hours": "/api/usage/series?step=hour",
    "sessions": "/api/prompts?limit=50",
  };
  const lines = [];
  for (const [name, pathname] of Object.entries(paths)) {
    const times = [];
    for (let n = 0; n < 7; n += 1) {
      const begun = performance.now();
      const found = await gateway.api(pathname).catch(() => null);
      if (found === null) break;
      times.push(performance.now() - begun);
    }
    if (times.length === 0) continue;
    times.sort((a, b) => a - b);
    const [median, slowest] = [times[Math.floor(times.length / 2)], times.at(-1)].map((it) => it.toFixed(1));
    const mark = slowest > BOUND_MS ? `  over ${BOUND_MS} ms` : "";
    lines.push(`${name}: median ${median} ms, slowest ${slowest} ms${mark}`);
  }
  return lines;
}

/** Goes through pages of the list. Returns the times from a click to the rows in milliseconds. */
async function clicks(it, number) {
  const times = [];
  for (let n = 0; n < number; n += 1) {
    const taken = await it.page.evaluate(async () => {
      const first = () => document.querySelector("main table[aria-label=Requests] .row-link")?.getAttribute("href");
      const before = first();
      const button = [...document.querySelectorAll("main .pager button")].find((one) => one.textContent.includes("Older"));
      const begun = performance.now();
      const shown = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
          if (first() === before) return;
          observer.disconnect();
          resolve();
        });
        observer.observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
      });
      button.click();
      await shown;
      await new Promise((resolve) => requestAnimationFrame(() => resolve()));
      return performance.now() - begun;
    });
    times.push(taken);
    await it.settled();
    await it.page.waitForFunction(() => {
      const button = [...document.querySelectorAll("main .pager button")].find((one) => one.textContent.includes("Older"));
      return button && !button.disabled;
    });
  }
  return times.sort((a, b) => a - b);
}

/** Fills the ledger of a gateway that does not run. `more` are further words for `fill.py`. */
export function fill(gateway, number, ...more) {
  const words = [path.join(ROOT, "tests/browser/fill.py"), path.join(gateway.place, ".tidegate", "ledger.sqlite"), String(number)];
  execFileSync("python3", [...words, ...more]);
}

/** Starts a gateway once, so that its ledger has tables. */
export async function prepared(setting, name) {
  const place = path.join(setting.place, name);
  const gateway = await Gateway.prepare(setting.chosen.binary, place, { compiled: setting.gateway.options.compiled });
  await gateway.start();
  await until("the ledger is there", async () => (await gateway.api("/api/status")).ledger.is_on);
  await gateway.stop();
  return gateway;
}

async function read(setting, gateway) {
  const { found, expect } = expectations();
  const number = Number(setting.chosen.rows);
  const begun = performance.now();
  fill(gateway, number);
  setting.report.figure(`${number} exchanges were written to the ledger in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await gateway.start();
  const at = await front(gateway, setting.chosen);
  try {
    for (const line of await answers(gateway)) setting.report.figure(line);
    const it = await watched(setting.browser, at.url);
    await signIn(it, "#/requests");
    const times = await clicks(it, 12);
    const [median, slowest] = [times[6], times.at(-1)].map((one) => one.toFixed(0));
    setting.report.figure(`a click on "Older" to its rows on the screen: median ${median} ms, slowest ${slowest} ms (bound: ${BOUND_MS} ms)`);
    const rows = await it.page.locator("main table[aria-label=Requests] tbody tr").count();
    expect(rows === 50, `expected 50 rows on the 13th page, found ${rows}`);
    found.push(...(await it.look()), ...it.take());
    await it.page.context().close();
  } finally {
    await at.stop();
  }
  return found;
}

export async function rows(setting) {
  await setting.report.check(`a ledger of ${setting.chosen.rows} exchanges is paged through`, async () => {
    const gateway = await prepared(setting, "many");
    try {
      return await read(setting, gateway);
    } finally {
      await gateway.stop();
    }
  });
}
