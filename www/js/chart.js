// The bytes of each checkpoint as bars: raw behind, stored in front. A table says the same to those who do not see it.

import { bytes } from "./format.js";

const HEIGHT = 180;
const LEFT = 56;
const BOTTOM = 22;
const TOP = 8;
const BAR_WIDTH_MAX = 28;

const svg = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

/** A round number of bytes between two lines of the grid. */
function step(largest) {
  const rough = largest / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

/** Draws the bars into `container`; `select` is told the index of one that is clicked. */
export function drawChart(container, checkpoints, selected, select) {
  const width = Math.max(240, container.clientWidth);
  const image = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` });
  const largest = Math.max(1_000, ...checkpoints.map((checkpoint) => Math.max(checkpoint.rawBytes, checkpoint.bytes)));
  const base = HEIGHT - BOTTOM;
  const y = (amount) => base - (amount / largest) * (base - TOP);
  for (let amount = 0; amount <= largest; amount += step(largest)) {
    image.append(svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(amount), y2: y(amount) }));
    image.append(svg("text", { x: LEFT - 8, y: y(amount) + 4, "text-anchor": "end" }, bytes(amount)));
  }
  const slot = (width - LEFT) / Math.max(1, checkpoints.length);
  const bar = Math.min(BAR_WIDTH_MAX, slot * 0.7);
  const labelEvery = Math.ceil(36 / slot);
  checkpoints.forEach((checkpoint, index) => {
    const middle = LEFT + slot * (index + 0.5);
    const group = svg("g", { class: index === selected ? "bar selected" : "bar" });
    group.append(svg("title", {}, `${checkpoint.id}: ${bytes(checkpoint.rawBytes)} raw, ${bytes(checkpoint.bytes)} stored`));
    group.append(svg("rect", { class: "target", x: middle - slot / 2, y: TOP, width: slot, height: HEIGHT - TOP }));
    for (const [kind, amount, part] of [["raw", checkpoint.rawBytes, 1], ["stored", checkpoint.bytes, 0.56]]) {
      group.append(svg("rect", { class: kind, x: middle - (bar * part) / 2, y: y(amount), width: bar * part, height: base - y(amount) }));
    }
    if (index % labelEvery === 0) group.append(svg("text", { x: middle, y: HEIGHT - 6, "text-anchor": "middle" }, checkpoint.id));
    group.addEventListener("click", () => select(index));
    image.append(group);
  });
  container.replaceChildren(image);
}
