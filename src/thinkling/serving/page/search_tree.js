// Guided search on one question: the model proposes, the rules refuse, and nothing is left out. As in
// puzzles/search_tree.py, which says why; what is decided here is decided there alike.
//
// A node is a state of the task's rules (search_rules.js): a set of answers. It is put to the model as a question with
// everything written in that is settled. Unless the model's answer is right, the node is replaced by its branches (the
// cell with the fewest candidates, of several such cells the one that the model is least certain of) and, before them,
// by one guess: the node with all cells that the model is sure of and that contradict no rule.
//
// Letters: L positions, V vocabulary.

/** Nodes of a question that think at the same time. */
export const DEFAULT_WIDTH = 4;
/** Segments for a node below the question itself. */
export const NODE_STEPS = 1;
/** Least probability, among the candidates of a cell, of what the model is sure of. */
const SURE = 0.5;
/** A guess counts as deeper than the branches: of equal doubt the deepest node comes first. */
const GUESS_FIRST = 2;
/** What a candidate keeps of probability whatever the model says: no doubt is infinite. */
const LEAST = 1e-6;

/** The search on one question. Put what `ask` returns to the model, and `tell` what it said, until `ended`. */
export class SearchTree {
  /**
   * @param rules    of the task
   * @param question tokens [L]
   * @param check    (answer [L]) -> whether it is right
   * @param limits   {budget: segments that may be spent, firstSteps: limit of segments for the question itself}
   */
  constructor(rules, question, check, { budget, firstSteps }) {
    Object.assign(this, { rules, question, check, budget, firstSteps });
    /** Segments spent, and nodes that the model has answered, so far. */
    this.segments = 0;
    this.nodes = 0;
    /** "open", "answered", "no_answer" (proven), or "budget" (ended without either). */
    this.outcome = "open";
    /** [L] the right answer, or else what the model said to the question itself. */
    this.answer = null;
    /** Whether the model's answer to the question itself was right. */
    this.byModel = false;
    this.begun = false;
    this.reserved = 0;
    this.asked = new Map();
    this.waiting = new Waiting();
  }

  get ended() {
    return this.outcome !== "open";
  }

  /** Up to `width` nodes {number, inputs, steps} for the model. */
  ask(width) {
    if (!this.begun) {
      this.begun = true;
      // A question that contradicts itself has no state: nobody searches it, the model is asked all the same.
      const state = this.rules.start(this.question), steps = this.reserve(this.firstSteps);
      this.asked.set(0, { number: 0, state, doubt: 0, depth: 0, steps });
      return [{ number: 0, inputs: this.question, steps }];
    }
    const chosen = [];
    while (!this.ended && this.waiting.size && chosen.length < width) {
      const steps = this.reserve(NODE_STEPS);
      if (!steps) break;
      const node = { ...this.waiting.next(), steps };
      this.asked.set(node.number, node);
      chosen.push({ number: node.number, inputs: this.rules.shown(this.question, node.state), steps });
    }
    return chosen;
  }

  /** What the model said to a node: tokens [L], the logits [L * V] that they were chosen by, and segments spent. */
  tell(number, tokens, logits, segments) {
    const node = this.asked.get(number);
    this.asked.delete(number);
    this.reserved -= node.steps;
    this.segments += segments;
    this.nodes++;
    if (this.ended) return;
    const answer = node.state === null ? tokens : this.rules.read(this.question, node.state, tokens);
    if (number === 0) this.answer = answer;
    if (this.check(answer)) {
      this.endWith(answer);
      this.byModel = number === 0;
    } else if (node.state !== null) {
      this.replace(node, logits);
    }
    if (this.outcome === "open" && !this.asked.size) {
      if (!this.waiting.size) this.outcome = "no_answer";
      else if (this.segments >= this.budget) this.outcome = "budget";
    }
  }

  /** As many of so many segments as the budget still has, kept for one node. */
  reserve(steps) {
    const granted = Math.min(steps, this.budget - this.segments - this.reserved);
    this.reserved += granted;
    return granted;
  }

