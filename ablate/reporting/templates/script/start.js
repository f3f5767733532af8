// Everything begins once the page is there.
document.addEventListener("DOMContentLoaded", () => {
  const data = dataOf("data");
  startTheme();
  startCopying();
  startSorting();
  startFilters(data);
  startTips(data);
  startCurves(data, dataOf("curves-data"));
  startImages(data, dataOf("images-data"));
  startRecipes(data, dataOf("recipes-data"));
  document.documentElement.classList.add("ready");
});

// On paper nothing can be opened.
addEventListener("beforeprint", () => {
  const closed = findAll("details.printed:not([open])");
  for (const each of closed) each.open = true;
  addEventListener("afterprint", () => { for (const each of closed) each.open = false; }, {once: true});
});
