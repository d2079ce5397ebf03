// A language model: a conversation whose answers arrive piece by piece, with the reasoning folded away.
//
//   mount(element, manifest);      manifest: as /manifest.json; its examples are first messages

import { events, messageOf } from "./event_stream.js";
import { html } from "./svg.js";

const ENDINGS = {
  length: "cut off: the limit of tokens was reached",
  stopped: "stopped",
};
// So near to its end a conversation follows what is being written.
const NEAR_END = 40;

/** Put the view into an element. */
export function mount(element, manifest) {
  const parts = build(manifest);
  element.replaceChildren(parts.box);
  let messages = [];
  let running = null;

  const ask = async (text) => {
    const said = text.trim();
    if (said === "" || running !== null) return;
    const request = new AbortController();
    running = request;
    parts.empty.hidden = true;
    parts.log.append(html("li", { class: "message from-user" }, html("div", { class: "bubble" }, said)));
    const asked = [...messages, { role: "user", content: said }];
    const answer = answerItem();
    parts.log.append(answer.item);
    parts.input.value = "";
    resize(parts.input);
    parts.box.classList.add("is-thinking");
    parts.send.hidden = true;
    parts.stop.hidden = false;
    follow(parts.log, true);
    try {
      for await (const piece of pieces(bodyOf(asked, parts), request.signal)) {
        const near = isNearEnd(parts.log);
        answer.take(piece);
        follow(parts.log, near);
      }
      messages = [...asked, { role: "assistant", content: answer.content() }];
      answer.end();
      parts.said.textContent = answer.content();
    } catch (error) {
      if (request.signal.aborted) {
        // What has been read so far is part of the conversation, unless a new one has begun.
        if (running === request && answer.content() !== "") {
          messages = [...asked, { role: "assistant", content: answer.content() }];
        }
        answer.end(ENDINGS.stopped);
      } else {
        answer.end(null, explained(error));
        // What could not be answered may be sent again.
        if (parts.input.value === "") parts.input.value = said;
      }
    } finally {
      if (running === request) idle();
      follow(parts.log, isNearEnd(parts.log));
    }
  };
  const idle = () => {
    running = null;
    parts.box.classList.remove("is-thinking");
    parts.send.hidden = false;
    parts.stop.hidden = true;
    parts.input.focus();
  };

  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(parts.input.value);
  });
  parts.input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask(parts.input.value);
    }
  });
  parts.input.addEventListener("input", () => resize(parts.input));
  parts.stop.addEventListener("click", () => running?.abort());
  parts.fresh.addEventListener("click", () => {
    running?.abort();
    messages = [];
    parts.log.replaceChildren(parts.empty);
    parts.empty.hidden = false;
    idle();
  });
  // The settings take room from the conversation: its end stays in sight.
  parts.settings.addEventListener("toggle", () => follow(parts.log, true));
  for (const [button, text] of parts.examples) button.addEventListener("click", () => ask(text));
}

function build(manifest) {
  const examples = (manifest.examples ?? []).map(({ name, puzzle }) => [
    html("button", { type: "button", class: "chip" }, name ?? puzzle),
    puzzle,
  ]);
  const empty = html("li", { class: "chat-empty" }, html("h1", {}, "Ask something"), html("p", {}, "What the model thinks before it answers can be unfolded."),
    html("div", { class: "examples", role: "group", "aria-label": "Examples" }, ...examples.map(([button]) => button)));
  const log = html("ol", { class: "chat-log", tabindex: 0, "aria-label": "Conversation" }, empty);
  const input = html("textarea", { class: "chat-input", rows: 1, placeholder: "Message", "aria-label": "Message" });
  const send = html("button", { type: "submit", class: "button primary" }, "Send");
  const stop = html("button", { type: "button", class: "button", hidden: true }, "Stop");
  const fresh = html("button", { type: "button", class: "button" }, "New conversation");
  const temperature = number("Temperature", { min: 0, max: 2, step: 0.1, value: 0 }, "0: always the likeliest word");
  const most = number("Most tokens", { min: 1, step: 1, placeholder: "no limit" }, "of an answer, its reasoning included");
  const budget = number("Thinking budget", { min: 0, step: 1, placeholder: "no limit" }, "most tokens of reasoning");
  const thinking = html("input", { type: "checkbox", checked: true });
  const settings = html("details", { class: "chat-settings" }, html("summary", {}, "Settings"),
    html("div", { class: "settings-grid" }, temperature.label, most.label, budget.label,
      html("label", { class: "check" }, thinking, "Reason before answering")));
  const form = html("form", { class: "chat-form" }, html("div", { class: "chat-line" }, input, send, stop),
    html("div", { class: "row chat-under" }, settings, fresh));
  // A screen reader says an answer once, when it is whole, and not letter by letter.
  const said = html("output", { class: "only-heard", "aria-live": "polite" });
  const box = html("div", { class: "chat-view" }, log, form, said);
  return { box, said, log, settings, empty, examples, input, send, stop, fresh, form, temperature: temperature.input, most: most.input,
    budget: budget.input, thinking };
}

