// All text reaches the page as text nodes; the report's frame has an origin of its own and cannot reach this one.
const at = JSON.parse(document.getElementById("at").textContent);
const element = (id) => document.getElementById(id);
let shown = "", folded = false;
function anchor(text, address, kind) {
  const link = document.createElement("a");
  link.textContent = text; link.href = address; link.className = kind || "";
  link.dataset.outer = "";
  return link;
}
// Whether a link leads to another page than the one around this.
function elsewhere(link) {
  return !inside || !inside.location.pathname.startsWith(new URL(link.href, location.href).pathname);
}
function item(stage) {
  const line = document.createElement("li"), name = document.createElement("b"), text = document.createElement("span");
  line.dataset.state = stage.state; line.dataset.mark = stage.mark;
  name.textContent = stage.name;
  text.textContent = stage.text || stage.said;
  line.append(name, text);
  return line;
}
function draw(status) {
  const word = element("word");
  word.textContent = status.word; word.className = status.colour;
  element("sentence").textContent = status.headline;
  element("links").replaceChildren(...status.shown.filter(elsewhere).map((link) => anchor(link.name, link.href, link.kind)));
  element("stages").replaceChildren(...status.stages.map(item));
  if (status.whole && !folded) { element("progress").open = false; folded = true; }
  const key = status.has_report ? status.key : "";
  if (!key || key === shown) return;
  if (shown && document.activeElement && document.activeElement.tagName === "IFRAME") {
    offer(key);  // somebody reads it: it is not taken away under their eyes
  } else {
    load(key);
  }
}
function load(key) {
  shown = key;
  const frame = document.createElement("iframe");
  frame.title = "Report of this release";
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.src = at.report + "?theme=" + theme() + "&state=" + encodeURIComponent(key);
  document.querySelector("main").replaceChildren(frame);
}
function offer(key) {
  const button = document.createElement("button");
  button.textContent = "Show the newer report";
  button.addEventListener("click", () => load(key));
  element("links").append(" ", button);
}
async function poll() {
  let wait = 3000;
  try {
    const answer = await fetch(at.status, {credentials: "same-origin", cache: "no-store"});
    if (!answer.ok) throw new Error("the server answered " + answer.status);
    const status = await answer.json();
    draw(status);
    if (status.final) return;
  } catch (error) {
    element("sentence").textContent = "The status cannot be read (" + error.message + "); trying again.";
    wait = 10000;
  }
  setTimeout(poll, wait);
}
draw(at.now);
if (!at.now.final) setTimeout(poll, 2000);
