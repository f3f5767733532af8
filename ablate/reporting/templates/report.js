// Sort a table by the column whose title is pressed; rows without a number stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], written = [...body.rows];
  table.querySelectorAll("thead button").forEach((button, column) => {
    button.addEventListener("click", () => {
      const title = button.parentElement, next = {none: "ascending", ascending: "descending", descending: "none"};
      const order = next[title.getAttribute("aria-sort") || "none"];
      table.querySelectorAll("th").forEach(other => other.setAttribute("aria-sort", "none"));
      title.setAttribute("aria-sort", order);
      const key = row => row.cells[column].dataset.key;
      const sign = order === "descending" ? -1 : 1;
      const compare = (a, b) => (key(a) === "") - (key(b) === "") ||
        sign * (isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b), "en") : key(a) - key(b));
      body.append(...(order === "none" ? written : [...written].sort(compare)));
    });
  });
}