  endWith(answer) {
    this.answer = answer;
    this.outcome = "answered";
    this.waiting = new Waiting();
  }

  /** Puts a guess and the branches of a node in its place. */
  replace({ state, doubt, depth }, logits) {
    const candidates = this.rules.candidates(state);
    if (isSettled(candidates)) {
      // The rules alone leave one answer to the question: there is nothing to branch on.
      this.add(state, doubt, depth);
      return;
    }
    const shares = candidateShares(logits, candidates);
    const guess = this.guess(state, candidates, shares);
    if (guess !== null) this.add(guess, doubt, depth + GUESS_FIRST);
    const cell = branchingCell(shares);
    const places = descending(shares[cell]);
    for (const place of places) {
      const costs = Math.log(shares[cell][places[0]] / shares[cell][place]);
      this.add(this.rules.fix(state, cell, candidates[cell][place]), doubt + costs, depth + 1);
    }
  }

  /** Lets a state wait for the model, unless it is empty or is an answer. */
  add(state, doubt, depth) {
    if (state === null || this.ended) return;
    const candidates = this.rules.candidates(state);
    if (!isSettled(candidates)) {
      this.waiting.put({ state, doubt, depth });
      return;
    }
    const answer = candidates.map(([token]) => token);
    if (this.check(answer)) this.endWith(answer);
  }

  /** The state with every cell that the model is sure of and that contradicts no rule; null where none is kept. */
  guess(state, candidates, shares) {
    const certain = shares.map((cell) => Math.max(...cell));
    let guess = state;
    for (const cell of descending(certain)) {
      if (candidates[cell].length === 1 || certain[cell] < SURE) continue;
      const token = candidates[cell][shares[cell].indexOf(certain[cell])];
      // What contradicts the cells kept so far is ruled out by them.
      guess = this.rules.fix(guess, cell, token) ?? this.rules.forbid(guess, cell, token);
      if (guess === null) return null;
    }
    return guess === state ? null : guess;
  }
}

/** Nodes in the order of their turns: the least doubt, then the deepest, then the oldest. */
class Waiting {
  constructor() {
    this.numbers = 0;
    this.lastToFirst = [];
  }

  get size() {
    return this.lastToFirst.length;
  }

  put(node) {
    const numbered = { ...node, number: ++this.numbers };
    let low = 0, high = this.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(numbered, this.lastToFirst[middle])) low = middle + 1;
      else high = middle;
    }
    this.lastToFirst.splice(low, 0, numbered);
  }

  next() {
    return this.lastToFirst.pop();
  }
}

const isBefore = (one, other) => (one.doubt - other.doubt || other.depth - one.depth || one.number - other.number) < 0;

const isSettled = (candidates) => candidates.every((tokens) => tokens.length === 1);

/** The places of values, the largest first; of equal ones the first first. */
const descending = (values) => [...values.keys()].sort((one, other) => values[other] - values[one]);

/** The model's probabilities, by its logits [L * V], shared out among the candidates [L][tokens] of each cell. */
export function candidateShares(logits, candidates) {
  const vocabulary = logits.length / candidates.length;
  return candidates.map((tokens, cell) => {
    const scores = tokens.map((token) => logits[cell * vocabulary + token]);
    const best = Math.max(...scores);
    const least = shared(scores.map((score) => Math.exp(score - best))).map((share) => Math.max(share, LEAST));
    return shared(least);
  });
}

function shared(values) {
  const sum = values.reduce((total, value) => total + value, 0);
  return values.map((value) => value / sum);
}

/** Of the open cells with the fewest candidates the one whose best share is smallest. */
export function branchingCell(shares) {
  let chosen = -1, fewest = Infinity, certain = Infinity;
  shares.forEach((cell, number) => {
    if (cell.length === 1 || cell.length > fewest) return;
    const best = Math.max(...cell);
    if (cell.length === fewest && best >= certain) return;
    [chosen, fewest, certain] = [number, cell.length, best];
  });
  return chosen;
}
