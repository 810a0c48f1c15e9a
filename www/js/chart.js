// The chart of the checkpoints: the bytes of each, raw and stored, as bars, and how much smaller it became as a line.
//
// It is an image to those who do not see it: the slider chooses a checkpoint by keyboard, and a table says the same.

import uPlot from "uplot";
import { bytes, plural, ratio } from "./format.js";

const HEIGHT = 220;
const BAR_WIDTH_MAX = 28;
/** What a scale reaches at least, and its room above the largest value. */
const BYTES_MIN = 1_000;
const RATIO_MIN = 2;
const HEADROOM = 1.08;
/** Steps between the marks of an axis: the values of the x-axis are places in the list, and those of the others round. */
const STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();

/** A color of the style sheet, which is another one in the dark; it is asked for whenever something is drawn. */
const color = (name) => (plot) => getComputedStyle(plot.root).getPropertyValue(name);

const upTo = (least) => (_, __, largest) => [0, Math.max(least, largest ?? 0) * HEADROOM];

function axis(scale, side, size, values, more = {}) {
  const ticks = { show: false };
  return { scale, side, size, values, ticks, font: "12px system-ui, sans-serif", stroke: color("--soft"), incrs: STEPS, ...more };
}

/** Bars as wide as a part of their place. */
function bars(label, name, part, value) {
  return {
    label,
    name,
    value,
    scale: "bytes",
    width: 1,
    fill: color(`--${name}`),
    stroke: color(`--${name}-edge`),
    paths: uPlot.paths.bars({ size: [part, BAR_WIDTH_MAX * part] }),
    points: { show: false },
  };
}

export class Chart {
  #plot;
  #checkpoints = [];
  #selected = -1;

  /** Draws into `container`, as wide as that is; `select` is told the index of a checkpoint that is clicked. */
  constructor(container, select) {
    this.#plot = new uPlot(this.#options(container.clientWidth), this.#data(), container);
    this.#plot.ctx.canvas.setAttribute("role", "img");
    this.show([], -1);
    // For whoever looks into the page with the browser's tools, and for its tests.
    container.plot = this.#plot;
    this.#plot.over.addEventListener("click", ({ offsetX }) => {
      if (this.#checkpoints.length > 0) select(this.#plot.posToIdx(offsetX));
    });
    new ResizeObserver(() => this.#plot.setSize({ width: container.clientWidth, height: HEIGHT })).observe(container);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.redraw());
  }

  /** Shows these checkpoints, and marks the one at an index; -1 is none. */
  show(checkpoints, selected) {
    this.#checkpoints = checkpoints;
    this.#plot.setData(this.#data());
    // The numbers below the bars are others though there are as many.
    this.#plot.redraw(false, true);
    this.#plot.ctx.canvas.setAttribute("aria-label", this.#description());
    this.mark(selected);
  }

  /** Marks the checkpoint at an index. */
  mark(selected) {
    this.#selected = selected;
    this.#moveMark();
    this.#plot.setLegend({ idx: this.#plot.cursor.idx });
  }

  #data() {
    const of = (value) => this.#checkpoints.map(value);
    const ratioOf = ({ rawBytes, bytes: stored }) => (rawBytes > 0 ? rawBytes / stored : null);
    return [of((_, index) => index), of((it) => it.rawBytes), of((it) => it.bytes), of(ratioOf)];
  }

  #description() {
    const number = plural(this.#checkpoints.length, "checkpoint");
    return `Chart of ${number}: the bytes of each, raw and stored, and their ratio. The table below says the same.`;
  }

  #options(width) {
    // What the legend says is of the checkpoint under the pointer, or else of the marked one, or else of the newest.
    const value = (text) => (_, __, ___, index) => {
      const checkpoint = this.#checkpoints[index ?? this.#selected] ?? this.#checkpoints.at(-1);
      return checkpoint ? text(checkpoint) : "–";
    };
    const ids = (_, places) => places.map((place) => this.#checkpoints[place]?.id ?? "");
    const unbound = () => null;
    return {
      width,
      height: HEIGHT,
      series: [
        { label: "Checkpoint", value: value(({ id }) => id) },
        bars("Raw", "raw", 0.76, value(({ rawBytes }) => bytes(rawBytes))),
        bars("Stored, compressed", "stored", 0.42, value((it) => bytes(it.bytes))),
        {
          label: "Ratio",
          name: "ratio",
          value: value((it) => ratio(it.rawBytes, it.bytes)),
          scale: "ratio",
          width: 1.5,
          stroke: color("--ratio"),
          points: { size: 6, space: 8, width: 1, fill: color("--ratio"), stroke: color("--card") },
        },
      ],
      scales: {
        x: { time: false, range: () => [-0.5, Math.max(1, this.#checkpoints.length) - 0.5] },
        bytes: { range: upTo(BYTES_MIN) },
        ratio: { range: upTo(RATIO_MIN) },
      },
      axes: [
        axis("x", 2, 24, ids, { grid: { show: false }, space: 36 }),
        axis("bytes", 3, 54, (_, amounts) => amounts.map(bytes), { grid: { stroke: color("--line"), width: 1 } }),
        axis("ratio", 1, 36, (_, ratios) => ratios.map((it) => `${it}×`), { grid: { show: false } }),
      ],
      legend: { markers: { width: 0, fill: (plot, index) => `var(--${plot.series[index].name})` } },
      // A click chooses a checkpoint, and is not taken for the end of a drag; nothing is zoomed or hidden.
      cursor: {
        y: false,
        points: { show: false },
        bind: { mousedown: unbound, mouseup: unbound, click: unbound, dblclick: unbound },
        drag: { click: () => {} },
      },
      hooks: { draw: [() => this.#moveMark()] },
    };
  }

  /** Lays the mark over the bars of the chosen checkpoint. */
  #moveMark() {
    const plot = this.#plot;
    const [left, right] = [-0.5, 0.5].map((half) => plot.valToPos(this.#selected + half, "x"));
    const width = this.#selected === -1 ? 0 : right - left;
    plot.setSelect({ left, width, top: 0, height: plot.over.clientHeight }, false);
  }
}
