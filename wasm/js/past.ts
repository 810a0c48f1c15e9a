/// <reference lib="esnext.disposable" preserve="true" />
import type { Past as EnginePast } from "./glue.js";
import type { Checkpoint, Restored } from "./options.js";
import { type Value, fromEngineValue, keyOf, positionsFromText } from "./value.js";

/** Calls to something of the engine, for as long as it lives. */
interface Calls {
  call<T>(use: (past: EnginePast) => T): T;
  close(): void;
}

/**
 * The state of an older checkpoint, to read; from {@link State.at}. It takes as much memory as the state did, until it
 * is closed, or the state is; a state that is forgotten stays open for as long as there is one of it.
 *
 * @example
 * const past = await state.at(7);
 * console.log(past.get("total/eu"), new Date(past.checkpoint.time));
 * past.close();
 */
export class Past {
  readonly #past: Calls;
  /** Which checkpoint it is. */
  readonly checkpoint: Checkpoint;
  /** How far each source was read then. */
  readonly positions: Restored["positions"];
  /** How much had been written of each output then. */
  readonly outputs: Restored["outputs"];

  /** @internal */
  constructor(past: Calls) {
    this.#past = past;
    const info = JSON.parse(past.call((it) => it.info())) as {
      checkpoint: Checkpoint;
      positions: Record<string, string>;
      outputs: Record<string, string>;
    };
    this.checkpoint = info.checkpoint;
    this.positions = positionsFromText(info.positions);
    this.outputs = positionsFromText(info.outputs);
  }

  /** The value of a key, or `undefined`: as {@link State.get}. */
  get<T = Value>(key: string): T | undefined {
    return fromEngineValue(this.#past.call((it) => it.get(keyOf(key)))) as T | undefined;
  }

  /** The keys that begin with `prefix`, sorted by their bytes. */
  keys(prefix = ""): string[] {
    return JSON.parse(this.#past.call((it) => it.keys(keyOf(prefix)))) as string[];
  }

  /** Number of keys. */
  get size(): number {
    return this.#past.call((it) => it.size());
  }

  /**
   * All of it as JSON, as `eventflux inspect --json` shows it: for an engine, the states of its operators, with the names
   * that its definition gives to the parts of keys and to results.
   */
  inspect(): unknown {
    return JSON.parse(this.#past.call((it) => it.inspect()));
  }

  /** Gives its memory back. May be called twice; all other calls get `CLOSED` from now on. `using` calls it. */
  close(): void {
    this.#past.close();
  }

  /** As {@link Past.close}. */
  declare [Symbol.dispose]: () => void;
}

Object.defineProperty(Past.prototype, Symbol.dispose ?? Symbol.for("Symbol.dispose"), {
  value(this: Past) {
    this.close();
  },
});
