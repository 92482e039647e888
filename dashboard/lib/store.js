// State that all views share: the theme, the time zone, the clock, and the state of the gateway.
import { get } from "./api.js";
import { effect, signal } from "./html.js";

function remembered(name) {
  try {
    return localStorage.getItem(`tidegate.${name}`);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    if (value == null) localStorage.removeItem(`tidegate.${name}`);
    else localStorage.setItem(`tidegate.${name}`, value);
  } catch {
    // without storage the choice holds until the page is closed
  }
}

// ── the theme ──

/** `light`, `dark`, or `system` for the theme of the system. */
export const theme = signal(document.documentElement.dataset.theme ?? "system");

/** Counts the changes of the colours in use, by the switch or by the system. */
export const paint = signal(0);

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
darkSystem.addEventListener("change", () => (paint.value += 1));

/** Sets the theme, and remembers it. */
export function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  remember("theme", name === "system" ? null : name);
  theme.value = name;
  paint.value += 1;
}

/** Whether the page is dark now. */
export function isDark() {
  return theme.value === "system" ? darkSystem.matches : theme.value === "dark";
}

// ── the zone ──

/** The zone of the browser. */
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function isZone(name) {
  try {
    return Boolean(Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}

const chosenZone = remembered("zone");

/** The time zone of every shown time. */
export const zone = signal(chosenZone && isZone(chosenZone) ? chosenZone : ownZone);

/** Sets the zone, and remembers it. */
export function setZone(name) {
  if (!isZone(name)) return;
  zone.value = name;
  remember("zone", name);
}

/** The zones to choose from: the browser's, UTC, then all others. */
export function zones() {
  const all = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set([zone.value, ownZone, "UTC", ...all])];
}

// ── the clock: one tick a second while the page is visible ──

/** The present moment in milliseconds, to the second. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

// ── the state of the gateway ──

/** `GET /api/status`: `{ data, error, at }`. */
export const status = signal({ data: null, error: null, at: 0 });

/** The difference of the gateway's clock to the browser's in milliseconds. */
export const clockOffset = signal(0);

let isLoadingStatus = false;

/** Reads the state of the gateway again. */
export async function refreshStatus() {
  if (isLoadingStatus) return;
  isLoadingStatus = true;
  try {
    const data = await get("/api/status");
    clockOffset.value = Date.parse(data.now) - Date.now() || 0;
    status.value = { data, error: null, at: Date.now() };
  } catch (error) {
    status.value = { ...status.value, error };
  } finally {
    isLoadingStatus = false;
  }
}

/** Reads the state of the gateway every five seconds while the page is visible. */
export function watchStatus() {
  refreshStatus();
  setInterval(() => {
    if (!document.hidden) refreshStatus();
  }, 5000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refreshStatus();
  });
}

/** Keeps the title of the tab at the name of the view. */
export const title = signal("Overview");
effect(() => {
  document.title = `${title.value} · Tidegate`;
});
