// Learning curves: one chart in each Factor's section, and one of any two Variants with their seeds.
function startCurves(data, curves) {
  if (!curves) return;
  const runs = new Map();
  for (const [variant, seed, status, name, steps, values] of curves.curves) {
    const key = `${variant}.${name}`, points = curves.steps[steps].map((step, number) => [step, values[number]]);
    if (!runs.has(key)) runs.set(key, []);
    runs.get(key).push({seed, status, points});
  }

  // Mean and range over finished seeds at each step that all of them have.
  function seriesOf(variant, name, look, more = {}) {
    const own = (curves.averaged[variant] || {})[name] ?? name;
    const found = runs.get(`${variant}.${own}`) || runs.get(`${variant}.${name}`) || [];
    const finished = found.filter(run => run.status === "finished"), at = new Map();
    for (const run of finished) for (const [step, value] of run.points) {
      if (value !== null) at.set(step, [...(at.get(step) || []), value]);
    }
    const steps = [...at.keys()].filter(step => at.get(step).length === finished.length).sort((a, b) => a - b);
    const points = steps.map(step => [step, at.get(step).reduce((sum, value) => sum + value, 0) / finished.length]);
    const band = finished.length > 1 ? steps.map(step => [step, Math.min(...at.get(step)), Math.max(...at.get(step))]) : [];
    const stopped = found.filter(run => run.status !== "finished").map(run => run.points);
    const failed = stopped.length ? ` (${finished.length}/${found.length} finished)` : "";
    return {label: data.variants[variant][0] + failed, look, points, band, stopped, thin: [], finished, ...more};
  }

  const shown = series => series.filter(each => each.points.length || each.stopped.length);
  const titleOf = name => name === curves.chosen ? data.metric : curves.names[name];
  const factors = findAll("figure[data-factor]"), drawn = new Set();
  const overall = find("#factors select.measurement");

  function drawFactor(figure) {
    drawn.add(figure);
    const name = Number(overall.value), variants = figure.dataset.variants.split(" ").map(Number);
    const series = shown([0, ...variants].map((variant, look) => seriesOf(variant, name, look)));
    const titles = {steps: curves.axis, label: `${titleOf(name)} while training`};
    if (series.length > 1) drawChart(figure, series, titles); else figure.replaceChildren();
  }

  const options = curves.names.map((name, number) => [number, name]);
  if (overall) {
    fill(overall, options, curves.chosen);
    overall.addEventListener("change", () => { for (const figure of drawn) drawFactor(figure); });
    const seen = new IntersectionObserver(entries => {
      for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); drawFactor(entry.target); }
    }, {rootMargin: "400px"});
    for (const figure of factors) seen.observe(figure);
    addEventListener("beforeprint", () => { for (const figure of factors) if (!drawn.has(figure)) drawFactor(figure); });
  }
  startOne(data, curves, {seriesOf, shown, options, titleOf});
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { for (const figure of drawn) drawFactor(figure); find("#curve-chart").redraw(); }, 150);
  });
}

function startOne(data, curves, {seriesOf, shown, options, titleOf}) {
  const first = find("#curve-variant"), second = find("#curve-other"), name = find("#curves select.measurement");
  const places = [...new Set(curves.curves.map(([variant]) => variant))].sort((a, b) => a - b);
  const variants = places.map(place => [place, data.variants[place][0]]);
  const pairs = curves.pairs.map(([a, b], number) => [`pair ${number}`, `${curves.names[a]} and ${curves.names[b]}`]);
  fill(first, variants, places[places.length > 1 ? 1 : 0]);
  fill(second, variants, places[0]);
  fill(name, [...options, ...pairs], curves.chosen);

  function both(variant, look) {
    const pair = name.value.startsWith("pair") ? curves.pairs[Number(name.value.slice(5))] : null;
    const own = seriesOf(variant, pair ? pair[0] : Number(name.value), look, {dashes: 0});
    own.thin = own.finished.length > 1 ? own.finished.map(run => run.points) : [];
    own.band = own.thin.length ? own.band : [];
    if (!pair) return [own];
    own.label += `, ${curves.names[pair[0]]}`;
    const training = seriesOf(variant, pair[1], look, {dashes: 2});
    training.label += `, ${curves.names[pair[1]]}`;
    return [{...own, thin: []}, training];
  }

  const figure = find("#curve-chart");
  figure.redraw = () => {
    const chosen = [...new Set([second.value, first.value])].map(Number);
    const series = shown(chosen.flatMap(variant => both(variant, variant === Number(second.value) ? 0 : 1)));
    const title = name.value.startsWith("pair") ? name.selectedOptions[0].textContent : titleOf(Number(name.value));
    const titles = {steps: curves.axis, label: `${title} while training`};
    if (series.length) drawChart(figure, series, titles, find("#from-start").checked);
    else figure.replaceChildren(make("p", {class: "caption"}, "Neither of them reported this."));
  };
  for (const control of [first, second, name, find("#from-start")]) control.addEventListener("change", figure.redraw);
  figure.redraw();
}
