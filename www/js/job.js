// The flights through the engine: events in, results to the output, and checkpoints that name how far both have come.
//
// The names of positions and outputs are those of the native command, so that it can go on from a checkpoint of ours, and we from one of
// its own. It takes no notice of "output.start", which is ours: from which byte on the output is in this browser.

import { engine } from "@eventflux/state";
import { Comparison } from "./comparison.js";
import { Output } from "./output.js";

/** Events between two checkpoints. */
const CHECKPOINT_EVENTS = 1_000;
/** Events that cross into the engine at a time. */
const BATCH_EVENTS = 500;
const RETAINED_MAX = 100;

export class Job {
  /** What was found when it was opened. */
  recovered;
  /** What it was told last of others that have the state open, unless that was heeded. */
  change;
  /** What heeds it. */
  following;
  /** What became of the last checkpoint. */
  durability = "strict";
  /** Number of the last checkpoint. */
  newest;
  engine;
  output;
  comparison;
  rows;
  /** The latest result of each operator, as a line of JSON. */
  latest = {};
  #definition;
  #expected;
  /** Milliseconds that each checkpoint took, by its number. */
  #took = new Map();

  /** `options`: those of the package, such as `tabs` and `from`; `changed` is told which job has a `change`. */
  static async open({ definition, rows, expected }, options, changed) {
    const started = performance.now();
    const job = new Job();
    job.rows = rows;
    job.#definition = definition;
    job.#expected = expected;
    const onChange = (change) => {
      job.change = change;
      changed(job);
    };
    job.engine = await engine({ definition, retain: { max: RETAINED_MAX }, ...options, onChange });
    try {
      const { checkpoint, positions, outputs } = job.engine.restored;
      const isNewest = checkpoint !== undefined && (options.from ?? "latest") === "latest";
      const cut = await job.#goOnFrom(positions, outputs, isNewest);
      job.recovered = { id: checkpoint?.id, events: job.events, cut, milliseconds: performance.now() - started };
    } catch (error) {
      await job.close();
      throw error;
    }
    return job;
  }

  get events() {
    return this.engine.progress().events;
  }

  /** Refuses positions of another source than that of this page, and those that do not say where the events end. */
  #check(positions, events) {
    const fingerprint = positions["source.fingerprint"];
    if (fingerprint !== undefined && fingerprint !== this.engine.progress().sourceFingerprint) {
      throw new Error("the checkpoint is of another source: its fields, or what they mean, are not those of this page");
    }
    const offset = positions["source.offset"];
    if (events > 0 && (!offset || positions["source.line"] === undefined)) {
      throw new Error(
        "the checkpoint does not say how far it is in the source (`source.offset`, `source.line`), as this page and the native command do",
      );
    }
    this.rows.check(Number(offset ?? 0));
  }

  /**
   * Sets source and output to what a checkpoint recorded of them. `hole`: of one that was made elsewhere, up to which byte
   * the output here is empty, since it was written elsewhere.
   */
  async #goOnFrom(positions, outputs, isNewest, hole = 0) {
    this.#check(positions, this.events);
    this.rows.seek(Number(positions["source.offset"] ?? 0), Number(positions["source.line"] ?? 0));
    const start = Number(outputs["output.start"] ?? 0);
    const length = Number(outputs["output.length"] ?? 0);
    this.output = new Output({ length, start: Math.max(start, Math.min(hole, length)) });
    this.latest = {};
    this.comparison = undefined;
    let cut = 0;
    if (!this.engine.isReadOnly) {
      await this.output.find();
      // First the newest checkpoint accounts for the output as it will be, then it becomes so.
      if (!isNewest || this.output.start !== start) await this.checkpoint();
      cut = await this.output.cut();
    }
    this.comparison = new Comparison(this.#expected, this.output.start);
    await this.comparison.update(this.output.length);
    if (this.engine.progress().finished) await this.comparison.finish(this.output.length);
    return cut;
  }

  /** Takes up to `count` events; `false` once the last one is through. Between batches it may be stopped. */
  async advance(count, isStopped) {
    for (let left = count; left > 0 && !isStopped(); ) {
      const { events, finished } = this.engine.progress();
      if (finished) return false;
      const { json, count: taken } = this.rows.next(
        Math.min(left, BATCH_EVENTS, CHECKPOINT_EVENTS - (events % CHECKPOINT_EVENTS)),
      );
      if (taken === 0) {
        await this.#finish();
        return false;
      }
      this.engine.push(json);
      this.#takeResults();
      if ((events + taken) % CHECKPOINT_EVENTS === 0) await this.checkpoint();
      left -= taken;
    }
    return true;
  }

  async #finish() {
    this.engine.finish();
    this.#takeResults();
    await this.checkpoint();
    await this.comparison.finish(this.output.length);
  }

  #takeResults() {
    const text = this.engine.resultLines();
    if (text === "") return;
    this.output.append(text);
    for (const line of text.trimEnd().split("\n")) {
      // The operator is the first member of each result.
      this.latest[line.slice(13, line.indexOf('"', 13))] = line;
    }
  }

  async checkpoint() {
    await this.output.flush();
    const started = performance.now();
    const { id, durability } = await this.engine.checkpoint({
      positions: {
        "source.offset": this.rows.offset,
        "source.line": this.rows.line,
        "source.fingerprint": this.engine.progress().sourceFingerprint,
      },
      outputs: { "output.length": this.output.length, "output.start": this.output.start },
    });
    this.#took.set(id, performance.now() - started);
    this.newest = id;
    this.durability = durability;
    await this.comparison?.update(this.output.length);
  }

  /** Goes on from a file that {@link Job.export} or the native command made. */
  async import(bytes) {
    // What it recorded is known only once it is imported: elsewhere first, since here it replaces the state.
    const beside = await engine({ definition: this.#definition, backend: "memory" });
    try {
      const { positions } = await beside.import(bytes);
      this.#check(positions, beside.progress().events);
    } finally {
      await beside.close();
    }
    const hole = this.output?.start;
    const { id, positions, outputs } = await this.engine.import(bytes);
    this.comparison = undefined;
    const cut = await this.#goOnFrom(positions, outputs, true, hole);
    return { id, events: this.events, cut };
  }

  /** For a reader: goes to the newest checkpoint of the writer. */
  async refresh() {
    const { positions, outputs } = await this.engine.refresh();
    await this.#goOnFrom(positions, outputs, true);
  }

  async checkpoints() {
    const checkpoints = [];
    for await (const checkpoint of this.engine.checkpoints()) {
      checkpoints.push({ ...checkpoint, milliseconds: this.#took.get(checkpoint.id) });
    }
    return checkpoints;
  }

  /** Whether source, output and state are of one checkpoint. */
  get isWhole() {
    return this.comparison !== undefined;
  }

  /** What the page shows of it. */
  status() {
    const { events, results, watermark, finished } = this.engine.progress();
    const { length, start } = this.output;
    const { compared, different, sha256, expected } = this.comparison;
    return {
      ...{ events, total: this.rows.total, offset: this.rows.offset, results, latest: this.latest, watermark },
      // Not while its last checkpoint is under way: what there is to say of the output is known after it.
      finished: finished && sha256 !== undefined,
      output: { length, start, compared, different, sha256, expected },
      durability: this.durability,
    };
  }

  close() {
    return this.engine.close();
  }
}
