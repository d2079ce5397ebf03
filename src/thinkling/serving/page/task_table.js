// A table: the user's own questions and answers. Tokens: 0 padding, 1 the end of an answer, s + 2 symbol s.
// Text and end token stand as in tasks/table.py.

import { PuzzleError } from "./puzzle_error.js";

const [PAD, END, FIRST] = [0, 1, 2];
const WIDEST = 12;

export function table({ tokens: kind, alphabet, length, align, shape, separator = " ", frame = ["", ""] }) {
  const symbols = Array.from(alphabet, String);
  const tokenOf = new Map(symbols.map((symbol, number) => [symbol, number + FIRST]));
  const right = align === "right", integers = kind === "integers";
  // One long row is easier to read in several lines.
  const drawn = shape[0] > 1 ? shape : [Math.ceil(length / Math.min(length, WIDEST)), Math.min(length, WIDEST)];
  const unit = integers ? "integers" : "characters";

  const split = (text) => (integers ? text.replaceAll(",", " ").split(/\s+/).filter(Boolean).map((word) => String(Number(word))) : Array.from(text));

  function lay(found, isAnswer) {
    const tokens = new Array(length).fill(PAD);
    const start = right ? length - found.length : 0;
    found.forEach((token, number) => (tokens[start + number] = token));
    if (isAnswer && found.length < length) tokens[right ? start - 1 : found.length] = END;
    return tokens;
  }

  function parse(text) {
    let bare = text;
    if ((frame[0] || frame[1]) && bare.startsWith(frame[0]) && bare.endsWith(frame[1])) {
      bare = bare.slice(frame[0].length, bare.length - frame[1].length);
    }
    const parts = split(bare);
    if (parts.length < 1 || parts.length > length) {
      throw new PuzzleError(`A question of ${parts.length} ${unit}`, `1 to ${length}`, parts.length ? "shorten it" : "write one");
    }
    return lay(parts.map((symbol, number) => {
      if (tokenOf.has(symbol)) return tokenOf.get(symbol);
      const shown = symbols.slice(0, 60).join(integers ? ", " : "");
      throw new PuzzleError(`${JSON.stringify(symbol)} at place ${number + 1}`, shown, "correct it");
    }), false);
  }

  const shown = (token) => (token >= FIRST ? (symbols[token - FIRST] ?? "?") : "");
  function write(tokens) {
    const kept = [];
    const ordered = right ? [...tokens].reverse() : tokens;
    for (const token of ordered) {
      if (token < FIRST) break;
      kept.push(shown(token));
    }
    return (right ? kept.reverse() : kept).join(integers ? separator : "");
  }

  return {
    title: "Table",
    rows: drawn[0],
    columns: drawn[1],
    length,
    block: drawn,
    pair: true,
    editing: "text",
    hasChecker: false,
    checked: "The table's own checker accepts the answer.",
    howToEdit: `Write a question: up to ${length} ${unit}.`,
    palette: [],
    empty: () => new Array(length).fill(PAD),
    parse,
    write,
    read: (text) => lay(split(text).slice(0, length).map((symbol) => tokenOf.get(symbol) ?? 0), true),
    token: () => undefined,
    cell(question, tokens, cell) {
      if (cell >= length) return { text: "", kind: "out" };
      if (!tokens) return { text: shown(question[cell]), kind: question[cell] >= FIRST ? "given" : "blank" };
      return { text: tokens[cell] === END ? "∎" : shown(tokens[cell]), kind: tokens[cell] >= FIRST ? "said" : "blank" };
    },
    unknown: (question, cell) => cell < length,
    breaches: () => new Set(),
    extent: () => drawn,
    check: () => false,
    view: () => null,
  };
}
