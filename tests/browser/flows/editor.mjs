// The editor: completion, problems while typing, dry run, cases, saving, conflicts, drafts.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { watched } from "../browser.mjs";
import { canShow } from "../pages.mjs";
import { expectations } from "../report.mjs";

async function opened(setting, hash = "#/editor/redact", options = {}) {
  const it = await watched(setting.browser, setting.url, { state: setting.state, ...options });
  await it.open(hash);
  await it.page.locator(".cm-content").first().waitFor();
  return it;
}

async function closed(it, found) {
  found.push(...it.take());
  await it.page.context().close();
  return found;
}

async function write(it, text) {
  await it.page.locator(".cm-content").first().click();
  await it.page.keyboard.press("ControlOrMeta+a");
  await it.page.keyboard.insertText(text);
}

/** Whether the gateway itself answers a route. */
const isReal = ({ paths }, route) => paths.has(route);

/** The name of a policy that the fixtures or the gateway have. */
const nameOf = (setting) => (isReal(setting, "/api/files/{name}") ? "redact" : "cap-max-tokens");

async function problems(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, `#/editor/${nameOf(setting)}`);
  await it.page.getByText("no problem").waitFor();
  await write(it, "fn on_request(request, ctx) {\n    oops(1);\n}\n");
  const place = it.page.getByRole("button", { name: /^2:\d+$/ });
  await place.waitFor();
  await it.page.locator(".cm-gutter-lint .cm-lint-marker-error").first().waitFor();
  await place.click();
  expect(await it.page.evaluate(() => Boolean(document.activeElement?.shadowRoot)), "the place of a problem does not lead to the text");
  found.push(...(await it.look()));
  return closed(it, found);
}

async function completion(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, `#/editor/${nameOf(setting)}`);
  await write(it, "fn on_request(request, ctx) {\n    ");
  await it.page.keyboard.type("resp");
  const list = it.page.locator(".cm-tooltip-autocomplete");
  const option = list.getByRole("option", { name: "respond" }).first();
  await option.waitFor();
  // a key that follows the list at once would be taken for typing
  await option.click();
  await it.page.locator(".cm-content").first().filter({ hasText: "respond(" }).waitFor();
  await it.page.keyboard.press("Escape");
  await it.page.keyboard.press("Tab");
  const isOutside = await it.page.evaluate(() => !document.activeElement?.shadowRoot);
  expect(isOutside, "Escape and Tab do not leave the text");
  return closed(it, found);
}

async function dryRun(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, `#/editor/${nameOf(setting)}`);
  if (isReal(setting, "/api/eval")) {
    await write(it, 'fn on_request(request, ctx) {\n    request.max_tokens = 17;\n    log("info", "a line of the log");\n}\n');
  }
  await it.page.getByRole("button", { name: "Run", exact: true }).click();
  await it.page.locator(".diff .line.add").first().waitFor();
  const text = await it.page.locator("main").innerText();
  expect(text.includes("/max_tokens"), "the dry run does not name the changed field");
  if (isReal(setting, "/api/eval")) expect(text.includes("a line of the log"), "the dry run does not show the log");
  found.push(...(await it.look()));
  return closed(it, found);
}

async function cases(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, `#/editor/${nameOf(setting)}`);
  await it.page.getByRole("button", { name: "Run cases" }).click();
  await it.page.locator(".cases li").first().waitFor();
  const rows = await it.page.locator(".cases li").allInnerTexts();
  expect(rows.length === 2, `expected 2 cases, found ${rows.length}`);
  if (isReal(setting, "/api/test")) expect(rows.every((row) => row.includes("passed")), `a case failed: ${rows.join(" | ")}`);
  await write(it, "fn on_request(request, ctx) {\n    request.max_tokens = 1;\n}\n");
  await it.page.getByRole("button", { name: "Run cases" }).click();
  await it.page.locator(".cases li.failed").first().waitFor();
  return closed(it, found);
}

