// Any Variant's whole Recipe, or what differs between two.
function startRecipes(data, recipes) {
  const first = find("#recipe-first"), second = find("#recipe-second"), all = find("#recipe-all"), table = find("#recipe-table");
  const options = data.variants.map(([name], place) => [place, name]);
  fill(first, options, 0);
  fill(second, options, Math.min(1, options.length - 1));

  function recipeOf(place) {
    const fields = new Map(recipes.fields);
    for (const [field, value] of Object.entries(recipes.changes[place])) {
      if (value === null) fields.delete(field); else fields.set(field, value);
    }
    return fields;
  }

  function show() {
    const places = [...new Set([Number(first.value), Number(second.value)])], fields = places.map(recipeOf);
    const whole = all.checked || places.length === 1;
    const names = [...new Set(fields.flatMap(each => [...each.keys()]))].filter(name => whole || fields[0].get(name) !== fields[1].get(name));
    const head = make("tr", {}, ...["Field", ...places.map(place => data.variants[place][0])].map(text => make("th", {scope: "col", class: "text"}, text)));
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...names.map(name => make("tr", {}, make("th", {scope: "row", class: "text"}, make("code", {}, name)),
      ...fields.map(each => make("td", {class: "text"}, each.has(name) ? each.get(name) : "not there")))));
  }

  for (const control of [first, second, all]) control.addEventListener("change", show);
  show();
}
