// The pictures of a thought as one SVG file that plays by itself, also inside an <img> (SMIL animation, no script).

import { gridLines } from "./picture.js";

const FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

/**
 * The file's text.
 *
 * set: of `pictures`; delays: milliseconds of each picture; title: said by screen readers.
 * A viewer that does not animate shows the last picture.
 */
export function animatedSvg(set, delays, title) {
  const { width, height, grid, colours, frames } = set;
  const time = clock(delays);
  const parts = [`<rect width="${width}" height="${height}" fill="${hex(colours.surface)}"/>`];
  for (let index = 0; index < grid.rows * grid.columns; index += 1) {
    parts.push(...cell(set, time, index, frames.map((frame) => frame.cells[index])));
  }
  for (const [x1, y1, x2, y2, thick] of gridLines(set)) {
    const colour = thick ? colours.edge : colours.line;
    parts.push(`<path d="M${x1} ${y1}L${x2} ${y2}" stroke="${hex(colour)}" stroke-width="${thick ? 2 : 1}"/>`);
  }
  parts.push(...caption(set, time));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `role="img" font-family="${FONT}" shape-rendering="geometricPrecision"><title>${escaped(title)}</title>` +
    `${parts.join("")}</svg>\n`
  );
}

function cell({ grid, colours }, time, index, looks) {
  const x = grid.left + (index % grid.columns) * grid.size;
  const y = grid.top + Math.floor(index / grid.columns) * grid.size;
  const parts = [];
  const fills = looks.map((look) => hex(look?.fill ?? colours.surface));
  if (fills.some((fill) => fill !== hex(colours.surface))) {
    parts.push(`<rect x="${x}" y="${y}" width="${grid.size}" height="${grid.size}" ${time("fill", fills, "rect")}`);
  }
  const key = (look) => (look?.text ? JSON.stringify([look.text, hex(look.ink ?? colours.ink), Boolean(look.bold)]) : "");
  const keys = looks.map(key);
  for (const each of new Set(keys)) {
    if (each === "") continue;
    const [text, ink, bold] = JSON.parse(each);
    const font = Math.round(fontSize(text, grid.size) * 10) / 10;
    const seen = keys.map((other) => (other === each ? "visible" : "hidden"));
    parts.push(
      `<text x="${x + grid.size / 2}" y="${(y + grid.size / 2 + 0.35 * font).toFixed(1)}" font-size="${font}" ` +
        `text-anchor="middle" fill="${ink}"${bold ? ' font-weight="700"' : ""} ${time("visibility", seen, "text", text)}`,
    );
  }
  return parts;
}

function caption({ width, captionTop, margin, colours, frames }, time) {
  const y = captionTop + 20;
  const right = width - margin;
  const bar = right - margin;
  const parts = [`<rect x="${margin}" y="${captionTop + 28}" width="${bar}" height="3" fill="${hex(colours.line)}"/>`];
  const lengths = frames.map((frame) => (bar * frame.share).toFixed(1));
  parts.push(`<rect x="${margin}" y="${captionTop + 28}" height="3" fill="${hex(colours.accent)}" ${time("width", lengths, "rect")}`);
  for (const [at, anchor, words] of [
    [margin, "start", frames.map((frame) => frame.caption)],
    [right, "end", frames.map((frame) => frame.verdict)],
  ]) {
    for (const text of new Set(words)) {
      if (text === "") continue;
      const seen = words.map((other) => (other === text ? "visible" : "hidden"));
      parts.push(
        `<text x="${at}" y="${y}" font-size="12.5" text-anchor="${anchor}" fill="${hex(colours.ink)}" ` +
          time("visibility", seen, "text", text),
      );
    }
  }
  return parts;
}

/** Letters that fit a cell: one letter fills it, a longer text is smaller. */
export function fontSize(text, size) {
  return Math.min(size * 0.58, (size * 1.3) / Math.max(1, [...text].length));
}

/** A function that writes an attribute with one value a picture, and closes its element. */
function clock(delays) {
  const total = delays.reduce((sum, delay) => sum + delay, 0);
  const starts = delays.map((_, i) => delays.slice(0, i).reduce((sum, delay) => sum + delay, 0) / total);
  return (attribute, values, element, text = "") => {
    const still = `${attribute}="${values.at(-1)}"`;
    const inside = escaped(text);
    const changes = values.map((value, i) => [value, i]).filter(([value, i]) => i === 0 || value !== values[i - 1]);
    if (changes.length === 1) return inside === "" ? `${still}/>` : `${still}>${inside}</${element}>`;
    const times = changes.map(([, i]) => Number(starts[i].toFixed(5)));
    const animation =
      `<animate attributeName="${attribute}" dur="${total / 1000}s" repeatCount="indefinite" calcMode="discrete" ` +
      `values="${changes.map(([value]) => value).join(";")}" keyTimes="${times.join(";")}"/>`;
    return `${still}>${animation}${inside}</${element}>`;
  };
}

function hex(colour) {
  if (colour.startsWith("#")) return colour;
  const numbers = (colour.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3);
  return `#${numbers.map((value) => Math.round(Number(value)).toString(16).padStart(2, "0")).join("")}`;
}

function escaped(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  // XML has no place for control characters, whatever is done to them.
  return text.replace(/[&<>"]/g, (letter) => names[letter]).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd");
}
