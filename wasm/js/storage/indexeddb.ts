// A storage in a database of IndexedDB: the pieces of each object, by its name and where they begin in it, and the head.
// An object that is an entry of its own, by its name alone, was written before there were pieces.
//
// Invariants:
// - An object and the head that names it are written in one transaction: nobody ever sees one without the other. `put`
//   holds the object back in memory, and `swapHead` writes both.
// - A transaction only counts once it says `complete`; until then nothing is acknowledged.
// - The head is compared in the transaction that replaces it, so that of two tabs one is refused.

import { StateError } from "../error.js";
import { placeName } from "../options.js";
import { type ByteRange, type Durability, type ObjectInfo, type Storage, isSame, rangeWithin } from "./storage.js";

const OBJECTS = "objects";
const HEAD = "head";
const RECORD = "record";

/** Longest piece of an object: what is longer than 64 KiB, Chromium puts into a file of its own, for twice the time. */
const PIECE_BYTES = 60_000;
/** Longest object in pieces: one of many would be slower to read than a file. */
const PIECES_BYTES_MAX = 250_000;

/** The keys of an object's pieces. */
const piecesOf = (object: string) => IDBKeyRange.bound([object], [object, []]);

function answerOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Resolves once a transaction is durable, as far as it promised to be. */
function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () =>
      reject(transaction.error ?? new DOMException("the transaction was given up", "AbortError"));
  });
}

/** Opens the database of a state, which is made if there is none. */
export async function openIndexedDb(name: string, durability: "strict" | "relaxed"): Promise<Storage> {
  if (typeof indexedDB !== "object") {
    throw new StateError("UNSUPPORTED", 'there is no IndexedDB here; use another `backend`, such as "memory"');
  }
  const request = indexedDB.open(`eventflux/${placeName(name)}`, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(OBJECTS);
    request.result.createObjectStore(HEAD);
  };
  return new IndexedDb(await answerOf(request), durability);
}

class IndexedDb implements Storage {
  durability: Durability = "relaxed";
  readonly #database: IDBDatabase;
  readonly #wanted: "strict" | "relaxed";
  #isLost = false;
  /** Objects that the next head is written with. */
  readonly #held = new Map<string, Uint8Array>();
  /** The object that was read last: a restore reads many parts of few. */
  #last: { object: string; bytes: Uint8Array } | undefined;

  constructor(database: IDBDatabase, wanted: "strict" | "relaxed") {
    this.#database = database;
    this.#wanted = wanted;
    // Someone deletes it: we are not in the way.
    database.onversionchange = () => {
      this.#isLost = true;
      database.close();
    };
    database.onclose = () => (this.#isLost = true);
  }

  async put(object: string, bytes: Uint8Array): Promise<void> {
    this.#held.set(object, bytes);
    this.#last = undefined;
  }

  async read(object: string, range: ByteRange): Promise<Uint8Array | undefined> {
    let bytes = this.#held.get(object);
    if (!bytes && this.#last?.object === object) bytes = this.#last.bytes;
    if (!bytes) {
      const store = this.#begin("readonly", OBJECTS).objectStore(OBJECTS);
      const whole: IDBRequest<Uint8Array | undefined> = store.get(object);
      // Answered last.
      const pieces = await answerOf<Uint8Array[]>(store.getAll(piecesOf(object)));
      bytes = pieces[1] ? new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()) : (pieces[0] ?? whole.result);
      this.#last = bytes && { object, bytes };
    }
    return bytes?.slice(...rangeWithin(bytes.length, range));
  }

  async list(): Promise<ObjectInfo[]> {
    const store = this.#begin("readonly", OBJECTS).objectStore(OBJECTS);
    const objects = new Map<string, number>();
    const request = store.openCursor();
    await new Promise<void>((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return resolve();
        const object = String([cursor.key].flat()[0]);
        objects.set(object, (objects.get(object) ?? 0) + (cursor.value as Uint8Array).length);
        cursor.continue();
      };
    });
    for (const [name, bytes] of this.#held) objects.set(name, bytes.length);
    return Array.from(objects, ([name, length]) => ({ name, length }));
  }

  async delete(object: string): Promise<void> {
    this.#held.delete(object);
    if (this.#last?.object === object) this.#last = undefined;
    const transaction = this.#begin("readwrite", OBJECTS, "relaxed");
    transaction.objectStore(OBJECTS).delete(object);
    transaction.objectStore(OBJECTS).delete(piecesOf(object));
    await completed(transaction);
  }

  readHead(): Promise<Uint8Array | undefined> {
    return answerOf(this.#begin("readonly", HEAD).objectStore(HEAD).get(RECORD));
  }

  async swapHead(expected: Uint8Array | undefined, bytes: Uint8Array): Promise<boolean> {
    const transaction = this.#begin("readwrite", [OBJECTS, HEAD], this.#wanted);
    const completion = completed(transaction);
    let isExpected = false;
    const heads = transaction.objectStore(HEAD);
    const request = heads.get(RECORD) as IDBRequest<Uint8Array | undefined>;
    request.onsuccess = () => {
      isExpected = isSame(request.result, expected);
      if (!isExpected) return;
      const objects = transaction.objectStore(OBJECTS);
      for (const [object, held] of this.#held) {
        const length = held.length > PIECES_BYTES_MAX ? held.length : PIECE_BYTES;
        // Names are written once: there is nothing of another one.
        for (let at = 0; at < held.length; at += length) {
          objects.put(length < held.length ? held.slice(at, at + length) : held, [object, at]);
        }
      }
      heads.put(bytes, RECORD);
      // All is asked: what is to come are the answers.
      transaction.commit();
    };
    try {
      await completion;
    } finally {
      // Whatever came of it: if the head is in, they are, and if not, nobody needs them.
      this.#held.clear();
    }
    this.durability = transaction.durability === "strict" ? "strict" : "relaxed";
    return isExpected;
  }

  close(): void {
    this.#held.clear();
    this.#database.close();
  }

  #begin(
    mode: IDBTransactionMode,
    stores: string | string[],
    durability: "strict" | "relaxed" = "relaxed",
  ): IDBTransaction {
    if (this.#isLost) {
      throw new StateError(
        "STORAGE",
        "the database was deleted, or closed by the browser; what is in memory is whole: copy it, close the state and open it again",
      );
    }
    return this.#database.transaction(stores, mode, { durability });
  }
}
