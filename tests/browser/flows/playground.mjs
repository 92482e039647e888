// The playground: streamed answers as text, the stop button, a draft of a policy, and the story.
import { watched } from "../browser.mjs";
import { canShow } from "../pages.mjs";
import { expectations } from "../report.mjs";

async function opened(setting, hash = "#/playground") {
  const it = await watched(setting.browser, setting.url, { state: setting.state });
  await it.open(hash);
  await it.page.getByLabel("Key", { exact: true }).fill("dev");
  return it;
}

async function closed(it, found) {
  found.push(...it.take());
  await it.page.context().close();
  return found;
}

async function send(it, text) {
  await it.page.getByLabel("Message", { exact: true }).fill(text);
  await it.page.getByRole("button", { name: "Send" }).click();
}

const state = (it, word) => it.page.getByRole("status").filter({ hasText: word }).first().waitFor();

async function streamed(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  await send(it, "a <b>bold</b> word [sim: thinking] [sim: words 40] [sim: pace 25ms]");
  // a part of the text is there before the end
  await it.page.locator(".block.words pre").filter({ hasText: /\w+ \w+/ }).waitFor();
  expect((await it.page.getByRole("button", { name: "Stop" }).isEnabled()) === true, "the answer is not streamed: it is there as a whole");
  await state(it, "done");
  expect((await it.page.locator(".block.thought").count()) === 1, "the thinking has no block of its own");
  const text = await it.page.locator(".block").allInnerTexts();
  expect(text.join().includes("<b>bold</b>"), `the thinking is not shown as text: ${text.join().slice(0, 200)}`);
  await it.page.getByRole("link", { name: "Open the request" }).waitFor();
  const story = await it.page.locator("main").innerText();
  for (const word of ["Stages", "Changes", "Attempts", "Cost", "sim/"]) expect(story.includes(word), `the story lacks ${word}`);
  found.push(...(await it.look()));
  await it.page.getByRole("link", { name: "Open the request" }).click();
  await it.page.waitForFunction(() => location.hash.startsWith("#/requests/"));
  await it.settled();
  return closed(it, found);
}

async function stopped(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  await send(it, "[sim: words 2000] [sim: pace 20ms]");
  await it.page.locator(".block.words pre").filter({ hasText: /\w+/ }).waitFor();
  await it.page.getByRole("button", { name: "Stop" }).click();
  await state(it, "stopped");
  expect(await it.page.getByRole("button", { name: "Send" }).isEnabled(), "after a stop nothing can be sent");
  return closed(it, found);
}

async function called(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  await it.page.getByRole("button", { name: "JSON" }).click();
  const code = it.page.locator(".cm-content").first();
  await code.click();
  await it.page.keyboard.press("ControlOrMeta+a");
  const tools = [{ name: "tide_table", description: "Returns tides", input_schema: { type: "object", properties: { port: { type: "string" } }, required: ["port"] } }];
  const body = { model: "claude-sonnet-5", max_tokens: 300, stream: true, tools, messages: [{ role: "user", content: '[sim: call tide_table {"port": "Husum"}]' }] };
  await it.page.keyboard.insertText(JSON.stringify(body));
  await it.page.getByRole("button", { name: "Send" }).click();
  await state(it, "done");
  const block = await it.page.locator(".block.tool").innerText();
  expect(block.includes("tide_table") && block.includes("Husum"), `the tool call is shown as ${block}`);
  await it.page.getByRole("button", { name: "Continue the conversation" }).click();
  await it.page.waitForFunction(() => sessionStorage.getItem("tidegate.playground.body")?.includes("tool_result"));
  await it.page.getByRole("button", { name: "Send" }).click();
  await it.page.locator(".block.words").waitFor();
  await state(it, "done");
  found.push(...(await it.look()));
  return closed(it, found);
}

async function refused(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  it.expect(/status of (403|500|502)/);
  await send(it, "this is forbidden");
  await state(it, "failed");
  const text = await it.page.locator("main").innerText();
  expect(text.includes("this word is <b>forbidden</b>"), "the reason of the policy is not shown");
  await send(it, "[sim: break after 4]");
  await state(it, "failed");
  await it.page.getByRole("button", { name: "JSON" }).click();
  await it.page.locator(".cm-content").first().click();
  await it.page.keyboard.press("ControlOrMeta+a");
  await it.page.keyboard.type("{ no json");
  await it.page.getByText("The body is not JSON").waitFor();
  expect(await it.page.getByRole("button", { name: "Send" }).isDisabled(), "a body that is no JSON can be sent");
  return closed(it, found);
}

/** Answers that the simulator does not give: a draft with problems, and a very long text. */
async function unusual(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  it.expect(/status of 422/);
  const problems = [{ line: 2, column: 5, message: "there is no function <b>oops</b>" }];
  await it.page.route("**/api/playground", (route) => route.fulfill({ status: 422, json: { problems } }));
  await send(it, "hello");
  await state(it, "failed");
  await it.page.getByText("2:5 there is no function <b>oops</b>").waitFor();
  await it.page.unroute("**/api/playground");
  const content = [{ type: "text", text: "word ".repeat(60_000) }, { type: "a_new_kind", payload: "<i>x</i>" }];
  const message = { type: "message", role: "assistant", model: "m", content, stop_reason: "end_turn", usage: { input_tokens: 1, output_tokens: 2 } };
  await it.page.route("**/api/playground", (route) => route.fulfill({ json: message }));
  await send(it, "hello");
  await state(it, "done");
  const shown = () => it.page.locator(".block.words pre").evaluate((block) => block.textContent.length);
  expect((await shown()) < 60_000, `a text of 300,000 characters is shown at once: ${await shown()}`);
  await it.page.getByRole("button", { name: "Show all 300,000 characters" }).click();
  await it.page.waitForFunction(() => document.querySelector(".block.words pre").textContent.length === 300_000);
  expect((await it.page.locator(".block.other").innerText()).includes("<i>x</i>"), "a block of a new kind is not shown");
  found.push(...(await it.look()));
  return closed(it, found);
}

async function drafted(setting) {
  const { found, expect } = expectations();
  const it = await opened(setting);
  await it.page.getByLabel("Policy").selectOption({ label: "a new text" });
  const code = it.page.locator(".cm-content").first();
  await code.click();
  await it.page.keyboard.press("ControlOrMeta+a");
  await it.page.keyboard.insertText('fn on_request(request, ctx) {\n    respond("an answer of the draft");\n}\n');
  await send(it, "hello");
  await state(it, "done");
  const text = await it.page.locator(".block.words").innerText();
  expect(text.includes("an answer of the draft"), `the draft was not used: ${text}`);
  return closed(it, found);
}

export async function flow(setting) {
  const { report } = setting;
  if (!canShow(setting, "/api/playground")) return report.skip("playground", "the gateway has no /api/playground");
  await report.check("an answer is streamed as text, block by block, and its story follows", () => streamed(setting));
  await report.check("an answer can be stopped", () => stopped(setting));
  await report.check("a body of JSON calls a tool, and the conversation goes on", () => called(setting));
  await report.check("a refusal, a broken stream and a body that is no JSON are said", () => refused(setting));
  await report.check("problems of a draft, long texts and blocks of a new kind are shown", () => unusual(setting));
  if (setting.paths.has("/api/playground")) await report.check("a draft takes part in the request", () => drafted(setting));
  else report.skip("a draft takes part in the request", "the gateway has no /api/playground");
  return undefined;
}
