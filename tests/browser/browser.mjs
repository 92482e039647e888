// Chromium for the suite: it reaches nothing but this machine, and each page reports what went wrong in it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { findings, focus, marked, moving, unreached } from "./inpage.mjs";
import { PATIENCE } from "./setting.mjs";

/** The most presses of Tab on one page. */
const MOST_STOPS = 260;

/** The packages lie where `run.py` installed them. */
const require = createRequire(path.join(process.env.TIDEGATE_NODE_MODULES ?? import.meta.dirname, "from-here.js"));

const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const SIZES = { wide: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

export async function launch(executable) {
  const { chromium } = require("playwright-core");
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];
  return chromium.launch({ executablePath: executable, args });
}

/** A page with a record of its faults. */
export class Watched {
  constructor(page, origin) {
    this.page = page;
    this.origin = origin;
    this.faults = [];
    this.requests = [];
    this.expected = [];
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (line) => this.onConsole(line));
    page.on("pageerror", (error) => this.faults.push(`an exception: ${error.message}`));
    page.on("dialog", (dialog) => this.onDialog(dialog));
    page.on("request", (request) => this.onRequest(request));
  }

  onConsole(line) {
    if (!["error", "warning"].includes(line.type())) return;
    const text = `${line.text()} ${line.location().url ?? ""}`;
    if (!this.expected.some((it) => it.test(text))) this.faults.push(`the console: ${text.slice(0, 300)}`);
  }

  onDialog(dialog) {
    if (dialog.type() === "beforeunload") this.leaving = true;
    else this.faults.push(`a dialog of the browser: ${dialog.message()}`);
    dialog.accept().catch(() => {});
  }

  onRequest(request) {
    const url = request.url();
    if (!url.startsWith(`${this.origin}/`) && !url.startsWith("data:")) this.faults.push(`a request elsewhere: ${url}`);
    this.requests.push({ method: request.method(), url, headers: request.headers() });
  }

  /** Faults that a check causes itself, such as the answer to a wrong token. */
  expect(...patterns) {
    this.expected.push(...patterns);
  }

  take() {
    return this.faults.splice(0);
  }

  /** Opens a place of the dashboard, and waits until it has nothing more to load. */
  async open(hash) {
    const url = `${this.origin}/${hash}`;
    if (this.page.url() === url) await this.page.reload();
    else await this.page.goto(url);
    await this.settled();
  }

  /** Waits until the page shows its data: no placeholder is left, and the heading is there. */
  async settled() {
    await this.page.locator("#app main h1, .login-box h1").first().waitFor();
    if (new URL(this.page.url()).pathname !== "/") throw new Error(`the session is over: the page is ${this.page.url()}`);
    const isQuiet = () => !document.querySelector("main .loading, main [aria-busy=true], .badge.busy");
    await this.page.waitForFunction(isQuiet);
  }

  async axe() {
    const isThere = await this.page.evaluate(() => Boolean(window.axe));
    if (!isThere) await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const rules = { region: { enabled: true } };
      const found = await window.axe.run(document, { resultTypes: ["violations"], rules });
      return found.violations.map((it) => {
        const places = it.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`);
        return `axe ${it.id} (${it.impact}): ${places.join("; ")}`;
      });
    });
    return violations;
  }

  async look() {
    return [...(await this.page.evaluate(findings)), ...(await this.axe())];
  }

  /** Goes through the page with Tab. */
  async tab() {
    const found = [];
    await this.page.evaluate(() => {
      document.activeElement?.blur();
      getSelection().removeAllRanges();
      window.focused = [];
      // Tab begins at the top of the document, wherever the last click was
      document.body.tabIndex = -1;
      document.body.focus();
      document.body.removeAttribute("tabindex");
      scrollTo(0, 0);
    });
    for (let stops = 0; stops < MOST_STOPS; stops += 1) {
      await this.page.keyboard.press("Tab");
      const now = await this.page.evaluate(focus);
      if (now === null) {
        for (const it of await this.page.evaluate(unreached)) found.push(`Tab does not reach ${it}`);
        return found.slice(0, 6);
      }
      if (now.isSame) continue;
      // an editor marks itself a moment after it got the focus
      const isMarked = await this.page.waitForFunction(marked, null, { timeout: 3000 }).then(() => true, () => false);
      if (!isMarked) found.push(`the focus is not visible on ${now.name}`);
      if (!now.isInOrder) found.push(`Tab goes back to ${now.name}`);
      if (!now.isShown) found.push(`Tab goes to ${now.name}, which is out of sight`);
      // a text that takes Tab for itself lets go of it after Escape
      if (now.isCode) await this.page.keyboard.press("Escape");
    }
    return [...found.slice(0, 6), `Tab makes more than ${MOST_STOPS} stops`];
  }

  /** Looks for what moves though the user wants no motion. */
  async still() {
    await this.page.emulateMedia({ reducedMotion: "reduce" });
    const found = await this.page.evaluate(moving);
    await this.page.emulateMedia({ reducedMotion: null });
    return found.map((it) => `it moves in spite of prefers-reduced-motion: ${it}`);
  }
}

/** Opens a page, signed in with the cookies of `state`. */
export async function watched(browser, origin, { size = "wide", scheme = "light", state } = {}) {
  const options = { viewport: SIZES[size], colorScheme: scheme, storageState: state, timezoneId: "Europe/Berlin", locale: "en-GB" };
  const context = await browser.newContext(options);
  return new Watched(await context.newPage(), origin);
}
