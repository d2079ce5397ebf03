// Adaptive computation time on an exported graph: one segment after the other until the stopping rule is satisfied.
//
// Letters: K chains, L positions, S positions with the puzzle prefix, D width, V vocabulary.

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/**
 * Puts questions to the graph: each call of the function that comes back is one segment of all of them, and says of each
 * {tokens [L], confidence [L], logits [L * V], q_halt, q_continue, residual, lead, state [S * D]}. `lead` is what decides
 * whether it halts, `state` its high-level state.
 *
 * @param run       (feeds) -> the graph's outputs; both as {type, dims, data} by name
 * @param settings  {sizes: {positions: S, width: D}, halting: the model's settings}
 * @param questions [K] tokens [L]
 * @param puzzleId  row of the puzzle embedding
 */
export function segmentOf(run, { sizes, halting }, questions, puzzleId) {
  const { positions, width } = sizes;
  const count = questions.length, length = questions[0].length, per = positions * width;
  const feeds = {
    inputs: { type: "int64", dims: [count, length], data: BigInt64Array.from(questions.flat(), BigInt) },
    puzzle_ids: { type: "int64", dims: [count], data: new BigInt64Array(count).fill(BigInt(puzzleId)) },
  };
  let high = new Float32Array(count * per), low = new Float32Array(count * per), fresh = 1;
  return async () => {
    const output = await run({
      ...feeds,
      z_H: { type: "float32", dims: [count, positions, width], data: high },
      z_L: { type: "float32", dims: [count, positions, width], data: low },
      fresh: { type: "bool", dims: [count], data: new Uint8Array(count).fill(fresh) },
    });
    const before = high, next = output.next_z_H.data;
    [high, low, fresh] = [next, output.next_z_L.data, 0];
    return questions.map((_, number) => ({
      ...readOut(output.logits.data, number, length, output.logits.dims[2]),
      q_halt: sigmoid(output.q_halt.data[number]),
      q_continue: sigmoid(output.q_continue.data[number]),
      residual: change(before, next, number * per, per),
      lead: output.q_halt.data[number] - (halting.learning === "q_learning" ? output.q_continue.data[number] : 0),
      state: next.subarray(number * per, (number + 1) * per),
    }));
  };
}

/**
 * Thinks about one question; yields what its leading chain says after each segment and returns the chosen chain with
 * {steps, segments (of all chains), solved_by, states, logits}.
 *
 * @param run      as for `segmentOf`
 * @param settings as for `segmentOf`; of halting learning, threshold and confirmations
 * @param task     its checker and symmetries
 * @param question tokens [L]
 * @param options  {puzzleId, halt, steps, samples, select, random, stopped()}
 */
export async function* think(run, settings, task, question, options) {
  const { halting } = settings;
  const views = viewsOf(task, options.samples, options.random);
  const segment = segmentOf(run, settings, views.map((view) => view.apply(question)), options.puzzleId);
  const agreed = views.map(() => 0), states = views.map(() => []);
  const needed = 1 + (options.halt === "q" ? (halting.confirmations ?? 0) : 0);

  for (let steps = 1; ; steps++) {
    const said = await segment();
    const chains = views.map((view, number) => {
      const { tokens, confidence, q_halt, q_continue, residual, lead, state } = said[number];
      const chain = { number, tokens: view.back(tokens), confidence: view.backValues(confidence), q_halt, q_continue, residual };
      // Of a whole batch, a part of the same memory: kept, it would keep the batch.
      states[number].push(state.slice());
      chain.valid = task.hasChecker && task.check(question, chain.tokens);
      const willing = options.halt === "valid" ? chain.valid : options.halt === "q" && lead > logit(halting.threshold ?? 0.5);
      agreed[number] = willing ? agreed[number] + 1 : 0;
      chain.halted = agreed[number] >= needed;
      return chain;
    });
    const chosen = choose(chains, options.select);
    yield chosen;
    if (chains.some((chain) => chain.halted) || steps >= options.steps || options.stopped()) {
      const { number, valid } = chosen;
      const solved_by = valid ? (number ? "breadth" : "network") : null;
      return { ...chosen, steps, segments: steps * views.length, solved_by, states: states[number], logits: said[number].logits };
    }
  }
}

const logit = (probability) => Math.log(probability / (1 - probability));

/** The question itself and symmetric copies of it, each with the way back. */
function viewsOf(task, samples, random) {
  const same = (values) => Array.from(values);
  const views = [{ apply: same, back: same, backValues: same }];
  while (views.length < samples) {
    const view = task.view(random);
    if (!view) break;
    views.push(view);
  }
  return views;
}

/** The most probable token of each position, its probability, and what it was chosen by. */
function readOut(batch, number, length, vocabulary) {
  const logits = batch.subarray(number * length * vocabulary, (number + 1) * length * vocabulary);
  const tokens = [], confidence = [];
  for (let place = 0; place < length; place++) {
    const start = place * vocabulary;
    let best = 0;
    for (let token = 1; token < vocabulary; token++) if (logits[start + token] > logits[start + best]) best = token;
    let sum = 0;
    for (let token = 0; token < vocabulary; token++) sum += Math.exp(logits[start + token] - logits[start + best]);
    tokens.push(best);
    confidence.push(1 / sum);
  }
  return { tokens, confidence, logits };
}

/** Relative change of a chain's high-level state: |z_H' - z_H| / |z_H'|. */
function change(before, after, start, count) {
  let moved = 0, size = 0;
  for (let place = start; place < start + count; place++) {
    moved += (after[place] - before[place]) ** 2;
    size += after[place] ** 2;
  }
  return Math.sqrt(moved / Math.max(size, 1e-24));
}

/** The leading chain: a valid one where the task can tell, else by the rule asked for; ties go to the higher halt value. */
export function choose(chains, select) {
  const byHalt = [...chains].sort((one, other) => other.q_halt - one.q_halt);
  const best = (score) => byHalt.reduce((leader, chain) => (score(chain) > score(leader) ? chain : leader));
  if (select === "vote") {
    const votes = new Map();
    for (const { tokens } of chains) votes.set(tokens.join(), (votes.get(tokens.join()) ?? 0) + 1);
    return best((chain) => votes.get(chain.tokens.join()));
  }
  if (select === "residual") return best((chain) => -chain.residual);
  if (select === "first") return best((chain) => Number(chain.halted));
  return select === "valid" ? best((chain) => Number(chain.valid)) : byHalt[0];
}
