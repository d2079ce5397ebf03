// A link that restores what is seen: the part of the address behind the #, which no server is told.
//
//   location.hash = encode({ puzzle: "12..", steps: 16, search: true, step: 3 })     #puzzle=12..&steps=~16&…
//   decode(location.hash)                                                            the same object, or null
//   button(element, () => state)                                                     "Copy link"
//
// A state is an object of texts, numbers, truth values and what JSON makes of those. A text stands in the link as it is,
// anything else as JSON after a tilde, so that a link can be read and its values keep their kinds.

import { html } from "./svg.js";

// Browsers take longer ones, but a link that somebody else made is not worth a page that stands still.
export const LONGEST = 200_000;
const OTHER = "~";

/** The state as the part of an address behind the #; values that are undefined are left out. */
export function encode(state) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value === undefined) continue;
    const plain = typeof value === "string" && !value.startsWith(OTHER);
    pairs.set(name, plain ? value : OTHER + JSON.stringify(value));
  }
  return pairs.toString();
}

/** The state that a link holds; null where it holds none, or one that `encode` has not written. */
export function decode(hash) {
  const text = hash.replace(/^#/, "");
  if (text === "" || text.length > LONGEST || !text.includes("=")) return null;
  try {
    const read = ([name, value]) => [name, value.startsWith(OTHER) ? JSON.parse(value.slice(1)) : value];
    return Object.fromEntries([...new URLSearchParams(text)].map(read));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The whole address with a state. */
export function link(state) {
  const address = new URL(window.location.href);
  address.hash = encode(state);
  return address.href;
}

/** A button that copies the link to what `getState` says (null: nothing to share) and says that it did. */
export function button(element, getState) {
  const copy = html("button", { type: "button", class: "share-button" }, "Copy link");
  const said = html("output", { class: "share-said", "aria-live": "polite" });
  // Where a page may not use the clipboard (an address without TLS, a browser that asks), the link is shown instead.
  const field = html("input", { class: "share-link", readonly: true, "aria-label": "Link to this view", hidden: true });
  element.replaceChildren(html("span", { class: "share" }, copy, said, field));
  let timer = 0;
  copy.addEventListener("click", async () => {
    const state = getState();
    if (state === null) return;
    const address = link(state);
    window.history.replaceState(null, "", address);
    window.clearTimeout(timer);
    try {
      await navigator.clipboard.writeText(address);
      field.hidden = true;
      said.textContent = "copied";
      timer = window.setTimeout(() => { said.textContent = ""; }, 2000);
    } catch {
      field.hidden = false;
      field.value = address;
      field.focus();
      field.select();
      said.textContent = "copy it from here";
    }
  });
}
