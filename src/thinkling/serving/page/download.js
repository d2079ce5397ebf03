// Taking a thought along: the trace as JSON, or its pictures as an animated SVG or GIF.
//
//   const downloads = buttons(element, getTrace, drawCell);      downloads.disabled = true while there is nothing
//
// getTrace()  null, or a view as picture.js has it, with a `name` for the files and a `result`: what the JSON file holds
// drawCell    how a cell looks, as picture.js has it; without one a cell shows its symbol

import { animatedSvg, fontSize } from "./animated_svg.js";
import { encode, indexed } from "./gif.js";
import { gridLines, letterCell, pageColours, pictures } from "./picture.js";
import { html } from "./svg.js";

const SECONDS_OF_PLAY = 12;
const LONGEST_DELAY = 600;
const LAST_DELAY = 2500;
// Beyond this a GIF shows only some of the segments: it would be large, and its making would take long.
const MOST_GIF_FRAMES = 48;

/** The three buttons. */
export function buttons(element, getTrace, drawCell = null) {
  const said = html("output", { class: "download-said", "aria-live": "polite" });
  const button = (text, hint, make) => {
    const made = html("button", { type: "button", class: "download-button", title: hint }, text);
    made.addEventListener("click", async () => {
      const view = getTrace();
      if (view === null) return;
      made.disabled = true;
      said.textContent = "";
      try {
        await make(view);
      } catch (error) {
        said.textContent = `no file: ${error.message}`;
      } finally {
        made.disabled = false;
      }
    });
    return made;
  };
  const all = [
    button("Trace (JSON)", "everything that was thought, in numbers", (view) => save(traceFile(view))),
    button("Animation (SVG)", "plays in a browser, sharp at any size", (view) => save(svgFile(view, drawCell))),
    button("Animation (GIF)", "plays everywhere", async (view) => save(await gifFile(view, drawCell))),
  ];
  element.replaceChildren(html("span", { class: "downloads" }, ...all, said));
  return {
    set disabled(value) {
      for (const each of all) each.disabled = value;
    },
  };
}

/** The trace as a file. */
export function traceFile(view) {
  return file(view, "json", "application/json", `${JSON.stringify(view.result ?? view, null, 1)}\n`);
}

/** The pictures as an animated SVG. */
export function svgFile(view, drawCell = null) {
  const set = picturesOf(view, drawCell);
  return file(view, "svg", "image/svg+xml", animatedSvg(set, delays(set.frames.length), titleOf(view)));
}

/** The pictures as an animated GIF; made piece by piece, so that the page goes on answering meanwhile. */
export async function gifFile(view, drawCell = null) {
  const shorter = { ...view, trace: thinned(view.trace, MOST_GIF_FRAMES) };
  const set = picturesOf(shorter, drawCell);
  const canvas = html("canvas", { width: set.width, height: set.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const drawn = [];
  for (const frame of set.frames) {
    paint(context, set, frame);
    drawn.push(context.getImageData(0, 0, set.width, set.height).data);
    await nextTurn();
  }
  const { palette, pictures: numbered } = indexed(drawn);
  await nextTurn();
  const waits = delays(numbered.length);
  const frames = numbered.map((pixels, i) => ({ pixels, delay: waits[i] }));
  const bytes = encode({ width: set.width, height: set.height, palette, frames });
  return file(view, "gif", "image/gif", bytes);
}

function picturesOf(view, drawCell) {
  const colours = pageColours();
  return pictures(view, drawCell ?? letterCell(colours), colours);
}

/** At most so many entries, evenly chosen, the first and the last among them. */
function thinned(trace, most) {
  if (trace.length <= most) return trace;
  return Array.from({ length: most }, (_, i) => trace[Math.round((i * (trace.length - 1)) / (most - 1))]);
}

function delays(count) {
  const each = Math.max(60, Math.min(LONGEST_DELAY, Math.round((SECONDS_OF_PLAY * 100) / count) * 10));
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? LAST_DELAY : each));
}

function paint(context, set, frame) {
  const { grid, colours } = set;
  context.fillStyle = colours.surface;
  context.fillRect(0, 0, set.width, set.height);
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const family = getComputedStyle(document.body).fontFamily;
  frame.cells.forEach((look, index) => {
    const x = grid.left + (index % grid.columns) * grid.size;
    const y = grid.top + Math.floor(index / grid.columns) * grid.size;
    if (look?.fill) {
      context.fillStyle = look.fill;
      context.fillRect(x, y, grid.size, grid.size);
    }
    if (look?.text) {
      const font = fontSize(look.text, grid.size);
      context.font = `${look.bold ? "700" : "400"} ${font}px ${family}`;
      context.fillStyle = look.ink ?? colours.ink;
      context.fillText(look.text, x + grid.size / 2, y + grid.size / 2 + 0.35 * font);
    }
  });
  for (const [x1, y1, x2, y2, thick] of gridLines(set)) {
    // A line one pixel wide is sharp only in the middle of a pixel; a rectangle is sharp always.
    context.fillStyle = thick ? colours.edge : colours.line;
    const wide = thick ? 2 : 1;
    context.fillRect(x1 - Math.floor(wide / 2), y1 - Math.floor(wide / 2), x2 - x1 + wide, y2 - y1 + wide);
  }
  const right = set.width - set.margin;
  context.font = `400 12.5px ${family}`;
  context.fillStyle = colours.ink;
  context.textAlign = "left";
  context.fillText(frame.caption, set.margin, set.captionTop + 20);
  context.textAlign = "right";
  context.fillText(frame.verdict, right, set.captionTop + 20);
  context.fillStyle = colours.line;
  context.fillRect(set.margin, set.captionTop + 28, right - set.margin, 3);
  context.fillStyle = colours.accent;
  context.fillRect(set.margin, set.captionTop + 28, (right - set.margin) * frame.share, 3);
}

function titleOf(view) {
  const steps = view.trace.length;
  return `${view.name}: ${steps} ${steps === 1 ? "segment" : "segments"} of thought${view.status ? `, ${view.status}` : ""}`;
}

function file(view, ending, type, content) {
  const stem = `${view.name ?? "thought"}`.replace(/[^\w.-]+/g, "-").slice(0, 60) || "thought";
  return new File([content], `${stem}.${ending}`, { type });
}

function save(made) {
  const address = URL.createObjectURL(made);
  const anchor = html("a", { href: address, download: made.name });
  anchor.click();
  // The browser reads the file after this turn.
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function nextTurn() {
  return new Promise((resolve) => window.setTimeout(resolve, 0));
}
