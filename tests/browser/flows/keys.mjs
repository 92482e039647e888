// Keys: made, used, changed and revoked, each write with the version that the user saw.
import { watched } from "../browser.mjs";
import { canShow } from "../pages.mjs";
import { expectations } from "../report.mjs";
import { until } from "../setting.mjs";
import { ask } from "../traffic.mjs";

const NAME = "suite <b>key</b>";

async function opened(setting) {
  const it = await watched(setting.browser, setting.url, { state: setting.state });
  await it.open("#/keys");
  return it;
}

async function closed(it, found) {
  found.push(...it.take());
  await it.page.context().close();
  return found;
}

const last = (it, method) => it.requests.findLast((request) => request.method === method);

async function make(it, name) {
  await it.page.getByRole("button", { name: "New key" }).click();
  const dialog = it.page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  return dialog;
}

async function statusOf(setting, key) {
  return (await setting.gateway.send(ask("hello"), { key })).status;
}

async function made(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  const dialog = await make(it, NAME);
  found.push(...(await it.look()));
  await dialog.getByLabel("Tags").fill("team: suite");
  await dialog.getByRole("button", { name: "Make the key" }).click();
  const secret = await dialog.locator("pre.secret").innerText();
  expect(Boolean(last(it, "POST")?.headers["if-match"]), "the key was made without if-match");
  found.push(...(await it.look()));
  await it.page.keyboard.press("Escape");
  expect(await dialog.isVisible(), "Escape closes the only view of the key");
  await dialog.getByRole("button", { name: "I have copied it" }).click();
  await dialog.waitFor({ state: "detached" });
  await it.page.locator("main table tr", { hasText: NAME }).waitFor();
  expect(!(await it.page.content()).includes(secret), "the key is still on the page");
  await until("the new key is accepted", async () => (await statusOf(setting, secret)) === 200);
  setting.secret = secret;
  return closed(it, found);
}

async function stale(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  it.expect(/status of 412/);
  await it.page.route("**/api/keys", (route) => {
    const request = route.request();
    const headers = { ...request.headers(), ...(request.method() === "POST" ? { "if-match": '"0"' } : {}) };
    return route.continue({ headers });
  });
  const dialog = await make(it, "never-made");
  await dialog.getByRole("button", { name: "Make the key" }).click();
  await dialog.getByText("A key was made or changed meanwhile").waitFor();
  await it.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  const text = await it.page.locator("main").innerText();
  expect(!text.includes("never-made"), "a key was made with an old version");
  return closed(it, found);
}

async function revoked(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  await it.page.locator("main table .row-link", { hasText: NAME }).click();
  await it.page.getByRole("button", { name: "Revoke" }).waitFor();
  await it.settled();
  found.push(...(await it.look()));
  await it.page.getByRole("button", { name: "Disable" }).click();
  await it.page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await it.page.getByRole("button", { name: "Enable" }).waitFor();
  expect(Boolean(last(it, "PATCH")?.headers["if-match"]), "the key was disabled without if-match");
  await until("the disabled key is refused", async () => [401, 403].includes(await statusOf(setting, setting.secret)));
  await it.page.getByRole("button", { name: "Revoke" }).click();
  const dialog = it.page.getByRole("dialog");
  await dialog.waitFor();
  await it.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await it.page.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByRole("button", { name: "Revoke for good" }).click();
  await it.page.waitForFunction(() => location.hash === "#/keys");
  expect(Boolean(last(it, "DELETE")?.headers["if-match"]), "the key was revoked without if-match");
  await it.page.getByText("The key store has no key yet").waitFor();
  expect((await statusOf(setting, setting.secret)) === 401, "the revoked key is accepted");
  await it.open("#/audit");
  await it.page.locator("main tbody tr").first().waitFor();
  const audit = await it.page.locator("main").innerText();
  expect(audit.includes("DELETE") || /revok|delet/i.test(audit), "the audit log does not name the revocation");
  return closed(it, found);
}

export async function flow(setting) {
  const { report } = setting;
  if (!canShow(setting, "/api/keys")) return report.skip("keys", "the gateway has no /api/keys");
  await report.check("a key is made with if-match, shown once, and works", () => made(setting));
  await report.check("a key is not made over a change that the user did not see", () => stale(setting));
  await report.check("a key is disabled and revoked with if-match, and the audit log says so", () => revoked(setting));
  return undefined;
}
