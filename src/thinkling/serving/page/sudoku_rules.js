// The rules of Sudoku for a search: naked and hidden singles, and nothing cleverer (as tasks/sudoku_rules.py).
//
// Letters: n size, L = n * n cells. A state is an array [L] of bit masks: bit d - 1 of a cell says that digit d is
// still possible, and singles have been propagated. It is a value: whoever changes it makes a new one.

import { BLANK, unitsOf } from "./task_sudoku.js";

const FIRST_DIGIT = 2;

const isSingle = (mask) => (mask & (mask - 1)) === 0;
const digitOf = (mask) => 32 - Math.clz32(mask);

/** `SearchRules` (search_rules.js) of a board of one size. */
export function sudokuRules({ size }) {
  const units = unitsOf(size);
  const peers = Array.from({ length: size * size }, (_, cell) => {
    const near = new Set(units.filter((unit) => unit.includes(cell)).flat());
    near.delete(cell);
    return [...near];
  });
  const full = (1 << size) - 1;

  function changed(state, cell, mask) {
    if (!mask) return null;
    if (mask === state[cell]) return state;
    const masks = [...state];
    masks[cell] = mask;
    return propagate(units, peers, full, masks, isSingle(mask) ? [cell] : []) ? masks : null;
  }

  const bitOf = (token) => (token >= FIRST_DIGIT ? 1 << (token - FIRST_DIGIT) : 0);

  return {
    start(question) {
      const masks = question.map((token) => bitOf(token) || full);
      const given = [...question.keys()].filter((cell) => question[cell] > BLANK);
      return propagate(units, peers, full, masks, given) ? masks : null;
    },
    fix: (state, cell, token) => changed(state, cell, state[cell] & bitOf(token)),
    forbid: (state, cell, token) => changed(state, cell, state[cell] & ~bitOf(token)),
    candidates: (state) =>
      state.map((mask) => {
        const tokens = [];
        for (let token = FIRST_DIGIT; token < size + FIRST_DIGIT; token++) if (mask & bitOf(token)) tokens.push(token);
        return tokens;
      }),
    shown: (question, state) => state.map((mask, cell) => (isSingle(mask) ? digitOf(mask) + 1 : question[cell])),
    read: (question, state, answer) => answer,
    onBoard: (question, answer) => answer,
  };
}

/**
 * Applies naked and hidden singles to `masks` [L] in place; false on a contradiction (as tasks/sudoku_solver.py).
 *
 * `fresh` holds the cells with one candidate that their peers do not know of yet; it is used up.
 */
function propagate(units, peers, full, masks, fresh) {
  for (;;) {
    while (fresh.length) {
      const cell = fresh.pop();
      const bit = masks[cell];
      for (const peer of peers[cell]) {
        if (!(masks[peer] & bit)) continue;
        masks[peer] ^= bit;
        if (!masks[peer]) return false;
        if (isSingle(masks[peer])) fresh.push(peer);
      }
    }
    for (const unit of units) {
      let once = 0, twice = 0, solved = 0;
      for (const cell of unit) {
        twice |= once & masks[cell];
        once |= masks[cell];
        if (isSingle(masks[cell])) solved |= masks[cell];
      }
      if (once !== full) return false;
      const hidden = once & ~twice & ~solved;
      if (!hidden) continue;
      for (const cell of unit) {
        const bit = masks[cell] & hidden;
        if (!bit) continue;
        if (!isSingle(bit)) return false; // two digits have this cell as their only place
        masks[cell] = bit;
        fresh.push(cell);
      }
      // Tell the peers at once: smaller masks make the next units cheaper.
      break;
    }
    if (!fresh.length) return true;
  }
}
