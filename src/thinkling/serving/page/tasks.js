// Which task a model was trained on, as the page sees it.
//
// A task is an object with
//   title, rows, columns, length      L = rows * columns positions, row by row
//   block                             [rows, columns] of the boxes a picture sets apart
//   pair                              true where question and answer are two pictures, false where one lies on the other
//   editing                           "type" (digits into cells), "paint" (with a brush) or "text"
//   palette                           [{token, label, look}] what can be typed or painted
//   empty()                           the tokens [L] of an empty question
//   parse(text) -> tokens             PuzzleError where it is malformed
//   write(tokens) -> text             what the server and the text box get
//   read(text) -> tokens              a model's answer; 0 for what it could not say
//   cell(question, tokens, place) -> {text, kind}     how a cell looks; `kind` names a rule of style.css
//   unknown(question, place) -> bool  whether a cell is the model's to say
//   breaches(question, answer) -> Set of the places that break a rule
//   extent(tokens) -> [rows, columns] of the part worth showing
//   check(question, answer) -> bool, and hasChecker: whether it can tell
//   checked                           what a verified answer fulfils, in words
//   view(random) -> {apply(tokens), back(tokens)} or null: one of the task's symmetries

import { arc } from "./task_arc.js";
import { maze } from "./task_maze.js";
import { sudoku } from "./task_sudoku.js";
import { table } from "./task_table.js";

const KINDS = { sudoku, maze, arc, table };

/** The task of a model's settings; null where the page knows no such task. */
export function taskOf(settings) {
  const kind = Object.hasOwn(KINDS, settings?.name) ? KINDS[settings.name] : null;
  return kind && kind(settings);
}
