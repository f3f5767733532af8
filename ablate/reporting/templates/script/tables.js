// Sort a table by the column whose title is pressed: up, down, and back to the order of the study.
const NEXT = {none: "ascending", ascending: "descending", descending: "none"};

// The number behind a cell, or the one that its text begins with; rows without one stay at the end.
function sortKey(cell, words) {
  const text = cell.dataset.key === undefined ? cell.textContent.trim() : cell.dataset.key;
  if (words || text === "") return text;
  const number = parseFloat(text.replace(/\u2212/g, "-").replace(/^[\u2248<\s+]+/, ""));
  return Number.isNaN(number) ? (cell.dataset.key === undefined && text === "\u2014" ? "" : text) : number;
}

function sortBy(table, column, order) {
  const body = table.tBodies[0], titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, place) => title.setAttribute("aria-sort", place === column ? order : "none"));
  const words = titles[column].classList.contains("text") && !titles[column].classList.contains("verdict");
  const sign = order === "descending" ? -1 : 1;
  const keyed = [...table.written].map(row => [sortKey(row.cells[column], words), row]);
  const compare = ([a], [b]) => (a === "") - (b === "") || sign * (
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true}));
  if (order !== "none") keyed.sort(compare);
  body.append(...keyed.map(([, row]) => row));
  table.dispatchEvent(new Event("sorted"));
}

function startSorting() {
  for (const table of findAll("table.sortable")) {
    table.written = [...table.tBodies[0].rows];
    findAll("thead th button", table).forEach((button, column) => {
      button.addEventListener("click", () => {
        const order = NEXT[button.parentElement.getAttribute("aria-sort")];
        sortBy(table, column, order);
        if (table.id === "comparison-table") remember("sort", order === "none" ? "" : `${column}.${order}`);
      });
    });
  }
}
