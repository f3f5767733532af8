// What a drawn row, a shaded cell or a curve says of its numbers, to the pointer and to the keyboard alike.
const tip = {
  // `again` shows it once more at its new place: focus may scroll the page, and its words must not go with that.
  show(text, x, y, again = null) {
    tip.again = again;
    const box = find("#tip"), [first, ...rest] = text.split("\n");
    box.replaceChildren(make("strong", {}, first), rest.join("\n"));
    box.hidden = false;
    const {width, height} = box.getBoundingClientRect();
    const below = y + 16 + height < innerHeight;
    box.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - width - 6))}px`;
    box.style.top = `${Math.max(4, below ? y + 16 : y - height - 12)}px`;
  },
  hide() { tip.again = null; find("#tip").hidden = true; },
};

const LISTED_SEEDS = 12;

// A Variant in words: the cells of its row in the table, then its seeds.
function rowText(data, place) {
  const table = find("#comparison-table"), row = table.querySelector(`tr[data-row="${place}"]`);
  const titles = findAll("thead th button", table).map(button => button.textContent);
  const lines = [data.variants[place][0]];
  for (const title of [data.metric, "Difference", "p (Holm)", "Verdict"]) {
    const cell = row.cells[titles.indexOf(title)];
    if (cell && !["", "\u2014"].includes(cell.textContent)) lines.push(`${title}: ${cell.textContent}`);
  }
  const [values, differences] = data.decimals, seeds = data.variants[place][2];
  for (const [seed, value, difference] of seeds.slice(0, LISTED_SEEDS)) {
    if (typeof value === "string") lines.push(`seed ${seed}: ${value}`);
    else {
      const beside = difference === null || difference === undefined || place === 0 ? "" : ` (${signed(difference, differences)})`;
      lines.push(`seed ${seed}: ${plain(value, values)}${beside}`);
    }
  }
  if (seeds.length > LISTED_SEEDS) lines.push(`and ${seeds.length - LISTED_SEEDS} more seeds`);
  return lines.join("\n");
}

const POINTED = "td.drawn, td[data-tip]";

function startTips(data) {
  const textOf = cell => cell.dataset.tip || rowText(data, Number(cell.parentElement.dataset.row));
  const speaks = cell => cell && (cell.dataset.tip || cell.parentElement.dataset.row !== undefined);
  document.addEventListener("pointerover", event => {
    const cell = event.target.closest(POINTED);
    if (speaks(cell)) tip.show(textOf(cell), event.clientX, event.clientY);
    else if (!event.target.closest(".chart svg")) tip.hide();
  });
  document.addEventListener("focusin", event => {
    const cell = event.target.closest(POINTED);
    if (!speaks(cell)) return;
    const text = textOf(cell);
    const beside = () => { const box = cell.getBoundingClientRect(); tip.show(text, box.left + 20, box.bottom - 10, beside); };
    beside();
    find("#said").textContent = text;
  });
  document.addEventListener("focusout", tip.hide);
  document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hide(); });
  addEventListener("scroll", () => { if (tip.again) tip.again(); else tip.hide(); }, {passive: true, capture: true});
  for (const table of findAll("table")) if (table.querySelector(POINTED)) startArrows(table);
}

// One stop of the tab key for a table; arrows go from cell to cell.
function startArrows(table) {
  findAll(POINTED, table).forEach((cell, number) => { cell.tabIndex = number ? -1 : 0; });
  table.addEventListener("keydown", event => {
    const cell = event.target.closest(POINTED);
    const step = {ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1]}[event.key];
    if (!cell || !step) return;
    const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
    const row = rows[rows.indexOf(cell.parentElement) + step[0]];
    const next = row && row.cells[cell.cellIndex + step[1]];
    if (!next || !next.matches(POINTED)) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
