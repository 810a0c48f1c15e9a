import { StateError } from "./error.js";
import type { Durability, Storage } from "./storage/storage.js";
import { type Positions, isText } from "./value.js";

declare global {
  // Programs for Node do not have the declarations of browsers, which this is part of.
  namespace WebAssembly {
    interface Module {}
  }
}

/** What is told of others that have the same state open. */
export type Change =
  /** The writer has published a checkpoint, or in Node its head alone: `await state.refresh()` shows what there is. */
  | { kind: "published" }
  /** Another tab has taken over: nothing that is written from now on can be published. */
  | { kind: "fenced" };

/** How a state is opened. Only `name` has to be given; what is no option is refused. */
export interface OpenOptions {
  /** Name of the state: its checkpoints restore into a state of this name only, and it names the storage. */
  name: string;
  /**
   * Where checkpoints go. `auto`: OPFS in a dedicated worker, IndexedDB in a page, files in Node. `memory`: nowhere;
   * they are gone with the state. Or a {@link Storage} of your own. Default: `auto`.
   */
  backend?: "auto" | "memory" | "indexeddb" | "opfs" | "files" | Storage;
  /**
   * Directory of `files`. The native program has the same layout: it may be its `file:` storage. Default:
   * `eventflux/NAME`.
   */
  directory?: string;
  /**
   * Whether a checkpoint waits for the disk (`strict`, the default) or for the operating system. Only IndexedDB can do
   * either: OPFS is `relaxed`, files are `strict`.
   */
  durability?: "strict" | "relaxed";
  /** Default: `lz4`, where it pays. */
  compression?: "lz4" | "none";
  /**
   * What if another tab or process has it open for writing. `exclusive` (the default): {@link StateError} `LOCKED` at
   * once. `wait`: wait until it is closed. `takeover`: the other one is cut off, and gets `FENCED`. `read`: open it for
   * reading beside the writer. A {@link Storage} of your own knows no lock: the newest to open takes over.
   */
  tabs?: "exclusive" | "wait" | "read" | "takeover";
  /**
   * The checkpoint to begin with: `latest` (the default), the number of an older one, or `none`. Only you go back to
   * an older one: if the latest is damaged, opening it is an error, {@link StateError} `CORRUPT`.
   */
  from?: "latest" | "none" | number;
  /** Gives up waiting, for `tabs: "wait"`. */
  signal?: AbortSignal;
  /** Which checkpoints stay: the `max` newest, 1 or more (default 10), and all that have a label. */
  retain?: { max?: number };
  /**
   * Bytes that the state may take in memory; a write past it is refused with `BUDGET`. What opening, a restore or an
   * import brings back is not: it was taken once, and would be lost otherwise.
   */
  budgetBytes?: number;
  /**
   * Asks the browser to keep the storage when the disk is nearly full; `state.persisted` says what it answered, once it
   * has: opening does not wait for that.
   */
  persist?: boolean;
  /**
   * Takes a checkpoint when the page is hidden or left, if anything has changed: best effort, never a guarantee. A
   * function gives its request, or nothing if this is no moment for one: a program with positions or outputs gives one,
   * since only it knows which of them belong to the state. `true` does so for as long as no checkpoint has had any.
   * Of an engine none is taken while it has results that were not taken: let the function take them first.
   * Default, for states in pages: once a checkpoint was taken or restored that has none, as for `true`; for engines: `false`.
   */
  checkpointOnHide?: boolean | (() => CheckpointRequest | undefined);
  /**
   * Is told of others that have the state open: of what happens while it is opened once it is open. What it throws goes
   * to the event loop.
   */
  onChange?: (change: Change) => void;
  /** Where the wasm file is, for bundlers that lose it: its address, bytes, or compiled. */
  wasm?: string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module;
}

