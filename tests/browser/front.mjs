// The place of the pages: the gateway itself, or the development server before it.
import { start as serve } from "./serve.mjs";
import { KEYS, TOKEN } from "./setting.mjs";

/** Returns `{ url, paths, hasFixtures, stop }`; `paths` are the routes of the gateway itself. */
export async function front(gateway, chosen) {
  const document = await gateway.api("/api/openapi.json");
  const paths = new Set(Object.keys(document.paths));
  const login = await fetch(`${gateway.admin}/login`, { redirect: "manual" });
  if (login.ok && chosen.pages === "gateway") return { url: gateway.admin, paths, hasFixtures: false, stop: async () => {} };
  const server = await serve({ gateway: gateway.admin, messages: gateway.url, keys: KEYS, token: TOKEN, fixtures: true });
  return { url: server.url, paths, hasFixtures: true, stop: server.stop };
}
