// What is shown of the stream: how far it is, its results, and whether the output is right.

import { byId, element, setText } from "./dom.js";
import { bytes, count, plural, result, time } from "./format.js";

/** What each operator is for. */
const OPERATORS = {
  origin_hourly: "Each airport, hour by hour",
  destinations_6h: "Each airport, in six hours that overlap",
  rotations: "How long each aircraft keeps going",
  cancelled_by_hundred: "Every hundred cancelled flights of an airport",
  later_and_later: "Aircraft that leave late, and then later still",
  carriers: "How the carriers fare; told at the end",
};

let before = { at: 0, events: 0 };
let rate = 0;

/** Events a second, smoothed; nothing while it stands still. */
function rateOf({ events, isPlaying }) {
  const now = performance.now();
  if (!isPlaying || events < before.events) {
    before = { at: now, events };
    rate = 0;
    return "–";
  }
  const seconds = (now - before.at) / 1000;
  if (seconds >= 0.5) {
    rate = (events - before.events) / seconds;
    before = { at: now, events };
  }
  return rate > 0 ? `${count(rate)} events/s` : "…";
}

function verdictOf({ output, finished }) {
  const { length, start, compared, different, sha256, expected } = output;
  if (different > 0) {
    return ["bad", `${plural(different, "mismatch", "mismatches")}: blocks of 32 KiB that differ from the native output.`];
  }
  const elsewhere = start > 0 ? ` The first ${bytes(start)} were written elsewhere, before the checkpoint that you opened.` : "";
  if (finished && start === 0) {
    const isEqual = sha256 === expected;
    const text = `all ${count(length)} bytes of output ${isEqual ? "are" : "are not"} what the native command writes (SHA-256 ${sha256?.slice(0, 16)}…).`;
    return isEqual ? ["good", `0 mismatches: ${text}`] : ["bad", `Mismatch: ${text}`];
  }
  if (compared === 0) return ["none", `Nothing to compare yet.${elsewhere}`];
  return ["good", `0 mismatches: ${plural(compared, "block")} of 32 KiB compared with the native output.${elsewhere}`];
}

function playLabel({ finished, isPlaying, events }) {
  if (finished) return "Finished";
  if (isPlaying) return "Pause";
  return events === 0 ? "Start" : "Continue";
}

export function showRun(status) {
  const { events, total, results, watermark, finished, output, isPlaying, isReader } = status;
  const play = byId("play");
  play.textContent = playLabel(status);
  const hadFocus = play === document.activeElement;
  play.disabled = finished || isReader;
  // A button that is disabled has it no more: the keyboard goes on from what came of it.
  if (hadFocus && play.disabled) byId("verdict").focus({ preventScroll: true });
  byId("anew").disabled = isReader;
  byId("progress").max = total;
  byId("progress").value = events;
  setText("progress-text", `Event ${count(events)} of ${count(total)}`);
  setText("rate", rateOf(status));
  setText("watermark", finished ? "the end" : watermark === null ? "–" : time(watermark));
  setText("results-total", count(Object.values(results).reduce((sum, number) => sum + number, 0)));
  setText("output-length", bytes(output.length));
  const [verdict, text] = verdictOf(status);
  byId("verdict").dataset.verdict = verdict;
  setText("verdict", text);
}

/** The rows are made once; later only their texts change. */
export function showResults({ results, latest }) {
  const body = byId("operators");
  for (const [name, description] of Object.entries(OPERATORS)) {
    let row = byId(`operator-${name}`);
    if (!row) {
      row = element(
        "tr",
        { id: `operator-${name}`, role: "row" },
        element("th", { scope: "row", role: "rowheader" }, element("code", {}, name), element("small", {}, description)),
        element("td", { className: "number", role: "cell" }),
        element("td", { className: "last", role: "cell" }),
      );
      body.append(row);
    }
    const [, number, last] = row.children;
    const text = count(results[name] ?? 0);
    if (number.textContent !== text) number.textContent = text;
    if (row.shown === latest[name]) continue;
    row.shown = latest[name];
    const shown = latest[name] && result(latest[name]);
    last.replaceChildren(...(shown ? [element("b", {}, shown.key), ` ${shown.text}`] : []));
  }
}

/** Adds to what happened; the newest comes first. */
export function log(text) {
  const at = element("time", {}, new Date().toLocaleTimeString("en", { hourCycle: "h23" }));
  byId("log").prepend(element("li", {}, at, ` ${text}`));
}
