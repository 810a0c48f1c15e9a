import { StateError } from "../error.js";

/** What a checkpoint is safe from once it is taken. */
export type Durability =
  /** The process, the browser and the power may fail. */
  | "strict"
  /**
   * The process and the browser may fail; after a power failure the newest checkpoints may be gone: an older one is the
   * newest, or is opened by its number (`from`).
   */
  | "relaxed"
  /** Nothing: it is in memory. */
  | "none";

/** A part of an object: with both, that part, cut short at the end; `length` alone, the last bytes; neither, all. */
export interface ByteRange {
  /** First byte. */
  offset?: number | undefined;
  /** Number of bytes. */
  length?: number | undefined;
}

/** An object of a storage. */
export interface ObjectInfo {
  /** Its name: letters, digits, `-`, `_` and `.`, which it does not begin with. */
  name: string;
  /** Bytes. */
  length: number;
}

/**
 * A place where checkpoints are kept: objects that are written once, and one head record that is replaced as a whole.
 * Give {@link OpenOptions.backend} an object of your own to keep them elsewhere; each method may answer at once or by a
 * promise. One is called after the other, never two at a time. What a method throws comes out of the call that needed
 * it, with the code `STORAGE`, with that of a {@link StateError}, or with `QUOTA` if it says that there is no room. Bytes that are given are copies, and the
 * storage's to keep; bytes that are answered are copied before anything else is asked.
 *
 * @example
 * // Objects in a Map, such as one would wrap to inject faults.
 * const objects = new Map<string, Uint8Array>();
 * let head: Uint8Array | undefined;
 * const same = (a?: Uint8Array, b?: Uint8Array) => String(a) === String(b);
 * const storage: Storage = {
 *   put: (name, bytes) => void objects.set(name, bytes),
 *   read: (name, range) => {
 *     const bytes = objects.get(name);
 *     return bytes?.subarray(...rangeWithin(bytes.length, range));
 *   },
 *   list: () => [...objects].map(([name, { length }]) => ({ name, length })),
 *   delete: (name) => void objects.delete(name),
 *   readHead: () => head,
 *   swapHead: (expected, bytes) => same(head, expected) && ((head = bytes), true),
 * };
 * const state = await open({ name: "orders", backend: storage });
 */
export interface Storage {
  /**
   * Writes an object. When it is done, the object is durable, whole, under its name. Until then readers see all of it
   * or nothing, and after a failure too. Names are written once. A storage that can publish several things in one
   * transaction may hold the object back until {@link Storage.swapHead}, and answer {@link Storage.read} meanwhile.
   */
  put(object: string, bytes: Uint8Array): void | Promise<void>;

  /** Reads a part of an object; nothing if there is no such object. */
  read(object: string, range: ByteRange): Uint8Array | undefined | Promise<Uint8Array | undefined>;

  /** Every object, in no particular order; of one that is being written, nothing. */
  list(): readonly ObjectInfo[] | Promise<readonly ObjectInfo[]>;

  /** Deletes an object. It is no failure if there is none. Need not be durable when it is done. */
  delete(object: string): void | Promise<void>;

  /** The head record; nothing if none was ever written. */
  readHead(): Uint8Array | undefined | Promise<Uint8Array | undefined>;

  /**
   * Replaces the head record if it equals `expected` (nothing: if there is none), in one atomic step among all writers
   * of the storage. `true`: replaced, durably, and after every object put before. `false`: it was something else, and
   * is unchanged. Thrown: it is either.
   */
  swapHead(expected: Uint8Array | undefined, bytes: Uint8Array): boolean | Promise<boolean>;

  /** What the last {@link Storage.swapHead} obtained; `strict` if it does not say. */
  readonly durability?: Durability;

  /** Gives up what it holds, once the state is closed. */
  close?(): void | Promise<void>;
}

/** First byte of a range and the one after its last, within `length` bytes. */
export function rangeWithin(length: number, range: ByteRange): [start: number, end: number] {
  if (range.length === undefined) return [0, length];
  const start = range.offset === undefined ? length - Math.min(range.length, length) : Math.min(range.offset, length);
  return [start, Math.min(start + range.length, length)];
}

/** A name of an object that names nothing else: names come out of stored bytes too. */
export function objectName(name: string): string {
  if (!/^[\w-][\w.-]*$/.test(name)) throw new StateError("CORRUPT", `${JSON.stringify(name)}: not a name of an object`);
  return name;
}

/** Whether two records are the same; neither there is the same too. */
export function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (!a || !b) return a === b;
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
