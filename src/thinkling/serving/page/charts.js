// Three pictures of a thought: the halt and continue values, the residual, and the carry's way in two dimensions.
//
//   const charts = mount(element, { onStep });        onStep(step): somebody points at a segment
//   charts.show(trace, points, step);                 draw; what has been drawn before is replaced
//
// trace   [{step, q_halt, q_continue, residual}, …]   one entry a segment, as /v1/solve gives them
// points  [[x, y], …]                                 one a segment, of the whole thought; null while they are not known
// step    the number of the segment that is looked at, counted from 1
//
// The boxes have their final size from the start, so nothing on the page moves while a thought grows.

import { html, svg } from "./svg.js";

const HEIGHT = 150;
const LEFT = 38;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 26;
const LEAST_RESIDUAL = 1e-6;
// Where a carry hardly moves, its way is rounding noise: this much of the plane is always shown.
const LEAST_SPREAD = 1e-6;

/** Put the pictures into an element. */
export function mount(element, { onStep = null } = {}) {
  const values = figure("Halt and continue", "how sure it is of being right, and of gaining by going on");
  const residual = figure("Residual", "how much the carry still changes, on a logarithmic scale");
  const way = figure("Way of the carry", "its two principal components, segment by segment");
  const box = html("div", { class: "charts" }, values.element, residual.element, way.element);
  element.replaceChildren(box);

  let shown = { trace: [], points: null, step: 0 };
  const draw = () => {
    drawValues(values, shown);
    drawResidual(residual, shown);
    drawWay(way, shown);
  };
  if (onStep !== null) {
    pointed(values, () => shown.trace, onStep);
    pointed(residual, () => shown.trace, onStep);
  }
  // A chart is as wide as its column: letters and lines keep their size on a phone.
  const watch = new ResizeObserver(draw);
  watch.observe(box);
  draw();
  return {
    show(trace, points, step) {
      shown = { trace, points: points ?? null, step };
      draw();
    },
  };
}

function figure(title, explanation) {
  const legend = html("span", { class: "chart-legend" });
  const picture = svg("svg", { class: "chart-picture", role: "img", height: HEIGHT, width: "100%" });
  const caption = html("figcaption", { title: explanation }, html("span", { class: "chart-title" }, title), legend);
  return { element: html("figure", { class: "chart" }, caption, picture), picture, legend, title };
}

function widthOf(chart) {
  return Math.max(160, Math.round(chart.picture.clientWidth || 280));
}

/** The axis's last segment: grows in strides, so that the curve does not shrink with every segment. */
export function lastTick(count) {
  for (const last of [4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]) {
    if (count <= last) return last;
  }
  return Math.ceil(count / 512) * 512;
}

function axes(width, count, ticks, place) {
  const last = lastTick(Math.max(1, count));
  const right = width - RIGHT;
  const x = (step) => LEFT + ((step - 1) / Math.max(1, last - 1)) * (right - LEFT);
  const parts = [];
  for (const [value, name] of ticks) {
    const y = place(value);
    parts.push(svg("line", { class: "chart-rule", x1: LEFT, x2: right, y1: y, y2: y }));
    parts.push(svg("text", { class: "chart-tick", x: LEFT - 6, y: y + 3.5, "text-anchor": "end" }, name));
  }
  const middle = Math.round(last / 2);
  for (const step of [1, middle, last]) {
    const anchor = step === last ? "end" : "middle";
    const text = step === last ? `segment ${step}` : String(step);
    parts.push(svg("text", { class: "chart-tick", x: x(step), y: HEIGHT - 8, "text-anchor": anchor }, text));
  }
  return { x, parts };
}

function curve(trace, x, y, name, value) {
  // An answer that a search has found has no values of its own.
  const at = trace.filter((entry) => Number.isFinite(value(entry))).map((entry) => [x(entry.step), y(value(entry))]);
  const line = at.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
  const parts = [svg("polyline", { class: `chart-line ${name}`, points: line })];
  if (at.length <= 32) parts.push(...at.map(([cx, cy]) => svg("circle", { class: `chart-dot ${name}`, cx, cy, r: 2.2 })));
  return parts;
}

function present(trace, x, y, step, curves) {
  const entry = trace.find((each) => each.step === step);
  if (entry === undefined) return [];
  const known = curves.filter(([, value]) => Number.isFinite(value(entry)));
  const at = x(step);
  const marks = [svg("line", { class: "chart-now", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM })];
  for (const [name, value] of known) {
    marks.push(svg("circle", { class: `chart-mark ${name}`, cx: at, cy: y(value(entry)), r: 4.5 }));
  }
  return marks;
}

function drawValues(chart, { trace, step }) {
  const width = widthOf(chart);
  const y = (value) => HEIGHT - BOTTOM - clamped(value, 0, 1) * (HEIGHT - BOTTOM - TOP);
  const ticks = [
    [0, "0"],
    [0.5, "½"],
    [1, "1"],
  ];
  const { x, parts } = axes(width, trace.length, ticks, y);
  const halt = (entry) => entry.q_halt;
  const on = (entry) => entry.q_continue;
  const withContinue = trace.some((entry) => Number.isFinite(entry.q_continue));
  const curves = [["halt", halt], ...(withContinue ? [["continue", on]] : [])];
  for (const [name, value] of [...curves].reverse()) parts.push(...curve(trace, x, y, name, value));
  fill(chart, width, [...parts, ...present(trace, x, y, step, curves)]);
  const entry = trace.find((each) => each.step === step);
  legend(chart, [
    ["halt", "halt", entry && shownValue(entry.q_halt)],
    ...(withContinue || trace.length === 0 ? [["continue", "continue", entry && shownValue(entry.q_continue)]] : []),
  ]);
  describe(chart, entry && `after segment ${step}: halt ${shownValue(entry.q_halt)}` +
    (withContinue ? `, continue ${shownValue(entry.q_continue)}` : ""));
}

