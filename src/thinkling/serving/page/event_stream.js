// Server-sent events of an answer to any request (the browser's own EventSource can only ask with GET), after the HTML
// standard, section 9.2.6.

/**
 * The events of an answer as they come: { event, data }, `event` being "message" where it is not named.
 *
 * answer: of `fetch`. A piece of the stream may end anywhere, in the middle of a letter too.
 */
export async function* events(answer) {
  let name = "";
  let data = [];
  for await (const line of lines(answer.body)) {
    if (line === "") {
      if (data.length > 0) yield { event: name || "message", data: data.join("\n") };
      name = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
}

async function* lines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      // A carriage return at the end may be the first half of a line's end.
      const whole = done ? rest.length : rest.endsWith("\r") ? rest.length - 1 : rest.length;
      const parts = rest.slice(0, whole).split(/\r\n|\r|\n/);
      rest = parts.pop() + rest.slice(whole);
      yield* parts;
      if (done) return;
    }
  } finally {
    // Whoever stops listening lets the server know.
    await reader.cancel().catch(() => {});
  }
}

/** An error's own words, from an answer that is not 2xx. */
export async function messageOf(answer) {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text);
    if (typeof error?.message === "string") return error.message;
  } catch {
    // not from our server
  }
  return `the server answered ${answer.status} ${answer.statusText}`.trim();
}
