// What the whole page shares: its data, its state in the address, light and dark, and copying.
document.documentElement.classList.add("js");

const find = selector => document.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

function dataOf(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

// An element with attributes and children; strings become text, so that no name can become markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Choices of the reader stand behind `#?`, so that an address leads back to what was seen.
const state = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");

function remember(name, value) {
  if (value) state.set(name, value); else state.delete(name);
  history.replaceState(null, "", `#?${state}`);
}

const MINUS = "\u2212";
const fixed = (value, decimals) => decimals === null ? String(Number(value.toPrecision(4))) : value.toFixed(Math.max(decimals, 0));
const plain = (value, decimals = null) => (value < 0 ? MINUS : "") + fixed(Math.abs(value), decimals);
const signed = (value, decimals = null) => (value > 0 ? "+" : "") + plain(value, decimals);

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", {value}, text)));
  if (chosen !== undefined) select.value = chosen;
}

function startTheme() {
  const button = find("#theme"), root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember("theme", root.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}
if (["light", "dark"].includes(state.get("theme"))) document.documentElement.dataset.theme = state.get("theme");

function startCopying() {
  for (const button of findAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      let copied = false;
      try {
        await navigator.clipboard.writeText(source.innerText);
        copied = true;
      } catch {
        // A browser that keeps its clipboard to itself: the text is marked, so that a key press copies it.
        getSelection().selectAllChildren(source);
      }
      button.textContent = copied ? "Copied" : "Marked: press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2500);
    });
  }
}
