// The checkpoints: their bytes as a chart and a table, and the slider that opens any of them.

import { Chart } from "./chart.js";
import { byId, element, setText } from "./dom.js";
import { bytes, count, moment, plural, ratio } from "./format.js";

const OPEN_DELAY_MS = 120;

const cell = (text, className = "number") => element("td", { className }, text);

function tableRow({ id, kind, rawBytes, bytes: stored, dirty, milliseconds }) {
  const entries = kind === "full" ? "all" : count(dirty);
  const took = milliseconds === undefined ? "–" : `${milliseconds.toFixed(1)} ms`;
  return element(
    "tr",
    {},
    element("th", { scope: "row", className: "number" }, String(id)),
    cell(kind, ""),
    ...[bytes(rawBytes), bytes(stored), ratio(rawBytes, stored), entries, took].map((text) => cell(text)),
  );
}

function changesText({ added, removed, changed }) {
  const parts = [
    [changed, "changed"],
    [added, "added"],
    [removed, "removed"],
  ].filter(([number]) => number > 0);
  return parts.length === 0 ? "no difference" : parts.map(([number, what]) => `${count(number)} ${what}`).join(", ");
}

/** A key and what is said of it. */
const entry = (key, ...texts) => [element("dt", {}, key), ...texts.map((text) => element("dd", {}, ...text))];
const entries = (list) => element("dl", { className: "state" }, ...list.flat());

function operatorDetails({ name, keys, rows: state, changes }) {
  const lines = state.map(({ key, value }) => entry(key, [value]));
  const differences = changes.rows.map(({ key, kind, before, after }) =>
    entry(`${key}, ${kind}`, ...[before && ["then ", element("del", {}, before)], after && ["now ", element("ins", {}, after)]].filter(Boolean)),
  );
  const more = (shown, all) => (all > shown ? ` (the first ${shown} of ${count(all)})` : "");
  return element(
    "details",
    {},
    element("summary", {}, element("code", {}, name), ` ${plural(keys, "key")}; since then ${changesText(changes)}`),
    element("h4", {}, `State then${more(lines.length, keys)}`),
    lines.length > 0 ? entries(lines) : element("p", {}, "Empty."),
    element("h4", {}, `Difference to now${more(differences.length, changes.added + changes.removed + changes.changed)}`),
    differences.length > 0 ? entries(differences) : element("p", {}, "None."),
  );
}

export class CheckpointsView {
  #checkpoints = [];
  /** Number of the checkpoint that is open; none at first. */
  #selected;
  #open;
  #chart;
  #timer;
  #asked = 0;
  /** The newest checkpoint as the open one was compared with it. */
  #comparedWith;
  /** Whether what was asked for was lost with the worker. */
  #isLost = false;

  /** `open(id)` asks the worker what a checkpoint holds. */
  constructor(open) {
    this.#open = open;
    const slider = byId("time");
    slider.addEventListener("input", () => this.select(Number(slider.value)));
    this.#chart = new Chart(byId("chart"), (index) => this.select(index));
    this.close();
  }

  /** The one that is open, or else the newest. */
  get current() {
    return this.#selected ?? this.#checkpoints.at(-1)?.id;
  }

  /** Shows none, since it is not known which there are: the state is not open here. */
  hide() {
    this.#show([], "They are shown once the state is open here.");
  }

  show(checkpoints) {
    this.#show(checkpoints, "None yet.");
  }

