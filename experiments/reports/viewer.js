// Hover and zoom of the figures. A .plot has matplotlib's SVG and, in data-axes, the numbers that it shows
// (interactive.py). Drag a box to zoom, with Shift to move, double-click for the whole; on a touch screen, the buttons.
"use strict";
for (const plot of document.querySelectorAll(".plot[data-axes]")) live(plot);

function live(plot) {
  const svg = plot.querySelector("svg"), told = JSON.parse(plot.dataset.axes), SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes, parent) => {
    const node = parent.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const axes = told.map((of, k) => {
    const group = svg.querySelector(`#axes_${k + 1}`), path = group && group.querySelector(`#frame_${k + 1} path`);
    if (!path || !of.linear) return null;
    const box = path.getBBox(), frame = { x: box.x, y: box.y, width: box.width, height: box.height };
    const drawn = [...group.querySelectorAll("[clip-path]")].filter((node) => !node.closest('[id*="tick_"]'));
    const nodes = drawn.flatMap((node) => (node.tagName === "g" ? [...node.querySelectorAll("use")] : [node]));
    const marks = nodes.map((node) => ({ node, d: node.getAttribute("d"), x: +node.getAttribute("x"), y: +node.getAttribute("y") }));
    const texts = [...group.querySelectorAll(':scope > [id^="text_"] text')].map((node) => ({ node, x: +node.getAttribute("x"), y: +node.getAttribute("y") }));
    return { ...of, group, frame, marks, texts: texts.filter((text) => inside(frame, text)), view: { x: of.x.limits, y: of.y.limits } };
  });
  const shown = axes.filter(Boolean);
  if (!shown.length) return;
  const overlay = make("g", { "pointer-events": "none" }, svg), tip = document.createElement("div");
  tip.className = "tip", tip.hidden = true, plot.append(tip), plot.classList.add("live");
  const tools = plot.appendChild(document.createElement("div"));
  tools.className = "tools";
  for (const [name, title, act] of [["+", "zoom in", () => step(0.5)], ["−", "zoom out", () => step(2)], ["whole", "the whole picture", home]]) {
    const button = tools.appendChild(document.createElement("button"));
    button.textContent = name, button.title = title, button.onclick = act;
  }
  let last = null, start = null;

  function inside(frame, point) {
    return point.x >= frame.x && point.x <= frame.x + frame.width && point.y >= frame.y && point.y <= frame.y + frame.height;
  }
  const position = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const across = (axis, value) => axis.frame.x + ((value - axis.view.x[0]) / (axis.view.x[1] - axis.view.x[0])) * axis.frame.width;
  const up = (axis, value) => axis.frame.y + axis.frame.height * (1 - (value - axis.view.y[0]) / (axis.view.y[1] - axis.view.y[0]));
  const at = (axis, point) => ({
    x: axis.view.x[0] + ((point.x - axis.frame.x) / axis.frame.width) * (axis.view.x[1] - axis.view.x[0]),
    y: axis.view.y[0] + (1 - (point.y - axis.frame.y) / axis.frame.height) * (axis.view.y[1] - axis.view.y[0]),
  });

  // -- numbers -------------------------------------------------------------------------------------------------------
  function text(value, scale, unit) {
    if (value === null) return "";
    if (value in scale.names) return scale.names[value];
    if (scale.kind === "log") return (10 ** value).toLocaleString("en-US", { maximumSignificantDigits: 4 });
    if (scale.kind === "date") return new Date(value * 864e5).toISOString().slice(0, unit < 1 ? 16 : 10).replace("T", " ");
    const digits = unit ? { maximumFractionDigits: Math.max(0, Math.min(12, -Math.floor(Math.log10(unit)))) } : { maximumSignificantDigits: 6 };
    if (scale.kind === "percent") return (value * 100).toLocaleString("en-US", { maximumFractionDigits: unit ? Math.max(0, Math.min(10, -Math.floor(Math.log10(unit * 100)))) : 2 }) + " %";
    return value.toLocaleString("en-US", digits);
  }

  function show(point) {
    overlay.replaceChildren(), (tip.hidden = true);
    const hit = shown.filter((axis) => inside(axis.frame, point)), found = [];
    for (const axis of hit) for (const series of axis.series) if (!series.across) series.x.forEach((x, k) => {
      const y = series.y[k];
      if (x === null || y === null) return;
      const px = across(axis, x), py = up(axis, y);
      if (series.flat || inside(axis.frame, { x: px, y: axis.frame.y })) found.push({ axis, series, k, x: px, y: py });
    });
    if (!found.length) return;
    const scatter = found.every((each) => each.series.x.length === 1), flat = found.some((each) => each.series.flat);
    const far = (each) => (scatter ? Math.hypot(each.x - point.x, each.y - point.y) : Math.abs(flat ? each.y - point.y : each.x - point.x));
    const nearest = found.reduce((a, b) => (far(b) < far(a) ? b : a));
    if (scatter && far(nearest) > 30) return;
    const near = found.filter((each) => (scatter ? far(each) < far(nearest) + 0.5 : Math.abs(flat ? each.y - nearest.y : each.x - nearest.x) < 0.01));
    for (const axis of hit) for (const series of axis.series) if (series.across) near.push({ axis, series, k: 0, x: NaN, y: up(axis, series.y[0]) });
    near.sort((a, b) => Math.abs(a.y - point.y) - Math.abs(b.y - point.y)), near.splice(12), near.sort((a, b) => a.y - b.y);
    const { axis, series, k } = nearest, head = document.createElement("b");
    const named = flat ? axis.y : axis.x;
    head.textContent = `${named.label} ${text(flat ? series.y[k] : series.x[k], named)}`.trim();
    tip.replaceChildren(head);
    for (const each of near) {
      const line = document.createElement("div"), colour = document.createElement("i"), scale = flat ? each.axis.x : each.axis.y;
      const value = text((flat ? each.series.x : each.series.y)[each.k], scale), top = each.series.top;
      colour.style.background = each.series.colour;
      line.append(colour, `${each.series.name}: ${value}${top ? ` to ${text(top[each.k], scale)}` : ""}`), tip.append(line);
      if (!top && inside(each.axis.frame, each)) make("circle", { cx: each.x, cy: each.y, r: 4, fill: "none", stroke: each.series.colour, "stroke-width": 2 }, overlay);
    }
    tip.hidden = false;
    const box = plot.getBoundingClientRect(), place = new DOMPoint(nearest.x, point.y).matrixTransform(svg.getScreenCTM());
    const left = place.x - box.left + 12, room = box.width - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(0, left > room ? Math.min(room, left - tip.offsetWidth - 24) : left)}px`;
    tip.style.top = `${Math.max(0, place.y - box.top + 14)}px`;
  }

  // -- zoom ----------------------------------------------------------------------------------------------------------
  function redraw(axis) {
    const { frame, view } = axis, away = view.x !== axis.x.limits || view.y !== axis.y.limits;
    const ratio = (name) => (axis[name].limits[1] - axis[name].limits[0]) / (view[name][1] - view[name][0]);
    const a = ratio("x"), c = ratio("y"), bottom = frame.y + frame.height;
    const b = frame.x * (1 - a) + ((axis.x.limits[0] - view.x[0]) / (view.x[1] - view.x[0])) * frame.width;
    const d = bottom * (1 - c) - ((axis.y.limits[0] - view.y[0]) / (view.y[1] - view.y[0])) * frame.height;
    for (const mark of axis.marks) {
      if (mark.d) mark.node.setAttribute("d", !away ? mark.d : mark.d.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => `${(a * x + b).toFixed(3)} ${(c * y + d).toFixed(3)}`));
      else if (mark.x === 0) mark.node.setAttribute("transform", `matrix(${a} 0 0 ${c} ${b} ${d})`); // an area, drawn where it is
      else mark.node.setAttribute("x", a * mark.x + b), mark.node.setAttribute("y", c * mark.y + d);
    }
    for (const mark of axis.texts) {
      const place = { x: a * mark.x + b, y: c * mark.y + d };
      mark.node.parentNode.setAttribute("transform", `translate(${place.x - mark.x} ${place.y - mark.y})`);
      mark.node.parentNode.setAttribute("visibility", inside(frame, place) ? "visible" : "hidden");
    }
    for (const name of ["x", "y"]) ticks(axis, name, away);
  }

  function ticks(axis, name, away) {
    const before = [...axis.group.querySelectorAll(`[id^="${name}tick_"]`)], of = before.map((tick) => tick.querySelector("text")).find(Boolean);
    axis.group.querySelectorAll(`.${name}zoomed`).forEach((node) => node.remove());
    for (const tick of before) tick.style.display = away ? "none" : "";
    if (!away || !before.length) return;
    const group = make("g", { class: `${name}zoomed` }, before[0].parentNode), scale = axis[name], { frame } = axis;
    const grid = before[0].querySelector("path[clip-path]"), [low, high] = [...axis.view[name]].sort((a, b) => a - b);
    const named = Object.keys(scale.names).map(Number), unit = nice((high - low) / 5, scale.kind);
    const places = named.length ? named : Array.from({ length: 40 }, (_, k) => (Math.ceil(low / unit) + k) * unit);
    for (const value of places.filter((each) => each >= low && each <= high)) {
      const place = name === "x" ? across(axis, value) : up(axis, value);
      const line = name === "x" ? `M ${place} ${frame.y} v ${frame.height}` : `M ${frame.x} ${place} h ${frame.width}`;
      if (grid) make("path", { d: line, style: grid.getAttribute("style") }, group);
      if (!of) continue;
      const spot = name === "x" ? { x: place, y: of.getAttribute("y") } : { x: of.getAttribute("x"), y: place + 3.5 };
      make("text", { ...spot, style: of.getAttribute("style") }, group).textContent = text(value, scale, unit);
    }
  }

  function nice(step, kind) {
    if (kind === "date" && step > 0.5) return [1, 2, 7, 14, 28, 91, 182, 365].find((days) => days >= step) || Math.ceil(step / 365) * 365;
    const power = 10 ** Math.floor(Math.log10(step));
    return [1, 2, 5, 10].find((times) => times * power >= step * 0.999) * power;
  }

  function look(axis, box) {
    const { frame } = axis;
    if (axis.equal) {
      const share = Math.max(box.width / frame.width, box.height / frame.height), x = box.x + box.width / 2, y = box.y + box.height / 2;
      box = { x: x - (share * frame.width) / 2, y: y - (share * frame.height) / 2, width: share * frame.width, height: share * frame.height };
    }
    const low = at(axis, { x: box.x, y: box.y + box.height }), high = at(axis, { x: box.x + box.width, y: box.y });
    for (const name of ["x", "y"]) for (const k of axis[name].shared) if (axes[k]) axes[k].view[name] = [low[name], high[name]];
    tip.hidden = true, overlay.replaceChildren(), shown.forEach(redraw);
  }

  function home() {
    for (const axis of shown) axis.view = { x: axis.x.limits, y: axis.y.limits };
    tip.hidden = true, overlay.replaceChildren(), shown.forEach(redraw);
  }

  function step(times) {
    const axis = (last && shown.find((each) => inside(each.frame, last))) || shown[0], { frame } = axis;
    const middle = last && inside(frame, last) ? last : { x: frame.x + frame.width / 2, y: frame.y + frame.height / 2 };
    const width = frame.width * times, height = frame.height * times;
    look(axis, { x: middle.x - width / 2, y: middle.y - height / 2, width, height }), (last = null);
  }

  svg.addEventListener("pointerdown", (event) => {
    last = position(event);
    const axis = shown.find((each) => inside(each.frame, last));
    if (event.pointerType === "touch") show(last);
    else if (axis && event.button === 0) (start = { axis, point: last, move: event.shiftKey }), event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    const point = position(event);
    if (!start) return event.pointerType === "touch" ? undefined : show(point);
    overlay.replaceChildren(), (tip.hidden = true);
    if (!start.move) make("rect", { ...boxed(start, point), fill: "#888", "fill-opacity": 0.2, stroke: "#888" }, overlay);
  });
  addEventListener("pointerup", (event) => {
    if (!start) return;
    const { axis, point, move } = start, end = position(event), box = boxed(start, end);
    start = null, overlay.replaceChildren();
    if (move) look(axis, { ...axis.frame, x: axis.frame.x + point.x - end.x, y: axis.frame.y + point.y - end.y });
    else if (box.width > 6 && box.height > 6) look(axis, box);
  });
  svg.addEventListener("pointerleave", () => { if (!start) overlay.replaceChildren(), (tip.hidden = true); });
  svg.addEventListener("dblclick", home);

  function boxed({ axis: { frame }, point }, end) {
    const x = Math.max(frame.x, Math.min(frame.x + frame.width, end.x)), y = Math.max(frame.y, Math.min(frame.y + frame.height, end.y));
    return { x: Math.min(x, point.x), y: Math.min(y, point.y), width: Math.abs(x - point.x), height: Math.abs(y - point.y) };
  }
}
