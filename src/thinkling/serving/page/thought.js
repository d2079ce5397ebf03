// A thought as the page shows it: the segments of one question with what changed, what breaks a rule, how sure it is.

export class Thought {
  constructor(task, question, limit) {
    this.task = task;
    this.question = question;
    this.limit = limit;
    this.unknown = question.map((_, place) => place).filter((place) => task.unknown(question, place));
    this.segments = [];
    this.frames = [];
    this.closing = null;
    this.result = null;
  }

  /** Takes a segment as /v1/solve streams it; returns its frame. */
  add(segment) {
    this.segments.push(segment);
    return this.frame(segment, "");
  }

  /**
   * Takes the result; returns one more frame where its answer is not that of the last segment (a search put it together
   * or ended without one, or another chain said it), else null.
   */
  close(result) {
    this.result = result;
    const last = this.frames.at(-1);
    if (last && this.task.write(this.task.read(result.answer)) === this.task.write(last.tokens)) return null;
    const own = result.nodes > 1 ? "The network's own answer" : "Chosen among the chains";
    const maker = result.solved_by === "search" ? "Put together by search" : own;
    this.closing = { step: (last?.step ?? 0) + 1, answer: result.answer };
    return this.frame(this.closing, maker);
  }

  frame(segment, maker) {
    const tokens = this.task.read(segment.answer);
    const before = this.frames.at(-1)?.tokens ?? null;
    const changed = new Set(before ? this.unknown.filter((place) => tokens[place] !== before[place]) : []);
    const asked = this.unknown.length ? this.unknown : [...tokens.keys()];
    // An answer that a search put together comes without confidence.
    const { confidence = null } = segment;
    const sure = confidence ? asked.reduce((sum, place) => sum + confidence[place], 0) / asked.length : null;
    const frame = {
      step: segment.step,
      maker,
      tokens,
      confidence,
      changed,
      changes: changed.size,
      breaches: this.task.breaches(this.question, tokens),
      sure,
      moved: changed.size / asked.length,
    };
    this.frames.push(frame);
    return frame;
  }

  /** What a segment did: [text, what it is about] in reading order. */
  told(number) {
    const { step, maker, changes, sure, breaches } = this.frames[number];
    const said = [[maker || `Segment ${step}`, ""]];
    said.push([number === 0 ? "first guess" : `${changes || "none"} changed`, "changes"]);
    if (sure !== null) said.push([`${percent(sure)} sure`, "certainty"]);
    if (breaches.size) said.push([`${breaches.size} break rules`, "breaks"]);
    return said;
  }

  /** What was said of one cell up to a segment, as `told`. */
  toldOf(place, number) {
    const { columns } = this.task;
    const where = `Row ${Math.floor(place / columns) + 1}, column ${(place % columns) + 1}`;
    if (!this.unknown.includes(place)) return [[`${where}: given`, ""]];
    const look = (frame) => {
      const { text, kind } = this.task.cell(this.question, frame.tokens, place);
      return text || kind.replace("-", " ");
    };
    const now = this.frames[number];
    const path = [];
    for (const frame of this.frames.slice(0, number + 1)) if (path.at(-1) !== look(frame)) path.push(look(frame));
    const said = [[`${where}: ${path.slice(-6).join(" → ")}`, "changes"]];
    if (now.confidence) said.push([`${percent(now.confidence[place])} sure`, "certainty"]);
    return said;
  }
}

/** A probability for reading; 100 % only where it rounds there by far. */
export function percent(share) {
  if (share > 0.995 && share < 0.9995) return "over 99 %";
  return `${Math.round(100 * share)} %`;
}

const FOUND_BY = { network: "the network", breadth: "its chains", search: "search" };

/** What to say of a result: {status, word, why, figures: [[name, value], …]}. */
export function verdict(thought) {
  const { task, result, limit } = thought;
  const broken = thought.frames.at(-1)?.breaches.size ?? 0;
  const searched = result.solved_by === "search";
  const spent = searched || result.nodes > 1 ? `${result.segments ?? result.steps} in all` : `${result.steps} of ${Math.max(result.limit ?? limit, result.steps)}`;
  // What the network thought of its own answer says nothing of the one that a search put together.
  const figures = [["Segments", spent], ...(searched ? [] : [["Own estimate", percent(result.q_halt)]])];
  if (result.solved_by) figures.push(["Found by", FOUND_BY[result.solved_by] ?? result.solved_by]);
  else if (result.samples > 1) figures.push(["Chains", String(result.samples)]);
  const words = {
    verified: ["Verified", task.checked],
    unverified: ["Unverified", `Nothing can check this answer. The model puts it at ${percent(result.q_halt)} to be right.`],
    unsolved: [
      "Unsolved",
      unsolved(result) ?? (broken ? `Even the best answer breaks a rule in ${broken} cells.` : "No answer was found that keeps all rules. More segments, chains or a search may help."),
    ],
  };
  const [word, why] = words[result.status] ?? [result.status, ""];
  return { status: result.status, word, why, figures };
}

/** What a search that found no answer has found out; null where there was none. */
function unsolved({ search, segments }) {
  if (search === "no_answer") return "The search has left nothing out: no answer keeps all rules.";
  return search === "budget" ? `The search has spent its segments, ${segments} in all. With more of them it would go on.` : null;
}
