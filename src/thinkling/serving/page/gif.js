// Animated GIFs (GIF89a, W3C 1990; LZW with variable code size as its appendix F describes), without any dependency.
//
//   encode({ width, height, palette, frames })     palette: Uint8Array of r, g, b of up to 256 colours
//                                                  frames: [{ pixels: Uint8Array [width * height] of colours' numbers,
//                                                             delay: milliseconds }, …]
//   indexed(pictures)                              RGBA pictures of one size (ImageData.data) -> { palette, pictures }
//
// Nothing here touches the page: the functions run anywhere.

const MOST_COLOURS = 256;
const MOST_CODES = 4096;
const LEAVE_IN_PLACE = 1;

/** The bytes of a GIF that begins again when it has ended. */
export function encode({ width, height, palette, frames }) {
  // The table's size is a power of two; what is missing is black.
  const bits = Math.max(1, Math.ceil(Math.log2(Math.max(2, palette.length / 3))));
  const table = new Uint8Array(3 * 2 ** bits);
  table.set(palette);
  const out = new Bytes();
  out.text("GIF89a");
  out.short(width, height);
  out.byte(0x80 | (0x70 | (bits - 1)), 0, 0);
  out.all(table);
  out.byte(0x21, 0xff, 11);
  out.text("NETSCAPE2.0");
  out.byte(3, 1, 0, 0, 0);
  let before = null;
  for (const { pixels, delay } of frames) {
    const box = before === null ? { left: 0, top: 0, right: width, bottom: height } : changed(before, pixels, width, height);
    out.byte(0x21, 0xf9, 4, LEAVE_IN_PLACE << 2);
    out.short(Math.round(delay / 10));
    out.byte(0, 0);
    out.byte(0x2c);
    out.short(box.left, box.top, box.right - box.left, box.bottom - box.top);
    out.byte(0);
    packed(out, cut(pixels, width, box), Math.max(2, bits));
    before = pixels;
  }
  out.byte(0x3b);
  return out.value();
}

/** Pictures as numbers of colours of one palette. */
export function indexed(pictures) {
  const words = pictures.map((picture) => new Uint32Array(picture.buffer, picture.byteOffset, picture.byteLength / 4));
  // The pictures are flat: the colours of areas are the frequent ones, and what is left over lies on the edges of
  // letters, where the nearest colour is good enough.
  const kept = [...counted(words)].sort((a, b) => b[1] - a[1]).slice(0, MOST_COLOURS).map(([word]) => word);
  const palette = new Uint8Array(kept.flatMap(channels));
  const numbers = new Map(kept.map((word, number) => [word, number]));
  return { palette, pictures: words.map((picture) => numbered(picture, palette, numbers)) };
}

function counted(pictures) {
  const counts = new Map();
  for (const picture of pictures) {
    let start = 0;
    for (let i = 1; i <= picture.length; i += 1) {
      // Whole runs at a time: a pixel is mostly what its neighbour is.
      if (i < picture.length && picture[i] === picture[start]) continue;
      counts.set(picture[start], (counts.get(picture[start]) ?? 0) + i - start);
      start = i;
    }
  }
  return counts;
}

function numbered(picture, palette, numbers) {
  const pixels = new Uint8Array(picture.length);
  let word = -1;
  let number = 0;
  for (let i = 0; i < picture.length; i += 1) {
    if (picture[i] !== word) {
      word = picture[i];
      if (!numbers.has(word)) numbers.set(word, nearest(palette, channels(word)));
      number = numbers.get(word);
    }
    pixels[i] = number;
  }
  return pixels;
}

// Browsers run on little-endian machines: the first byte, red, is the lowest.
function channels(word) {
  return [word & 255, (word >>> 8) & 255, (word >>> 16) & 255];
}

function nearest(palette, [r, g, b]) {
  let best = 0;
  let least = Infinity;
  for (let i = 0; i < palette.length; i += 3) {
    const distance = (palette[i] - r) ** 2 + (palette[i + 1] - g) ** 2 + (palette[i + 2] - b) ** 2;
    if (distance < least) [best, least] = [i / 3, distance];
  }
  return best;
}

/** The smallest rectangle outside of which two pictures are equal; one pixel where they are equal everywhere. */
function changed(before, after, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (before[y * width + x] !== after[y * width + x]) {
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = y + 1;
      }
    }
  }
  return right === 0 ? { left: 0, top: 0, right: 1, bottom: 1 } : { left, top, right, bottom };
}

function cut(pixels, width, { left, top, right, bottom }) {
  const part = new Uint8Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; y += 1) {
    part.set(pixels.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  }
  return part;
}

/** LZW: the codes of ever longer runs that have been seen before, in blocks of up to 255 bytes. */
function packed(out, pixels, leastSize) {
  out.byte(leastSize);
  const clear = 1 << leastSize;
  const codes = new Int16Array(MOST_CODES << leastSize);
  const block = [];
  let waiting = 0;
  let bits = 0;
  let size = 0;
  let next = 0;
  const flush = () => {
    out.byte(block.length, ...block);
    block.length = 0;
  };
  const emit = (code) => {
    waiting |= code << bits;
    for (bits += size; bits >= 8; bits -= 8) {
      block.push(waiting & 255);
      waiting >>>= 8;
      if (block.length === 255) flush();
    }
  };
  const begin = () => {
    codes.fill(-1);
    size = leastSize + 1;
    next = clear + 2;
  };
  begin();
  emit(clear);
  let prefix = pixels[0];
  for (let i = 1; i < pixels.length; i += 1) {
    const place = (prefix << leastSize) | pixels[i];
    if (codes[place] >= 0) {
      prefix = codes[place];
      continue;
    }
    emit(prefix);
    if (next === MOST_CODES) {
      emit(clear);
      begin();
    } else {
      // A decoder learns a code one step later than we do, so this one is the first that needs another bit.
      if (next === 1 << size) size += 1;
      codes[place] = next;
      next += 1;
    }
    prefix = pixels[i];
  }
  emit(prefix);
  // The decoder has now learned one code more, which may make the next, the end, one bit longer.
  if (next === 1 << size && size < 12) size += 1;
  emit(clear + 1);
  if (bits > 0) block.push(waiting & 255);
  if (block.length > 0) flush();
  out.byte(0);
}

class Bytes {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  byte(...values) {
    this.all(values);
  }

  short(...values) {
    for (const value of values) this.byte(value & 255, (value >> 8) & 255);
  }

  text(value) {
    this.all([...value].map((letter) => letter.charCodeAt(0)));
  }

  all(values) {
    if (this.#length + values.length > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#length + values.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(values, this.#length);
    this.#length += values.length;
  }

  value() {
    return this.#bytes.slice(0, this.#length);
  }
}
