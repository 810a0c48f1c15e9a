// A storage in a directory, for Node: the layout of the native program, whose documentation
// (host/src/storage/file/mod.rs) says why each step is where it is.
//
// Layout: `objects/` with one file for each object; `head`, the head record; `writer.lock`, locked by the process that
// writes, for as long as it lives; `head.lock`, locked while the head is replaced.
//
// Invariants:
// - A file gets its name only once it is written whole. Names that end in `.tmp` are never read; those that we give are
//   removed by the next writer, and no others: the directory may be one that the user has other files in.
// - The head gets its name only once it is durable: temporary file, fsync, rename, fsync of the directory.
// - An object is renamed first and synced then, file before directory; no head names it before.
// - After a failed fsync the file is abandoned and written anew under another temporary name.
// - The head is compared and replaced under `head.lock`, so that of two writers one is refused.

import { type FileHandle, mkdir, open, readdir, rename, rmdir, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { StateError, messageOf } from "../error.js";
import type { OpenOptions } from "../options.js";
import { isCode, lockHead, lockWriter } from "./file-locks.js";
import { type ByteRange, type ObjectInfo, type Storage, isSame, objectName, rangeWithin } from "./storage.js";

const HEAD = "head";
const TEMPORARY = ".tmp";
/** Names of a head and of objects while they are written, by this or by the native program. */
const TEMPORARY_HEAD = /^head\.\d+\.tmp$/;
const TEMPORARY_OBJECT = /^checkpoint-(\d{10}|[1-9]\d{10,})-g(0|[1-9]\d*)\.efx\.\d+\.tmp$/;
/** How often a file is written anew after a failed fsync. */
const WRITE_ATTEMPTS = 2;

/** Nothing for what is not there. */
async function found<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Makes the names in a directory durable. */
function syncDirectory(path: string): Promise<void> {
  return withFile(path, "r", (directory) => directory.sync());
}

async function readFile(path: string, range: ByteRange): Promise<Uint8Array> {
  return withFile(path, "r", async (file) => {
    const [start, end] = rangeWithin((await file.stat()).size, range);
    const bytes = new Uint8Array(end - start);
    let read = 0;
    while (read < bytes.length) {
      const { bytesRead } = await file.read(bytes, read, bytes.length - read, start + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return bytes.subarray(0, read);
  });
}

async function isDirectory(path: string): Promise<boolean> {
  return (await found(stat(path)).catch(() => undefined))?.isDirectory() ?? false;
}

/** Syncs a directory, unless it is one that we cannot have made anything in. */
async function syncIfAllowed(path: string): Promise<void> {
  try {
    await syncDirectory(path);
  } catch (error) {
    if (!isCode(error, "EACCES", "EPERM", "EROFS", "EINVAL", "ENOTSUP")) throw error;
  }
}

/** Makes a directory and those it is in. Each is made only in one whose own name is durable. */
async function makeDirectory(path: string): Promise<void> {
  const parent = dirname(path);
  if (await isDirectory(path)) {
    // Whoever made it may have died before its name was durable.
    return syncIfAllowed(parent);
  }
  if (parent !== path) await makeDirectory(parent);
  try {
    await mkdir(path);
  } catch (error) {
    if (!isCode(error, "EEXIST") || !(await isDirectory(path))) throw error;
  }
  try {
    await syncDirectory(parent);
  } catch (error) {
    // A later sync would say nothing of this name: it is made anew.
    await rmdir(path).catch(() => {});
    throw error;
  }
}

/** Removes what a writer before us left half-written of files that we write; what cannot be removed does no harm. */
async function removeTemporary(directory: string, ours: RegExp): Promise<void> {
  for (const name of await readdir(directory)) {
    if (ours.test(name)) await unlink(join(directory, name)).catch(() => {});
  }
}

/** A storage in a directory, and its lock; one that is to be taken over from another one is not taken yet. */
export async function openFiles(path: string, options: OpenOptions): Promise<Files> {
  const directory = resolve(path);
  const objects = join(directory, "objects");
  const files = new Files(directory, objects);
  if (options.tabs === "read") {
    if (!(await isDirectory(objects))) {
      throw new StateError("NOT_FOUND", `${directory}: there is no checkpoint storage here; open it for writing first`);
    }
    return files;
  }
  try {
    await makeDirectory(objects);
  } catch (error) {
    throw new StateError("STORAGE", `cannot make the directory ${objects}: ${messageOf(error)}`, error);
  }
  if (options.tabs !== "takeover") await files.lock(options);
  return files;
}

class Files implements Storage {
  readonly durability = "strict";
  readonly directory: string;
  readonly #objects: string;
  #lock: FileHandle | undefined;

  constructor(directory: string, objects: string) {
    this.directory = directory;
    this.#objects = objects;
  }

  /** Takes the lock of the writer. */
  async lock(options: OpenOptions): Promise<void> {
    const lock = await lockWriter(this.directory, options);
    try {
      await removeTemporary(this.#objects, TEMPORARY_OBJECT);
      await removeTemporary(this.directory, TEMPORARY_HEAD);
      this.#lock = lock;
    } catch (error) {
      await lock.close();
      throw error;
    }
  }

  put(object: string, bytes: Uint8Array): Promise<void> {
    return writeDurably(this.#path(object), bytes, "rename first");
  }

  read(object: string, range: ByteRange): Promise<Uint8Array | undefined> {
    return found(readFile(this.#path(object), range));
  }

  async list(): Promise<ObjectInfo[]> {
    const objects: ObjectInfo[] = [];
    for (const name of await readdir(this.#objects)) {
      if (name.endsWith(TEMPORARY)) continue;
      // What is deleted meanwhile may be left out.
      const info = await found(stat(join(this.#objects, name)));
      if (info) objects.push({ name, length: info.size });
    }
    return objects;
  }

  async delete(object: string): Promise<void> {
    await found(unlink(this.#path(object)));
  }

  readHead(): Promise<Uint8Array | undefined> {
    return found(readFile(join(this.directory, HEAD), {}));
  }

  async swapHead(expected: Uint8Array | undefined, bytes: Uint8Array): Promise<boolean> {
    const lock = await lockHead(this.directory);
    try {
      if (!isSame(await this.readHead(), expected)) return false;
      await writeDurably(join(this.directory, HEAD), bytes, "rename last");
      return true;
    } finally {
      await lock.close();
    }
  }

  async close(): Promise<void> {
    await this.#lock?.close();
  }

  #path(object: string): string {
    return join(this.#objects, objectName(object));
  }
}

/**
 * When a file that is written whole gets its name: before it is durable, where nobody needs what the name had; or
 * after.
 */
type Rename = "rename first" | "rename last";

/**
 * Writes a file so that its name has all of `bytes`, durably. If that fails, the name has what it had before or all of
 * `bytes`; with `rename first` perhaps nothing.
 */
async function writeDurably(path: string, bytes: Uint8Array, order: Rename): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeOnce(`${path}.${attempt}${TEMPORARY}`, path, bytes, order);
      break;
    } catch (error) {
      if (attempt + 1 === WRITE_ATTEMPTS || isCode(error, "ENOSPC", "EDQUOT")) throw error;
    }
  }
  await syncDirectory(dirname(path));
}

/** One attempt; of one that fails nothing stays. */
async function writeOnce(temporary: string, path: string, bytes: Uint8Array, order: Rename): Promise<void> {
  let named = temporary;
  try {
    await withFile(temporary, "w", async (file) => {
      await file.writeFile(bytes);
      if (order === "rename last") await file.sync();
      await rename(temporary, path);
      if (order === "rename last") return;
      named = path;
      await file.sync();
    });
  } catch (error) {
    await unlink(named).catch(() => {});
    throw error;
  }
}
