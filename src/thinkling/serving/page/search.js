// Searching with the model: one question, whose nodes are put to the graph some at a time (as puzzles/search.py).

import { DEFAULT_WIDTH, NODE_STEPS, SearchTree } from "./search_tree.js";
import { segmentOf, think } from "./thinking_loop.js";

/**
 * Thinks about one question and searches on where thinking has not answered it; yields what the model says after each
 * segment, of the question or of a node of it, and returns what `think` returns of the question itself, with what the
 * search has found: {tokens, segments (in all), outcome, nodes, solved_by}.
 *
 * @param run      as for `think`; so are settings, task and question
 * @param rules    of the task (search_rules.js)
 * @param options  as for `think`, with {budget}: segments that the question may cost in all; only chains may cost more
 */
export async function* search(run, settings, task, rules, question, options) {
  const { budget, samples, puzzleId, stopped } = options;
  let before = null;
  if (samples > 1) {
    before = yield* think(run, settings, task, question, options);
    const known = before.valid ? "answered" : before.segments >= budget ? "budget" : null;
    if (known || stopped()) return { ...before, outcome: known ?? "open", nodes: 1 };
  }
  const tree = new SearchTree(rules, question, (answer) => task.check(question, answer), {
    budget: budget - (before?.segments ?? 0),
    // Chains have had their steps: then the question itself is only asked for what to branch on.
    firstSteps: before ? NODE_STEPS : options.steps,
  });
  const [root] = tree.ask(DEFAULT_WIDTH);
  const alone = { ...options, samples: 1, steps: root.steps, halt: before ? "valid" : options.halt };
  const first = yield* think(run, settings, task, question, alone);
  tree.tell(root.number, first.tokens, first.logits, first.steps);
  while (!tree.ended && !stopped()) {
    const nodes = tree.ask(DEFAULT_WIDTH);
    const said = await segmentOf(run, settings, nodes.map(({ inputs }) => inputs), puzzleId)();
    for (const [place, { number, steps }] of nodes.entries()) {
      const { tokens, confidence, q_halt, q_continue, residual, logits } = said[place];
      yield { tokens: rules.onBoard(question, tokens), confidence, q_halt, q_continue, residual };
      tree.tell(number, tokens, logits, steps);
      if (tree.ended) break; // what further nodes of the round have said is not needed, and not counted
    }
  }
  return {
    ...(before ?? first),
    tokens: tree.answer,
    segments: tree.segments + (before?.segments ?? 0),
    outcome: tree.outcome,
    nodes: tree.nodes,
    solved_by: tree.outcome !== "answered" ? null : tree.byModel ? "network" : "search",
  };
}
