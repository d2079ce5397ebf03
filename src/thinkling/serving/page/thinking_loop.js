// Adaptive computation time on an exported graph: one segment after the other until the stopping rule is satisfied.
//
// Letters: K chains, L positions, S positions with the puzzle prefix, D width, V vocabulary.

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/**
 * Thinks about one question; yields what its leading chain says after each segment and returns the chosen chain.
 *
 * @param run      (feeds) -> the graph's outputs; both as {type, dims, data} by name
 * @param sizes    {positions: S, width: D}
 * @param halting  the model's settings: learning, threshold, confirmations
 * @param task     its rules and symmetries
 * @param question tokens [L]
 * @param options  {puzzleId, halt, steps, samples, select, random, stopped()}
 */
export async function* think(run, sizes, halting, task, question, options) {
  const { positions, width } = sizes;
  const length = question.length, per = positions * width;
  const views = viewsOf(task, options.samples, options.random);
  const count = views.length;
  const feeds = {
    inputs: { type: "int64", dims: [count, length], data: BigInt64Array.from(views.flatMap((view) => view.apply(question)), BigInt) },
    puzzle_ids: { type: "int64", dims: [count], data: new BigInt64Array(count).fill(BigInt(options.puzzleId)) },
  };
  let high = new Float32Array(count * per), low = new Float32Array(count * per);
  const agreed = new Array(count).fill(0), states = views.map(() => []);
  const needed = 1 + (options.halt === "q" ? (halting.confirmations ?? 0) : 0);

  for (let step = 1; ; step++) {
    const output = await run({
      ...feeds,
      z_H: { type: "float32", dims: [count, positions, width], data: high },
      z_L: { type: "float32", dims: [count, positions, width], data: low },
      fresh: { type: "bool", dims: [count], data: new Uint8Array(count).fill(step === 1 ? 1 : 0) },
    });
    const next = output.next_z_H.data;
    const chains = views.map((view, number) => {
      const said = readOut(output.logits.data, number, length, output.logits.dims[2]);
      const chain = {
        number,
        tokens: view.back(said.tokens),
        confidence: view.backValues(said.confidence),
        q_halt: sigmoid(output.q_halt.data[number]),
        q_continue: sigmoid(output.q_continue.data[number]),
        residual: change(high, next, number * per, per),
      };
      states[number].push(next.slice(number * per, (number + 1) * per));
      chain.valid = task.hasChecker && task.check(question, chain.tokens);
      const lead = output.q_halt.data[number] - (halting.learning === "q_learning" ? output.q_continue.data[number] : 0);
      const willing = options.halt === "valid" ? chain.valid : options.halt === "q" && lead > logit(halting.threshold ?? 0.5);
      agreed[number] = willing ? agreed[number] + 1 : 0;
      chain.halted = agreed[number] >= needed;
      return chain;
    });
    const chosen = choose(chains, options.select);
    yield { step, ...chosen };
    high = next;
    low = output.next_z_L.data;
    if (chains.some((chain) => chain.halted) || step >= options.steps || options.stopped()) {
      return { ...chosen, steps: step, states: states[chosen.number] };
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

/** The most probable token of each position, and its probability. */
function readOut(logits, number, length, vocabulary) {
  const tokens = [], confidence = [];
  for (let place = 0; place < length; place++) {
    const start = (number * length + place) * vocabulary;
    let best = 0;
    for (let token = 1; token < vocabulary; token++) if (logits[start + token] > logits[start + best]) best = token;
    let sum = 0;
    for (let token = 0; token < vocabulary; token++) sum += Math.exp(logits[start + token] - logits[start + best]);
    tokens.push(best);
    confidence.push(1 / sum);
  }
  return { tokens, confidence };
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
