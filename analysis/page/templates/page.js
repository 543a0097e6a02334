// Hands the figures to vega-embed and the tables to DataTables; both do the work.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const views = new Map();

// Panels stand side by side where there is room, else below one another.
function fitted(spec, room) {
  if (!spec.facet) return spec;
  const most = spec.columns;
  const columns = Math.max(1, Math.min(most, Math.floor((room - 60) / 220)));
  const legend = room > 700 ? 110 : 0;
  const width = Math.floor((room - 60 - legend) / columns) - 24;
  const child = { ...spec.spec, width: Math.min(width, 460) };
  return { ...spec, columns, spec: child };
}

async function draw(box) {
  const room = box.clientWidth - 45; // beside it, the menu that saves the figure
  const name = box.dataset.chart;
  const spec = JSON.parse(document.getElementById(`spec-${name}`).textContent);
  const before = views.get(name);
  if (before) {
    for (const param of spec.params ?? []) {
      if (param.bind) param.value = before.signal(param.name);
    }
    before.finalize();
  }
  const orient = room > 700 ? "right" : "bottom";
  spec.config = { ...spec.config, legend: { orient, columns: orient === "right" ? 1 : 3 } };
  const result = await window.vegaEmbed(box, fitted(spec, room), {
    renderer: "svg",
    actions: { export: true, source: false, compiled: false, editor: false },
    tooltip: { theme: dark.matches ? "dark" : "light" },
    downloadFileName: name,
  });
  views.set(name, result.view);
}

const boxes = [...document.querySelectorAll("[data-chart]")];
const drawn = Promise.all(boxes.map(draw));

let width = window.innerWidth;
let waiting;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (window.innerWidth !== width) boxes.forEach(draw);
    width = window.innerWidth;
  }, 150);
});

for (const table of document.querySelectorAll("table.sortable")) {
  const search = table.classList.contains("searchable") ? "search" : null;
  new DataTable(table, {
    paging: false,
    info: false,
    autoWidth: false,
    order: [],
    layout: { topStart: search, topEnd: null, bottomStart: null, bottomEnd: null },
  });
}

// On paper, what is folded up cannot be opened.
const claims = [...document.querySelectorAll(".claims details")];
window.addEventListener("beforeprint", () => {
  for (const claim of claims) {
    claim.dataset.was = claim.open;
    claim.open = true;
  }
});
window.addEventListener("afterprint", () => {
  for (const claim of claims) claim.open = claim.dataset.was === "true";
});

// A link to a run opens it.
function open() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
window.addEventListener("hashchange", open);
open();
drawn.then(() => document.documentElement.setAttribute("data-ready", ""));
