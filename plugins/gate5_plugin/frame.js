// Shared by the plugin's pages: Airflow's theme, and links that leave the frame which Airflow shows a page in.
"use strict";
const inside = (() => {
  try { return parent !== window && parent.document ? parent : null; } catch (error) { return null; }
})();
function theme() {
  const root = (inside || window).document.documentElement;
  if (inside && root.classList.contains("dark")) return "dark";
  if (inside && root.classList.contains("light")) return "light";
  try { const kept = localStorage.getItem("theme"); if (kept === "dark" || kept === "light") return kept; } catch (error) { /* not allowed */ }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
function follow() {
  document.documentElement.dataset.theme = theme();
  for (const frame of document.querySelectorAll("iframe")) {
    frame.contentWindow.postMessage({theme: theme()}, "*");
  }
}
follow();
if (inside) {
  new MutationObserver(follow).observe(inside.document.documentElement, {attributes: true, attributeFilter: ["class"]});
}
// A link of the outer page: the frame's sandbox does not let it navigate its parent, the parent's own link may.
function leave(address) {
  if (!inside) { location.assign(address); return; }
  const link = inside.document.createElement("a");
  link.href = address;
  link.click();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest("a[data-outer]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (!inside && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
  event.preventDefault();
  leave(link.href);
});
// The page's own address, for where Airflow's panel is too narrow; only shown inside of it.
{
  const full = document.getElementById("full");
  if (full && inside) {
    full.hidden = false;
    full.href = location.pathname + location.search;
    full.dataset.outer = "";
  }
}
