// How to think: the settings of a question, as a form that offers only what this model and who runs it can do.

const STOP = {
  valid: "the answer checks out",
  q: "the model is sure",
  never: "all segments are used",
};
const VARY = { symmetry: "symmetric copies", init: "random starts", noise: "noise on the way" };
const SELECT = {
  valid: "one that checks out",
  q: "the one most sure of itself",
  vote: "the answer most of them give",
  residual: "the one most at rest",
  first: "the first to stop",
};
const CHAINS = [1, 2, 4, 8, 16];

export class SettingsForm {
  /** Fills a form. `offers`: what the backend can do; `onChange` is called after each change. */
  constructor(form, description, offers, task, onChange) {
    this.defaults = {
      halt: description.has_checker ? "valid" : "q",
      steps: Math.min(description.limit, description.max_steps),
      samples: 1,
      vary: offers.vary[0],
      select: offers.select[0],
      search: false,
      budget: Math.min(256, description.max_budget),
      puzzle_id: "",
    };
    const halts = description.has_checker ? ["valid", "q", "never"] : ["q", "never"];
    this.fields = {
      halt: choice("Stop when", halts, STOP),
      steps: number("Segments at most", 1, description.max_steps, `trained with ${description.limit}`),
      samples: offers.samples ? choice("Chains at once", CHAINS.filter((count) => count <= description.max_samples), {}) : null,
      vary: offers.samples && offers.vary.length > 1 ? choice("Chains differ by", offers.vary, VARY) : null,
      select: offers.samples ? choice("Of the chains take", offers.select, SELECT) : null,
      search: offers.search ? tick("Search where thinking is not enough") : null,
      budget: offers.search ? number("Segments for the search", 1, description.max_budget, "at most") : null,
      puzzle_id: task.named ? text("Puzzle it belongs to", "such as 007bbfb7") : null,
    };
    form.replaceChildren(...Object.values(this.fields).filter(Boolean).map(({ label }) => label));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this.apart();
      onChange();
    });
    this.set({});
  }

  /** Fields that say nothing without another one are not to be filled in. */
  apart() {
    const { samples, vary, select, search, budget } = this.fields;
    const alone = !samples || samples.input.value === "1";
    for (const field of [vary, select]) if (field) field.input.disabled = alone;
    if (budget) budget.input.disabled = !search.input.checked;
  }

  /** Takes values where they are of the right kind, and the defaults for all others. */
  set(values) {
    for (const [name, field] of Object.entries(this.fields)) if (field) field.put(values[name], this.defaults[name]);
    this.apart();
  }

  read(name) {
    return this.fields[name] ? this.fields[name].get() : this.defaults[name];
  }

  /** What /v1/solve is asked with. */
  get values() {
    const settings = { halt: this.read("halt"), steps: this.read("steps"), samples: Number(this.read("samples")) };
    if (settings.samples > 1) Object.assign(settings, { vary: this.read("vary"), select: this.read("select") });
    if (this.read("search")) Object.assign(settings, { search: true, budget: this.read("budget") });
    return settings;
  }

  get puzzleId() {
    return this.read("puzzle_id").trim();
  }

  /** The settings in a few words. */
  get short() {
    const { halt, steps, samples, search } = this.values;
    const said = [`until ${STOP[halt]}`, `${steps} segments at most`];
    if (samples > 1) said.push(`${samples} chains`);
    if (search) said.push("search");
    return said.join(", ");
  }
}

function labelled(name, input, note = "") {
  const label = document.createElement("label");
  label.className = "field";
  const words = document.createElement("span");
  words.textContent = name;
  if (note) {
    const small = document.createElement("small");
    small.textContent = note;
    words.append(" ", small);
  }
  label.append(words, input);
  return label;
}

function choice(name, values, words) {
  const input = document.createElement("select");
  for (const value of values) input.add(new Option(words[value] ?? String(value), String(value)));
  return {
    label: labelled(name, input),
    input,
    get: () => input.value,
    put(value, otherwise) {
      input.value = String(values.some((known) => String(known) === String(value)) ? value : otherwise);
    },
  };
}

function number(name, least, most, note) {
  const input = document.createElement("input");
  Object.assign(input, { type: "number", min: least, max: most, step: 1, inputMode: "numeric" });
  const bounded = (value) => Math.min(Math.max(Math.round(value), least), most);
  let otherwise = least;
  input.addEventListener("change", () => (input.value = bounded(Number(input.value) || otherwise)));
  return {
    label: labelled(name, input, note),
    input,
    get: () => bounded(Number(input.value) || otherwise),
    put(value, usual) {
      otherwise = usual;
      input.value = Number.isFinite(value) ? bounded(value) : usual;
    },
  };
}

function tick(name) {
  const input = document.createElement("input");
  input.type = "checkbox";
  const label = labelled(name, input);
  label.classList.add("tick");
  return { label, input, get: () => input.checked, put: (value) => (input.checked = value === true) };
}

function text(name, hint) {
  const input = document.createElement("input");
  Object.assign(input, { type: "text", placeholder: hint, spellcheck: false, maxLength: 200 });
  return { label: labelled(name, input), input, get: () => input.value, put: (value) => (input.value = typeof value === "string" ? value : "") };
}
