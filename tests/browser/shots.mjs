// The pictures of the docs: pages of a gateway with the suite's own traffic.
import { writeFileSync } from "node:fs";
import path from "node:path";

import { watched } from "./browser.mjs";
import { stateOf } from "./flows/sign.mjs";
import { front } from "./front.mjs";
import { canShow } from "./pages.mjs";
import { shrink } from "./png.mjs";
import { fill, prepared } from "./rows.mjs";
import { facts, friendly } from "./traffic.mjs";

async function playground(it) {
  await it.page.getByLabel("Key", { exact: true }).fill("dev");
  await it.page.getByLabel("Message", { exact: true }).fill("My password is hunter2. [sim: thinking] [sim: words 40]");
  await it.page.getByRole("button", { name: "Send" }).click();
  await it.page.getByRole("link", { name: "Open the request" }).waitFor();
}

async function editor(it) {
  const code = it.page.locator(".cm-content").first();
  await code.waitFor();
  await it.page.getByRole("button", { name: "Run", exact: true }).click();
  await it.page.locator(".result").waitFor();
}

const PICTURES = [
  ["overview", "#/overview?range=7d", "/api/usage/series"],
  ["requests", "#/requests", "/api/exchanges"],
  ["request", ({ facts }) => `#/requests/${facts.edited.id}`, "/api/exchanges/{id}/changes"],
  ["prompt-cache", ({ facts }) => `#/prompts/${facts.session}`, "/api/prompts/{session}"],
  ["targets", "#/targets", "/api/targets"],
  ["policies", "#/policies", "/api/policies"],
  ["limits", "#/limits", "/api/limits"],
  ["playground", "#/playground", "/api/playground", playground],
  ["editor", ({ paths }) => `#/editor/${paths.has("/api/files") ? "redact" : "cap-max-tokens"}`, "/api/files", editor],
  ["overview-dark", "#/overview?range=7d", "/api/usage/series", null, { scheme: "dark" }],
  ["overview-phone", "#/overview?range=7d", "/api/usage/series", null, { size: "phone", scheme: "dark" }],
];

/** The most exchanges of the ledger that the pictures show: a week of a team. */
const EXCHANGES = 20_000;

async function take(setting, folder) {
  for (const [name, hash, route, prepare, look = {}] of PICTURES) {
    if (!canShow(setting, route)) {
      setting.report.skip(`the picture ${name}`, `the gateway has no ${route}`);
      continue;
    }
    await setting.report.check(`the picture ${name}`, async () => {
      const it = await watched(setting.browser, setting.url, { ...look, state: setting.state });
      await it.open(typeof hash === "function" ? hash(setting) : hash);
      await prepare?.(it);
      await it.page.mouse.move(2, 2);
      await it.page.evaluate(() => {
        document.activeElement?.blur();
        scrollTo(0, 0);
      });
      const bytes = shrink(await it.page.screenshot({ animations: "disabled" }));
      writeFileSync(path.join(folder, `${name}.png`), bytes);
      setting.report.figure(`${name}.png: ${Math.round(bytes.length / 1024)} KiB`);
      const faults = it.take();
      await it.page.context().close();
      return faults;
    });
  }
}

/** Writes the pictures into a folder. They show a gateway of their own, without harmful names. */
export async function screenshots(setting, folder) {
  const gateway = await prepared(setting, "pictures");
  fill(gateway, EXCHANGES, "--plain");
  await gateway.start();
  const at = await front(gateway, setting.chosen);
  try {
    await friendly(gateway);
    const state = await stateOf(setting.browser, at.url);
    await take({ ...setting, ...at, gateway, state, facts: await facts(gateway) }, folder);
  } finally {
    await at.stop();
    await gateway.stop();
  }
}