/** What is recorded with a checkpoint; what is no member of this is refused. */
export interface CheckpointRequest {
  /** Makes it a savepoint: it stays until `deleteCheckpoint`. */
  label?: string;
  /** How far each source was read: whole numbers from 0 to 2^64 - 1. A restore gives them back. */
  positions?: Positions;
  /** How much of each output had been written, such as the length of a file: to cut it there after a restore. */
  outputs?: Positions;
}

/** A checkpoint that can be restored. */
export interface Checkpoint {
  /** Its number; they rise. */
  id: number;
  /** The one it was taken after, if any. */
  parent: number | null;
  /** When, in milliseconds since 1970. */
  time: number;
  /** Its label, if it is a savepoint. */
  label: string | null;
  /** `full` if it carries all of its state itself, else `incremental`. */
  kind: "full" | "incremental";
  /** Bytes stored for it. */
  bytes: number;
  /** Bytes that were, before compression. */
  rawBytes: number;
  /**
   * Entries written because they had changed; of those that went into a base that was renewed anyway, a checkpoint that
   * was just taken tells too.
   */
  dirty: number;
}

/** A checkpoint that was just taken. */
export interface TakenCheckpoint extends Checkpoint {
  /** What the storage made of it. */
  durability: Durability;
}

/** A checkpoint that was imported: the state goes on from what it recorded. */
export interface ImportedCheckpoint extends TakenCheckpoint {
  /** How far each source was read then. */
  positions: Record<string, bigint>;
  /** How much had been written of each output then. */
  outputs: Record<string, bigint>;
}

/** What a state begins with. */
export interface Restored {
  /** The checkpoint, or nothing: the state is new. */
  checkpoint: Checkpoint | undefined;
  /** How far each source was read then. */
  positions: Record<string, bigint>;
  /** How much had been written of each output then. */
  outputs: Record<string, bigint>;
}

/** What {@link State.verify} found. */
export interface VerifyReport {
  /** Checkpoints that were read. */
  checkpoints: number;
  /** Sections that were read. */
  sections: number;
  /** Bytes that were read. */
  bytes: number;
  /** What is damaged or could not be read, and which checkpoints need it. Empty: all is whole. */
  findings: { checkpoints: number[]; message: string }[];
  /** Newest checkpoint that can be restored; null, too, if a newer one could not be read and may be whole. */
  newestWhole: number | null;
}

/** A key whose value differs between two checkpoints. */
export interface Difference {
  /** The name of an engine's operator, or `values`. */
  state?: string;
  /** The key: that of an operator by the names of its parts. */
  key: unknown;
  /** Value in the first one, bytes as `{ hex }`; null, too, if there was none. */
  before?: unknown;
  /** Value in the second one, likewise. */
  after?: unknown;
}

const BACKENDS = ["auto", "memory", "indexeddb", "opfs", "files"];
const TABS = ["exclusive", "wait", "read", "takeover"];
const DURABILITIES = ["strict", "relaxed"];

function choose(option: string, value: unknown, of: readonly string[]): void {
  if (value !== undefined && !of.includes(value as string)) {
    const choices = of.map((choice) => JSON.stringify(choice)).join(", ");
    const given = typeof value === "string" ? JSON.stringify(value) : typeof value;
    throw new StateError("INVALID", `\`${option}\` must be one of ${choices}, not ${given}`);
  }
}

/** Refuses options that only JavaScript looks at; the engine looks at the rest, and knows the names of all. */
export function checkOptions(options: OpenOptions): void {
  if (typeof options !== "object" || options === null) throw new StateError("INVALID", "options must be an object");
  if (!isText(options.name) || options.name === "") {
    throw new StateError("INVALID", "`name` must be a text that is not empty, without half of a surrogate pair");
  }
  if (typeof options.backend !== "object" || options.backend === null) choose("backend", options.backend, BACKENDS);
  choose("tabs", options.tabs, TABS);
  choose("durability", options.durability, DURABILITIES);
}

/** The name of a directory or database for a state: a name like any other, whatever the state is called. */
export function placeName(name: string): string {
  return encodeURIComponent(name).replaceAll(".", "%2E");
}
