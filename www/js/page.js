// The page: what the buttons do, and what is said of it.
//
// Invariants:
// - Only the worker has the state. The page shows what it is told and may end the worker at any time.
// - Whatever stops the stream ends in a notice with choices, never in silence.

import { CheckpointsView } from "./checkpoints-view.js";
import { byId, download, setText } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { hideNotice, showNotice } from "./notice.js";
import { log, showResults, showRun } from "./run-view.js";
import { askToPersist, showStorage } from "./storage-view.js";
import { WorkerLink, told } from "./worker-link.js";

/** Events a second for each place of the slider; 0 is as fast as it goes. */
const SPEEDS = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 0];
/** What a reload has to know of the page before it. */
const INTERRUPTED = "interrupted";
const STATE_BUTTONS = ["play", "anew", "kill-worker", "kill-tab", "flip", "download", "download-output"];

const main = document.querySelector("main");
let status;
const link = new WorkerLink(onEvent);
const checkpoints = new CheckpointsView((id) => link.call("past", id));

function onEvent(data) {
  if (data.event === "stopped") return stopped(data.error);
  status = data;
  showRun(data);
  showResults(data);
  if (data.checkpoints) {
    checkpoints.show(data.checkpoints);
    showStorage(data.durability);
  }
  if (data.finished && !byId("play").announced && data.output.compared > 0) log(`Finished. ${byId("verdict").textContent}`);
  byId("play").announced = data.finished;
}

/** Runs what a button does; what goes wrong is a notice. */
const act = (action) => async () => {
  try {
    await action();
  } catch (error) {
    // Killed by the button beside; or closed by what a notice says already.
    if (error.code === "KILLED" || (error.code === "CLOSED" && !byId("notice").hidden)) return;
    stopped(told(error));
  }
};

const onClick = (id, action) => byId(id).addEventListener("click", act(action));

function enable(isOpen) {
  for (const id of STATE_BUTTONS) byId(id).disabled = !isOpen;
  byId("file").disabled = !isOpen;
  if (!isOpen) checkpoints.hide();
}

/** Does something while nothing else can be asked for: a second click would meet what the first one has half done. */
async function alone(action) {
  const focused = document.activeElement;
  main.inert = true;
  try {
    return await action();
  } finally {
    main.inert = false;
    focused.focus({ preventScroll: true });
  }
}

/** Opens the state in the worker; `how`: `tabs` and `from`. `whatHappened` is given what was found. */
async function open(how, whatHappened = () => "") {
  const found = await alone(async () => {
    await link.call("speed", SPEEDS[byId("speed").value]);
    return link.call("open", how);
  });
  hideNotice();
  enable(true);
  showRun(status);
  const isReader = status.isReader;
  byId("file").disabled = isReader;
  for (const id of ["flip", "kill-tab"]) byId(id).disabled = isReader;
  if (isReader) {
    log("Reading beside the other tab.");
    showNotice({
      kind: "calm",
      title: "Reading beside another tab",
      text: "This page follows its checkpoints. It can look at any of them, and change nothing.",
      choices: [["Take over", act(() => open({ tabs: "takeover" }, () => "Took over from the other tab. "))]],
    });
  } else {
    const text = whatHappened(found);
    if (found.id !== undefined || text) log(`${text}${describe(found)}`);
  }
  return found;
}

/** What was found when the state was opened. */
function describe({ id, events, cut, milliseconds }) {
  if (id === undefined) return "It begins with the first event.";
  const { different } = status.output;
  return (
    `Went on from checkpoint ${id} in ${milliseconds.toFixed(0)} ms: event ${count(events)}, byte ${count(status.offset)} of the source. ` +
    `${cut > 0 ? `${bytes(cut)} of output beyond it were cut off. ` : ""}${plural(different, "mismatch", "mismatches")}.`
  );
}

const anew = () => open({ from: "none" }, () => "Started anew. ");

/** Says why it does not go on, and what can be done. */
function stopped(error) {
  if (status) showRun({ ...status, isPlaying: false });
  else setText("verdict", "Nothing to compare yet.");
  enable(false);
  log(`${error.code}: ${error.message}.`);
  const takeOver = (label) => [label, act(() => open({ tabs: "takeover" }, () => "Took over from the other tab. "))];
  const read = ["Read beside it", act(() => open({ tabs: "read" }))];
  switch (error.code) {
    case "LOCKED":
      return showNotice({
        kind: "calm",
        title: "Another tab has it",
        text: "Only one tab at a time may write this state. This one can read beside it, or take it away from the other one.",
        error,
        choices: [read, takeOver("Take over")],
      });
    case "FENCED":
      return showNotice({
        title: "Another tab has taken over",
        text: "From now on nothing that this tab does can be stored. Its last checkpoint is whole: the other tab goes on from it.",
        error,
        choices: [read, takeOver("Take it back")],
      });
    case "CORRUPT":
      return act(() => damaged(error))();
    default:
      return showNotice({
        title: "It cannot go on",
        text: error.isStored ? "The file is stored as the newest checkpoint, but going on from it failed." : "What was stored is as it was.",
        error,
        choices: [
          ["Try again", act(restart)],
          ["Start anew", act(anew)],
        ],
      });
  }
}

