// What can be put into cells: keys for digits, brushes for painting, a line for text, and a grid's size.

/**
 * Puts the palette of a task into an element.
 *
 * @param onToken  (token) a key was pressed (a task that is typed into)
 * @param onText   (text) the question was written (a task of text); throws where it is malformed
 * @param onSize   (rows, columns) another size was asked for
 * @returns {brush(), showText(text), showSize(rows, columns)}
 */
export function mountPalette(element, task, { onToken, onText, onSize }) {
  if (task.editing === "text") return textLine(element, onText);
  const painting = task.editing === "paint";
  let chosen = task.palette[0]?.token ?? null;
  const keys = task.palette.map(({ token, label, look, kind }) => {
    const key = document.createElement("button");
    key.type = "button";
    key.className = "key";
    key.textContent = look;
    key.setAttribute("aria-label", label);
    key.title = label;
    if (painting) {
      key.dataset.kind = kind ?? label.toLowerCase();
      key.setAttribute("aria-pressed", String(token === chosen));
      if (!look && !kind) key.append(label);
    }
    key.addEventListener("click", () => {
      if (!painting) return onToken(token);
      chosen = token;
      keys.forEach((other) => other.setAttribute("aria-pressed", String(other === key)));
    });
    // Pressing a key leaves the cell that was chosen in focus.
    key.addEventListener("pointerdown", (event) => event.preventDefault());
    return key;
  });
  element.style.setProperty("--keys", keys.length);
  element.replaceChildren(...keys);
  const sizes = task.resizable ? sizeFields(element, task.resizable, onSize) : null;
  return {
    brush: () => chosen,
    showText() {},
    showSize: (rows, columns) => sizes?.(rows, columns),
  };
}

function textLine(element, onText) {
  const input = document.createElement("input");
  Object.assign(input, { type: "text", spellcheck: false, autocomplete: "off", className: "text-line" });
  input.setAttribute("aria-label", "Question");
  input.addEventListener("input", () => onText(input.value));
  element.classList.add("palette-text");
  element.replaceChildren(input);
  return { brush: () => null, showText: (text) => input.value !== text && (input.value = text), showSize() {} };
}

function sizeFields(element, most, onSize) {
  const fields = ["rows", "columns"].map((name) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "number", min: 1, max: most, className: "size" });
    input.setAttribute("aria-label", name);
    return input;
  });
  const [rows, columns] = fields;
  const bounded = (input) => Math.min(Math.max(Math.round(Number(input.value) || 1), 1), most);
  for (const input of fields) input.addEventListener("change", () => onSize(bounded(rows), bounded(columns)));
  const group = document.createElement("span");
  group.className = "sizes";
  group.append(rows, "×", columns);
  element.append(group);
  return (rowCount, columnCount) => {
    rows.value = rowCount;
    columns.value = columnCount;
  };
}
