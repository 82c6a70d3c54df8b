"use strict";
// Shows the values under the pointer. Charts of one group (one episode) show theirs together.
(() => {
  // The page around this one says whether it is light or dark; without one the reader's system does.
  const theme = (name) => { if (name === "light" || name === "dark") document.documentElement.dataset.theme = name; };
  theme(new URLSearchParams(location.search).get("theme"));
  addEventListener("message", (event) => { if (event.data && typeof event.data === "object") theme(event.data.theme); });

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);

  const axis = (svg, name) => {
    const [low, high, start, end, log] = JSON.parse(svg.dataset[name]);
    const f = log ? Math.log10 : (v) => v, g = log ? (v) => 10 ** v : (v) => v;
    return { start, end, data: (at) => g(f(low) + ((at - start) / (end - start)) * (f(high) - f(low))) };
  };
  const digits = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return (size >= 1e6 || size < 1e-3 ? value.toExponential(2) : Number(value.toPrecision(4)).toString()).replace("-", "−");
  };
  const curves = (svg) => [...svg.querySelectorAll(".curve")].map((group) => ({
    name: group.dataset.name,
    points: [...group.querySelectorAll("polyline")].flatMap((line) => [...line.points]),
  }));
  const nearest = (points, x) => {
    let low = 0, high = points.length - 1;
    if (high < 0) return null;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle].x < x) low = middle; else high = middle;
    }
    return Math.abs(points[low].x - x) < Math.abs(points[high].x - x) ? points[low] : points[high];
  };
  const position = (svg, event) => {
    const box = svg.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  };
  const cursor = (svg, x) => {
    const line = svg.querySelector(".cursor");
    if (!line) return;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.style.visibility = "visible";
  };
  const group = (svg) => svg.dataset.group
    ? document.querySelectorAll(`svg[data-group="${CSS.escape(svg.dataset.group)}"]`) : [svg];
  const hide = (svg) => {
    tip.style.visibility = "hidden";
    for (const one of group(svg)) {
      const line = one.querySelector(".cursor");
      if (line) line.style.visibility = "hidden";
    }
  };
  const place = (event) => {
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4)}px`;
    tip.style.visibility = "visible";
  };
  const say = (lines) => {
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
  };

  for (const svg of document.querySelectorAll("svg[data-x]")) {
    const across = axis(svg, "x"), up = axis(svg, "y");
    const series = curves(svg);
    svg.addEventListener("pointermove", (event) => {
      const x = Math.min(Math.max(position(svg, event), across.start), across.end);
      for (const one of group(svg)) cursor(one, x);
      const unit = svg.dataset.unit ? ` ${svg.dataset.unit}` : "";
      const lines = [`${svg.dataset.xName}: ${digits(across.data(x))}`];
      for (const { name, points } of series) {
        const point = nearest(points, x);
        if (point) lines.push(`${name}: ${digits(up.data(point.y))}${unit}`);
      }
      say(lines);
      place(event);
    });
    svg.addEventListener("pointerleave", () => hide(svg));
  }
  for (const part of document.querySelectorAll("svg [data-tip]")) {
    part.addEventListener("pointermove", (event) => { say(part.dataset.tip.split("\n")); place(event); });
    part.addEventListener("pointerleave", () => { tip.style.visibility = "hidden"; });
  }
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

  // A chart's curves as a table for other programs: as they are drawn, at most 200 points each.
  const csv = (svg) => {
    const across = axis(svg, "x"), up = axis(svg, "y"), lines = [];
    const cell = (text) => `"${String(text).replaceAll('"', '""')}"`;
    lines.push([cell("curve"), cell(svg.dataset.xName), cell(svg.dataset.unit || "value")].join(","));
    for (const { name, points } of curves(svg)) {
      for (const point of points) lines.push([cell(name), across.data(point.x), up.data(point.y)].join(","));
    }
    return lines.join("\r\n") + "\r\n";
  };
  for (const svg of document.querySelectorAll("figure svg[data-x]")) {
    const button = document.createElement("button"), title = svg.getAttribute("aria-label").split(".")[0];
    button.type = "button";
    button.className = "csv";
    button.textContent = "CSV";
    button.setAttribute("aria-label", `Data of ${title} as CSV`);
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(svg)], { type: "text/csv" }));
      link.download = `${title.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase() || "chart"}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
    const caption = svg.closest("figure").querySelector("figcaption");
    if (caption) caption.append(button);
  }
})();
