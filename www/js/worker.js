// The dedicated worker: the engine runs here, since only here OPFS writes files at once. The page asks by messages
// { call, of, argument } and is answered { answer, result } or { answer, error }; what happens by itself comes as { event, ... }.

import { StateError, engine } from "@eventflux/state";
import { Rows, fetchUnpacked } from "./csv.js";
import { flipBit } from "./damage.js";
import { Job } from "./job.js";
import { readOutput } from "./output.js";
import { describePast } from "./past.js";

const REPORT_MS = 100;
const TICK_MS = 20;
/** Part of a second that is made up for after a pause of the machine. */
const CATCH_UP_SECONDS = 0.25;
const FULL_SPEED_EVENTS = 500;
const WAIT_FOR_LOCK_MS = 4_000;

const here = (name) => new URL(name, self.location.href).href;
const json = async (name) => (await fetch(here(name))).json();

let loaded;
let job;
/** Events in a second; 0 is as fast as it goes. */
let speed = 1_000;
let isPlaying = false;
let loop = Promise.resolve();
let knownCheckpoints = "";

const told = (error) => ({
  code: error instanceof StateError ? error.code : "ERROR",
  message: error.message,
  isStored: error.isStored,
});

async function load() {
  const [definition, expected, bytes] = await Promise.all([
    json("flights.json"),
    json("expected.json"),
    fetchUnpacked(here("flights-2013-01.csv.gz")),
  ]);
  return { definition, expected, rows: new Rows(bytes, definition.source.fields) };
}

async function report() {
  if (!job) return;
  const checkpoints = await job.checkpoints();
  const newest = String(checkpoints.at(-1)?.id);
  const status = { event: "status", ...job.status(), isPlaying, isReader: job.engine.isReadOnly };
  postMessage(newest === knownCheckpoints ? status : { ...status, checkpoints });
  knownCheckpoints = newest;
}

/** Lets messages in; never delayed, as timers are. */
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

async function play() {
  const played = job;
  let last = performance.now();
  let reported = 0;
  let owed = 0;
  try {
    while (isPlaying) {
      const now = performance.now();
      owed = Math.min(owed + (speed * (now - last)) / 1000, Math.max(1, speed * CATCH_UP_SECONDS));
      last = now;
      const count = speed === 0 ? FULL_SPEED_EVENTS : Math.floor(owed);
      owed -= speed === 0 ? owed : count;
      const taken = played.newest;
      if (!(await played.advance(count, () => !isPlaying))) isPlaying = false;
      if (now - reported >= REPORT_MS || taken !== played.newest) {
        reported = now;
        await report();
      }
      await (speed === 0 ? turn() : new Promise((resolve) => setTimeout(resolve, TICK_MS)));
    }
    await report();
  } catch (error) {
    isPlaying = false;
    await stopped(played, error);
  }
}

/** A job cannot go on; of one that is there no more nobody wants to know. */
async function stopped(old, error) {
  if (!old || old !== job) return;
  job = undefined;
  await old.close().catch(() => {});
  if (!job) postMessage({ event: "stopped", error: told(error) });
}

async function pause() {
  isPlaying = false;
  await loop;
}

/** Goes to the newest checkpoint of the writer beside us, until there is no newer one. */
async function follow(reader) {
  try {
    while (reader === job && reader.change) {
      reader.change = undefined;
      await reader.refresh();
      await report();
    }
  } catch (error) {
    await stopped(reader, error);
  }
}

/** Heeds what a job was told, if it is this one; before it is, that stays with it. */
function changed(whose) {
  if (whose !== job || !whose.change) return;
  if (whose.change.kind === "published") {
    whose.following ??= follow(whose).finally(() => (whose.following = undefined));
    return;
  }
  isPlaying = false;
  stopped(whose, new StateError("FENCED", "another tab has taken over: nothing that this one does can be stored any more"));
}

const newestId = async () => (await job.checkpoints()).at(-1)?.id;

const calls = {
  /** Opens the state; `from` and `tabs` as in the package. */
  async open({ from, tabs }) {
    await pause();
    // First: what follows it may fail as it is closed, and nobody wants to know.
    const before = job;
    job = undefined;
    await before?.close();
    // What cannot be fetched now may be fetched the next time.
    loaded ??= load().catch((error) => {
      loaded = undefined;
      throw error;
    });
    const signal = tabs === "wait" ? AbortSignal.timeout(WAIT_FOR_LOCK_MS) : undefined;
    const opened = await Job.open(await loaded, { from, tabs, signal }, changed);
    job = opened;
    knownCheckpoints = "";
    await report();
    changed(opened);
    return opened.recovered;
  },

  async play() {
    await pause();
    isPlaying = true;
    loop = play();
    await report();
  },

  async pause() {
    await pause();
    await report();
  },

  speed(events) {
    speed = events;
  },

  async past(id) {
    return describePast(job.engine, id, await newestId());
  },

  async export(id) {
    return job.engine.export(id);
  },

  /** What there is of the output here: from which byte on, and what. */
  async output() {
    const { start } = job.output;
    return { start, bytes: (await readOutput()).slice(start) };
  },

  async import(bytes) {
    const [importing, wasPlaying] = [job, isPlaying];
    await pause();
    if (importing !== job) throw new StateError("CLOSED", "the state was closed meanwhile");
    try {
      const imported = await importing.import(bytes);
      await report();
      return imported;
    } catch (error) {
      // Half-way in the new one it cannot go on; if the file was refused, all is as it was, and goes on as it did.
      if (!importing.isWhole) {
        error.isStored = true;
        await stopped(importing, error);
      } else if (importing === job && wasPlaying) {
        isPlaying = true;
        loop = play();
      }
      throw error;
    }
  },

  /** Damages the newest checkpoint; the state is closed after it. */
  async damage() {
    await pause();
    const id = await newestId();
    const before = job;
    job = undefined;
    await before.close();
    return { id, ...(await flipBit("flights", id)) };
  },

  /** What is damaged, and the newest checkpoint that can be restored. */
  async verify() {
    const { definition } = await loaded;
    // As a reader: another tab may have it for as long as it likes.
    const beside = await engine({ definition, tabs: "read", from: "none" });
    try {
      return await beside.verify();
    } finally {
      await beside.close();
    }
  },
};

onmessage = async ({ data: { call, of, argument } }) => {
  try {
    if (!job && !["open", "speed", "verify"].includes(of)) {
      throw new StateError("CLOSED", "the state is not open here");
    }
    postMessage({ answer: call, result: await calls[of](argument) });
  } catch (error) {
    postMessage({ answer: call, error: told(error) });
  }
};
