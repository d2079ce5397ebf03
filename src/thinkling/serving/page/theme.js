// Light, dark, or as the system has it.

const CHOICES = ["system", "light", "dark"];
const LABELS = { system: "as the system", light: "light", dark: "dark" };
const SIGNS = { system: "◐", light: "○", dark: "●" };
const KEY = "thinkling-colours";

/** Makes a button go through the choices; the last one is remembered on this device. */
export function mountTheme(button) {
  let choice = remembered();
  const show = () => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = SIGNS[choice];
    button.setAttribute("aria-label", `Colours: ${LABELS[choice]}`);
    button.title = `Colours: ${LABELS[choice]}`;
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // A browser that stores nothing for us shows the choice all the same.
    }
    show();
  });
  show();
}

function remembered() {
  try {
    const stored = localStorage.getItem(KEY);
    return CHOICES.includes(stored) ? stored : "system";
  } catch {
    return "system";
  }
}
