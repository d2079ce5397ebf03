// Thinking-BERT: a text with masks, what stands at each of them after every round, and how sure the model is.
//
//   mount(element, manifest);      manifest: as /manifest.json; its examples are texts

import { messageOf } from "./event_stream.js";
import { html } from "./svg.js";

const MASK = "<mask>";
const AS_TYPED = /<mask>|<MASK>|\[MASK\]/;
const PLAY_DELAY = 700;

/** Put the view into an element. */
export function mount(element, manifest) {
  const parts = build(manifest);
  element.replaceChildren(parts.box);
  let asked = null;
  let shown = null;
  let timer = 0;

  const ask = async () => {
    asked?.abort();
    stop();
    const request = new AbortController();
    asked = request;
    parts.error.textContent = "";
    parts.box.classList.add("is-thinking");
    parts.status.textContent = "thinking …";
    const text = parts.text.value;
    try {
      const answer = await fetch("v1/fill", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ text, top_k: Number(parts.count.value), trace: true }),
        signal: request.signal,
      });
      if (!answer.ok) throw new Error(await messageOf(answer));
      show(text, await answer.json());
    } catch (error) {
      if (asked !== request) return;
      parts.error.textContent = error instanceof TypeError ? "The server does not answer." : error.message;
      parts.status.textContent = "";
    } finally {
      if (asked === request) parts.box.classList.remove("is-thinking");
    }
  };

  const show = (text, filled) => {
    shown = { text, filled, mask: 0, rounds: filled.trace?.length ?? 0 };
    parts.slider.max = String(Math.max(1, shown.rounds));
    reserve();
    parts.slider.value = parts.slider.max;
    parts.slider.disabled = parts.play.disabled = shown.rounds < 2;
    draw();
    if (shown.rounds > 1 && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  };

  // As high as the round with the longest words, so that nothing below it moves from round to round.
  const reserve = () => {
    parts.filled.style.minHeight = "";
    let highest = 0;
    for (let round = 1; round <= Math.max(1, shown.rounds); round += 1) {
      drawText(parts, shown, round, () => {});
      highest = Math.max(highest, parts.filled.offsetHeight);
    }
    parts.filled.style.minHeight = `${highest}px`;
  };

  const draw = () => {
    if (shown === null) return;
    const round = Number(parts.slider.value);
    const choose = (mask) => {
      shown.mask = mask;
      draw();
      parts.filled.querySelectorAll("button")[mask]?.focus();
    };
    drawText(parts, shown, round, choose);
    drawCandidates(parts, shown);
    drawRounds(parts, shown, round, (chosen) => {
      stop();
      parts.slider.value = String(chosen);
      draw();
    });
  };

  const stop = () => {
    window.clearInterval(timer);
    timer = 0;
    parts.play.textContent = "Play";
  };
  const play = () => {
    stop();
    parts.slider.value = "1";
    parts.play.textContent = "Pause";
    draw();
    timer = window.setInterval(() => {
      parts.slider.value = String(Number(parts.slider.value) + 1);
      draw();
      if (parts.slider.value === parts.slider.max) stop();
    }, PLAY_DELAY);
  };

  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  parts.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask();
    }
  });
  parts.insert.addEventListener("click", () => {
    parts.text.setRangeText(MASK, parts.text.selectionStart, parts.text.selectionEnd, "end");
    parts.text.focus();
  });
  parts.slider.addEventListener("input", () => {
    stop();
    draw();
  });
  parts.play.addEventListener("click", () => (timer === 0 ? play() : stop()));
  for (const [button, text] of parts.examples) {
    button.addEventListener("click", () => {
      parts.text.value = text;
      ask();
    });
  }
}

function build(manifest) {
  const examples = (manifest.examples ?? []).map(({ name, puzzle }) => [
    html("button", { type: "button", class: "chip" }, name ?? puzzle),
    puzzle,
  ]);
  const text = html("textarea", { class: "fill-input", rows: 2, id: "fill-text", spellcheck: "false", required: true });
  text.value = examples[0]?.[1] ?? `The capital of France is ${MASK}.`;
  const count = html("select", { id: "fill-count" }, ...[3, 5, 10].map((n) => html("option", { selected: n === 5 }, n)));
  const insert = html("button", { type: "button", class: "button" }, `Insert ${MASK}`);
  const error = html("p", { class: "error-line", role: "alert" });
  const form = html("form", { class: "panel fill-form" },
    html("label", { for: "fill-text", class: "panel-title" }, `Text, with ${MASK} where a word is wanted`),
    text,
    html("div", { class: "row" },
      html("button", { type: "submit", class: "button primary" }, "Fill"), insert,
      html("span", { class: "row-end" }, html("label", { for: "fill-count" }, "Candidates"), count)),
    html("div", { class: "examples", role: "group", "aria-label": "Examples" }, ...examples.map(([button]) => button)), error);
  const filled = html("p", { class: "fill-text", "aria-live": "polite" });
  const status = html("p", { class: "fill-status", role: "status" });
  const slider = html("input", { type: "range", min: 1, max: 1, value: 1, disabled: true, "aria-label": "Round" });
  const play = html("button", { type: "button", disabled: true, class: "button play-button" }, "Play");
  const candidates = html("ol", { class: "candidates" });
  const which = html("h2", { class: "panel-title" }, "Candidates");
  const rounds = html("table", { class: "rounds" });
  const box = html("div", { class: "fill-view" }, introduction(manifest), form,
    html("section", { class: "panel", "aria-label": "Answer" }, filled, html("div", { class: "row" }, play, slider), status),
    html("div", { class: "fill-columns" },
      html("section", { class: "panel" }, which, candidates),
      html("section", { class: "panel" }, html("h2", { class: "panel-title" }, "Round by round"),
        html("div", { class: "scroll" }, rounds))));
  return { box, form, text, count, insert, examples, error, filled, status, slider, play, candidates, which, rounds };
}

