// Sends the token of the form, and goes to the dashboard.
const form = document.getElementById("form");
const error = document.getElementById("error");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  error.textContent = "";
  const body = JSON.stringify({ token: document.getElementById("token").value });
  const headers = { "content-type": "application/json" };
  try {
    const answer = await fetch("/login", { method: "POST", headers, body });
    if (answer.ok) {
      location.assign("/");
      return;
    }
    error.textContent = (await answer.json()).error.message;
  } catch (failure) {
    error.textContent = String(failure.message);
  }
});
