// Mazes: a shortest way from S to G. Tokens: 1 wall, 2 open, 3 S, 4 G, 5 path (as in tasks/maze.py).

import { PuzzleError } from "./puzzle_error.js";

const CHARACTERS = "?# SGo";
export const [WALL, OPEN, START, GOAL, PATH] = [1, 2, 3, 4, 5];

export function maze({ rows, columns }) {
  const length = rows * columns;
  const place = (cell) => `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;

  function parse(text) {
    const allowed = `${rows} rows of ${columns} cells: # a wall, a blank an open cell, S and G`;
    // Blanks at the end of a row are cells, but many programs cut them off.
    const lines = text.replace(/\r/g, "").replace(/^\n|\n$/g, "").split("\n");
    const whole = lines.length === rows ? lines.map((line) => line.padEnd(columns)).join("") : lines.join("");
    if (whole.length !== length || (lines.length === rows && lines.some((line) => line.length > columns))) {
      throw new PuzzleError(`A maze of ${whole.length} cells`, allowed, "write a line for each row");
    }
    const tokens = Array.from(whole, (character, cell) => {
      const token = CHARACTERS.indexOf(character === "." || character === "o" ? " " : character);
      if (token < WALL) {
        throw new PuzzleError(`${JSON.stringify(character)} at ${place(cell)}`, allowed, "correct this character");
      }
      return token;
    });
    for (const end of [START, GOAL]) {
      const count = tokens.filter((token) => token === end).length;
      if (count !== 1) throw new PuzzleError(`A maze with ${count} ${CHARACTERS[end]}`, `one ${CHARACTERS[end]}`, "correct it");
    }
    if (distance(tokens.map((token) => token !== WALL), tokens) < 0) {
      throw new PuzzleError("A maze without a way from S to G", "a G that can be reached", "open a wall");
    }
    return tokens;
  }

  /** Steps from S to G through the free cells; -1 where there is no way. */
  function distance(free, tokens) {
    const start = tokens.indexOf(START), goal = tokens.indexOf(GOAL);
    const steps = new Array(length).fill(-1);
    steps[start] = 0;
    const waiting = [start];
    for (let next = 0; next < waiting.length; next++) {
      const cell = waiting[next];
      if (cell === goal) return steps[cell];
      for (const other of neighboursOf(cell, rows, columns)) {
        if (free[other] && steps[other] < 0) {
          steps[other] = steps[cell] + 1;
          waiting.push(other);
        }
      }
    }
    return -1;
  }

  return {
    title: `Maze ${rows}×${columns}`,
    rows,
    columns,
    length,
    block: [rows, columns],
    pair: false,
    editing: "paint",
    hasChecker: true,
    checked: "The marked cells are one way from S to G, and no way is shorter.",
    howToEdit: "Draw with the pointer, or press # S G and space.",
    palette: [
      { token: WALL, label: "Wall", look: "" },
      { token: OPEN, label: "Open", look: "" },
      { token: START, label: "Start", look: "S" },
      { token: GOAL, label: "Goal", look: "G" },
    ],
    single: [START, GOAL],
    blank: OPEN,
    empty() {
      const tokens = new Array(length).fill(OPEN);
      tokens[0] = START;
      tokens[length - 1] = GOAL;
      return tokens;
    },
    parse,
    write: (tokens) => tokens.map((token) => CHARACTERS[token]).join(""),
    read: (text) => Array.from(text.replace(/\n/g, ""), (character) => Math.max(CHARACTERS.indexOf(character), 0)),
    token: (key) => ({ "#": WALL, " ": OPEN, s: START, S: START, g: GOAL, G: GOAL })[key],
    cell(question, tokens, cell) {
      const token = question[cell];
      if (token === WALL) return { text: "", kind: "wall" };
      if (token === START) return { text: "S", kind: "end" };
      if (token === GOAL) return { text: "G", kind: "end" };
      return { text: "", kind: tokens?.[cell] === PATH ? "path" : "open" };
    },
    unknown: (question, cell) => question[cell] === OPEN,
    breaches(question, answer) {
      const found = new Set();
      question.forEach((token, cell) => {
        const sound = token === answer[cell] || (token === OPEN && answer[cell] === PATH);
        if (!sound) found.add(cell);
      });
      return found;
    },
    extent: () => [rows, columns],
    check(question, answer) {
      if (this.breaches(question, answer).size) return false;
      const marked = answer.map((token) => token >= START);
      const steps = marked.filter(Boolean).length - 1;
      const open = question.map((token) => token !== WALL);
      return distance(marked, question) === steps && distance(open, question) === steps;
    },
    view: (random) => dihedral(rows, columns, random),
  };
}

/** The cells next to a cell, by the four moves. */
export function neighboursOf(cell, rows, columns) {
  const found = [];
  if (cell >= columns) found.push(cell - columns);
  if (cell + columns < rows * columns) found.push(cell + columns);
  if (cell % columns) found.push(cell - 1);
  if ((cell + 1) % columns) found.push(cell + 1);
  return found;
}

/** A turned or mirrored copy; an oblong maze keeps its rows and columns. */
function dihedral(rows, columns, random) {
  const [upsideDown, mirrored] = [random() < 0.5, random() < 0.5];
  const transposed = rows === columns && random() < 0.5;
  const from = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [r, c] = transposed ? [column, row] : [row, column];
      from.push((upsideDown ? rows - 1 - r : r) * columns + (mirrored ? columns - 1 - c : c));
    }
  }
  const back = (values) => {
    const moved = new Array(from.length);
    from.forEach((cell, place) => (moved[cell] = values[place]));
    return moved;
  };
  return { apply: (tokens) => from.map((cell) => tokens[cell]), back, backValues: back };
}
