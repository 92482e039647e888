// The list of requests, one request, and the keys of the keyboard.
import { watched } from "../browser.mjs";
import { expectations } from "../report.mjs";
import { until } from "../setting.mjs";
import { ask, IMAGE, SCRIPT } from "../traffic.mjs";

const ROWS = "main table[aria-label=Requests] tbody tr";

async function opened(setting, hash, options = {}) {
  const it = await watched(setting.browser, setting.url, { state: setting.state, ...options });
  await it.open(hash);
  return it;
}

async function closed(it, found) {
  found.push(...it.take());
  await it.page.context().close();
  return found;
}

async function cells(page, label) {
  return page.locator(`${ROWS} td[data-label="${label}"]`).allInnerTexts();
}

async function filters(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/requests");
  await it.page.getByLabel("Key", { exact: true }).selectOption({ label: "ci" });
  await it.page.waitForFunction(() => location.hash.includes("key=ci"));
  const isOnly = (rows) => [...document.querySelectorAll(rows)].every((row) => row.querySelector('[data-label="Key"]').innerText.trim() === "ci");
  await it.page.waitForFunction(isOnly, ROWS);
  const number = await it.page.locator(ROWS).count();
  expect(number > 20, `expected more than 20 rows of ci, found ${number}`);
  await it.page.reload();
  await it.settled();
  await it.page.waitForFunction(isOnly, ROWS);
  expect((await it.page.getByLabel("Key", { exact: true }).locator("option:checked").innerText()) === "ci", "the filter is lost by a reload");
  await it.page.getByLabel("Result").selectOption({ label: "errors" });
  await it.page.waitForFunction(() => location.hash.includes("result=error"));
  await it.page.getByRole("button", { name: "Clear filters" }).click();
  await it.page.waitForFunction(() => !location.hash.includes("key="));
  // `/` goes to the first filter; an id that is nowhere gives an empty list with its reason
  await it.page.locator("main h1").click();
  await it.page.keyboard.press("/");
  await it.page.keyboard.type("req_nowhere");
  await it.page.getByText("No request passes these filters").waitFor();
  return closed(it, found);
}

async function paging(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/requests");
  const first = await it.page.locator(`${ROWS} .row-link`).first().getAttribute("href");
  await it.page.getByRole("button", { name: "Older" }).click();
  await it.page.waitForFunction(() => location.hash.includes("after="));
  await it.page.getByRole("button", { name: "Newest" }).waitFor();
  await it.settled();
  const hrefs = await it.page.locator(`${ROWS} .row-link`).evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  expect(hrefs.length > 0 && !hrefs.includes(first), "the second page repeats the first one");
  await it.page.goBack();
  await it.page.waitForFunction((href) => document.querySelector(`main .row-link[href="${href}"]`), first);
  return closed(it, found);
}

async function live(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/requests");
  await it.page.mouse.move(2, 2);
  await it.page.locator("main .badge", { hasText: /^\W*live$/ }).waitFor();
  const before = it.requests.filter((request) => /\/api\/exchanges\?/.test(request.url)).length;
  const { status } = await setting.gateway.send(ask("hello", { model: "claude-arrives-live", stream: true }));
  expect(status === 200, `the request was answered with ${status}`);
  await it.page.locator(ROWS, { hasText: "claude-arrives-live" }).waitFor();
  const after = it.requests.filter((request) => /\/api\/exchanges\?/.test(request.url)).length;
  expect(after === before, "the new row came by a reload of the list");
  expect(!it.requests.some((request) => request.url.includes("token")), "the stream has a token in its address");
  return closed(it, found);
}

async function story(setting) {
  const { found, expect } = expectations();
  const { failover } = setting.facts;
  const it = await opened(setting, `#/requests?request_id=${failover.upstream_request_id ?? failover.request_id}`);
  const link = it.page.locator(`${ROWS} .row-link`).first();
  await link.focus();
  await it.page.keyboard.press("Enter");
  await it.page.waitForFunction((id) => location.hash.startsWith(`#/requests/${id}`), failover.id);
  await it.settled();
  const text = () => it.page.locator("main").innerText();
  for (const wanted of ["sim/first", "sim/second", failover.request_id]) {
    expect((await text()).includes(wanted), `the story does not name ${wanted}`);
  }
  await it.page.reload();
  await it.settled();
  expect((await text()).includes(failover.request_id), "the story is gone after a reload");
  expect((await it.page.title()).includes("Tidegate"), "the tab has no title");
  return closed(it, found);
}

