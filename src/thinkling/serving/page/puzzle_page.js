// The page of a puzzle model: choose or write a puzzle, let the model think, look at every segment of the thought.

import { Board } from "./board.js";
import { drawCellOf, viewOf } from "./cell_pictures.js";
import * as charts from "./charts.js";
import * as download from "./download.js";
import { mountPalette } from "./palette.js";
import { Player } from "./player.js";
import { SettingsForm } from "./settings_form.js";
import * as share from "./share.js";
import { taskOf } from "./tasks.js";
import { Thought, verdict } from "./thought.js";

/** Puts the page of a model in place. */
export function mountPuzzlePage(app, manifest, backend) {
  const task = taskOf(manifest.description.task);
  if (!task) throw new Error(`This page cannot draw puzzles of the kind ${JSON.stringify(manifest.description.task?.name)}.`);
  app.replaceChildren(document.querySelector("#puzzle-page").content.cloneNode(true));
  return new PuzzlePage(app, manifest, backend, task);
}

class PuzzlePage {
  constructor(root, manifest, backend, task) {
    this.find = (selector) => root.querySelector(selector);
    this.manifest = manifest;
    this.backend = backend;
    this.task = task;
    this.question = task.empty();
    this.thought = null;
    this.work = null;
    this.pointed = null;
    this.introduce();
    this.mountBoards();
    this.mountOptions();
    this.arrange();
    this.player = new Player({ play: this.find(".play"), bars: this.find(".bars"), scrub: this.find(".scrub") }, (number) => this.showSegment(number));
    this.charts = charts.mount(this.find(".charts-here"), { onStep: (step) => this.goTo(step) });
    this.find(".solve").addEventListener("click", () => (this.work ? this.work.abort() : this.solve()));
    this.find(".edit").addEventListener("click", () => this.edit(true));
    this.find(".clear").addEventListener("click", () => this.load(task.empty()));
    document.addEventListener("paste", (event) => this.paste(event));
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.restore());
    // Whoever waits for the model may look at the puzzle meanwhile.
    this.opened = backend.open();
    this.opened.catch((error) => this.complain(error.message));
    if (!this.restore()) this.begin();
  }

  introduce() {
    const { description } = this.manifest;
    this.find("h1").textContent = this.task.title;
    const params = description.params ? `${compact(description.params)} parameters` : "small";
    this.find(".facts").textContent = `${params} · ${description.limit} segments at most`;
    const buttons = (this.manifest.examples ?? []).map(({ name, puzzle, puzzle_id: id = "" }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chip";
      button.textContent = name;
      button.addEventListener("click", () => {
        if (!this.loadText(puzzle)) return;
        this.settings.set({ ...this.settings.values, puzzle_id: id });
        button.setAttribute("aria-pressed", "true");
      });
      return button;
    });
    this.find(".examples").replaceChildren(...buttons);
    this.chips = buttons;
  }

  /** On a desk the options lie under the board, in a hand below the answer; so does the order of the Tab key. */
  arrange() {
    const wide = matchMedia("(min-width: 900px)");
    const options = this.find(".options");
    const place = () => (wide.matches ? this.find(".stage").append(options) : this.find(".act").after(options));
    wide.addEventListener("change", place);
    place();
  }

  mountBoards() {
    const { task } = this;
    const boards = this.find(".boards");
    boards.classList.toggle("pair", task.pair);
    boards.dataset.editing = task.editing;
    const onEdit = task.editing === "text" ? null : (place, token) => this.enter(place, token);
    const onPoint = (place) => this.point(place);
    this.board = new Board(captioned(boards, task.pair ? "Question" : ""), task, { label: task.pair ? "Question" : task.title, onEdit, onPoint, brush: () => this.palette.brush() });
    this.answer = task.pair ? new Board(captioned(boards, "Answer"), task, { label: "Answer", onPoint }) : this.board;
    this.palette = mountPalette(this.find(".palette"), task, {
      onToken: (token) => this.enter(this.board.place, token, true),
      onText: (text) => this.loadText(text, true),
      onSize: (rows, columns) => this.load(task.resized(this.question, rows, columns)),
    });
    this.find(".how-to-edit").textContent = task.howToEdit;
  }

  mountOptions() {
    const { description } = this.manifest;
    const short = this.find(".how-short");
    const show = () => (short.textContent = this.settings.short);
    this.settings = new SettingsForm(this.find(".settings"), description, this.backend.offers, this.task, () => show());
    show();
    const form = this.find(".text-box form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.loadText(form.querySelector("textarea").value);
    });
    share.button(this.find(".share-here"), () => this.state);
    this.downloads = download.buttons(
      this.find(".download-here"),
      () => this.thought && viewOf(this.thought, this.manifest.name),
      (symbol, about) => drawCellOf()(symbol, about),
    );
    this.downloads.disabled = true;
  }

  // --- the question --------------------------------------------------------------------------------------------------

  /** Examples go from easy to hard: one of the middle shows the model thinking, where it sees the easy ones at once. */
  begin() {
    if (this.chips.length) this.chips[this.chips.length >> 1].click();
    else this.load(this.task.empty());
  }

  /** Takes a puzzle as text; says what is wrong with it and returns false where it is none. */
  loadText(text, writing = false) {
    try {
      this.load(this.task.parse(text), writing);
      return true;
    } catch (error) {
      this.complain(error.message);
      return false;
    }
  }

  load(tokens, written = false) {
    this.work?.abort();
    this.question = tokens;
    this.chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    if (!written) this.palette.showText(this.task.write(tokens));
    this.edit();
  }

  /** Puts a token into a cell; what was thought of the question before is gone with it. */
  enter(place, token, advance = false) {
    if (place === null || token === null || (this.thought && !this.task.pair)) return;
    if (this.question[place] !== token) {
      const next = [...this.question];
      const { single = [], blank } = this.task;
      // There is one S and one G: it moves, and is never painted over.
      if (single.includes(next[place])) return;
      if (single.includes(token)) next.forEach((other, cell) => other === token && (next[cell] = blank));
      next[place] = token;
      this.load(next);
    }
    if (advance && token !== this.task.palette.at(-1).token) this.board.moveTo(this.board.at + 1);
  }

  edit(focus = false) {
    this.work?.abort();
    this.thought = null;
    this.board.editable = Boolean(this.board.onEdit);
    this.tray("edit");
    const breaches = this.task.editing === "type" ? this.task.breaches(this.question, this.question) : new Set();
    this.board.show(this.question, null, { breaches });
    if (this.task.pair) this.answer.show(this.question.map(() => 0), null);
    this.palette.showSize(...this.task.extent(this.question));
    const unknown = this.question.filter((_, place) => this.task.unknown(this.question, place)).length;
    const why = this.task.editing === "type" ? `${unknown} cells to find.` : "";
    this.say("ready", "Ready", breaches.size ? "Marked cells hold the same digit in one unit." : why, []);
    this.charts.show([], null, 0);
    this.downloads.disabled = true;
    if (focus) this.board.moveTo(this.board.at);
  }

  paste(event) {
    if (event.target.closest("input, textarea, select")) return;
    const text = event.clipboardData?.getData("text") ?? "";
    if (text.trim()) {
      event.preventDefault();
      this.loadText(text);
    }
  }

  // --- thinking ------------------------------------------------------------------------------------------------------

  async solve(step = null) {
    const { values: settings } = this.settings;
    const work = new AbortController();
    const thought = new Thought(this.task, this.question, settings.search ? Math.max(settings.steps, settings.budget) : settings.steps);
    let puzzle;
    try {
      // Found here, a mistake is told at once.
      puzzle = this.task.write(this.question);
      this.task.parse(puzzle);
    } catch (error) {
      this.complain(error.message);
      return;
    }
    this.work = work;
    this.thought = thought;
    this.board.editable = false;
    this.player.reset(settings.steps);
    this.tray("watch");
    this.board.show(this.question, null);
    this.find(".readout").textContent = "";
    this.say("thinking", "Thinking", "", [["Segments", `0 of ${thought.limit}`]]);
    try {
      await this.opened;
      const result = await this.backend.solve({ puzzle, puzzle_id: this.settings.puzzleId, settings }, (segment) => {
        if (this.work === work) this.player.add(thought.add(segment));
      }, work.signal);
      if (this.thought !== thought) return;
      const closing = thought.close(result);
      if (closing) this.player.add(closing);
      this.finish(thought, step);
    } catch (error) {
      if (this.thought !== thought) return;
      // What has been thought already and is still to be shown must not talk over what is said now.
      thought.concluded = true;
      this.player.end();
      this.player.pause();
      this.player.go(thought.frames.length - 1);
      if (error.name === "AbortError") this.say("ready", "Stopped", "As far as it had come.", []);
      else this.complain(error.message);
    } finally {
      if (this.work === work) this.work = null;
      this.tray(this.thought ? "watch" : "edit");
    }
  }

  finish(thought, step) {
    this.downloads.disabled = false;
    this.player.end();
    if (step !== null) this.goTo(step);
    this.showSegment(this.player.at);
    if (step !== null) this.conclude();
  }

  showSegment(number) {
    const { thought } = this;
    if (!thought || number < 0) return;
    const frame = thought.frames[number];
    const ended = thought.result !== null && number === thought.frames.length - 1;
    this.answer.show(thought.question, frame.tokens, frame);
    this.board.grid.classList.toggle("settled", ended && thought.result.status === "verified");
    if (this.task.pair) this.board.show(thought.question, null);
    this.charts.show(thought.segments.slice(0, Math.max(number + 1, thought.concluded ? Infinity : 0)), thought.result?.points ?? null, frame.step);
    this.point(this.pointed);
    if (ended) this.conclude();
    // What is played after the end is no longer thinking; the verdict comes with its last picture.
    else if (!thought.concluded) this.say("thinking", thought.result ? "Playing back" : "Thinking", "", [["Segments", `${frame.step} of ${thought.result ? thought.frames.length : thought.limit}`]]);
  }

  conclude() {
    const { thought } = this;
    if (thought.concluded) return;
    thought.concluded = true;
    const { status, word, why, figures } = verdict(thought);
    this.say(status, word, why, figures);
    this.tray("watch");
    this.charts.show(thought.segments, thought.result.points ?? null, thought.frames[this.player.at].step);
  }

  point(place) {
    this.pointed = place;
    if (!this.thought || this.player.at < 0) return;
    const { thought, player } = this;
    const parts = place === null ? thought.told(player.at) : thought.toldOf(place, player.at);
    const words = parts.map(([text, about]) => {
      const span = document.createElement("span");
      span.className = about;
      span.textContent = text;
      return span;
    });
    this.find(".readout").replaceChildren(...words.flatMap((span, number) => (number ? [" · ", span] : [span])));
  }

  goTo(step) {
    if (!this.thought) return;
    this.player.pause();
    const number = this.thought.frames.findIndex((frame) => frame.step === step);
    this.player.go(number < 0 ? this.thought.frames.length - 1 : number);
  }

  // --- what is said --------------------------------------------------------------------------------------------------

  tray(which) {
    const watching = which === "watch";
    this.find(".tray-edit").hidden = watching;
    this.find(".tray-watch").hidden = !watching;
    this.find(".edit").hidden = !watching;
    this.find(".clear").hidden = watching;
    this.find(".solve").textContent = this.work ? "Stop" : watching ? "Solve again" : "Solve";
    this.find(".boards").dataset.mode = which;
  }

  say(status, word, why, figures) {
    const box = this.find(".verdict");
    box.dataset.status = status;
    this.find(".verdict-word").textContent = word;
    this.find(".verdict-why").textContent = why;
    const rows = figures.map(([name, value]) => {
      const group = document.createElement("div");
      const [term, said] = ["dt", "dd"].map((tag) => document.createElement(tag));
      [term.textContent, said.textContent] = [name, value];
      group.append(term, said);
      return group;
    });
    this.find(".figures").replaceChildren(...rows);
  }

  complain(message) {
    this.say("refused", "Not yet", message, []);
  }

  /** Space plays and pauses, wherever nothing else is done with it. */
  key(event) {
    const busy = event.target.closest?.("input:not(.scrub), textarea, select, button, summary, a");
    if (event.key === " " && this.thought && !busy && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.find(".play").click();
    }
  }

  // --- links ---------------------------------------------------------------------------------------------------------

  get state() {
    const shown = this.thought?.frames[this.player.at]?.step;
    return { puzzle: this.task.write(this.question), ...this.settings.values, puzzle_id: this.settings.puzzleId || undefined, step: shown };
  }

  /** Takes the address's state, where it has one. */
  restore() {
    const state = share.decode(window.location.hash);
    if (typeof state?.puzzle !== "string") return false;
    if (!this.loadText(state.puzzle)) return true;
    this.settings.set(state);
    this.find(".how-short").textContent = this.settings.short;
    if (Number.isInteger(state.step)) this.solve(state.step);
    return true;
  }
}

function captioned(element, caption) {
  const figure = document.createElement("figure");
  figure.className = "board-figure";
  if (caption) {
    const words = document.createElement("figcaption");
    words.textContent = caption;
    figure.append(words);
  }
  element.append(figure);
  return figure;
}

/** 1,234,567 as "1.2 million". */
function compact(count) {
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} million`;
  return count >= 1e3 ? `${Math.round(count / 1e3)} thousand` : String(count);
}
