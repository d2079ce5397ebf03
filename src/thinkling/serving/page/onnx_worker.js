// Runs the exported graph beside the page, so that the page stays awake while the model thinks.
//
// Messages in:  {open: {ort, folder, model, graph, halting, task}}, {solve: {number, question, options}}, {stop: number}
// Messages out: {opened}, {number, segment}, {number, answer}, {number, failed}

import { taskOf } from "./tasks.js";
import { think } from "./thinking_loop.js";
import { project } from "./trajectory.js";

let opened = null;
const stopped = new Set();

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
  return { run, graph, halting, task: taskOf(task) };
}

async function solve({ number, question, options }) {
  const { run, graph, halting, task } = await opened;
  const thinking = think(run, graph, halting, task, question, {
    ...options,
    random: mulberry(options.seed ?? 0),
    stopped: () => stopped.has(number),
  });
  for (;;) {
    const { value, done } = await thinking.next();
    if (done) {
      const { states, ...answer } = value;
      postMessage({ number, answer: { ...answer, points: project(states) } });
      return;
    }
    postMessage({ number, segment: value });
    // A turn of the event loop, so that a message to stop is heard.
    await new Promise((resolve) => setTimeout(resolve));
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
