import { Checkpointed } from "./checkpointed.js";
import { StateError } from "./error.js";
import { type OpenOptions, checkOptions } from "./options.js";
import type { Platform } from "./place.js";
import { Session } from "./session.js";
import { engineOptions } from "./state.js";
import { eventsToJson, jsonOf, keyOf, live, toUtf8 } from "./value.js";

/** A condition on a field; all that it says must hold. */
export interface Condition {
  field: string;
  eq?: Operand;
  ne?: Operand;
  lt?: Operand;
  le?: Operand;
  gt?: Operand;
  ge?: Operand;
  in?: (string | number | boolean)[];
  null?: boolean;
}

/** What a field is compared with: a value or, in a pattern, a field of an earlier step. */
export type Operand = string | number | boolean | { step: string; field: string };

/** A window, a pattern or an aggregation: the `[[operator]]` of a definition. */
export interface Operator {
  name: string;
  key?: string[];
  where?: Condition[];
  window?:
    { tumbling: string } | { hopping: { size: string; every: string } } | { session: string } | { length: number };
  compute?: Record<string, string>;
  pattern?: { step: string; where?: Condition[]; next?: boolean }[];
  within?: string;
  skip?: "past_last" | "none";
  aggregate?: Record<string, string>;
  emit?: "end" | "change";
}

/** An application: what the native command reads as TOML, as an object. */
export interface Definition {
  /** Names the state and, if nothing else is said, the storage. */
  name: string;
  source: {
    /** Name of the field that has the time: RFC 3339, or milliseconds since 1970. */
    timestamp: string;
    /** Names of all fields of events, in their order. */
    fields: string[];
    /** Texts that mean null: the empty one, unless others are named; none with `[]`. As in the native command. */
    null?: string[];
    /**
     * Fields whose numbers stay text, as the JSON has them: identifiers, codes. As in the native command; but of objects
     * it is what JavaScript makes of their numbers: give identifiers of many digits as texts.
     */
    text?: string[];
    /** How long events may be late, such as `24h`. */
    watermark_delay?: string;
    /** Read by the native command only. */
    file?: string;
  };
  operator: Operator[];
  /** Read by the native command only. */
  checkpoint?: object;
  /** Read by the native command only. */
  sink?: object;
}

/** How an engine is opened: as a state, and what it computes. */
export interface EngineOptions extends Omit<OpenOptions, "name"> {
  /** What it computes. */
  definition: Definition;
  /** Names the storage; default: the definition's name. */
  name?: string;
}

/**
 * A result: `operator`, `key`, and what the operator computes. Integers past 2^53 lose digits: see {@link
 * Engine.resultLines}.
 */
export type Result = { operator: string; key: Record<string, unknown> } & Record<string, unknown>;

/** How far an engine has come. */
export interface Progress {
  /** Events taken. */
  events: number;
  /** Those of them that were too late, and dropped, by operator. */
  late: Record<string, number>;
  /** Results given, by operator. */
  results: Record<string, number>;
  /**
   * Largest time seen less the delay, in milliseconds since 1970; nothing before the first event, and after the end.
   */
  watermark: number | null;
  /** Whether the source has ended. */
  finished: boolean;
  /** What must stay the same of the source for the native command to go on: it records it as a position. */
  sourceFingerprint: bigint;
}

/**
 * Windows, patterns and aggregations over events, with checkpoints; from {@link engine}. A checkpoint holds all that
 * later results depend on, but no results: take them first, and put them where they are safe. While there are some that
 * were not taken it is refused as `BUSY`.
 */
export class Engine extends Checkpointed {
  /**
   * Takes events, in their order: flat objects; or a JSON array of them as text or, fastest, as the bytes of its UTF-8.
   *
   * @throws {@link StateError} `INVALID`: an event does not fit, and the message says which; `BUDGET`: there is no room
   * for it, even after the windows that its time closes are closed
   */
  push(events: readonly object[] | string | Uint8Array): void {
    const json =
      events instanceof Uint8Array
        ? live(events)
        : toUtf8(typeof events === "string" ? keyOf(events, "JSON") : eventsToJson(events));
    this.session.change((handle) => handle.push(json));
  }

  /**
   * The results since the last call, in their order; of more than 512 MB of lines the first, and the next call gives more.
   *
   * @example
   * for (const result of engine.results()) console.log(result.operator, result.key);
   */
  results(): Result[] {
    const lines = this.resultLines();
    return lines === "" ? [] : (JSON.parse(`[${lines.trimEnd().replaceAll("\n", ",")}]`) as Result[]);
  }

  /**
   * The same as {@link Engine.results} as text: a JSON object a line, byte for byte what the native command writes. Nothing
   * is left once it gives an empty one.
   */
  resultLines(): string {
    const lines = this.session.call((handle) => handle.results());
    // The outputs that a checkpoint which waits was given are without these.
    return lines && this.session.change(() => lines);
  }

  /** Ends the source: all windows close, and no more events are taken. */
  finish(): void {
    this.session.change((handle) => handle.finish());
  }

  /** How far it has come. */
  progress(): Progress {
    const progress = JSON.parse(this.session.call((handle) => handle.progress())) as Progress;
    return { ...progress, sourceFingerprint: BigInt(progress.sourceFingerprint) };
  }
}

/** {@link Engine}s of a platform. */
export async function openEngine(platform: Platform, options: EngineOptions): Promise<Engine> {
  const { definition } = options ?? {};
  if (typeof definition !== "object" || definition === null) {
    throw new StateError("INVALID", "`definition` must be an object, such as the native command reads");
  }
  const named: OpenOptions = { ...options, name: options.name ?? definition.name };
  checkOptions(named);
  const told = jsonOf({ ...engineOptions(named), name: definition.name ?? named.name, definition }, "an option");
  // When the page hides, there may be results that were not taken yet, and positions are not known here.
  return new Engine(await Session.open(platform, named, told, false));
}
