// All text reaches the page as text nodes; the report's frame has an origin of its own and cannot reach this one.
const at = JSON.parse(document.getElementById("at").textContent);
let shown = "";
function draw(status) {
  document.getElementById("headline").textContent = status.headline;
  const list = document.getElementById("stages");
  list.replaceChildren(...status.stages.map(stage => {
    const item = document.createElement("li");
    item.dataset.state = stage.state; item.dataset.mark = stage.mark; item.title = stage.state;
    item.textContent = stage.name;
    return item;
  }));
  document.body.classList.toggle("whole", status.whole);
  const key = status.has_report ? String(status.final) : "";
  if (key && key !== shown) {
    shown = key;
    const frame = document.createElement("iframe");
    frame.title = "Report of this release";
    frame.setAttribute("sandbox", "allow-scripts allow-downloads");
    frame.src = at.report + "?final=" + status.final;
    document.querySelector("main").replaceChildren(frame);
  }
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
    const text = "The status cannot be read (" + error.message + "); trying again.";
    document.getElementById("headline").textContent = text;
    wait = 10000;
  }
  setTimeout(poll, wait);
}
draw(at.now);
if (!at.now.final) setTimeout(poll, 2000);
