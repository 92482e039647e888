// Signs in: sends the token, and goes to the dashboard once the gateway has set its cookie.
import { plain } from "./lib/format.js";

const form = document.getElementById("form");
const token = document.getElementById("token");
const problem = document.getElementById("problem");
const submit = document.getElementById("submit");

async function signIn() {
  const response = await fetch("/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: token.value }),
    credentials: "same-origin",
  });
  if (response.ok) return null;
  if (response.status === 429) {
    const seconds = Number(response.headers.get("retry-after"));
    return `Too many wrong tokens. Try again in ${seconds > 0 ? `${seconds} s` : "a minute"}.`;
  }
  if (response.status === 401) return "The gateway does not know this token.";
  const body = await response.json().catch(() => null);
  return plain(body?.error?.message ?? `The gateway answered with status ${response.status}.`);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  submit.disabled = true;
  try {
    const found = await signIn();
    if (found === null) {
      // the hash, which names the page, survives the sign-in
      location.replace(`/${location.hash}`);
      return;
    }
    problem.textContent = found;
    token.select();
  } catch {
    problem.textContent = "The gateway cannot be reached.";
  } finally {
    submit.disabled = false;
  }
});
