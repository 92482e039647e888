// Functions that run inside a page. Each one is sent as its text: it uses nothing from outside of itself.

/** Returns the findings about a page at rest: too wide, controls without a label, marks of direction, empty badges. */
export function findings() {
  const all = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      all.push(element);
      if (element.shadowRoot) walk(element.shadowRoot);
    }
  };
  walk(document);
  const isShown = (element) => element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true });
  const name = (element) => {
    const text = (element.textContent ?? "").trim().slice(0, 40);
    return `<${element.localName} class="${element.getAttribute("class") ?? ""}">${text}`;
  };
  const found = [];

  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) {
    const wide = all.filter((it) => isShown(it) && it.getBoundingClientRect().right > innerWidth + 1);
    found.push(`the page is ${scrollWidth} px wide in a window of ${innerWidth} px: ${wide.slice(0, 4).map(name).join(", ")}`);
  }

  const labelOf = (element) => {
    const by = element.getAttribute("aria-labelledby");
    const root = element.getRootNode();
    if (by) return by.split(/\s+/).map((id) => root.getElementById(id)?.textContent ?? "").join(" ").trim();
    const own = element.getAttribute("aria-label")?.trim();
    if (own) return own;
    const labels = [...(element.labels ?? [])].map((it) => it.textContent.trim()).join(" ").trim();
    if (labels) return labels;
    if (["BUTTON", "A", "SUMMARY"].includes(element.tagName)) return element.textContent.trim();
    return "";
  };
  const controls = "input:not([type=hidden]), select, textarea, button, a[href], summary, [role=button], [contenteditable=true]";
  for (const element of all) {
    if (!element.matches(controls) || !isShown(element)) continue;
    if (labelOf(element) === "") found.push(`a control has no label: ${name(element)}`);
  }

  for (const element of all) {
    if (element.matches(".badge") && isShown(element) && !/[\p{L}\p{N}]/u.test(element.textContent)) {
      found.push(`a badge has no text: ${name(element)}`);
    }
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (/[\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\ufeff]/.test(node.data)) {
      found.push(`an invisible character is shown as it is: ${JSON.stringify(node.data.slice(0, 60))}`);
    }
  }
  if (window.harmed) found.push("a text of others ran as a script");
  if (document.querySelector("main img, main script, main iframe")) found.push("a text of others became an element");
  return [...new Set(found)];
}

/** Returns what has the focus now, or `null` if it is the page itself or an element that had it before. */
export function focus() {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  window.focused ??= [];
  // a field of a date takes several presses of Tab
  if (window.focused.at(-1) === element) return { isSame: true };
  if (window.focused.includes(element)) return null;
  const previous = window.focused.at(-1);
  window.focused.push(element);

  const outer = (it) => {
    const root = it.getRootNode();
    return root.host ? outer(root.host) : it;
  };
  let isInOrder = true;
  if (previous && outer(previous) !== outer(element)) {
    isInOrder = Boolean(outer(previous).compareDocumentPosition(outer(element)) & Node.DOCUMENT_POSITION_FOLLOWING);
  }
  const box = element.getBoundingClientRect();
  return {
    name: `<${element.localName} class="${element.getAttribute("class") ?? ""}">${(element.textContent ?? "").trim().slice(0, 30)}`,
    isInOrder,
    isShown: box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth,
    isCode: Boolean(element.closest(".cm-content")),
  };
}

/** Whether the element that got the focus last is marked: itself, or a frame around it. */
export function marked() {
  const hasMark = (it) => {
    const style = getComputedStyle(it);
    const hasOutline = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) > 0;
    return hasOutline || style.boxShadow !== "none";
  };
  let it = window.focused.at(-1);
  for (let n = 0; it && n < 4; it = it.parentElement, n += 1) if (hasMark(it)) return true;
  return false;
}

/** Returns the controls that Tab did not reach. */
export function unreached() {
  const reached = new Set(window.focused ?? []);
  const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']");
  const groups = new Set();
  for (const it of reached) if (it.type === "radio") groups.add(it.name);
  const isFree = (it) => !it.disabled && it.tabIndex >= 0 && !it.closest("[inert], dialog:not([open])");
  const isOwn = (it) => it.type === "radio" && groups.has(it.name);
  return [...all]
    .filter((it) => isFree(it) && it.checkVisibility({ checkVisibilityCSS: true }) && !reached.has(it) && !isOwn(it))
    .map((it) => `<${it.localName} class="${it.getAttribute("class") ?? ""}">${(it.textContent ?? "").trim().slice(0, 30)}`);
}

/** Returns what moves. */
export function moving() {
  return document
    .getAnimations()
    .filter((it) => it.playState === "running")
    .map((it) => `${it.animationName ?? it.transitionProperty ?? "an animation"} of ${it.effect?.target?.className ?? "?"}`);
}
