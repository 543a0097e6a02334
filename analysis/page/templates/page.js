// Opens the figures, hands the tables to DataTables, and unfolds what a link or a printer asks for.
for (const figure of document.querySelectorAll("figure")) openFigure(figure);

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
document.documentElement.setAttribute("data-ready", "");
