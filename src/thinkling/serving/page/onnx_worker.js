// Runs the exported graph beside the page, so that the page stays awake while the model thinks.
//
// Messages in:  {open: {ort, folder, model, graph, halting, task}}, {solve: {number, question, options}}, {stop: number}
//               (options as for `think`; with `search`, as for `search`)
// Messages out: {opened}, {number, segment}, {number, answer}, {number, failed}

import { search } from "./search.js";
import { rulesOf } from "./search_rules.js";
import { taskOf } from "./tasks.js";
import { think } from "./thinking_loop.js";
import { project } from "./trajectory.js";

let opened = null;
const stopped = new Set();
/** Milliseconds after which a message to stop is heard. */
const DEAFEST = 20;

async function open({ ort: address, folder, model, graph, halting, task }) {
  const ort = await import(address);
  ort.env.wasm.wasmPaths = folder;
  // More threads need headers that a plain folder of files is not served with.
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const run = (feeds) => {
    const tensors = Object.entries(feeds)
      .filter(([name]) => session.inputNames.includes(name))
      .map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]);
    return session.run(Object.fromEntries(tensors));
  };
  return { run, settings: { sizes: graph, halting }, task: taskOf(task), rules: rulesOf(task) };
}

async function solve({ number, question, options }) {
  const { run, settings, task, rules } = await opened;
  const all = { ...options, random: mulberry(options.seed ?? 0), stopped: () => stopped.has(number) };
  const thinking = options.search ? search(run, settings, task, rules, question, all) : think(run, settings, task, question, all);
  let listened = performance.now();
  for (let step = 1; ; step++) {
    const { value, done } = await thinking.next();
    if (done) {
      const { states, logits, ...answer } = value;
      postMessage({ number, answer: { ...answer, points: project(states) } });
      return;
    }
    postMessage({ number, segment: { step, ...value } });
    if (performance.now() - listened < DEAFEST) continue;
    // A turn of the event loop, so that a message to stop is heard. It takes milliseconds: not after every segment.
    await new Promise((resolve) => setTimeout(resolve));
    listened = performance.now();
  }
}

/** Numbers in [0, 1) that a seed decides. */
function mulberry(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

onmessage = ({ data }) => {
  if (data.open) {
    opened = open(data.open);
    opened.then(
      () => postMessage({ opened: true }),
      (error) => postMessage({ opened: false, failed: String(error?.message ?? error) }),
    );
  } else if (data.solve) {
    solve(data.solve).catch((error) => postMessage({ number: data.solve.number, failed: String(error?.message ?? error) }));
  } else if (data.stop !== undefined) {
    stopped.add(data.stop);
  }
};
