// Charts: drawn anew for the width that they have on the screen, so that their words keep their size; the values under
// the pointer; a part of the x axis (drag, or + - and arrows); their data as CSV. Charts of one group go together.
(() => {
  const { axis, ticks, label, figure } = axes;
  // Words are no closer than this [px], and no smaller part of an axis than this is shown.
  const NARROW = 34, LEAST = 1 / 2000;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);

  const put = (node, values) => { for (const name in values) node.setAttribute(name, values[name]); };
  const made = (name, values, text) => {
    const node = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    put(node, values);
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // What a chart shows, in data, read from how it came; a chart that nobody opens is never read.
  const points = (line, x) => (line.getAttribute("points") || "").split(" ").map((pair) => {
    const [at, up] = pair.split(",");
    return { x: x.data(Number(at)), y: Number(up) };
  });
  const contents = (svg, x) => {
    const at = (node, name) => x.data(Number(node.getAttribute(name)));
    const curves = [...svg.querySelectorAll(".curve")].map((node) => ({
      name: node.dataset.name,
      pieces: [...node.querySelectorAll("polyline")].map((line) => ({ line, points: points(line, x) })),
      dots: [...node.querySelectorAll("circle")].map((dot) => ({ dot, x: at(dot, "cx") })),
    }));
    const limits = [...svg.querySelectorAll("g.limit")].flatMap((node) => {
      const lines = node.querySelectorAll("line");
      return [...node.querySelectorAll("rect")].map((box, index) => ({
        box, line: lines[index], from: at(lines[index], "x1"), to: at(lines[index], "x2"),
      }));
    });
    const marks = [...svg.querySelectorAll("g.mark")].map((node) => {
      const line = node.querySelector("line");
      return { node, line, text: node.querySelector("text"), x: at(line, "x1") };
    });
    return { curves, limits, marks };
  };
  const read = (svg) => {
    const x = axis(JSON.parse(svg.dataset.x)), { width, height } = svg.viewBox.baseVal;
    return {
      svg, x, y: axis(JSON.parse(svg.dataset.y)), now: x, width: 0, shown: null, margin: width - x.end, height,
      group: svg.dataset.group || "", grid: svg.querySelector(".grid"), cursor: svg.querySelector(".cursor"),
      caption: svg.closest("figure"), kept: null,
      get data() { return this.kept || (this.kept = contents(svg, x)); },
    };
  };
  const charts = [...document.querySelectorAll("figure svg[data-x]")].map(read);
  const known = new Map(charts.map((chart) => [chart.svg, chart]));
  const together = (chart) => (chart.group ? charts.filter((each) => each.group === chart.group) : [chart]);

  // A curve within the window: a point beyond an edge is moved to the edge, along the line to its neighbour.
  const within = (points, now) => {
    const placed = points.map((point) => ({ x: now.place(point.x), y: point.y })), found = [];
    const edge = (a, b, at) => ({ x: at, y: a.y + ((at - a.x) / (b.x - a.x)) * (b.y - a.y) });
    placed.forEach((point, index) => {
      const next = placed[index + 1];
      if (point.x >= now.start - 0.01 && point.x <= now.end + 0.01) found.push(point);
      if (!next) return;
      for (const at of [now.start, now.end]) {
        if ((point.x - at) * (next.x - at) < 0 && Math.abs(next.x - point.x) > 1e-9) found.push(edge(point, next, at));
      }
    });
    return found.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(2)}`).join(" ");
  };
  const drawGrid = (chart, now) => {
    const { grid, y, x } = chart, name = grid.querySelector(".axis"), parts = [];
    const step = (all) => all.slice(1).map((value, index) => value - all[index]).sort((a, b) => a - b)[0] || 1;
    let last = -Infinity;
    const whole = (value) => !chart.svg.dataset.whole || Number.isInteger(value);
    const across = ticks(now, Math.max(2, Math.min(6, Math.floor((now.end - now.start) / 60)))).filter(whole);
    for (const value of across) {
      const at = now.place(value);
      parts.push(made("line", { x1: at, x2: at, y1: y.end, y2: y.start }));
      if (at - last < NARROW) continue;
      last = at;
      const text = label(value, now.log ? value : step(across));
      parts.push(made("text", { x: at, y: y.start + 14, "text-anchor": "middle" }, text));
    }
    const up = ticks(y, 4);
    for (const value of up) {
      const at = y.place(value);
      parts.push(made("line", { x1: now.start, x2: now.end, y1: at, y2: at }));
      const text = label(value, y.log ? value : step(up));
      parts.push(made("text", { x: x.start - 6, y: at + 4, "text-anchor": "end" }, text));
    }
    if (name) put(name, { x: now.end });
    grid.replaceChildren(...parts, ...(name ? [name] : []));
  };
  const drawMarks = (chart, now) => {
    for (const { node, line, text, x } of chart.data.marks) {
      const at = now.place(x), late = at > (now.start + now.end) / 2;
      node.style.display = at < now.start - 0.5 || at > now.end + 0.5 ? "none" : "";
      put(line, { x1: at, x2: at });
      put(text, { x: late ? at - 4 : at + 4, "text-anchor": late ? "end" : "start" });
    }
  };
  const drawLimits = (chart, now) => {
    for (const { box, line, from, to } of chart.data.limits) {
      const a = Math.max(now.place(from), now.start), b = Math.min(now.place(to), now.end);
      put(box, { x: Math.min(a, now.end), width: Math.max(b - a, b > now.start && a < now.end ? 0.5 : 0) });
      put(line, { x1: Math.min(a, now.end), x2: Math.max(a, b) });
      line.style.display = b < a ? "none" : "";
    }
  };
  const draw = (chart) => {
    const width = chart.svg.getBoundingClientRect().width;
    chart.width = width;
    if (!width) return;
    const { x, svg } = chart, [low, high] = chart.shown || [x.low, x.high];
    const now = chart.now = axis([low, high, x.start, width - chart.margin, x.log]);
    svg.setAttribute("viewBox", `0 0 ${width} ${chart.height}`);
    svg.dataset.x = JSON.stringify([low, high, now.start, now.end, Number(x.log)]);
    for (const curve of chart.data.curves) {
      for (const { line, points } of curve.pieces) line.setAttribute("points", within(points, now));
      for (const { dot, x: value } of curve.dots) {
        const at = now.place(value);
        dot.setAttribute("cx", at);
        dot.style.display = at < now.start - 0.5 || at > now.end + 0.5 ? "none" : "";
      }
    }
    drawGrid(chart, now);
    drawMarks(chart, now);
    drawLimits(chart, now);
  };
  const seen = new ResizeObserver((entries) => requestAnimationFrame(() => {
    for (const { target } of entries) {
      const chart = known.get(target), width = target.getBoundingClientRect().width;
      if (Math.abs(width - chart.width) > 0.5) draw(chart);
    }
  }));

  const span = ([low, high]) => {
    const step = 10 ** Math.floor(Math.log10((high - low) / 50));
    return `${label(low, step)} to ${label(high, step)}`;
  };
  // The part of the axis that is shown; `null`: all of it.
  const show = (chart, shown) => {
    if (shown) {
      const from = Math.max(0, chart.x.share(shown[0])), to = Math.min(1, chart.x.share(shown[1]));
      if (!(to - from >= LEAST)) return;
      shown = from < 1e-9 && to > 1 - 1e-9 ? null : chart.x.part(from, to);
    }
    for (const each of together(chart)) {
      each.shown = shown;
      draw(each);
      each.whole.hidden = !shown;
      if (shown) each.whole.textContent = `${span(shown)}: show all`;
    }
  };
  const move = (chart, from, to) => {
    const length = Math.min(to - from, 1), start = Math.min(Math.max(from, 0), 1 - length);
    show(chart, chart.x.part(start, start + length));
  };

  const place = (event) => {
    const right = event.clientX + 16, room = right + tip.offsetWidth <= innerWidth;
    const left = room ? right : right - 32 - tip.offsetWidth;
    tip.style.left = `${Math.max(left, 2)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4)}px`;
    tip.style.visibility = "visible";
  };
  const say = (lines) => {
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
  };
  const nearest = (points, at) => points.reduce(
    (best, point) => (!best || Math.abs(point.x - at) < Math.abs(best.x - at) ? point : best), null);
  const position = ({ svg, now }, event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    return Math.min(Math.max(at, now.start), now.end);
  };
  const values = (chart, event) => {
    const value = chart.now.data(position(chart, event)), { unit, xName } = chart.svg.dataset;
    for (const each of together(chart)) {
      if (!each.width) continue;
      const there = each.now.place(value);
      put(each.cursor, { x1: there, x2: there });
      each.cursor.style.visibility = "visible";
    }
    const lines = [`${xName}: ${figure(value)}`];
    for (const { name, pieces } of chart.data.curves) {
      const point = nearest(pieces.flatMap((piece) => piece.points), value);
      if (point) lines.push(`${name}: ${figure(chart.y.data(point.y))}${unit ? ` ${unit}` : ""}`);
    }
    say(lines);
    place(event);
  };

  let brush = null;
  const drop = () => { if (brush) brush.box.remove(); brush = null; };
  const grasp = (chart, event) => {
    if (event.button !== 0 || brush) return;
    const from = position(chart, event), { start, end } = chart.y;
    const box = made("rect", { class: "brush", y: end, height: start - end });
    chart.svg.append(box);
    chart.svg.setPointerCapture(event.pointerId);
    brush = { chart, from, to: from, box };
  };
  const stretch = (event) => {
    brush.to = position(brush.chart, event);
    put(brush.box, { x: Math.min(brush.from, brush.to), width: Math.abs(brush.to - brush.from) });
  };
  const release = () => {
    if (!brush) return;
    const { chart, from, to } = brush, [a, b] = [Math.min(from, to), Math.max(from, to)];
    drop();
    if (b - a > 5) show(chart, [chart.now.data(a), chart.now.data(b)]);
  };
  const key = (chart, event) => {
    const from = chart.x.share(chart.now.low), to = chart.x.share(chart.now.high), length = to - from;
    const steps = {
      "+": [from + length / 4, to - length / 4], "=": [from + length / 4, to - length / 4],
      "-": [from - length / 2, to + length / 2],
      ArrowLeft: [from - length / 4, to - length / 4], ArrowRight: [from + length / 4, to + length / 4],
    };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && !chart.shown) return;
    event.preventDefault();
    move(chart, ...step);
  };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (brush) { drop(); return; }
    for (const chart of charts) if (chart.shown) show(chart, null);
  });

  // A chart's curves as a table for other programs: as they are drawn, at most 400 points each.
  const csv = (chart) => {
    const cell = (text) => `"${String(text).replaceAll('"', '""')}"`, short = (value) => Number(value.toPrecision(7));
    const lines = [["curve", chart.svg.dataset.xName, chart.svg.dataset.unit || "value"].map(cell).join(",")];
    for (const { name, pieces } of chart.data.curves) {
      for (const { points } of pieces) {
        for (const point of points) lines.push([cell(name), short(point.x), short(chart.y.data(point.y))].join(","));
      }
    }
    return lines.join("\r\n") + "\r\n";
  };
  const save = (chart, title) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(chart)], { type: "text/csv" }));
    link.download = `${title.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase() || "chart"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const button = (text, name, does) => {
    const found = document.createElement("button");
    Object.assign(found, { type: "button", className: "small", textContent: text });
    if (name) found.setAttribute("aria-label", name);
    found.addEventListener("click", does);
    return found;
  };
  for (const chart of charts) {
    const { svg } = chart, title = svg.getAttribute("aria-label").split(".")[0];
    svg.tabIndex = 0;
    svg.setAttribute("aria-keyshortcuts", "+ - ArrowLeft ArrowRight Escape");
    svg.addEventListener("pointerdown", (event) => grasp(chart, event));
    svg.addEventListener("pointermove", (event) => { if (brush) stretch(event); values(chart, event); });
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", drop);
    svg.addEventListener("pointerleave", () => {
      tip.style.visibility = "hidden";
      for (const each of together(chart)) each.cursor.style.visibility = "hidden";
    });
    svg.addEventListener("dblclick", () => show(chart, null));
    svg.addEventListener("keydown", (event) => key(chart, event));
    chart.whole = button("", "", () => { show(chart, null); svg.focus(); });
    chart.whole.hidden = true;
    const data = button("CSV", `Data of ${title} as CSV`, () => save(chart, title));
    chart.caption.querySelector("figcaption").append(data);
    chart.whole.classList.add("whole");
    chart.caption.append(chart.whole);
    seen.observe(svg);
  }
  for (const part of document.querySelectorAll("[data-tip]")) {
    part.addEventListener("pointermove", (event) => { say(part.dataset.tip.split("\n")); place(event); });
    part.addEventListener("pointerleave", () => { tip.style.visibility = "hidden"; });
  }
  for (const first of new Set(charts.map((chart) => chart.caption.closest(".grid2") || chart.caption))) {
    const hint = document.createElement("p");
    hint.className = "soft hint";
    hint.textContent = "Drag over a chart to see a part of it; a double click or Escape shows all. Keys: + − ← →";
    first.before(hint);
  }
})();
