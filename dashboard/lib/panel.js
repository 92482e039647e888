// A card whose parts stand below one another.
import { html } from "./html.js";
import { Card } from "./ui.js";

/** A card with its content in one column. */
export function Panel({ children, ...rest }) {
  return html`<${Card} ...${rest}><div class="inside stack">${children}</div><//>`;
}
