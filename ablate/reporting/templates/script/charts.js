// A chart of lines over steps. A series has a label, a look (0 is the baseline's), points [step, value], and may have a band
// [step, low, high], thin lines beside it, and lines that stopped, which end in a cross.
const MARGIN = {left: 52, right: 14, top: 8, bottom: 36};
const WARMING_UP = 0.3;
// More bands than this hide each other.
const MOST_BANDS = 5;

function niceTicks(low, high, most) {
  const rough = (high - low) / most, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(k => k * size).find(s => s >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

// What the axes cover. Without `fromStart` the first steps, in which everything is far away, do not stretch them.
function extent(series, fromStart) {
  const lines = series.flatMap(each => [each.points, ...each.thin, ...each.stopped]);
  const steps = lines.flat().map(([step]) => step);
  const first = Math.min(...steps), last = Math.max(...steps);
  const finished = series.flatMap(each => [each.points, ...each.thin]).flat();
  const late = finished.filter(([step, value]) => value !== null && (fromStart || step >= WARMING_UP * last));
  const band = series.flatMap(each => each.band).filter(([step]) => fromStart || step >= WARMING_UP * last);
  const shown = late.length ? [...late.map(point => point[1]), ...band.flatMap(([, low, high]) => [low, high])]
    : lines.flat().map(point => point[1]).filter(value => value !== null);
  let low = Math.min(...shown), high = Math.max(...shown);
  if (!Number.isFinite(low)) { low = 0; high = 1; }
  const air = 0.07 * (high - low) || 0.5 * Math.abs(high) || 0.5;
  return {first, last: last > first ? last : first + 1, low: low - air, high: high + air};
}

function pathOf(points, x, y) {
  let text = "", pen = "M";
  for (const [step, value] of points) {
    if (value === null) { pen = "M"; continue; }
    text += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  }
  return text;
}

function drawAxes(canvas, box, size, titles, x, y) {
  for (const value of niceTicks(box.low, box.high, 5)) {
    canvas.append(draw("path", {class: "grid", d: `M${MARGIN.left} ${y(value)}H${size.width - MARGIN.right}`}));
    canvas.append(draw("text", {x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end"}, plain(value)));
  }
  const ticks = niceTicks(box.first, box.last, Math.max(size.width / 90, 3));
  for (const step of ticks.filter(Number.isInteger)) {
    canvas.append(draw("text", {x: x(step), y: size.height - MARGIN.bottom + 16, "text-anchor": "middle"}, plain(step)));
  }
  const middle = (MARGIN.left + size.width - MARGIN.right) / 2;
  canvas.append(draw("text", {x: middle, y: size.height - 4, "text-anchor": "middle"}, titles.steps));
}

// Colour and dashes of a look: the baseline black and whole, sixteen others each in their own way.
function looksOf(each) {
  const number = each.look - 1;
  const colour = each.look ? 1 + number % 4 : 0;
  const dashes = each.look ? 1 + (number + Math.floor(number / 4)) % 4 : 0;
  return [`k${colour}`, `d${each.dashes ?? dashes}`];
}

function drawSeries(canvas, each, x, y, banded) {
  const [look, dashes] = looksOf(each);
  if (each.band.length > 1 && banded) {
    const upper = each.band.map(([step, , high]) => [step, high]);
    const lower = each.band.map(([step, low]) => [step, low]).reverse();
    canvas.append(draw("path", {class: `fill ${look}`, d: `${pathOf(upper, x, y)}${pathOf(lower, x, y).replace("M", "L")}Z`}));
  }
  for (const points of each.thin) canvas.append(draw("path", {class: `curve thin ${look} ${dashes}`, d: pathOf(points, x, y)}));
  for (const points of each.stopped) {
    const [step, value] = points.filter(point => point[1] !== null).at(-1) || [];
    canvas.append(draw("path", {class: `curve stopped ${look}`, d: pathOf(points, x, y)}));
    if (step !== undefined) canvas.append(draw("path", {class: `cross ${look}`, d: `M${x(step) - 4} ${y(value) - 4}l8 8m0-8l-8 8`}));
  }
  canvas.append(draw("path", {class: `curve ${look} ${dashes}`, d: pathOf(each.points, x, y)}));
}

function legendOf(series) {
  return make("ul", {class: "legend"}, ...series.map(each => make("li", {}, draw("svg", {viewBox: "0 0 26 8", "aria-hidden": "true"},
    draw("path", {class: `curve ${looksOf(each).join(" ")}`, d: "M0 4H26"})), each.label)));
}

let charts = 0;

function drawChart(host, series, titles, fromStart = false) {
  const size = {width: Math.max(host.clientWidth, 260), height: host.classList.contains("tall") ? 340 : 230};
  const box = extent(series, fromStart), name = `clip-${charts += 1}`;
  const x = step => MARGIN.left + (step - box.first) / (box.last - box.first) * (size.width - MARGIN.left - MARGIN.right);
  const y = value => MARGIN.top + (box.high - value) / (box.high - box.low) * (size.height - MARGIN.top - MARGIN.bottom);
  const canvas = draw("svg", {viewBox: `0 0 ${size.width} ${size.height}`, tabindex: 0, role: "slider", "aria-label": titles.label,
    "aria-valuemin": box.first, "aria-valuemax": box.last, "aria-valuenow": box.last});
  const area = {x: MARGIN.left, y: MARGIN.top, width: size.width - MARGIN.left - MARGIN.right, height: size.height - MARGIN.top - MARGIN.bottom};
  canvas.append(draw("clipPath", {id: name}, draw("rect", area)));
  drawAxes(canvas, box, size, titles, x, y);
  const inside = draw("g", {"clip-path": `url(#${name})`});
  for (const each of series) drawSeries(inside, each, x, y, series.length <= MOST_BANDS);
  canvas.append(inside);
  host.replaceChildren(legendOf(series), canvas);
  startReading(canvas, series, titles, size, x);
}

// A guide at one step, and what every line has there: under the pointer, and by the arrow keys.
function startReading(canvas, series, titles, size, x) {
  const steps = [...new Set(series.flatMap(each => [each.points, ...each.stopped]).flat().map(([step]) => step))].sort((a, b) => a - b);
  const guide = draw("path", {class: "guide", d: ""});
  canvas.append(guide);
  let at = steps.length - 1;

  function textAt(step) {
    const lines = [`${titles.steps} ${step}`];
    for (const each of series) {
      const point = each.points.find(([s, value]) => s === step && value !== null);
      const band = each.band.find(([s]) => s === step);
      const range = band && band[1] !== band[2] ? `, seeds ${plain(band[1])} to ${plain(band[2])}` : "";
      if (point) lines.push(`${each.label}: ${plain(point[1])}${range}`);
      for (const points of each.stopped) {
        const own = points.find(([s, value]) => s === step && value !== null);
        if (own) lines.push(`${each.label}, did not finish: ${plain(own[1])}`);
      }
    }
    return lines.join("\n");
  }

  function show(number, clientX, clientY) {
    at = Math.max(0, Math.min(number, steps.length - 1));
    const text = textAt(steps[at]), frame = canvas.getBoundingClientRect();
    guide.setAttribute("d", `M${x(steps[at])} ${MARGIN.top}V${size.height - MARGIN.bottom}`);
    canvas.setAttribute("aria-valuenow", steps[at]);
    canvas.setAttribute("aria-valuetext", text);
    const again = clientX === undefined ? () => show(at) : null;
    tip.show(text, clientX ?? frame.left + x(steps[at]) * frame.width / size.width, clientY ?? frame.top + 20, again);
  }

  function leave() { guide.setAttribute("d", ""); tip.hide(); }
  canvas.addEventListener("pointermove", event => {
    const frame = canvas.getBoundingClientRect(), place = (event.clientX - frame.left) * size.width / frame.width;
    let nearest = 0;
    steps.forEach((step, number) => { if (Math.abs(x(step) - place) < Math.abs(x(steps[nearest]) - place)) nearest = number; });
    show(nearest, event.clientX, event.clientY);
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) show(at); });
  canvas.addEventListener("keydown", event => {
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: steps.length - 1}[event.key];
    if (to === undefined || !steps.length) return;
    event.preventDefault();
    show(to);
  });
}
