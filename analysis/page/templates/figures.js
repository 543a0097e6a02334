// Opens the pictures of a figure, which are its SVGs for print: the legend becomes controls, the
// panels find their own places, and a curve names its run and value under the pointer.
// What a curve shows is written in the id of its group, as a query string: see pointer.py.
const SVG = "http://www.w3.org/2000/svg";
const REACH = 24; // pixels from the pointer to a curve's vertex
const LEAST = 1.15; // pixels for a point of the print, so that text stays legible
const MOST = 1.6;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function decoded(image) {
  const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (byte) => byte.charCodeAt(0));
  const parsed = new DOMParser().parseFromString(new TextDecoder().decode(bytes), "image/svg+xml");
  return document.importNode(parsed.documentElement, true);
}

// Ids are read, then made the page's own, because other pictures have the same.
function claimIds(source, prefix) {
  const facts = new Map();
  for (const node of source.querySelectorAll("*")) {
    if (node.id.includes("=")) facts.set(node, new URLSearchParams(node.id));
    if (node.id) node.id = `${prefix}-${node.id}`;
    for (const { name, value } of [...node.attributes]) {
      if (value.startsWith("url(#")) node.setAttribute(name, value.replace("#", `#${prefix}-`));
      if (name.endsWith("href")) node.setAttribute(name, value.replace("#", `#${prefix}-`));
    }
  }
  return facts;
}

function union(boxes) {
  const left = Math.min(...boxes.map((box) => box.x));
  const top = Math.min(...boxes.map((box) => box.y));
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function framed(box, margin, ...nodes) {
  const svg = document.createElementNS(SVG, "svg");
  const sides = [box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin];
  svg.setAttribute("viewBox", sides.join(" "));
  svg.append(...nodes);
  return svg;
}

const kindOf = (node) => /([a-z.]+)[\d_]*$/i.exec(node.id)?.[1];

// A panel has words or numbers; a spare place in the grid has none.
function isPanel(part, facts) {
  return (facts.has(part) || kindOf(part) === "axes") && part.querySelector("text");
}

// A panel with its labels; curves may reach beyond it, where they are clipped.
function boxOf(axes) {
  const parts = [...axes.children].filter((part) => /axis|text/.test(kindOf(part)));
  return union([axes.firstElementChild, ...parts].map((part) => part.getBBox()));
}

// Panels of a row share the numbers of the first; apart from it, each needs its own.
function addNumbers(axes, panels) {
  const numbers = (panel) => [...panel.children].filter((part) => kindOf(part) === "matplotlib.axis").at(1);
  const place = (panel) => panel.firstElementChild.getBBox();
  const [own, here] = [numbers(axes), place(axes)];
  const first = panels.find((panel) => place(panel).y === here.y && numbers(panel)?.querySelector("text"));
  if (!own || own.querySelector("text") || !first) return;
  const [shared, there] = [numbers(first), place(first)];
  const copy = shared.cloneNode(true);
  copy.removeAttribute("id");
  for (const line of copy.querySelectorAll("[clip-path]")) line.remove();
  for (const node of copy.querySelectorAll("[id]")) node.removeAttribute("id");
  copy.setAttribute("transform", `translate(${here.x - there.x} 0)`);
  own.append(copy);
}

function vertices(path) {
  const numbers = path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
  return numbers.flatMap((x, at) => (at % 2 ? [] : [[x, numbers[at + 1]]]));
}

// The curves of a panel that have a name, with their vertices in the panel's own units.
function curvesIn(axes, facts) {
  return [...axes.children].flatMap((group) => {
    const told = facts.get(group);
    if (!told?.has("name")) return [];
    const names = told.getAll("name");
    const paths = [...group.querySelectorAll(":scope > path")];
    const marks = [...group.querySelectorAll("use")];
    if (paths.length) return paths.map((path, at) => ({ path, told, group, name: names[at], points: vertices(path) }));
    const points = marks.map((mark) => [Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))]);
    return [{ path: group, told, group, names, points }];
  });
}