  /** `none`: what is said if there are none. */
  #show(checkpoints, none) {
    this.#checkpoints = checkpoints;
    if (this.#selected !== undefined) {
      if (!checkpoints.some(({ id }) => id === this.#selected)) this.close();
      else if (this.#isLost) this.#load();
      else this.#sayWhatIsNow();
    }
    const slider = byId("time");
    slider.max = Math.max(0, checkpoints.length - 1);
    slider.disabled = checkpoints.length === 0;
    slider.value = this.#index() === -1 ? slider.max : this.#index();
    this.#label();
    byId("download").disabled = checkpoints.length === 0;
    const sum = (of) => checkpoints.reduce((total, checkpoint) => total + checkpoint[of], 0);
    const [raw, stored] = [sum("rawBytes"), sum("bytes")];
    setText(
      "checkpoints-text",
      checkpoints.length === 0
        ? none
        : `${plural(checkpoints.length, "checkpoint")}: ${bytes(raw)} raw, ${bytes(stored)} stored${raw > 0 ? `, ${ratio(raw, stored)} smaller` : ""}.`,
    );
    byId("checkpoint-rows").replaceChildren(...checkpoints.map(tableRow).reverse());
    this.#chart.show(checkpoints, this.#index());
    this.#markRow();
  }

  /** Opens the checkpoint at an index, once the slider rests. */
  select(index) {
    this.#selected = this.#checkpoints[index]?.id;
    byId("time").value = index;
    this.#label();
    this.#chart.mark(index);
    this.#markRow();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), OPEN_DELAY_MS);
  }

  /** Of the open one: what it was compared with may not be the newest any more. */
  #sayWhatIsNow() {
    const [newest, compared] = [this.#checkpoints.at(-1).id, this.#comparedWith];
    const differences = `the differences are to checkpoint ${compared}, the newest when this one was opened.`;
    const text =
      newest === this.#selected ? "It is the newest: this is now." : `Now is checkpoint ${newest}${newest === compared ? "." : `; ${differences}`}`;
    if (compared !== undefined) setText("now-text", text);
  }

  /** Shows none. */
  close() {
    clearTimeout(this.#timer);
    this.#selected = undefined;
    this.#asked += 1;
    this.#comparedWith = undefined;
    this.#isLost = false;
    setText("now-text", "");
    byId("past").setAttribute("aria-busy", "false");
    byId("past").replaceChildren(element("p", { className: "hint" }, "Move the slider to look into an older checkpoint."));
  }

  async #load() {
    const asked = (this.#asked += 1);
    const view = byId("past");
    view.setAttribute("aria-busy", "true");
    this.#comparedWith = undefined;
    this.#isLost = false;
    let shown;
    try {
      const past = await this.#open(this.#selected);
      shown = this.#describe(past);
      if (asked === this.#asked) this.#comparedWith = past.newest;
    } catch ({ code, message }) {
      // The worker was killed, or opens the state anew: asked again once it has.
      if (code === "KILLED" || code === "CLOSED") {
        this.#isLost = asked === this.#asked;
        return;
      }
      shown = [element("p", { className: "error" }, element("code", {}, code), ` ${message}`)];
    }
    if (asked !== this.#asked) return;
    view.replaceChildren(...shown);
    setText("now-text", "");
    this.#sayWhatIsNow();
    view.setAttribute("aria-busy", "false");
  }

  #describe({ checkpoint, events, offset, output, operators }) {
    const summary =
      `Checkpoint ${checkpoint.id} (${checkpoint.kind}), taken ${moment(checkpoint.time)}: event ${count(events)}, byte ${count(offset)} of the ` +
      `source, ${bytes(output)} of output.`;
    return [element("p", {}, summary), ...operators.map(operatorDetails)];
  }

  #index() {
    return this.#checkpoints.findIndex(({ id }) => id === this.#selected);
  }

  #label() {
    const checkpoint = this.#checkpoints.find(({ id }) => id === this.current);
    const text = checkpoint ? `number ${checkpoint.id}${this.#selected === undefined ? ", the newest" : ""}` : "none";
    setText("time-text", text);
    byId("time").setAttribute("aria-valuetext", text);
  }

  /** Marks the row of the one that is open. */
  #markRow() {
    const rows = [...byId("checkpoint-rows").children];
    rows.forEach((row, place) => row.setAttribute("aria-current", rows.length - 1 - place === this.#index()));
  }
}
