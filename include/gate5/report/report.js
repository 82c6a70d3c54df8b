"use strict";
// The report's theme, and what is folded.
(() => {
  // The page around this one says whether it is light or dark; without one the reader's system does.
  const theme = (name) => { if (name === "light" || name === "dark") document.documentElement.dataset.theme = name; };
  theme(new URLSearchParams(location.search).get("theme"));
  addEventListener("message", ({ data }) => { if (data && typeof data === "object") theme(data.theme); });

  addEventListener("beforeprint", () => {
    for (const box of document.querySelectorAll("details.scenario, details.data, details.paper")) box.open = true;
  });

  // A link to something that is folded opens it.
  const unfold = () => {
    const id = location.hash.slice(1), target = id && document.getElementById(id);
    for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) unfold();
  });
  unfold();
})();
