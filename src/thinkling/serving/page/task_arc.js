// ARC: coloured grids at the top left of a canvas. Tokens: 0 padding, 1 end mark, colour c is c + 2 (tasks/arc_grid.py).

import { PuzzleError } from "./puzzle_error.js";

const [PAD, END, FIRST] = [0, 1, 2];
const NAMES = ["black", "blue", "red", "green", "yellow", "grey", "magenta", "orange", "sky", "brown"];
const ALLOWED = "a list of rows of one length, each a list of colours 0-9, such as [[0,1],[2,3]]";

export function arc({ canvas }) {
  const length = canvas * canvas;

  function encode(grid) {
    const tokens = new Array(length).fill(PAD);
    const rows = grid.length, columns = grid[0]?.length ?? 0;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) tokens[row * canvas + column] = grid[row][column] + FIRST;
      if (columns < canvas) tokens[row * canvas + columns] = END;
    }
    if (rows < canvas) for (let column = 0; column < columns; column++) tokens[rows * canvas + column] = END;
    return tokens;
  }

  /** The largest rectangle of colours at the top left corner, as the official evaluator crops. */
  function extent(tokens) {
    let width = canvas, best = [0, 0];
    for (let row = 0; row < canvas && width > 0; row++) {
      let run = 0;
      while (run < width && tokens[row * canvas + run] >= FIRST) run++;
      width = run;
      if ((row + 1) * width > best[0] * best[1]) best = [row + 1, width];
    }
    return best;
  }

  function grid(tokens) {
    const [rows, columns] = extent(tokens);
    return Array.from({ length: rows }, (_, row) =>
      Array.from({ length: columns }, (_, column) => tokens[row * canvas + column] - FIRST),
    );
  }

  function parse(text) {
    let rows;
    try {
      rows = JSON.parse(text);
    } catch {
      throw new PuzzleError("A text that is no JSON", ALLOWED, "write the grid like this");
    }
    if (!Array.isArray(rows) || !rows.length || !rows.every((row) => Array.isArray(row) && row.length)) {
      throw new PuzzleError("A grid without rows", ALLOWED, "correct the grid");
    }
    rows.forEach((row, number) => {
      if (row.length !== rows[0].length) {
        throw new PuzzleError(`A ragged grid: row ${number + 1} has ${row.length} cells, row 1 has ${rows[0].length}`, ALLOWED, "correct this row");
      }
      row.forEach((colour, column) => {
        if (!Number.isInteger(colour) || colour < 0 || colour > 9) {
          throw new PuzzleError(`${JSON.stringify(colour)} in row ${number + 1}, column ${column + 1}`, ALLOWED, "correct this cell");
        }
      });
    });
    if (rows.length > canvas || rows[0].length > canvas) {
      throw new PuzzleError(`A grid of ${rows.length} x ${rows[0].length}`, `at most ${canvas} x ${canvas}`, "make it smaller");
    }
    return encode(rows);
  }

  return {
    title: "ARC grid",
    rows: canvas,
    columns: canvas,
    length,
    block: [canvas, canvas],
    pair: true,
    named: true,
    resizable: canvas,
    editing: "paint",
    hasChecker: false,
    checked: "",
    howToEdit: "Paint with the pointer, or move with the arrows and press 0-9.",
    palette: NAMES.map((name, colour) => ({ token: colour + FIRST, label: name, look: "", kind: `colour-${colour}` })),
    empty: () => encode(Array.from({ length: Math.min(5, canvas) }, () => new Array(Math.min(5, canvas)).fill(0))),
    parse,
    write: (tokens) => JSON.stringify(grid(tokens)),
    read: (text) => encode(JSON.parse(text)),
    token: (key) => (key >= "0" && key <= "9" && key.length === 1 ? Number(key) + FIRST : undefined),
    resized(tokens, rows, columns) {
      const old = grid(tokens);
      return encode(Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => old[row]?.[column] ?? 0)));
    },
    cell(question, tokens, cell) {
      const token = (tokens ?? question)[cell];
      return { text: "", kind: token >= FIRST ? `colour-${token - FIRST}` : "blank" };
    },
    unknown: () => true,
    breaches: () => new Set(),
    extent,
    check: () => false,
    view: () => null,
  };
}
