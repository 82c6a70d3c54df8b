// A release's report is read when the reader opens it.
(() => {
  for (const box of document.querySelectorAll("details[data-report]")) {
    box.addEventListener("toggle", () => {
      if (!box.open || box.querySelector("iframe")) return;
      const frame = document.createElement("iframe");
      frame.title = "Report of this release";
      frame.className = "report";
      frame.setAttribute("sandbox", "allow-scripts allow-downloads");
      frame.src = box.dataset.report + "?theme=" + theme();
      box.append(frame);
    });
  }
})();
// The form of a DAG: its fields come from Airflow's API, what the page knows is filled in, and a person sends it.
(() => {
  const data = document.getElementById("about");
  if (!data) return;
  const about = JSON.parse(data.textContent);
  const said = document.getElementById("said"), fields = document.getElementById("fields");
  const send = document.getElementById("send");
  const say = (text, alarm) => { said.textContent = text; said.className = alarm ? "note" : "soft"; };
  const dag = about.api + "/dags/" + encodeURIComponent(about.dag);
  const ask = async (address, options) => {
    const answer = await fetch(address, {credentials: "same-origin", cache: "no-store", ...options});
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail || body);
    const why = answer.status === 403 ? "you need the permission to start " + about.dag : detail;
    throw new Error("Airflow refuses this (" + answer.status + "): " + why);
  };
  const kinds = (schema) => [].concat(schema.type || "string");
  const control = (name, param) => {
    const schema = param.schema || {}, label = document.createElement("label");
    const title = document.createElement("span"), note = document.createElement("small");
    const input = document.createElement(schema.enum ? "select" : name === "reason" ? "textarea" : "input");
    title.textContent = schema.title || name;
    note.textContent = (param.description || schema.description || "").replaceAll("`", "");
    for (const choice of schema.enum || []) {
      const option = document.createElement("option");
      option.value = choice === null ? "" : choice;
      option.textContent = choice === null ? "(as configured)" : choice;
      input.append(option);
    }
    const known = about.known[name];
    input.name = name;
    input.value = known || (param.value === null || param.value === undefined ? "" : param.value);
    if (!kinds(schema).includes("null")) input.required = true;
    if (schema.minLength && input.required) input.minLength = schema.minLength;
    if (kinds(schema).includes("number") || kinds(schema).includes("integer")) { input.type = "number"; input.step = "any"; }
    if (kinds(schema).includes("boolean")) { input.type = "checkbox"; input.checked = param.value === true; input.required = false; }
    const offered = about.offered[name] || [];
    if (offered.length && input.tagName === "INPUT") {
      const list = document.createElement("datalist");
      list.id = "offered-" + name;
      for (const [text, said] of offered) {
        const option = document.createElement("option");
        option.value = text; option.label = said;
        list.append(option);
      }
      input.setAttribute("list", list.id);
      label.append(list);
    }
    input.dataset.kind = kinds(schema).find((kind) => kind !== "null") || "string";
    label.append(title, input, note);
    return label;
  };
  const value = (input) => {
    if (input.dataset.kind === "boolean") return input.checked;
    if (input.value === "") return input.required ? "" : null;
    if (input.dataset.kind === "number" || input.dataset.kind === "integer") return Number(input.value);
    return input.value;
  };
  ask(dag + "/details").then((found) => {
    const params = Object.entries(found.params || {}).map(([name, param]) => control(name, param));
    const place = (label) => label.querySelector("[name=config]") ? 2 : label.querySelector("[required]") ? 0 : 1;
    params.sort((a, b) => place(a) - place(b));
    fields.replaceChildren(...params);
    say("Nothing happens before you send this.");
    send.disabled = false;
    const first = fields.querySelector("textarea, input:not([value])");
    if (first) first.focus();
  }).catch((error) => say(error.message, true));
  document.getElementById("act").addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    say("Sent to Airflow …");
    const conf = Object.fromEntries([...fields.querySelectorAll("[name]")].map((input) => [input.name, value(input)]));
    try {
      const run = await ask(dag + "/dagRuns", {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({logical_date: null, conf}),
      });
      leave(about.ui + "/dags/" + encodeURIComponent(about.dag) + "/runs/" + encodeURIComponent(run.dag_run_id));
    } catch (error) {
      say(error.message, true);
      send.disabled = false;
    }
  });
})();