async function saved(setting) {
  const { found, expect } = expectations();
  const name = nameOf(setting);
  const it = await opened(setting, `#/editor/${name}`);
  const save = it.page.getByRole("button", { name: "Save", exact: true });
  expect(await save.isDisabled(), "an unchanged text can be saved");
  await write(it, "// saved by the suite\nfn on_request(request, ctx) {\n}\n");
  await it.page.getByText("a draft in this tab, not saved").waitFor();
  await it.page.keyboard.press("ControlOrMeta+s");
  await it.page.getByText("Saved. The gateway runs generation").waitFor();
  const put = it.requests.find((request) => request.method === "PUT");
  expect(Boolean(put?.headers["if-match"]), "the request has no if-match");
  if (isReal(setting, "/api/files/{name}")) {
    const file = readFileSync(path.join(setting.gateway.place, "policies", `${name}.rhai`), "utf8");
    expect(file.includes("saved by the suite"), "the file has the old text");
  }
  await it.page.reload();
  await it.settled();
  await it.page.locator(".cm-content").first().filter({ hasText: "saved by the suite" }).waitFor();
  return closed(it, found);
}

/** Changes the file elsewhere while the editor has a draft. */
async function changeElsewhere(setting, it, name, text) {
  if (isReal(setting, "/api/files/{name}")) return writeFileSync(path.join(setting.gateway.place, "policies", `${name}.rhai`), text);
  return it.page.evaluate(
    ([file, body]) => fetch(`/api/files/${file}`, { method: "PUT", headers: { "if-match": "*" }, body: JSON.stringify({ text: body }) }),
    [name, text],
  );
}

async function conflict(setting) {
  const { found, expect } = expectations();
  const name = isReal(setting, "/api/files/{name}") ? "stamp" : "system-note";
  const it = await opened(setting, `#/editor/${name}`);
  it.expect(/status of 412/);
  await write(it, "// mine\nfn on_request(request, ctx) {\n}\n");
  await changeElsewhere(setting, it, name, "// theirs\nfn on_request(request, ctx) {\n}\n");
  await it.page.getByRole("button", { name: "Save", exact: true }).click();
  const dialog = it.page.getByRole("dialog");
  await dialog.locator(".diff .line.remove", { hasText: "theirs" }).waitFor();
  await dialog.locator(".diff .line.add", { hasText: "mine" }).waitFor();
  found.push(...(await it.look()));
  await it.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  expect((await it.page.locator(".cm-content").first().innerText()).includes("mine"), "the draft is gone after the conflict");
  await it.page.getByRole("button", { name: "Save", exact: true }).click();
  await it.page.getByRole("button", { name: "Replace it with my draft" }).click();
  await it.page.getByText("Saved. The gateway runs generation").waitFor();
  return closed(it, found);
}

async function broken(setting) {
  const { found, expect } = expectations();
  const name = nameOf(setting);
  const it = await opened(setting, `#/editor/${name}`);
  it.expect(/status of 422/);
  await write(it, "fn on_request(request, ctx) {\n    oops(\n");
  await it.page.getByRole("button", { name: "Save", exact: true }).click();
  await it.page.getByRole("alert").first().waitFor();
  if (isReal(setting, "/api/files/{name}")) {
    const file = readFileSync(path.join(setting.gateway.place, "policies", `${name}.rhai`), "utf8");
    expect(!file.includes("oops"), "a text that does not compile was written");
  }
  return closed(it, found);
}

async function drafts(setting) {
  const { found, expect } = expectations();
  const name = nameOf(setting);
  const it = await opened(setting, `#/editor/${name}`);
  await write(it, "// a draft that stays\n");
  await it.page.getByText("a draft in this tab, not saved").waitFor();
  await it.page.getByRole("link", { name: "Targets" }).click();
  await it.page.waitForFunction(() => location.hash.startsWith("#/targets"));
  await it.page.goBack();
  await it.page.locator(".cm-content").first().filter({ hasText: "a draft that stays" }).waitFor();
  await it.page.locator(".cm-content").first().click();
  await it.page.reload();
  expect(it.leaving, "the browser leaves a draft without a question");
  await it.settled();
  await it.page.locator(".cm-content").first().filter({ hasText: "a draft that stays" }).waitFor();
  await it.page.getByRole("button", { name: "Discard the draft" }).click();
  await it.page.getByText("as saved").waitFor();
  // a new policy begins as a draft, and is a file only after it was saved
  await it.page.getByRole("button", { name: "New…" }).click();
  await it.page.getByRole("dialog").getByLabel("Name").fill("fresh-policy");
  await it.page.keyboard.press("Enter");
  await it.page.waitForFunction(() => location.hash.includes("fresh-policy"));
  await it.page.locator(".cm-content").first().waitFor();
  await it.page.getByText("no problem").waitFor();
  await it.page.getByRole("button", { name: "Save", exact: true }).click();
  await it.page.getByText("Saved. The gateway runs generation").waitFor();
  const put = it.requests.findLast((request) => request.method === "PUT");
  expect(put?.headers["if-none-match"] === "*", "a new file was not saved as a new one");
  return closed(it, found);
}

