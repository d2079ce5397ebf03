// Cells for pictures that are taken along (download.js), in the colours of the page.

import { mixed } from "./picture.js";

const NAMES = ["panel", "ink", "thought", "heat", "wall", "given", "sunken", ...Array.from({ length: 10 }, (_, c) => `colour-${c}`)];

/** A view for download.js: the parts of the board worth showing, symbols that say kind and text of a cell. */
export function viewOf(thought, name) {
  const { task, question, segments, closing, frames, result } = thought;
  if (!result || !frames.length) return null;
  const sizes = frames.map(({ tokens }) => task.extent(tokens));
  const rows = Math.max(1, ...sizes.map(([count]) => count));
  const columns = Math.max(1, ...sizes.map(([, count]) => count));
  const places = [];
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) places.push(row * task.columns + column);
  const symbols = (tokens) =>
    places.map((place) => {
      const { text, kind } = task.cell(question, tokens, place);
      return `${kind}|${text}`;
    });
  return {
    name: `thinkling-${name}`,
    grid: { rows, columns, block: [Math.min(task.block[0], rows), Math.min(task.block[1], columns)] },
    question: symbols(null),
    cells: (answer) => symbols(task.read(answer)),
    trace: [...segments, ...(closing ? [closing] : [])].map((segment) => ({ ...segment, confidence: segment.confidence ? places.map((place) => segment.confidence[place]) : null })),
    // A search goes beyond what a chain is allowed.
    limit: result.nodes > 1 ? null : (result.limit ?? thought.limit),
    status: result.status,
    result: { model: name, ...result, trace: segments },
  };
}

/** How a cell looks: download.js's drawCell. */
export function drawCellOf(root = document.body) {
  const probe = document.createElement("span");
  probe.hidden = true;
  root.append(probe);
  // As the colour of an element, a property that depends on light and dark is resolved.
  const resolved = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colour = Object.fromEntries(NAMES.map((name) => [name, resolved(name)]));
  probe.remove();
  const plain = { wall: colour.wall, out: colour.sunken };
  return (symbol, { changed, confidence }) => {
    const [kind, text] = [symbol.slice(0, symbol.indexOf("|")), symbol.slice(symbol.indexOf("|") + 1)];
    const sure = confidence ?? 0;
    if (kind === "given") return { text, fill: colour.given, ink: colour.ink, bold: true };
    if (kind === "path") return { text, fill: mixed(colour.panel, changed ? colour.heat : colour.thought, 0.2 + 0.75 * sure), ink: colour.ink, bold: false };
    if (kind === "said") {
      const [hue, share] = changed ? [colour.heat, 0.25] : [colour.thought, 0.3 * sure];
      return { text, fill: mixed(colour.panel, hue, share), ink: changed ? colour.heat : colour.thought, bold: false };
    }
    return { text, fill: plain[kind] ?? colour[kind] ?? colour.panel, ink: colour.ink, bold: kind === "end" };
  };
}