function drawResidual(chart, { trace, step }) {
  const width = widthOf(chart);
  const value = (entry) => (Number.isFinite(entry.residual) ? Math.max(LEAST_RESIDUAL, entry.residual) : NaN);
  const all = trace.map(value).filter(Number.isFinite);
  const low = Math.min(-2, Math.floor(Math.log10(Math.min(1, ...all))));
  const high = Math.max(0, Math.log10(Math.max(1, ...all)));
  const y = (v) => TOP + ((high - Math.log10(v)) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  const stride = low < -4 ? 2 : 1;
  const ticks = [];
  for (let power = 0; power >= low; power -= stride) ticks.push([10 ** power, power === 0 ? "1" : `10${raised(power)}`]);
  const { x, parts } = axes(width, trace.length, ticks, y);
  const curves = [["residual", value]];
  parts.push(...curve(trace, x, y, "residual", value));
  fill(chart, width, [...parts, ...present(trace, x, y, step, curves)]);
  const entry = trace.find((each) => each.step === step);
  legend(chart, [["residual", "change", entry && shownValue(entry.residual)]]);
  describe(chart, entry && `after segment ${step}: ${shownValue(entry.residual)}`);
}

function drawWay(chart, { trace, points, step }) {
  const width = widthOf(chart);
  const known = (points ?? []).filter((point) => point.every(Number.isFinite));
  if (known.length === 0) {
    const text = trace.length === 0 ? "" : "comes with the answer";
    fill(chart, width, [svg("text", { class: "chart-tick", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, text)]);
    legend(chart, []);
    describe(chart, text);
    return;
  }
  const place = fitted(known, width);
  const now = clamped(step - 1, 0, known.length - 1);
  const parts = [];
  for (let i = 1; i < known.length; i += 1) {
    const [[x1, y1], [x2, y2]] = [place(known[i - 1]), place(known[i])];
    parts.push(svg("line", { class: i <= now ? "way-line" : "way-line way-ahead", x1, y1, x2, y2 }));
  }
  known.forEach((point, i) => {
    const [cx, cy] = place(point);
    parts.push(svg("circle", { class: i <= now ? "way-dot" : "way-dot way-ahead", cx, cy, r: i === 0 ? 3.5 : 2.6 },
      svg("title", {}, `segment ${i + 1}`)));
  });
  const [sx, sy] = place(known[0]);
  const [cx, cy] = place(known[now]);
  parts.push(svg("circle", { class: "way-start", cx: sx, cy: sy, r: 6.5 }));
  parts.push(svg("circle", { class: "chart-mark way", cx, cy, r: 5 }));
  fill(chart, width, parts);
  legend(chart, [["way-start", "start"], ["way", `segment ${now + 1}`]]);
  describe(chart, `${known.length} points, now at segment ${now + 1}`);
}

/** A map from the plane of the points into the picture that keeps angles: one unit is as long up as across. */
function fitted(points, width) {
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const middle = (all) => (Math.min(...all) + Math.max(...all)) / 2;
  const spread = (all) => Math.max(...all) - Math.min(...all);
  const [mx, my] = [middle(xs), middle(ys)];
  const margin = 14;
  const scale = Math.min(
    (width - 2 * margin) / Math.max(spread(xs), LEAST_SPREAD),
    (HEIGHT - 2 * margin) / Math.max(spread(ys), LEAST_SPREAD),
  );
  return ([x, y]) => [width / 2 + (x - mx) * scale, HEIGHT / 2 - (y - my) * scale];
}

function fill(chart, width, parts) {
  chart.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  chart.picture.replaceChildren(...parts);
}

function legend(chart, entries) {
  chart.legend.replaceChildren(
    ...entries.map(([name, word, value]) =>
      html("span", { class: "chart-key" }, html("i", { class: `chart-swatch ${name}` }), word,
        value === undefined ? null : html("b", {}, value))),
  );
}

function describe(chart, values) {
  chart.picture.setAttribute("aria-label", values ? `${chart.title}, ${values}` : `${chart.title}: nothing yet`);
}

/** A pointer on a chart chooses the nearest segment; held down it goes along. */
function pointed(chart, trace, onStep) {
  const at = (event) => {
    const entries = trace();
    if (entries.length === 0) return;
    const box = chart.picture.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const step = 1 + share * (lastTick(entries.length) - 1);
    onStep(clamped(Math.round(step), entries[0].step, entries.at(-1).step));
  };
  chart.picture.classList.add("chart-pointed");
  chart.picture.addEventListener("pointerdown", (event) => {
    chart.picture.setPointerCapture(event.pointerId);
    at(event);
  });
  chart.picture.addEventListener("pointermove", (event) => {
    if (chart.picture.hasPointerCapture(event.pointerId)) at(event);
  });
}

function clamped(value, low, high) {
  return Math.min(high, Math.max(low, Number.isFinite(value) ? value : low));
}

/** A value as it is read: three places, or a power of ten where it is tiny. */
export function shownValue(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("e-", "·10⁻").replace(/⁻(\d+)$/, (_, n) => raised(-Number(n)));
  return value.toFixed(3);
}

function raised(power) {
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  return (power < 0 ? "⁻" : "") + [...String(Math.abs(power))].map((digit) => digits[Number(digit)]).join("");
}
