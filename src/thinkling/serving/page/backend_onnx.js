// Thinking done in the browser, by the exported graph that lies beside the page. Nothing leaves this device.

import { taskOf } from "./tasks.js";

export class OnnxBackend {
  constructor(manifest, base) {
    const { description } = manifest;
    this.task = taskOf(description.task);
    this.limit = description.limit;
    this.identifiers = manifest.identifiers ?? [];
    const ort = new URL(manifest.ort ?? "ort/ort.wasm.min.mjs", base);
    this.toOpen = {
      ort: ort.href,
      folder: new URL(".", ort).href,
      model: new URL(manifest.model, base).href,
      graph: manifest.graph,
      halting: manifest.halting,
      task: description.task,
    };
    const symmetries = this.task.view(Math.random) !== null;
    this.offers = {
      samples: symmetries,
      vary: ["symmetry"],
      select: this.task.hasChecker ? ["valid", "q", "vote", "residual", "first"] : ["q", "vote", "residual", "first"],
      search: Boolean(description.can_search),
    };
    this.asked = 0;
  }

  /** Loads the runtime and the model. */
  open() {
    this.worker = new Worker(new URL("./onnx_worker.js", import.meta.url), { type: "module" });
    return new Promise((resolve, reject) => {
      this.worker.addEventListener("error", () => reject(new Error("The runtime for the model could not be loaded.")));
      this.worker.addEventListener("message", ({ data }) => {
        if (data.opened === true) resolve();
        if (data.opened === false) reject(new Error(`The model could not be opened: ${data.failed}`));
      });
      this.worker.postMessage({ open: this.toOpen });
    });
  }

  /** As HttpBackend.solve. */
  solve({ puzzle, puzzle_id, settings }, onSegment, signal) {
    const question = this.task.parse(puzzle);
    const puzzleId = puzzle_id ? this.identifiers.indexOf(puzzle_id) : 0;
    if (puzzleId < 0) throw new Error(`There is no puzzle ${JSON.stringify(puzzle_id)} among those this model knows.`);
    const number = this.asked++;
    const { halt, steps, samples, select, search, budget } = settings;
    return new Promise((resolve, reject) => {
      const finish = (act) => {
        this.worker.removeEventListener("message", hear);
        act();
      };
      const hear = ({ data }) => {
        if (data.number !== number) return;
        if (data.failed) finish(() => reject(new Error(data.failed)));
        else if (data.segment) onSegment(this.written(data.segment));
        else if (data.answer) finish(() => resolve(this.result(puzzle, question, data.answer, settings)));
      };
      signal?.addEventListener("abort", () => {
        this.worker.postMessage({ stop: number });
        finish(() => reject(new DOMException("stopped", "AbortError")));
      });
      this.worker.addEventListener("message", hear);
      this.worker.postMessage({ solve: { number, question, options: { puzzleId, halt, steps, samples, select, search, budget } } });
    });
  }

  written({ tokens, ...said }) {
    return { ...said, answer: this.task.write(tokens) };
  }

  result(puzzle, question, said, settings) {
    const right = this.task.hasChecker && this.task.check(question, said.tokens);
    return {
      question: puzzle,
      answer: this.task.write(said.tokens),
      status: this.task.hasChecker ? (right ? "verified" : "unsolved") : "unverified",
      steps: said.steps,
      limit: settings.steps,
      q_halt: said.q_halt,
      samples: settings.samples,
      solved_by: said.solved_by,
      segments: said.segments,
      ...(settings.search ? { search: said.outcome, nodes: said.nodes } : {}),
      points: said.points,
    };
  }
}
