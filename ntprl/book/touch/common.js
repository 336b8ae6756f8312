// What all figures share. See figure.py: the helpers below are its helpers, name by name.

const alive = (kind, start) => {
  for (const root of document.querySelectorAll(`.touch[data-touch="${kind}"]:not([data-alive])`)) {
    root.dataset.alive = "";
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    start(root, JSON.parse(root.dataset.values), part);
  }
};
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const number = (x) => String(Math.floor(x * 100 + 0.5) / 100 + 0);
const percent = (share) => `${Math.floor(share * 1000 + 0.5) / 10 + 0} %`;
const decimals = (x, n = 2) => (Math.floor(x * 10 ** n + 0.5) / 10 ** n + 0).toFixed(n);

const mark = (tag, content, attributes) => {
  let listed = "";
  for (const [name, value] of Object.entries(attributes))
    if (value !== "") listed += ` ${name}="${typeof value === "number" ? number(value) : value}"`;
  return `<${tag}${listed}>${content}</${tag}>`;
};
const words = (x, y, content, kind = "", anchor = "") =>
  mark("text", content, { x, y, class: kind, "text-anchor": anchor });
const bar = (x, y, width, height, kind) =>
  mark("rect", "", { x, y, width: Math.max(width, 0), height, rx: 2, class: kind });
const line = (points, kind) =>
  mark("path", "", { d: "M" + points.map(([x, y]) => `${number(x)} ${number(y)}`).join("L"), class: kind });
const token = (x, y, symbol, kind, size = 22) =>
  mark("rect", "", { x, y, width: size, height: size, rx: 4, class: `token ${kind}` }) +
  words(x + size / 2, y + size / 2 + 4.5, symbol, "mono", "middle");

const show = (svg, drawn, described) => {
  svg.innerHTML = drawn;
  svg.setAttribute("aria-label", described);
};
const say = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
const slide = (part, name, shown) => {
  say(part(`${name}-shown`), shown);
  part(name).setAttribute("aria-valuetext", shown);
};