function introduction({ description }) {
  const size = description?.params ? `${Intl.NumberFormat("en", { notation: "compact" }).format(description.params)} parameters that think` : "A small network that thinks";
  const limit = description?.limit ? `, ${description.limit} at most,` : "";
  return html("section", { class: "fill-intro" }, html("h1", {}, "Fill the masks"),
    html("p", { class: "facts" }, `${size} in rounds${limit} and stop${description?.params ? "" : "s"} when done.`));
}

/** The guesses of a round; of the answer itself where the rounds were not told. */
function guesses({ filled }, round) {
  return filled.trace?.[round - 1]?.guesses ?? filled.masks.map((mask) => mask.candidates[0]);
}

function drawText(parts, shown, round, choose) {
  const now = guesses(shown, round);
  const before = round > 1 ? guesses(shown, round - 1) : now;
  const chips = now.map((guess, mask) => {
    const chip = html("button", {
      type: "button",
      class: `fill-chip${mask === shown.mask ? " is-chosen" : ""}${guess.token !== before[mask].token ? " is-changed" : ""}`,
      "aria-pressed": String(mask === shown.mask),
      title: `${percent(guess.probability)} sure`,
    }, readable(guess.token));
    chip.style.setProperty("--sure", guess.probability.toFixed(3));
    chip.addEventListener("click", () => choose(mask));
    return chip;
  });
  const pieces = shown.text.split(new RegExp(AS_TYPED, "g"));
  parts.filled.replaceChildren(
    ...(pieces.length === chips.length + 1
      ? pieces.flatMap((piece, i) => (i === 0 ? [piece] : [chips[i - 1], piece]))
      : [shown.filled.text, " ", ...chips]),
  );
  const sure = shown.filled.trace?.[round - 1]?.q_halt ?? shown.filled.q_halt;
  const rounds = shown.filled.steps;
  parts.status.textContent =
    `round ${Math.min(round, rounds)} of ${rounds} · its own estimate of being right: ${percent(sure)}`;
}

function drawCandidates(parts, { filled, mask }) {
  parts.which.textContent = filled.masks.length > 1 ? `Candidates for mask ${mask + 1}` : "Candidates";
  parts.candidates.replaceChildren(
    ...filled.masks[mask].candidates.map(({ token, probability }) => {
      const bar = html("span", { class: "candidate-bar" });
      bar.style.setProperty("--share", probability.toFixed(4));
      return html("li", {}, html("span", { class: "candidate-word" }, readable(token)), bar,
        html("span", { class: "candidate-number" }, percent(probability)));
    }),
  );
}

function drawRounds(parts, { filled }, round, choose) {
  const trace = filled.trace ?? [];
  const names = filled.masks.map((_, mask) => (filled.masks.length === 1 ? "mask" : `mask ${mask + 1}`));
  const head = html("tr", {}, ...["round", ...names, "sure"].map((name) => html("th", { scope: "col" }, name)));
  const rows = trace.map((entry, i) => {
    const cells = entry.guesses.map((guess, mask) => {
      const cell = html("td", {}, html("span", { class: "round-word" }, readable(guess.token)),
        html("small", {}, percent(guess.probability)));
      cell.style.setProperty("--sure", guess.probability.toFixed(3));
      cell.className = i > 0 && trace[i - 1].guesses[mask].token !== guess.token ? "round-guess is-changed" : "round-guess";
      return cell;
    });
    const number = html("button", { type: "button", class: "round-button", "aria-label": `Show round ${i + 1}` }, i + 1);
    number.addEventListener("click", () => choose(i + 1));
    return html("tr", { class: i + 1 === round ? "is-now" : "" }, html("th", { scope: "row" }, number), ...cells,
      html("td", { class: "number" }, percent(entry.q_halt)));
  });
  parts.rounds.replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`;
}

/** A token without the blank before it; one that is nothing but blanks or marks, as JSON writes it. */
function readable(token) {
  const bare = token.trim();
  return bare === "" || /\p{C}/u.test(bare) ? JSON.stringify(token) : bare;
}
