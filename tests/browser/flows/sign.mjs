// Signing in and out.
import { watched } from "../browser.mjs";
import { expectations } from "../report.mjs";
import { TOKEN } from "../setting.mjs";

const REFUSED = /status of 401/;

/** Signs in from wherever the page is. */
export async function signIn(it, hash = "") {
  await it.page.goto(`${it.origin}/${hash}`);
  await it.page.getByLabel("Admin token").fill(TOKEN);
  await it.page.getByRole("button", { name: "Sign in" }).click();
  await it.page.waitForURL((url) => url.pathname === "/");
  await it.settled();
}

/** Signs in once. Returns the state of the browser, which other pages share. */
export async function stateOf(browser, url) {
  const it = await watched(browser, url);
  await signIn(it);
  const state = await it.page.context().storageState();
  await it.page.context().close();
  return state;
}

async function wrong({ browser, url }) {
  const { found, expect } = expectations();
  const it = await watched(browser, url);
  it.expect(REFUSED);
  await it.page.goto(`${url}/#/targets`);
  expect(new URL(it.page.url()).pathname === "/login", `expected /login, found ${it.page.url()}`);
  await it.page.getByLabel("Admin token").fill("not-the-token");
  await it.page.keyboard.press("Enter");
  const problem = it.page.getByRole("alert");
  await problem.filter({ hasText: /\S/ }).waitFor();
  expect(new URL(it.page.url()).pathname === "/login", "a wrong token left the page");
  expect((await it.page.context().cookies()).length === 0, "a wrong token set a cookie");
  found.push(...(await it.look()), ...it.take());
  await it.page.context().close();
  return found;
}

async function right({ browser, url }) {
  const { found, expect } = expectations();
  const it = await watched(browser, url);
  await signIn(it, "#/targets");
  expect(it.page.url().endsWith("/#/targets"), `the place was lost by signing in: ${it.page.url()}`);
  const [cookie] = await it.page.context().cookies();
  expect(cookie?.name === "tidegate_admin", `expected the cookie tidegate_admin, found ${cookie?.name}`);
  expect(cookie?.httpOnly && cookie?.sameSite === "Strict" && cookie?.path === "/", `the cookie is ${JSON.stringify(cookie)}`);
  const stored = await it.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  expect(!stored.includes(TOKEN), "the browser's store has the token");
  expect(!it.requests.some((request) => request.url.includes(TOKEN)), "the token was in an address");
  await it.page.getByRole("button", { name: "Sign out" }).click();
  await it.page.waitForURL((place) => place.pathname === "/login");
  const status = await it.page.evaluate(() => fetch("/api/status").then((answer) => answer.status));
  it.expect(REFUSED);
  expect(status === 401, `after signing out /api/status answers ${status}`);
  found.push(...it.take().filter((fault) => !REFUSED.test(fault)));
  await it.page.context().close();
  return found;
}

async function look({ browser, url }, size, scheme) {
  const it = await watched(browser, url, { size, scheme });
  await it.page.goto(`${url}/login`);
  await it.page.getByLabel("Admin token").waitFor();
  const found = [...(await it.look()), ...(await it.still()), ...(await it.tab()), ...it.take()];
  await it.page.context().close();
  return found;
}

async function headers({ url, state }) {
  const { found, expect } = expectations();
  const cookie = state.cookies.map((it) => `${it.name}=${it.value}`).join("; ");
  for (const place of ["/", "/login", "/assets/app.js", "/assets/vendor/codemirror.js", "/assets/style.css"]) {
    const answer = await fetch(url + place, { headers: { cookie } });
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(answer.ok, `${place}: status ${answer.status}`);
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]) {
      expect(policy.includes(part), `${place}: the policy lacks ${part}`);
    }
    expect(!/unsafe|https?:/.test(policy), `${place}: the policy is too wide: ${policy}`);
    const wanted = { "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin", "cache-control": "no-store" };
    for (const [name, value] of Object.entries(wanted)) {
      expect(answer.headers.get(name) === value, `${place}: ${name}: expected ${value}, found ${answer.headers.get(name)}`);
    }
  }
  for (const [place, status] of [["/api/status", 401], ["/metrics", 401], ["/healthz", 200]]) {
    const answer = await fetch(url + place);
    expect(answer.status === status, `${place} without a session: expected ${status}, found ${answer.status}`);
  }
  return found;
}

export async function flow(setting) {
  const { report } = setting;
  await report.check("a wrong token stays outside, and is told so", () => wrong(setting));
  await report.check("the right token opens the place of the address; signing out closes it", () => right(setting));
  await report.check("pages and assets have the headers of the contract", () => headers(setting));
  for (const [size, scheme] of [["wide", "light"], ["wide", "dark"], ["phone", "light"], ["phone", "dark"]]) {
    await report.check(`sign-in, ${size}, ${scheme}`, () => look(setting, size, scheme));
  }
}
