// A storage in the origin private file system, for a dedicated worker: only there files can be written at once.
//
// Layout: a directory for each state, with `objects/`, one file for each object, and the head in two slots, `head.0`
// and `head.1`.
//
// Invariants:
// - The head is the newest slot whose checksum holds. It is replaced by writing the other one: whatever a crash leaves
//   of that, the old one is whole. One that a writer before us left may be whole only until the power fails: it is
//   flushed first.
// - An object is flushed before the head that names it is written. One that a crash left in part is named by no head.
// - Whoever compares and replaces the head has both slots open, which no other tab can at that moment. Nothing stays
//   open longer: a tab that takes over is not shut out.
// - After a failed write of a slot that same slot is written anew, never the other one: it may be the only whole one.

import { StateError } from "../error.js";
import { placeName } from "../options.js";
import { type ByteRange, type ObjectInfo, type Storage, isSame, objectName, rangeWithin } from "./storage.js";

/** What the library of TypeScript declares for workers only. */
interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
type WorkerFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncHandle> };

/** How long a file that another tab has open is waited for. */
const OPEN_WAIT_MS = 10_000;
const OPEN_RETRY_MS = 5;
/** How often a slot of the head is read that is written each time. */
const READ_ATTEMPTS = 10;

/** Whether this is a dedicated worker with such files. */
export function hasOpfs(): boolean {
  return (
    typeof FileSystemFileHandle === "function" &&
    "createSyncAccessHandle" in FileSystemFileHandle.prototype &&
    typeof navigator.storage?.getDirectory === "function"
  );
}

/** Opens the directory of a state, which is made if there is none. */
export async function openOpfs(name: string, newestHead: (slots: Uint8Array[]) => number): Promise<Storage> {
  if (!hasOpfs()) {
    throw new StateError(
      "UNSUPPORTED",
      'OPFS is for dedicated workers of a secure page; use `backend: "indexeddb"` here',
    );
  }
  let directory = await navigator.storage.getDirectory();
  for (const part of ["eventflux", placeName(name)])
    directory = await directory.getDirectoryHandle(part, { create: true });
  return new Opfs(directory, await directory.getDirectoryHandle("objects", { create: true }), newestHead);
}

/** Nothing for what is not there. */
async function found<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
    throw error;
  }
}

/** Opens a file once no other tab has it open, and closes it again. */
async function withFile<T>(file: FileSystemFileHandle, use: (handle: SyncHandle) => T | Promise<T>): Promise<T> {
  const until = Date.now() + OPEN_WAIT_MS;
  for (;;) {
    let handle: SyncHandle;
    try {
      handle = await (file as WorkerFile).createSyncAccessHandle();
    } catch (error) {
      const isOpen = error instanceof DOMException && error.name === "NoModificationAllowedError";
      if (!isOpen || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, OPEN_RETRY_MS));
      continue;
    }
    try {
      return await use(handle);
    } finally {
      handle.close();
    }
  }
}

function writeAll(handle: SyncHandle, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const written = handle.write(at === 0 ? bytes : bytes.subarray(at), { at });
    if (written === 0) throw new DOMException("the file takes no more bytes", "QuotaExceededError");
    at += written;
  }
  handle.truncate(bytes.length);
  handle.flush();
}

function readAll(handle: SyncHandle): Uint8Array {
  const bytes = new Uint8Array(handle.getSize());
  return bytes.subarray(0, handle.read(bytes, { at: 0 }));
}

/** What is in a file. One that its writer changes meanwhile cannot be read, and is read again. */
async function contents(file: FileSystemFileHandle | undefined): Promise<Uint8Array> {
  for (let attempts = 1; file; attempts += 1) {
    try {
      return new Uint8Array(await (await file.getFile()).arrayBuffer());
    } catch (error) {
      if (attempts === READ_ATTEMPTS || (error as DOMException).name !== "NotReadableError") throw error;
    }
  }
  return new Uint8Array();
}

class Opfs implements Storage {
  // Files are flushed; that their names are on the disk no browser promises.
  readonly durability = "relaxed";
  readonly #directory: FileSystemDirectoryHandle;
  readonly #objects: FileSystemDirectoryHandle;
  readonly #newestHead: (slots: Uint8Array[]) => number;
  /** Whether the newest slot is known to be on the disk, and not only in the cache of the system. */
  #isFlushed = false;
  /** A slot of which a write failed. */
  #unsure: number | undefined;

  constructor(
    directory: FileSystemDirectoryHandle,
    objects: FileSystemDirectoryHandle,
    newestHead: (slots: Uint8Array[]) => number,
  ) {
    this.#directory = directory;
    this.#objects = objects;
    this.#newestHead = newestHead;
  }

  async put(object: string, bytes: Uint8Array): Promise<void> {
    const name = objectName(object);
    const file = await this.#objects.getFileHandle(name, { create: true });
    try {
      await withFile(file, (handle) => writeAll(handle, bytes));
    } catch (error) {
      await this.#objects.removeEntry(name).catch(() => {});
      throw error;
    }
  }

  async read(object: string, range: ByteRange): Promise<Uint8Array | undefined> {
    const handle = await found(this.#objects.getFileHandle(objectName(object)));
    const file = handle && (await found(handle.getFile()));
    const bytes = file && (await found(file.slice(...rangeWithin(file.size, range)).arrayBuffer()));
    return bytes && new Uint8Array(bytes);
  }

  async list(): Promise<ObjectInfo[]> {
    const objects: ObjectInfo[] = [];
    for await (const file of this.#objects.values()) {
      const info = await found((file as FileSystemFileHandle).getFile());
      if (info) objects.push({ name: file.name, length: info.size });
    }
    return objects;
  }

  async delete(object: string): Promise<void> {
    await found(this.#objects.removeEntry(objectName(object)));
  }

  async readHead(): Promise<Uint8Array | undefined> {
    const slots = await Promise.all([this.#slot(0, false).then(contents), this.#slot(1, false).then(contents)]);
    return slots[this.#newest(slots)];
  }

  async swapHead(expected: Uint8Array | undefined, bytes: Uint8Array): Promise<boolean> {
    const [first, second] = [await this.#slot(0, true), await this.#slot(1, true)];
    return withFile(first!, (handle0) =>
      withFile(second!, (handle1) => {
        const handles = [handle0, handle1];
        const slots = handles.map(readAll);
        const newest = this.#newest(slots);
        if (!isSame(slots[newest], expected)) return false;
        const next = this.#unsure ?? (newest === 0 ? 1 : 0);
        if (!this.#isFlushed) handles[newest]?.flush();
        this.#isFlushed = true;
        this.#unsure = next;
        writeAll(handles[next]!, bytes);
        this.#unsure = undefined;
        return true;
      }),
    );
  }

  #slot(index: number, create: boolean): Promise<FileSystemFileHandle | undefined> {
    return found(this.#directory.getFileHandle(`head.${index}`, { create }));
  }

  /**
   * Which slot is the head; -1 if there is none yet. If only one slot has bytes and they are no head, its first write
   * never ended; if both have, they were damaged, which the engine is to see and say.
   */
  #newest(slots: Uint8Array[]): number {
    const newest = this.#newestHead(slots);
    return newest === -1 && slots.every((slot) => slot.length > 0) ? 0 : newest;
  }
}
