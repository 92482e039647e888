// Sets the chosen theme before the first paint. A classic script in the head, so that the page never flashes.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("tidegate.theme");
  } catch {
    // without storage the theme of the system applies
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
