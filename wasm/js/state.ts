import { Checkpointed } from "./checkpointed.js";
import { type OpenOptions, checkOptions } from "./options.js";
import type { Platform } from "./place.js";
import { Session } from "./session.js";
import { type Value, checkValue, fromEngineValue, jsonOf, keyOf, live, textOf, toJson, toUtf8 } from "./value.js";

/** Values that cross to the engine in one step: enough to make crossing cheap, few enough to need little memory. */
const BATCH = 1000;

/**
 * Keyed state with checkpoints; from {@link open}. Reading and writing happen in memory, at once; a checkpoint writes
 * what has changed since the one before.
 */
export class State extends Checkpointed {
  /**
   * Writes a value: JSON-like data or a `Uint8Array`, which is copied.
   *
   * @throws {@link StateError} `INVALID` for what would come back as something else (`undefined`, functions, NaN,
   * dates, maps, bytes within data, …), `BUDGET`
   *
   * @example
   * state.set("total/eu", { n: 3, sum: 12.5 });
   */
  set(key: string, value: Value): void {
    const checked = keyOf(key);
    if (value instanceof Uint8Array) {
      const bytes = live(value);
      return this.session.change((handle) => handle.setBytes(checked, bytes));
    }
    const json = toJson(value);
    // As UTF-8 not before what is held back was written, for which the same place is used.
    this.session.change((handle) => handle.set(checked, toUtf8(json)));
  }

  /**
   * Writes many values, in batches. Whatever makes them may read and write the state meanwhile: it finds those before.
   *
   * @throws as {@link State.set}; the values before the wrong one may be written then
   *
   * @example
   * state.setMany(Object.entries(totals));
   */
  setMany(entries: Iterable<readonly [key: string, value: Value]>): void {
    // What is no array may make each entry out of the objects of the one before: that one must be a text by then.
    const areThere = Array.isArray(entries);
    let batch: unknown[] = [];
    const write = () => {
      const held = batch;
      batch = [];
      if (held.length > 0) {
        try {
          const json = toUtf8(textOf(() => (areThere ? JSON.stringify(held) : `[${held.join(",")}]`), "the batch"));
          session.change((handle) => handle.setMany(json));
        } catch (error) {
          // If it is told to nobody, as within a checkpoint that is not awaited, it is told in the end.
          batch = held;
          throw error;
        }
      }
    };
    const { session } = this;
    const { writeHeld } = session;
    // Of one that this is within.
    writeHeld?.();
    session.writeHeld = write;
    try {
      for (const [key, value] of entries) {
        // Bytes come in order, too: what is held back is written first.
        if (value instanceof Uint8Array) this.set(key, value);
        else {
          checkValue(value);
          const entry = [keyOf(key), value];
          batch.push(areThere ? entry : jsonOf(entry, "the value"));
          if (batch.length === BATCH) write();
        }
      }
      write();
    } finally {
      session.writeHeld = writeHeld;
    }
  }

  /**
   * The value of a key: a copy of its own; `undefined` if there is none.
   *
   * What JavaScript wrote comes back as it was, but for `-0`, which JSON has not: it is stored as 0. Values that Rust wrote
   * may be what JSON has not either: integers past 2^53 come as the nearest number, NaN and infinite numbers as `null`,
   * and bytes within an array or object as an array of numbers.
   *
   * @example
   * const total = state.get<{ n: number; sum: number }>("total/eu");
   */
  get<T = Value>(key: string): T | undefined {
    return fromEngineValue(this.session.call((handle) => handle.get(keyOf(key)))) as T | undefined;
  }

  /** Removes a key; whether it was there. */
  remove(key: string): boolean {
    return this.session.change((handle) => handle.remove(keyOf(key)));
  }

  /**
   * The keys that begin with `prefix`, sorted by their bytes. Keys that a program in Rust wrote and that are no text are shown
   * with replacement characters, by which they are not found.
   */
  keys(prefix = ""): string[] {
    return JSON.parse(this.session.call((handle) => handle.keys(keyOf(prefix)))) as string[];
  }

  /** Number of keys. */
  get size(): number {
    return this.session.call((handle) => handle.size());
  }

  /** Memory that the state takes, in bytes, within a tenth. */
  get sizeBytes(): number {
    return this.session.call((handle) => handle.sizeBytes());
  }
}

/** What the engine is told of the options: all but where checkpoints go. */
export function engineOptions(options: OpenOptions): Record<string, unknown> {
  return {
    name: options.name,
    compression: options.compression,
    retain: options.retain,
    budgetBytes: options.budgetBytes,
    given: Object.keys(options),
  };
}

/** {@link State}s of a platform. */
export async function openState(platform: Platform, options: OpenOptions): Promise<State> {
  checkOptions(options);
  return new State(await Session.open(platform, options, jsonOf(engineOptions(options), "an option"), true));
}
