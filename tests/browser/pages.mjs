// Every page of the dashboard, in two sizes and two themes.
import { watched } from "./browser.mjs";

/** Returns the places: a name, its hash, and the route that it cannot do without. */
export function places({ facts, paths }) {
  return [
    ["overview", "#/overview", "/api/overview"],
    ["requests", "#/requests", "/api/exchanges"],
    ["one request", `#/requests/${facts.failover.id}`, "/api/exchanges/{id}"],
    ["a request with changes", `#/requests/${facts.edited.id}`, "/api/exchanges/{id}/changes"],
    ["prompts", "#/prompts", "/api/prompts"],
    ["one session", `#/prompts/${encodeURIComponent(facts.session)}`, "/api/prompts/{session}"],
    ["targets", "#/targets", "/api/targets"],
    ["policies", "#/policies", "/api/policies"],
    ["keys", "#/keys", "/api/keys"],
    ["limits", "#/limits", "/api/limits"],
    ["playground", "#/playground", "/api/playground"],
    ["editor", "#/editor", "/api/files"],
    ["a policy in the editor", `#/editor/${paths.has("/api/files") ? facts.policy : "cap-max-tokens"}`, "/api/files/{name}"],
    ["no such policy in the editor", "#/editor/nowhere", "/api/files/{name}"],
    ["generation", "#/generation", "/api/generation"],
    ["audit", "#/audit", "/api/audit"],
    ["no such page", "#/nowhere", "/api/status"],
  ];
}

/** Whether the pages can show a place: the gateway has its route, or there are fixtures for it. */
export function canShow({ paths, hasFixtures }, route) {
  return hasFixtures || paths.has(route);
}

const LOOKS = [
  ["wide", "light"],
  ["wide", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
];

async function look(setting, hash, size, scheme) {
  const it = await watched(setting.browser, setting.url, { size, scheme, state: setting.state });
  try {
    await it.open(hash);
    const found = [...(await it.look()), ...(await it.still())];
    // the order of Tab depends on the size, not on the colours
    if (scheme === "light") found.push(...(await it.tab()));
    return [...it.take(), ...found];
  } finally {
    await it.page.context().close();
  }
}

export async function pages(setting) {
  for (const [name, hash, route] of places(setting)) {
    if (!canShow(setting, route)) {
      setting.report.skip(name, `the gateway has no ${route}`);
      continue;
    }
    for (const [size, scheme] of LOOKS) {
      await setting.report.check(`${name}, ${size}, ${scheme}`, () => look(setting, hash, size, scheme));
    }
  }
}
