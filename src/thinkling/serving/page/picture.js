// What a thought looks like as a series of pictures: the grid after each segment, with a caption. Only numbers, texts and
// colours; download.js makes an SVG or a GIF of them.
//
// view      { grid: {rows, columns, block}, question: [symbol, …], trace: [{step, answer, confidence}, …], cells, limit,
//             status }
//           block: rows and columns of what a picture sets apart; cells(text): an answer's symbols, one a cell
// drawCell  (symbol, {index, row, column, given, changed, confidence}) -> {text, fill, ink, bold}
//           how a cell looks; null for a colour: the surface's

const LARGEST = 480;
const CAPTION = 34;
const MARGIN = 10;

/** Colours of the page that is open, so that a picture looks like what its maker saw. */
export function pageColours(element = document.documentElement) {
  const style = getComputedStyle(element);
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  // A property's value may be a function of the browser's; as the colour of an element it is resolved.
  const colour = (name, otherwise) => {
    const given = style.getPropertyValue(name).trim();
    if (given === "") return otherwise;
    probe.style.color = given;
    return getComputedStyle(probe).color;
  };
  const colours = {
    surface: colour("--panel", "rgb(255, 255, 255)"),
    ink: colour("--ink", "rgb(20, 32, 43)"),
    faint: colour("--muted", "rgb(85, 100, 113)"),
    line: colour("--line", "rgb(205, 214, 219)"),
    edge: colour("--line-strong", "rgb(43, 57, 69)"),
    accent: colour("--thought", "rgb(29, 95, 166)"),
    changed: colour("--heat-soft", "rgb(251, 224, 200)"),
  };
  probe.remove();
  return colours;
}

/** A cell as a letter: bold where it is given, shaded where the model is sure, marked where it has just changed. */
export function letterCell(colours) {
  return (symbol, { given, changed, confidence }) => ({
    text: given || symbol !== "." ? symbol : "",
    fill: changed ? colours.changed : given ? null : mixed(colours.surface, colours.accent, 0.3 * (confidence ?? 0)),
    ink: colours.ink,
    bold: given,
  });
}

/** A colour between two, as rgb(…); `share` of the second. */
export function mixed(first, second, share) {
  const [a, b] = [first, second].map((colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number));
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(", ")})`;
}

/** The pictures of a view: one for each segment, all of one size. */
export function pictures(view, drawCell, colours) {
  const { rows, columns } = view.grid;
  const [blockRows, blockColumns] = view.grid.block ?? [rows, columns];
  const size = Math.max(8, Math.min(48, Math.floor(LARGEST / Math.max(rows, columns))));
  const width = Math.max(columns * size, 180) + 2 * MARGIN;
  const left = Math.floor((width - columns * size) / 2);
  let before = null;
  const frames = view.trace.map((entry) => {
    const symbols = (view.cells ?? Array.from)(entry.answer);
    const cells = symbols.slice(0, rows * columns).map((symbol, index) =>
      drawCell(symbol, {
        index,
        row: Math.floor(index / columns),
        column: index % columns,
        given: isGiven(view.question[index]),
        changed: before !== null && before[index] !== symbol,
        confidence: entry.confidence?.[index] ?? null,
      }),
    );
    before = symbols;
    const last = entry === view.trace.at(-1);
    return {
      cells,
      caption: `segment ${entry.step}${view.limit ? ` of at most ${view.limit}` : ""}`,
      verdict: last ? (view.status ?? "") : "",
      // A search may have gone on beyond the limit of one thought.
      share: Math.min(1, entry.step / (view.limit || view.trace.at(-1).step)),
    };
  });
  return {
    width,
    height: rows * size + MARGIN + CAPTION,
    grid: { left, top: MARGIN, size, rows, columns, blockRows, blockColumns },
    // Fine lines would be all that is seen of a large grid.
    fine: size >= 14,
    captionTop: rows * size + MARGIN,
    margin: left,
    colours,
    frames,
  };
}

function isGiven(symbol) {
  return symbol !== undefined && symbol !== "." && symbol !== "0" && symbol !== "";
}

/** The lines of the grid: [x1, y1, x2, y2, thick], the fine ones first. */
export function gridLines({ grid, fine }) {
  const { left, top, size, rows, columns, blockRows, blockColumns } = grid;
  const lines = [];
  for (let row = 0; row <= rows; row += 1) {
    const thick = row % blockRows === 0 || row === rows;
    if (thick || fine) lines.push([left, top + row * size, left + columns * size, top + row * size, thick]);
  }
  for (let column = 0; column <= columns; column += 1) {
    const thick = column % blockColumns === 0 || column === columns;
    if (thick || fine) lines.push([left + column * size, top, left + column * size, top + rows * size, thick]);
  }
  return lines.sort((a, b) => Number(a[4]) - Number(b[4]));
}
