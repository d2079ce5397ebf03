// The timeline: a bar for each segment, a slider over them, and play and pause.
//
// A bar shows a segment at a glance: what the model is sure of rises from below, what has just changed hangs from above.

const LONGEST_PLAY = 5000;
const SLOWEST = 480;
const FASTEST = 60;

export class Player {
  /**
   * @param parts   {play, bars, scrub} elements
   * @param onShow  (number of the frame, from 0) is called whenever another segment is to be seen
   */
  constructor({ play, bars, scrub }, onShow) {
    this.parts = { play, bars, scrub };
    this.onShow = onShow;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    play.addEventListener("click", () => (this.playing ? this.pause() : this.play(this.at >= this.frames.length - 1 ? 0 : this.at)));
    scrub.addEventListener("input", () => {
      const wanted = Number(scrub.value) - 1;
      this.pause();
      this.go(wanted);
    });
    new ResizeObserver(() => this.measure()).observe(scrub);
    this.reset(1);
  }

  /** Begins anew: no segment yet, and room for `limit` of them. */
  reset(limit) {
    clearTimeout(this.timer);
    this.frames = [];
    this.at = -1;
    this.ended = false;
    this.limit = limit;
    this.room(limit);
    this.playing = false;
    this.follow();
  }

  room(count) {
    this.columns = Math.max(count, 1);
    const bars = Array.from({ length: this.columns }, () => {
      const bar = document.createElement("i");
      bar.className = "bar";
      return bar;
    });
    this.frames.forEach((frame, number) => fill(bars[number], frame));
    this.parts.bars.replaceChildren(...bars);
    this.parts.bars.classList.toggle("many", this.columns > 64);
    this.parts.scrub.max = this.columns;
    this.measure();
  }

  /** A thumb as wide as a bar, so that pointing at a bar takes the slider there. */
  measure() {
    const { scrub } = this.parts;
    scrub.style.setProperty("--thumb", `${Math.max(scrub.clientWidth / this.columns, 2)}px`);
  }

  /** One more segment: {step, sure 0..1 or null, moved 0..1, changes}. */
  add(frame) {
    this.frames.push(frame);
    if (this.frames.length > this.columns) this.room(Math.ceil(this.columns * 1.5));
    fill(this.parts.bars.children[this.frames.length - 1], frame);
    if (this.at < 0) this.play(0);
    else if (this.waiting) this.next();
  }

  /** No more segments will come. */
  end() {
    this.ended = true;
    if (this.waiting) this.pause();
  }

  go(number) {
    if (!this.frames.length) return;
    this.at = Math.min(Math.max(number, 0), this.frames.length - 1);
    this.follow();
    this.onShow(this.at);
  }

  play(from) {
    this.playing = true;
    this.waiting = false;
    this.go(this.still.matches && this.ended ? this.frames.length - 1 : from);
    this.next();
  }

  /** After a while the following segment; where it has not come yet, wait for it. */
  next() {
    clearTimeout(this.timer);
    if (!this.playing) return;
    this.waiting = this.at >= this.frames.length - 1;
    if (this.waiting) {
      if (this.ended) this.pause();
      return;
    }
    const pace = this.still.matches ? 0 : Math.min(SLOWEST, Math.max(FASTEST, LONGEST_PLAY / this.frames.length));
    // Of the many segments of a search only some are seen in passing.
    const stride = Math.max(1, Math.ceil((this.frames.length * FASTEST) / LONGEST_PLAY));
    this.timer = setTimeout(() => {
      this.go(this.at + stride);
      this.next();
    }, pace);
  }

  pause() {
    clearTimeout(this.timer);
    this.playing = false;
    this.waiting = false;
    this.follow();
  }

  follow() {
    const { play, bars, scrub } = this.parts;
    play.classList.toggle("playing", this.playing);
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    scrub.disabled = !this.frames.length;
    scrub.value = this.at + 1;
    const frame = this.frames[this.at];
    scrub.setAttribute("aria-valuetext", frame ? `segment ${frame.step} of ${this.frames.length}, ${frame.changes} cells changed` : "no segment yet");
    bars.querySelector(".now")?.classList.remove("now");
    bars.children[this.at]?.classList.add("now");
  }
}

function fill(bar, { sure, moved }) {
  bar.classList.add("used");
  bar.style.setProperty("--sure", (sure ?? 0).toFixed(3));
  // A single cell among many would not be seen, were the bar as long as the share.
  bar.style.setProperty("--moved", Math.sqrt(moved).toFixed(3));
}
