// Elements, HTML and SVG, in one call each. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG element. An attribute that is false, null or undefined is left out; one that is true has no value. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** An HTML element; attributes as for `svg`. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}
