// What a search needs to know of a task: which answers its rules still allow, cell by cell (as tasks/search_rules.py).
//
// A state stands for the set of answers that agree with a question and with what was decided so far, as far as the
// rules at hand can tell: they may leave an answer too many, never one too few. So an empty state, null, is a proof, and
// a state with one candidate in every cell is an answer. The rules of a task are an object with
//   start(question) -> state              all answers to a question [L]
//   fix(state, cell, token) -> state      the answers with a token in a cell
//   forbid(state, cell, token) -> state   the answers without a token in a cell
//   candidates(state) -> [L][tokens]      which tokens are possible in which cell, ascending, at least one
//   shown(question, state) -> [L]         the question with what the state knows in it, as a model knows questions
//   read(question, state, answer) -> [L]  an answer to what is `shown` of a state, as an answer to the question itself
//   onBoard(question, answer) -> [L]      the same where the state is not known: for a picture, not for a judge

import { mazeRules } from "./maze_rules.js";
import { sudokuRules } from "./sudoku_rules.js";

const KINDS = { sudoku: sudokuRules, maze: mazeRules };

/** The rules of the task of a model's settings; null where nothing is known of it but its checker, or not even that. */
export function rulesOf(settings) {
  return Object.hasOwn(KINDS, settings?.name) ? KINDS[settings.name](settings) : null;
}
