// What is wrong with a puzzle, said as everywhere in Thinkling: what was given, what is allowed, what to do next.

export class PuzzleError extends Error {
  constructor(given, allowed, nextStep) {
    super(`${given}; allowed: ${allowed}; ${nextStep}`);
    this.name = "PuzzleError";
  }
}
