// Which rows and columns of the comparison are there.
const ROWS_AT_ONCE = 100;

function startFilters(data) {
  const table = find("#comparison-table"), search = find("#find"), factor = find("#factor"), all = find("#all-rows");
  const chips = findAll(".chips button"), boxes = findAll(".menu input");
  const texts = new Map(table.written.map(row => [row, `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase()]));
  let limit = ROWS_AT_ONCE;

  function apply() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(chips.filter(chip => chip.getAttribute("aria-pressed") === "true").map(chip => chip.dataset.verdict));
    const moved = factor && factor.value !== "" ? Number(factor.value) : null;
    let found = 0;
    for (const row of table.tBodies[0].rows) {
      const fits = wanted.every(word => texts.get(row).includes(word)) &&
        (!verdicts.size || verdicts.has(row.dataset.verdict)) &&
        (moved === null || data.variants[row.dataset.row][1].includes(moved));
      if (fits) found += 1;
      row.hidden = !fits || found > limit;
    }
    const total = table.written.length, some = found < total || total > ROWS_AT_ONCE;
    const shown = Math.min(found, limit);
    find("#found").textContent = !some ? "" :
      `${found.toLocaleString("en")} of ${total.toLocaleString("en")} rows` + (shown < found ? `, the first ${shown} of them shown` : "");
    all.hidden = found <= limit;
    all.textContent = `Show all ${found.toLocaleString("en")} rows`;
  }

  function changed(name, value) { limit = ROWS_AT_ONCE; remember(name, value); apply(); }

  search.value = state.get("find") || "";
  if (factor && [...factor.options].some(option => option.value === state.get("factor"))) factor.value = state.get("factor");
  const pressed = (state.get("verdict") || "").split(",");
  for (const chip of chips) chip.setAttribute("aria-pressed", pressed.includes(chip.dataset.verdict));
  search.addEventListener("input", () => changed("find", search.value));
  if (factor) factor.addEventListener("change", () => changed("factor", factor.value));
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
      changed("verdict", chips.filter(c => c.getAttribute("aria-pressed") === "true").map(c => c.dataset.verdict).join(","));
    });
  }
  for (const link of findAll("a[data-only]")) {
    link.addEventListener("click", () => { factor.value = link.dataset.only; search.value = ""; changed("factor", factor.value); });
  }
  all.addEventListener("click", () => { limit = Infinity; apply(); });
  table.addEventListener("sorted", apply);
  addEventListener("beforeprint", () => { const before = limit; limit = Infinity; apply(); addEventListener("afterprint", () => { limit = before; apply(); }, {once: true}); });
  startColumns(table, boxes);
  const [column, order] = (state.get("sort") || "").split(".");
  const title = table.tHead.rows[0].cells[Number(column)];
  if (title && column !== "" && ["ascending", "descending"].includes(order)) sortBy(table, Number(column), order);
  else apply();
}

// Columns switched against what the page begins with are remembered.
function startColumns(table, boxes) {
  const switched = new Set((state.get("columns") || "").split(".").filter(Boolean));
  for (const box of boxes) {
    if (switched.has(box.dataset.column)) box.checked = !box.defaultChecked;
    table.classList.toggle(`without-${box.dataset.column}`, !box.checked);
    box.addEventListener("change", () => {
      table.classList.toggle(`without-${box.dataset.column}`, !box.checked);
      remember("columns", boxes.filter(b => b.checked !== b.defaultChecked).map(b => b.dataset.column).join("."));
    });
  }
  const chooser = find(".chooser");
  document.addEventListener("click", event => { if (!chooser.contains(event.target)) chooser.open = false; });
  chooser.addEventListener("keydown", event => { if (event.key === "Escape") { chooser.open = false; chooser.querySelector("summary").focus(); } });
}