async function damaged(error) {
  const { newestWhole } = await link.call("verify").catch(() => ({ newestWhole: null }));
  const choices = [["Start anew", act(anew)]];
  // Not known, perhaps because the storage could not be read just now.
  if (newestWhole === null) choices.unshift(["Try again", act(restart)]);
  else {
    choices.unshift([
      `Go back to checkpoint ${newestWhole}`,
      act(() => open({ from: newestWhole }, () => "Went back by your choice. ")),
    ]);
  }
  showNotice({
    title: "The newest checkpoint is damaged",
    text: "Its checksum does not hold, so nothing is restored from it, and nothing else is taken silently in its place. You choose:",
    error,
    choices,
  });
}

async function restart() {
  link.replace();
  return open({ tabs: "wait" });
}

async function killWorker() {
  const { events, isPlaying, isReader } = status;
  link.replace();
  await open(isReader ? { tabs: "read" } : { tabs: "wait" }, (found) => killed("worker", events, found));
  if (isPlaying) await link.call("play");
}

/** What the page had been told may be a little behind what the worker had done. */
const killed = (what, events, found) => `Killed the ${what} at event ${count(Math.max(events, found.events))}. `;

function killTab() {
  const { events, isPlaying } = status;
  sessionStorage.setItem(INTERRUPTED, JSON.stringify({ events, isPlaying, speed: byId("speed").value }));
  location.reload();
}

async function flip() {
  const { id, object, at } = await alone(() => link.call("damage"));
  log(`Flipped one bit of checkpoint ${id}: byte ${count(at)} of ${object}.`);
  enable(false);
  await open({ tabs: "wait" });
}

/** Says what became of a file, beside its button too. */
function tell(place, text) {
  log(text);
  setText(place, text);
}

/** Downloads something. If that fails the stream goes on as it did. */
async function offer(place, what, action) {
  setText(place, "");
  try {
    await action();
  } catch (error) {
    const { code, message } = told(error);
    if (code !== "KILLED") tell(place, `${what} cannot be downloaded. ${code}: ${message}.`);
  }
}

async function openFile(file) {
  if (!file) return;
  if (byId("file").disabled || main.inert) {
    return setText("file-text", `${file.name} was not opened: this page does not write the state now.`);
  }
  setText("file-text", "");
  try {
    const { id, events } = await alone(async () => link.call("import", new Uint8Array(await file.arrayBuffer())));
    log(`Opened ${file.name} as checkpoint ${id}: event ${count(events)}.`);
  } catch (error) {
    const { code, message, isStored } = told(error);
    const what = isStored ? "is stored as the newest checkpoint, but going on from it failed" : "was refused";
    tell("file-text", `${file.name} ${what}. ${code}: ${message}.`);
  }
}

function acceptFiles() {
  const [input, zone] = [byId("file"), byId("drop")];
  input.addEventListener("change", async () => {
    await openFile(input.files[0]);
    input.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop") openFile(event.dataTransfer.files[0]);
    });
  }
}

function showSpeed() {
  const speed = SPEEDS[byId("speed").value];
  const text = speed === 0 ? "as fast as it goes" : `${count(speed)} events a second`;
  setText("speed-text", text);
  byId("speed").setAttribute("aria-valuetext", text);
  return speed;
}

onClick("play", () => link.call(status.isPlaying ? "pause" : "play"));
onClick("anew", anew);
onClick("kill-worker", killWorker);
onClick("kill-tab", killTab);
onClick("flip", flip);
onClick("download", async () => {
  const id = checkpoints.current;
  await offer("file-text", `Checkpoint ${id}`, async () =>
    download(await link.call("export", id), `flights-${id}.efx`, "application/octet-stream"),
  );
});
onClick("download-output", () =>
  offer("output-text", "The output", async () => {
    const { start, bytes } = await link.call("output");
    // What comes before was written elsewhere.
    download(bytes, start > 0 ? `out-from-byte-${start}.ndjson` : "out.ndjson", "application/x-ndjson");
  }),
);
// A worker that is killed meanwhile is replaced by one that is told when it opens the state.
byId("speed").addEventListener("input", () => link.call("speed", showSpeed()).catch(() => {}));
askToPersist();
acceptFiles();

async function begin() {
  const interrupted = JSON.parse(sessionStorage.getItem(INTERRUPTED));
  sessionStorage.removeItem(INTERRUPTED);
  if (interrupted) byId("speed").value = interrupted.speed;
  showSpeed();
  setText("verdict", "Loading the engine and the flights…");
  showStorage();
  // After a reload the lock of the page before it may not be free yet.
  const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
  await open(
    isReload ? { tabs: "wait" } : { tabs: "exclusive" },
    interrupted ? (found) => killed("tab", interrupted.events, found) : undefined,
  );
  if (interrupted?.isPlaying) await link.call("play");
}

act(begin)();
