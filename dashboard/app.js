// Shows the state of the gateway, and signs out.
const state = document.getElementById("state");

async function show() {
  const answer = await fetch("/api/status", { headers: { accept: "application/json" } });
  if (answer.status === 401) {
    location.assign("/login");
    return;
  }
  const body = await answer.json();
  state.textContent = answer.ok ? `Version ${body.version}, ${body.state}` : body.error.message;
}

document.getElementById("leave").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" });
  location.assign("/login");
});

show().catch((error) => {
  state.textContent = String(error.message);
});
