// Begins: reads the manifest, finds out what is served and who thinks, and puts the page for it in place.

import { HttpBackend } from "./backend_http.js";
import { OnnxBackend } from "./backend_onnx.js";
import { mountPuzzlePage } from "./puzzle_page.js";
import { mountTheme } from "./theme.js";

const BACKENDS = { http: HttpBackend, onnx: OnnxBackend };

async function start() {
  mountTheme(document.querySelector("#theme"));
  const app = document.querySelector("#app");
  try {
    const manifest = await readManifest();
    document.querySelector("#model-name").textContent = manifest.name ?? "";
    document.title = manifest.name ? `${manifest.name} · Thinkling` : "Thinkling";
    if (manifest.product === "puzzles") await startPuzzles(app, manifest);
    else if (manifest.product === "thinking_bert") await mountFrom("./fill.js", app, manifest);
    else if (manifest.product === "lm") await mountFrom("./chat.js", app, manifest);
    else throw new Error(`This page has no view for the product ${JSON.stringify(manifest.product)}.`);
  } catch (error) {
    const said = document.createElement("p");
    said.className = "loading failed";
    said.setAttribute("role", "alert");
    said.textContent = error.message;
    app.replaceChildren(said);
  }
}

async function readManifest() {
  const response = await fetch(new URL("manifest.json", document.baseURI)).catch(() => null);
  if (!response?.ok) throw new Error("The model's description (manifest.json) cannot be read. Is the server running?");
  return response.json();
}

async function startPuzzles(app, manifest) {
  const backend = new BACKENDS[manifest.backend](manifest, document.baseURI);
  mountPuzzlePage(app, manifest, backend);
}

async function mountFrom(module, app, manifest) {
  const { mount } = await import(module);
  app.replaceChildren();
  mount(app, manifest);
}

start();
