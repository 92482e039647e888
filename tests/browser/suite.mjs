// The dashboard in Chromium, before a real gateway with real traffic. `run.py` starts it.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { launch } from "./browser.mjs";
import * as editor from "./flows/editor.mjs";
import * as keys from "./flows/keys.mjs";
import * as playground from "./flows/playground.mjs";
import * as requests from "./flows/requests.mjs";
import * as sign from "./flows/sign.mjs";
import { front } from "./front.mjs";
import { pages } from "./pages.mjs";
import { Report } from "./report.mjs";
import { rows } from "./rows.mjs";
import { Gateway, ROOT } from "./setting.mjs";
import { screenshots } from "./shots.mjs";
import { facts, traffic } from "./traffic.mjs";

function options(args) {
  const found = { binary: "", chromium: "chromium", screenshots: null, only: null, rows: 100_000, pages: "gateway" };
  while (args.length > 0) {
    const name = args.shift().replace(/^--/, "");
    if (!(name in found)) throw new Error(`unknown option \`--${name}\``);
    found[name] = args.shift();
  }
  return found;
}

async function main() {
  const chosen = options(process.argv.slice(2));
  const report = new Report();
  const place = mkdtempSync(path.join(tmpdir(), "tidegate-browser-"));
  const compiled = path.resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", "clients", "compiled");
  const gateway = await Gateway.prepare(chosen.binary, path.join(place, "one"), { compiled });
  const browser = await launch(chosen.chromium);
  const open = [];
  try {
    await gateway.start();
    const statuses = await traffic(gateway);
    report.figure(`harmful requests were answered with ${statuses.map((it) => String(it).slice(0, 24)).join(", ")}`);
    const at = await front(gateway, chosen);
    open.push(at);
    if (at.hasFixtures) report.figure("the development server serves the pages, with fixtures for the routes that the gateway lacks");
    const state = await sign.stateOf(browser, at.url);
    const setting = { browser, gateway, report, state, place, ...at, facts: await facts(gateway), chosen };
    const parts = { sign: sign.flow, pages, requests: requests.flow, keys: keys.flow, playground: playground.flow, editor: editor.flow, rows };
    for (const [name, run] of Object.entries(parts)) {
      if (chosen.only && !chosen.only.split(",").includes(name)) continue;
      console.log(`---- ${name}`);
      await run(setting);
    }
    if (chosen.screenshots) {
      mkdirSync(chosen.screenshots, { recursive: true });
      await screenshots(setting, chosen.screenshots);
    }
  } catch (error) {
    report.line("FAIL", `the suite broke: ${error.stack}`);
    console.log(gateway.log());
  } finally {
    await browser.close();
    for (const it of open) await it.stop();
    await gateway.stop();
    rmSync(place, { recursive: true, force: true });
  }
  const { ok, FAIL, skip } = report.counts;
  console.log(`${ok} passed, ${FAIL} failed, ${skip} skipped`);
  process.exitCode = FAIL > 0 ? 1 : 0;
}

await main();
