// A picture of a puzzle: cells that show what is given and what is said, and that can be typed into or painted.

/**
 * Puts a board into an element.
 *
 * @param task      as tasks.js has it
 * @param label     what the board is called for those who do not see it
 * @param onEdit    (place, token) where the user enters a token; null for a board that is only looked at
 * @param onPoint   (place or null): the cell that the user looks at
 * @param brush     () -> the token to paint with
 */
export class Board {
  constructor(element, task, { label, onEdit = null, onPoint = () => {}, brush = () => null }) {
    this.task = task;
    this.onEdit = onEdit;
    this.onPoint = onPoint;
    this.brush = brush;
    this.editable = Boolean(onEdit);
    this.at = 0;
    this.grid = document.createElement("div");
    this.grid.className = "board";
    this.grid.dataset.task = task.editing;
    this.grid.setAttribute("role", "grid");
    this.grid.setAttribute("aria-label", label);
    element.append(this.grid);
    this.size = [-1, -1];
    this.cells = [];
    this.listen();
    // Letters grow with the cells.
    new ResizeObserver(() => this.fit()).observe(this.grid);
  }

  fit() {
    this.grid.style.fontSize = `${((this.grid.clientWidth / Math.max(this.size[1], 1)) * 0.54).toFixed(1)}px`;
  }

  /**
   * Draws a state.
   *
   * @param question  tokens [L]
   * @param answer    tokens [L], or null where nothing has been said yet
   * @param about     {confidence [L], changed Set, breaches Set}
   */
  show(question, answer, { confidence = null, changed = new Set(), breaches = new Set() } = {}) {
    const [rows, columns] = this.task.extent(answer ?? question);
    this.lay(rows, columns);
    for (const cell of this.cells) {
      const { place, element } = cell;
      const { text, kind } = this.task.cell(question, answer, place);
      const mine = answer !== null && this.task.unknown(question, place);
      if (cell.text !== text) element.firstChild.textContent = cell.text = text;
      if (cell.kind !== kind) element.dataset.kind = cell.kind = kind;
      element.style.setProperty("--sure", mine && confidence ? confidence[place].toFixed(3) : 0);
      element.classList.toggle("said", mine);
      element.classList.toggle("changed", mine && changed.has(place));
      element.classList.toggle("breach", breaches.has(place));
      element.setAttribute("aria-label", this.spoken(cell, mine && confidence ? confidence[place] : null));
    }
  }

  spoken({ row, column, text, kind }, sure) {
    const what = text || kind.replace("-", " ");
    return `row ${row + 1}, column ${column + 1}: ${what}${sure === null ? "" : `, ${Math.round(100 * sure)} % sure`}`;
  }

  /** Makes the cells, where their number has changed. */
  lay(rows, columns) {
    if (this.size[0] === rows && this.size[1] === columns) return;
    this.size = [rows, columns];
    this.grid.style.setProperty("--rows", Math.max(rows, 1));
    this.grid.style.setProperty("--columns", Math.max(columns, 1));
    this.grid.classList.toggle("dense", Math.max(rows, columns) > 16);
    const [blockRows, blockColumns] = this.task.block;
    this.cells = [];
    const lines = [];
    for (let row = 0; row < rows; row++) {
      const line = document.createElement("div");
      line.setAttribute("role", "row");
      line.className = "board-row";
      for (let column = 0; column < columns; column++) {
        const element = document.createElement("div");
        element.setAttribute("role", "gridcell");
        element.className = "cell";
        element.tabIndex = -1;
        if (column && column % blockColumns === 0) element.classList.add("edge-left");
        if (row && row % blockRows === 0) element.classList.add("edge-top");
        element.append(document.createElement("span"));
        this.cells.push({ place: row * this.task.columns + column, row, column, element, text: null, kind: null });
        line.append(element);
      }
      lines.push(line);
    }
    this.grid.replaceChildren(...lines);
    this.fit();
    this.at = Math.min(this.at, Math.max(this.cells.length - 1, 0));
    if (this.cells.length) this.cells[this.at].element.tabIndex = 0;
  }

  get place() {
    return this.cells[this.at]?.place ?? null;
  }

  moveTo(number, focus = true) {
    if (!this.cells.length || number < 0 || number >= this.cells.length) return;
    this.cells[this.at].element.tabIndex = -1;
    this.cells[this.at].element.classList.remove("here");
    this.at = number;
    const { element, place } = this.cells[number];
    element.tabIndex = 0;
    element.classList.add("here");
    if (focus) element.focus({ preventScroll: true });
    this.onPoint(place);
  }

  listen() {
    const numberOf = (target) => this.cells.findIndex(({ element }) => element === target?.closest?.(".cell"));
    let painting = false;
    const paint = (number) => {
      if (number >= 0 && this.editable && this.task.editing === "paint") this.onEdit(this.cells[number].place, this.brush());
    };
    this.grid.addEventListener("pointerdown", (event) => {
      const number = numberOf(event.target);
      if (number < 0) return;
      event.preventDefault();
      this.moveTo(number);
      painting = this.editable && this.task.editing === "paint";
      if (painting) {
        this.grid.setPointerCapture(event.pointerId);
        paint(number);
      }
    });
    this.grid.addEventListener("pointermove", (event) => {
      if (!painting) return;
      const number = numberOf(document.elementFromPoint(event.clientX, event.clientY));
      if (number >= 0 && number !== this.at) {
        this.moveTo(number);
        paint(number);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) this.grid.addEventListener(name, () => (painting = false));
    this.grid.addEventListener("pointerover", (event) => {
      const number = numberOf(event.target);
      if (!painting && number >= 0 && event.pointerType === "mouse") this.onPoint(this.cells[number].place);
    });
    const focused = () => this.grid.contains(document.activeElement);
    this.grid.addEventListener("pointerleave", () => this.onPoint(focused() ? this.place : null));
    this.grid.addEventListener("focusout", () => {
      this.cells[this.at]?.element.classList.remove("here");
      this.onPoint(null);
    });
    this.grid.addEventListener("focusin", (event) => {
      const number = numberOf(event.target);
      this.moveTo(number, false);
    });
    this.grid.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.cells.length) return;
    const [rows, columns] = this.size;
    const { row, column } = this.cells[this.at];
    const steps = { ArrowUp: row > 0 && -columns, ArrowDown: row < rows - 1 && columns, ArrowLeft: column > 0 && -1, ArrowRight: column < columns - 1 && 1, Home: -column, End: columns - 1 - column };
    if (event.key in steps) {
      event.preventDefault();
      this.moveTo(this.at + Number(steps[event.key]));
      return;
    }
    if (!this.editable) return;
    const erase = this.task.editing === "type" && ["Backspace", "Delete", ".", "0", " "].includes(event.key);
    const token = erase ? this.task.palette.at(-1).token : this.task.token(event.key);
    if (token === undefined) return;
    event.preventDefault();
    this.onEdit(this.place, token);
    // A whole puzzle can be typed in one go, with points for its blanks.
    if (this.task.editing === "type" && !["Backspace", "Delete"].includes(event.key)) this.moveTo(this.at + 1);
  }
}