function nearest(curves, x, y, reach, area) {
  let best = null;
  let least = reach ** 2;
  for (const curve of curves) {
    if (curve.group.hasAttribute("hidden")) continue;
    curve.points.forEach(([px, py], at) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && py >= area.y && py <= area.y + area.height) {
        least = distance;
        best = { curve, at, px, py };
      }
    });
  }
  return best;
}

function describe({ curve, at, px, py }, scale, area) {
  const number = (name) => Number(scale.get(name));
  const share = (px - area.x) / area.width;
  const x = curve.told.getAll("x")[at] ?? number("left") + share * (number("right") - number("left"));
  const y = number("top") - ((py - area.y) / area.height) * (number("top") - number("bottom"));
  const named = `${scale.get("x")} ${Math.round(x).toLocaleString("en")}`;
  const depth = curve.told.get("depth");
  return [
    element("b", { textContent: curve.name ?? curve.names[at] ?? curve.names[0] }),
    element("span", { textContent: [curve.told.get("family"), depth && `${depth} layers`, named].filter(Boolean).join(", ") }),
    element("span", { textContent: `${curve.told.get("y")}: ${y.toFixed(2)}` }),
    element("span", { textContent: curve.told.getAll("note")[at] ?? "" }),
  ];
}

function listen(panel, axes, facts, tip) {
  const scale = facts.get(axes);
  const curves = scale ? curvesIn(axes, facts) : [];
  if (!curves.length) return;
  const ring = document.createElementNS(SVG, "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("style", "fill: none; stroke: #444444; stroke-width: 1px");
  const clear = () => {
    for (const near of tip.parentElement.querySelectorAll(".near")) near.classList.remove("near");
    for (const other of tip.parentElement.querySelectorAll(".ring")) other.remove();
    tip.hidden = true;
  };
  const point = (event) => {
    clear();
    const area = axes.firstElementChild.getBBox();
    const matrix = panel.getScreenCTM();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const found = nearest(curves, x, y, REACH / matrix.a, area);
    if (!found) return;
    found.curve.path.classList.add("near");
    for (const [name, value] of Object.entries({ cx: found.px, cy: found.py, r: 4 / matrix.a })) ring.setAttribute(name, value);
    axes.append(ring);
    tip.replaceChildren(...describe(found, scale, area));
    tip.hidden = false;
    const frame = tip.offsetParent.getBoundingClientRect();
    const place = new DOMPoint(found.px, found.py).matrixTransform(matrix);
    const left = Math.min(place.x - frame.x + 12, frame.width - tip.offsetWidth);
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${place.y - frame.y + 14}px`;
  };
  panel.addEventListener("pointermove", point);
  panel.addEventListener("pointerdown", point);
  panel.addEventListener("pointerleave", (event) => event.pointerType === "touch" || clear());
  document.addEventListener("pointerdown", (event) => tip.parentElement.contains(event.target) || clear());
}

// The families and depths to switch, where there are several.
function switches(facts) {
  const found = new Map();
  for (const [field, title] of [["family", (name) => name], ["depth", (depth) => `${depth} layers`]]) {
    const values = new Set([...facts.values()].map((told) => told.get(field)).filter(Boolean));
    if (values.size > 1) for (const value of values) found.set(title(value), { field, value });
  }
  return found;
}

// The legend's samples and words; those of a family or depth switch it.
function controlsOf(legend, facts, off, update) {
  const wanted = switches(facts);
  const box = (title) => {
    const input = element("input", { type: "checkbox", checked: !off.has(title) });
    input.addEventListener("change", () => {
      off[input.checked ? "delete" : "add"](title);
      update();
    });
    return input;
  };
  const entries = [];
  let sample = [];
  for (const part of legend?.children ?? []) {
    if (kindOf(part) !== "text") {
      if (part.querySelector("[d], use")) sample.push(part);
      continue;
    }
    const title = part.textContent.trim();
    const area = union(sample.map((piece) => piece.getBBox()));
    const drawing = framed({ ...area, y: area.y + area.height / 2 - 4, height: 8 }, 1, ...sample.map((piece) => piece.cloneNode(true)));
    const switched = wanted.delete(title);
    entries.push(element(switched ? "label" : "span", {}, ...(switched ? [box(title)] : []), drawing, title));
    sample = [];
  }
  const others = [...wanted.keys()].map((title) => element("label", { className: "unkeyed" }, box(title), title));
  return element("div", { className: "controls" }, ...others, ...entries);
}

function openPicture(image, off, update) {
  const source = decoded(image);
  const facts = claimIds(source, image.dataset.name);
  const tip = element("div", { className: "tip", hidden: true });
  const opened = element("div", { className: "opened" }, tip, source);
  opened.dataset.picture = image.dataset.name;
  image.replaceWith(opened);
  const parts = [...source.querySelector(":scope > g").children];
  const drawn = parts.filter((part) => isPanel(part, facts));
  const legend = parts.find((part) => kindOf(part) === "legend");
  const rows = new Set(drawn.map((axes) => axes.firstElementChild.getBBox().y));
  if (rows.size > 1 && !drawn.every((axes) => facts.has(axes))) {
    // Labels shared by several rows stand only at the margins, so it stays an image.
    opened.replaceWith(image);
    return () => {};
  }
  for (const axes of drawn) {
    addNumbers(axes, drawn);
    axes.firstElementChild.querySelector("path").style.fill = "none"; // the page's own ground
  }
  const boxes = drawn.map(boxOf);
  const grid = element("div", { className: "panels", role: "group", ariaLabel: image.alt });
  const widest = Math.max(...boxes.map((box) => box.width));
  grid.style.setProperty("--least", `${widest * LEAST}px`);
  grid.style.setProperty("--most", `${widest * MOST}px`);
  grid.style.maxWidth = `${widest * MOST * drawn.length}px`;
  const controls = controlsOf(legend, facts, off, update);
  drawn.forEach((axes, at) => {
    const panel = framed(boxes[at], 3, axes);
    panel.setAttribute("role", "img");
    panel.setAttribute("aria-label", [...axes.children].findLast((part) => kindOf(part) === "text")?.textContent.trim() || image.alt);
    grid.append(panel);
    listen(panel, axes, facts, tip);
  });
  // Marks and clip paths that panels share stay where no switch hides them.
  const kept = framed({ x: 0, y: 0, width: 0, height: 0 }, 0, ...source.querySelectorAll("defs"), ...grid.querySelectorAll("defs"));
  kept.setAttribute("style", "position: absolute; width: 0; height: 0");
  source.replaceWith(controls, grid, kept);
  const save = element("a", { className: "save note", textContent: "Save as SVG", href: image.src, download: `${image.dataset.name}.svg` });
  opened.append(save);
  if (document.fullscreenEnabled) {
    const whole = element("button", { type: "button", className: "save note", textContent: "Full screen" });
    const figure = opened.closest("figure");
    whole.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen()));
    figure.addEventListener("fullscreenchange", () => { whole.textContent = document.fullscreenElement ? "Leave full screen" : "Full screen"; });
    opened.append(whole);
  }
  return () => {
    const hides = (told) => off.has(told.get("family")) || off.has(`${told.get("depth")} layers`);
    for (const [node, told] of facts) node.toggleAttribute("hidden", hides(told));
    for (const panel of grid.children) panel.toggleAttribute("hidden", panel.firstElementChild.hasAttribute("hidden"));
    for (const input of controls.querySelectorAll("input")) input.checked = !off.has(input.parentElement.textContent.trim());
  };
}

function openFigure(figure) {
  const images = [...figure.querySelectorAll("img.picture")];
  const off = new Set();
  const updates = [];
  const update = () => updates.forEach((each) => each());
  updates.push(...images.map((image) => openPicture(image, off, update)));
  if (images.length < 2) return;
  const pictures = [...figure.querySelectorAll(".opened")];
  const show = (chosen) => pictures.forEach((picture) => { picture.hidden = picture !== chosen; });
  const radios = images.map(({ dataset: { choice } }, at) => {
    const radio = element("input", { type: "radio", name: figure.id, checked: at === 0 });
    radio.addEventListener("change", () => show(pictures[at]));
    return element("label", {}, radio, choice);
  });
  const legend = element("legend", { className: "skip", textContent: "Error" });
  pictures[0].before(element("fieldset", { className: "choices controls" }, legend, ...radios));
  show(pictures[0]);
}