async function changes(setting) {
  const { found, expect } = expectations();
  const { edited } = setting.facts;
  const it = await opened(setting, `#/requests/${edited.id}`);
  // the changes of a stage are folded
  const folds = it.page.locator("main details:not([open]) > summary, main button[aria-expanded=false]", { hasText: /change|edit/ });
  await folds.first().waitFor();
  while ((await folds.count()) > 0) await folds.first().click();
  await it.page.locator("main .diff").first().waitFor();
  found.push(...(await it.look()));
  // a value that the list cut can be loaded whole
  const whole = it.page.locator("main .change").getByRole("button", { name: "Show all" });
  for (let left = await whole.count(); left > 0; left -= 1) {
    await whole.first().click();
    await until("the whole value is there", async () => (await whole.count()) < left);
  }
  const added = await it.page.locator("main .diff .line.add").count();
  expect(added > 0, "the difference has no line");
  if (setting.paths.has("/api/exchanges/{id}/changes")) {
    const text = await it.page.locator("main").innerText();
    expect(text.includes("stamped:"), "the difference does not show the change of the policy `stamp`");
  }
  return closed(it, found);
}

async function harmless(setting) {
  const { found, expect } = expectations();
  const { models } = await setting.gateway.api("/api/usage/names");
  // the ledger replaces some of the marks of direction, and cuts long names
  const turned = models.find((name) => /^abc.*gnp/.test(name));
  const long = models.find((name) => /^A{100}/.test(name));
  expect(turned !== undefined && long !== undefined, "the ledger lacks the harmful names");
  for (const [model, shown] of [[SCRIPT, SCRIPT], [IMAGE, IMAGE], [turned, "abc"], [long, "AAAA"], ["=cmd|'/c calc'!A1", "=cmd"]]) {
    const it = await opened(setting, `#/requests?model=${encodeURIComponent(model)}`);
    await it.page.locator(`${ROWS} .row-link`).first().waitFor();
    const text = (await cells(it.page, "Model"))[0] ?? "";
    expect(text.includes(shown), `expected the model ${shown}, found ${text.slice(0, 80)}`);
    found.push(...(await it.look()));
    await it.page.locator(`${ROWS} .row-link`).first().click();
    await it.page.waitForFunction(() => location.hash.startsWith("#/requests/"));
    await it.settled();
    found.push(...(await it.look()));
    await closed(it, found);
  }
  return found;
}

async function keyboard(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/requests");
  await it.page.keyboard.press("?");
  const dialog = it.page.getByRole("dialog");
  await dialog.waitFor();
  found.push(...(await it.look()), ...(await it.still()));
  await it.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await it.page.keyboard.press("j");
  const isRow = await it.page.evaluate(() => document.activeElement?.classList.contains("row-link"));
  expect(isRow, "`j` does not go to a row");
  await it.page.keyboard.press("g");
  await it.page.keyboard.press("t");
  await it.page.waitForFunction(() => location.hash.startsWith("#/targets"));
  return closed(it, found);
}

async function menu(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/overview", { size: "phone" });
  const button = it.page.getByRole("button", { name: "Menu" });
  await button.click();
  await it.page.getByRole("link", { name: "Targets" }).waitFor();
  found.push(...(await it.look()));
  await it.page.keyboard.press("Escape");
  await it.page.waitForFunction(() => !document.querySelector(".side.open"));
  expect((await button.getAttribute("aria-expanded")) === "false", "the button still says that the menu is open");
  await button.click();
  await it.page.getByRole("link", { name: "Targets" }).click();
  await it.page.waitForFunction(() => location.hash.startsWith("#/targets") && !document.querySelector(".side.open"));
  return closed(it, found);
}

async function theme(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting, "#/overview");
  const background = () => it.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  await it.page.getByLabel("Theme").selectOption("dark");
  await it.page.waitForFunction((before) => getComputedStyle(document.documentElement).backgroundColor !== before, light);
  await it.page.reload();
  await it.settled();
  expect((await background()) !== light, "the chosen theme is lost by a reload");
  await it.page.getByLabel("Time zone").selectOption("Asia/Tokyo");
  await it.open("#/requests");
  const title = await it.page.locator(`${ROWS} time`).first().getAttribute("title");
  expect(title.includes("Asia/Tokyo"), `the times are not of the chosen zone: ${title}`);
  return closed(it, found);
}

export async function flow(setting) {
  const { report } = setting;
  await report.check("filters have an address, survive a reload, and say why a list is empty", () => filters(setting));
  await report.check("the next page has other rows, and the way back is the browser's", () => paging(setting));
  await report.check("a request that ends appears without a reload", () => live(setting));
  await report.check("the story of a failover opens by the keyboard and survives a reload", () => story(setting));
  await report.check("a story shows the difference that a policy made", () => changes(setting));
  await report.check("names written to do harm are texts", () => harmless(setting));
  await report.check("the keyboard opens help, rows and views; Escape closes", () => keyboard(setting));
  await report.check("the menu of a phone opens and closes", () => menu(setting));
  await report.check("theme and zone are remembered", () => theme(setting));
}
