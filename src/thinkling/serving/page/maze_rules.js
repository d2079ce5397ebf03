// The rules of mazes for a search: a path has one cell at each distance from S, and may use only cells from which the
// rest of the way can still be walked in the shortest length (as tasks/maze_rules.py).
//
// Letters: L cells. A state is {question [L], distance [L] steps from S in the maze (-1 out of reach), open [L] whether
// a cell is on one of the shortest paths that are still possible}. It is a value: whoever changes it makes a new one.

import { GOAL, neighboursOf, OPEN, PATH, START, WALL } from "./task_maze.js";

/** `SearchRules` (search_rules.js) of mazes of one size. A cell is on the path (token PATH) or not (OPEN). */
export function mazeRules({ rows, columns }) {
  /** Steps from a cell through the free cells; -1 out of reach. */
  function distances(free, from) {
    const steps = free.map(() => -1);
    steps[from] = 0;
    const waiting = [from];
    for (let next = 0; next < waiting.length; next++) {
      for (const other of neighboursOf(waiting[next], rows, columns)) {
        if (!free[other] || steps[other] >= 0) continue;
        steps[other] = steps[waiting[next]] + 1;
        waiting.push(other);
      }
    }
    return steps;
  }

  /** The paths inside the free cells that are shortest ones of the maze. */
  function pruned(question, distance, free) {
    const start = question.indexOf(START), goal = question.indexOf(GOAL);
    if (!free[start] || !free[goal] || distance[goal] < 0) return null;
    const there = distances(free, start);
    // Between cells of shortest paths a longer way round is possible, too.
    if (there[goal] !== distance[goal]) return null;
    const back = distances(free, goal);
    const open = free.map((_, cell) => there[cell] >= 0 && back[cell] >= 0 && there[cell] + back[cell] === there[goal]);
    return { question, distance, open };
  }

  /** The paths through a cell (PATH), or past it. */
  function fix(state, cell, token) {
    const { question, distance, open } = state;
    if (token !== PATH) {
      if (question[cell] !== OPEN) return question[cell] === token ? state : null;
      return token === OPEN ? forbid(state, cell, PATH) : null;
    }
    if (question[cell] !== OPEN || !open[cell]) return null;
    const beside = (other) => other !== cell && distance[other] === distance[cell];
    return pruned(question, distance, open.map((may, other) => may && !beside(other)));
  }

  /** The paths past a cell (for PATH), or through it. */
  function forbid(state, cell, token) {
    const { question, distance, open } = state;
    if (question[cell] !== OPEN) return question[cell] === token ? null : state;
    if (token === OPEN) return fix(state, cell, PATH);
    if (token !== PATH || !open[cell]) return state;
    return pruned(question, distance, open.map((may, other) => may && other !== cell));
  }

  return {
    start(question) {
      const free = question.map((token) => token !== WALL);
      return pruned(question, distances(free, question.indexOf(START)), free);
    },
    fix,
    forbid,
    candidates({ question, distance, open }) {
      const atDistance = [];
      open.forEach((may, cell) => may && (atDistance[distance[cell]] = (atDistance[distance[cell]] ?? 0) + 1));
      return question.map((token, cell) => {
        if (token !== OPEN || !open[cell]) return [token];
        return atDistance[distance[cell]] === 1 ? [PATH] : [OPEN, PATH];
      });
    },
    // Walls on the open cells that no path uses make a maze again, as a model knows them.
    shown: (question, { open }) => question.map((token, cell) => (token === OPEN && !open[cell] ? WALL : token)),
    read: (question, { open }, answer) =>
      answer.map((token, cell) => (token === WALL && question[cell] === OPEN && !open[cell] ? OPEN : token)),
    onBoard: (question, answer) =>
      answer.map((token, cell) => (token === WALL && question[cell] === OPEN ? OPEN : token)),
  };
}
