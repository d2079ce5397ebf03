// Thinking done by the server that the page came from.

import { events, messageOf } from "./event_stream.js";

export class HttpBackend {
  constructor(manifest, base) {
    const { description } = manifest;
    this.address = new URL("v1/solve", base);
    this.offers = {
      samples: true,
      vary: description.has_symmetries ? ["symmetry", "init", "noise"] : ["init", "noise"],
      select: description.has_checker ? ["valid", "q", "vote", "residual", "first"] : ["q", "vote", "residual", "first"],
      search: Boolean(description.can_search),
    };
  }

  /** Nothing to load: the server has the model. */
  async open() {}

  /** Solves one puzzle; calls onSegment for each segment and returns the result. Throws an Error with what to show. */
  async solve({ puzzle, puzzle_id, settings }, onSegment, signal) {
    const response = await fetch(this.address, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ puzzle, puzzle_id, ...settings, trace: true, stream: true }),
      signal,
    }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it still running?");
    });
    if (!response.ok) throw new Error(await messageOf(response));
    let result = null;
    for await (const { event, data } of events(response)) {
      if (event === "segment") onSegment(JSON.parse(data));
      else if (event === "answer") result = JSON.parse(data);
      else if (event === "error") throw new Error(JSON.parse(data).error?.message ?? "The server could not go on.");
      else if (event === "done") break;
    }
    if (!result) throw new Error("The server broke off before it had an answer. Try again.");
    return result;
  }
}