function number(name, attributes, hint) {
  const input = html("input", { type: "number", inputmode: "decimal", title: hint, ...attributes });
  return { input, label: html("label", { title: hint }, html("span", {}, name), input) };
}

function bodyOf(messages, parts) {
  const given = (input) => (input.value === "" ? undefined : Number(input.value));
  return {
    messages,
    stream: true,
    stream_options: { include_usage: true },
    temperature: given(parts.temperature),
    max_tokens: given(parts.most),
    think_budget: given(parts.budget),
    chat_template_kwargs: { enable_thinking: parts.thinking.checked },
  };
}

/** What the server sends: { reasoning, content, finish, usage }, each where a chunk has it. */
async function* pieces(body, signal) {
  const answer = await fetch("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (!answer.ok) throw new Error(await messageOf(answer));
  for await (const { data } of events(answer)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const [choice] = chunk.choices;
    yield {
      reasoning: choice?.delta.reasoning_content,
      content: choice?.delta.content,
      finish: choice?.finish_reason,
      usage: chunk.usage,
    };
  }
  throw new Error("The answer broke off. Send the message again.");
}

function explained(error) {
  return error instanceof TypeError ? "The server does not answer." : error.message;
}

/** The element of one answer and what fills it. */
function answerItem() {
  const title = html("span", {}, "Thinking …");
  const reasoning = html("div", { class: "reasoning-text" });
  const fold = html("details", { class: "reasoning", hidden: true }, html("summary", {}, title), reasoning);
  const text = html("div", { class: "bubble", "aria-busy": "true" }, html("span", { class: "typing" }, "…"));
  const under = html("p", { class: "message-note" });
  const item = html("li", { class: "message from-model" }, fold, text, under);
  const start = performance.now();
  let content = "";
  let thought = "";
  let thoughtFor = null;
  let usage = null;
  let finish = null;

  const foldTitle = (tokens) => {
    const seconds = ((thoughtFor ?? performance.now() - start) / 1000).toFixed(1);
    title.textContent = `Thought for ${seconds} s${tokens ? `, ${tokens} tokens` : ""}`;
  };
  return {
    item,
    content: () => content,
    take(piece) {
      if (piece.reasoning) {
        fold.hidden = false;
        thought += piece.reasoning;
        reasoning.textContent = thought.trim();
      }
      if (piece.content) {
        if (content === "" && thought !== "") {
          thoughtFor = performance.now() - start;
          foldTitle(null);
        }
        content += piece.content;
        text.textContent = content.trim();
      }
      finish = piece.finish ?? finish;
      usage = piece.usage ?? usage;
    },
    end(ending = null, error = null) {
      text.removeAttribute("aria-busy");
      if (content === "") text.hidden = true;
      else text.textContent = content.trim();
      if (thought !== "") foldTitle(usage?.completion_tokens_details?.reasoning_tokens);
      if (error !== null) {
        under.classList.add("error-line");
        under.setAttribute("role", "alert");
        under.textContent = error;
        return;
      }
      const seconds = (performance.now() - start) / 1000;
      const speed = usage ? `${usage.completion_tokens} tokens · ${(usage.completion_tokens / seconds).toFixed(0)} a second` : "";
      under.textContent = [ending ?? ENDINGS[finish], speed].filter(Boolean).join(" · ");
    },
  };
}

/** A field as high as its text, up to a few lines. */
function resize(input) {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight + 2, 160)}px`;
}

function isNearEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
}

function follow(log, wanted) {
  if (wanted) log.scrollTop = log.scrollHeight;
}