/** The list of policies as a gateway without `admin.edit` sends it, and with a shipped policy. */
async function readOnly(setting) {
  const { found, expect } = expectations();
  const name = nameOf(setting);
  for (const [isEditable, isLibrary, note] of [[false, false, "Saving is off"], [true, true, "It is read-only"]]) {
    const it = await watched(setting.browser, setting.url, { state: setting.state });
    const row = { name, is_library: isLibrary, has_cases: false, in_pipeline: false };
    await it.page.route("**/api/files", (route) => route.fulfill({ json: { is_editable: isEditable, rows: [row] } }));
    await it.open(`#/editor/${name}`);
    await write(it, "// another text\nfn on_request(request, ctx) {\n}\n");
    await it.page.getByText("a draft in this tab, not saved").waitFor();
    await it.page.getByText(note).waitFor();
    expect(await it.page.getByRole("button", { name: "Save", exact: true }).isDisabled(), `${note}: it can be saved`);
    await it.page.getByRole("button", { name: "Copy…" }).click();
    const dialog = it.page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Not A Name");
    await dialog.getByRole("alert").waitFor();
    expect(await dialog.getByRole("button", { name: "Create the draft" }).isDisabled(), "a wrong name can be used");
    found.push(...(await it.look()));
    await dialog.getByLabel("Name").fill("own-copy");
    await it.page.keyboard.press("Enter");
    await it.page.waitForFunction(() => location.hash.includes("own-copy"));
    await it.page.locator(".cm-content").first().filter({ hasText: "another text" }).waitFor();
    await closed(it, found);
  }
  return found;
}

/** A request of the list leads to a dry run over it. */
async function overRequest(setting) {
  const { found, expect } = expectations();
  const { edited } = setting.facts;
  const it = await watched(setting.browser, setting.url, { state: setting.state });
  await it.open(`#/requests/${edited.id}`);
  await it.page.getByRole("link", { name: "Try a policy on it" }).click();
  await it.page.getByRole("navigation", { name: "Policies" }).getByRole("link", { name: nameOf(setting) }).first().click();
  await it.page.locator(".cm-content").first().waitFor();
  const chosen = await it.page.getByLabel("Request", { exact: true }).inputValue();
  expect(chosen === edited.id, `the dry run is over ${chosen}`);
  await it.page.getByRole("button", { name: "Run", exact: true }).click();
  await it.page.locator(".result").waitFor();
  const text = await it.page.locator(".result").innerText();
  expect(/Steps/.test(text), `the dry run shows ${text.slice(0, 80)}`);
  return closed(it, found);
}

export async function flow(setting) {
  const { report } = setting;
  const parts = [
    ["problems appear while typing, with their places", "/api/check", problems],
    ["completion knows the functions of policies; Escape and Tab leave the text", "/api/definitions", completion],
    ["a dry run shows the difference", "/api/eval", dryRun],
    ["a dry run runs over a recorded request", "/api/eval", overRequest],
    ["without admin.edit, and for shipped policies, a copy can be made and nothing saved", "/api/files", readOnly],
    ["the cases of a policy run, also over a draft", "/api/test", cases],
    ["saving writes the version that was opened", "/api/files/{name}", saved],
    ["a text that does not compile is not written", "/api/files/{name}", broken],
    ["a file that changed meanwhile is compared first", "/api/files/{name}", conflict],
    ["drafts survive, and new policies begin as drafts", "/api/files/{name}", drafts],
  ];
  for (const [what, route, run] of parts) {
    if (canShow(setting, route)) await report.check(what, () => run(setting));
    else report.skip(what, `the gateway has no ${route}`);
  }
}
