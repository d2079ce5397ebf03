// Sudoku 4x4, 6x6 and 9x9. Tokens: 1 a blank, d + 1 the digit d (as in tasks/sudoku.py).

import { PuzzleError } from "./puzzle_error.js";

export const BLANK = 1;
const BOXES = { 4: [2, 2], 6: [2, 3], 9: [3, 3] };

export function sudoku({ size }) {
  const length = size * size;
  const [boxRows, boxColumns] = BOXES[size];
  const units = unitsOf(size);
  const place = (cell) => `row ${Math.floor(cell / size) + 1}, column ${(cell % size) + 1}`;

  function parse(text) {
    // A board copied from elsewhere often comes with lines, blanks and bars.
    const bare = text.replace(/[\s|+\-]/g, "").replace(/[_*]/g, ".");
    const allowed = `${length} characters, each 1-${size} or . for a blank`;
    if (bare.length !== length) {
      throw new PuzzleError(`A puzzle of ${bare.length} characters`, allowed, "write the rows one after the other");
    }
    const tokens = Array.from(bare, (character, cell) => {
      if (character === "." || character === "0") return BLANK;
      if (character >= "1" && character <= String(size)) return Number(character) + 1;
      throw new PuzzleError(`${JSON.stringify(character)} at ${place(cell)}`, allowed, "correct this character");
    });
    const [first] = repeats(tokens);
    if (first !== undefined) {
      throw new PuzzleError(
        `The digit ${tokens[first] - 1} twice in one unit, at ${place(first)}`,
        "each digit at most once in a row, column and box",
        "correct one of the cells",
      );
    }
    return tokens;
  }

  function repeats(tokens) {
    const found = new Set();
    for (const unit of units) {
      const seen = new Map();
      for (const cell of unit) {
        if (tokens[cell] <= BLANK) continue;
        if (seen.has(tokens[cell])) found.add(cell).add(seen.get(tokens[cell]));
        else seen.set(tokens[cell], cell);
      }
    }
    return found;
  }

  return {
    title: `Sudoku ${size}×${size}`,
    rows: size,
    columns: size,
    length,
    block: [boxRows, boxColumns],
    pair: false,
    editing: "type",
    hasChecker: true,
    checked: "Every row, column and box holds each digit once, and every given is kept.",
    howToEdit: "Type digits, move with the arrows. Or paste a puzzle.",
    palette: [
      ...Array.from({ length: size }, (_, digit) => ({ token: digit + 2, label: `Digit ${digit + 1}`, look: `${digit + 1}` })),
      { token: BLANK, label: "Erase", look: "⌫" },
    ],
    empty: () => new Array(length).fill(BLANK),
    parse,
    write: (tokens) => tokens.map((token) => (token > BLANK ? token - 1 : ".")).join(""),
    read: (text) => Array.from(text, (character) => (character >= "1" && character <= "9" ? Number(character) + 1 : 0)),
    token: (key) => (key >= "1" && key <= String(size) && key.length === 1 ? Number(key) + 1 : undefined),
    cell(question, tokens, cell) {
      if (question[cell] > BLANK) return { text: String(question[cell] - 1), kind: "given" };
      if (!tokens || tokens[cell] === BLANK) return { text: "", kind: "blank" };
      return { text: tokens[cell] > BLANK ? String(tokens[cell] - 1) : "?", kind: "said" };
    },
    unknown: (question, cell) => question[cell] === BLANK,
    breaches(question, answer) {
      const found = repeats(answer);
      question.forEach((token, cell) => token > BLANK && token !== answer[cell] && found.add(cell));
      return found;
    },
    extent: () => [size, size],
    check(question, answer) {
      const complete = answer.every((token) => token > BLANK && token <= size + 1);
      return complete && this.breaches(question, answer).size === 0;
    },
    view: (random) => symmetry(size, boxRows, boxColumns, random),
  };
}

/** The cells of each row, column and box of a board. */
export function unitsOf(size) {
  const [boxRows, boxColumns] = BOXES[size];
  const rows = [], columns = [], boxes = [];
  for (let number = 0; number < size; number++) rows.push([]), columns.push([]), boxes.push([]);
  for (let cell = 0; cell < size * size; cell++) {
    const row = Math.floor(cell / size), column = cell % size;
    rows[row].push(cell);
    columns[column].push(cell);
    boxes[Math.floor(row / boxRows) * (size / boxColumns) + Math.floor(column / boxColumns)].push(cell);
  }
  return [...rows, ...columns, ...boxes];
}

/** A symmetric copy: digits renamed, bands, stacks, rows and columns shuffled, transposed where boxes are square. */
function symmetry(size, boxRows, boxColumns, random) {
  const shuffled = (count) => {
    const order = Array.from({ length: count }, (_, number) => number);
    for (let last = count - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  };
  const lines = (thick) =>
    shuffled(size / thick).flatMap((group) => shuffled(thick).map((line) => group * thick + line));
  const digits = shuffled(size), rows = lines(boxRows), columns = lines(boxColumns);
  const transposed = boxRows === boxColumns && random() < 0.5;
  const from = [];
  for (const row of rows) for (const column of columns) from.push(transposed ? column * size + row : row * size + column);
  const renamed = (token) => (token > BLANK ? digits[token - 2] + 2 : token);
  const original = [];
  digits.forEach((digit, number) => (original[digit + 2] = number + 2));
  return {
    apply: (tokens) => from.map((cell) => renamed(tokens[cell])),
    back(answers) {
      const tokens = new Array(from.length);
      from.forEach((cell, place) => (tokens[cell] = answers[place] > BLANK ? (original[answers[place]] ?? 0) : answers[place]));
      return tokens;
    },
    backValues(values) {
      const moved = new Array(from.length);
      from.forEach((cell, place) => (moved[cell] = values[place]));
      return moved;
    },
  };
}
