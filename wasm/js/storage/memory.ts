import { type Durability, type Storage, isSame, rangeWithin } from "./storage.js";

/**
 * A storage in memory: for tests, and for programs that carry the bytes elsewhere themselves. Two states that are
 * opened on the same one after the other see the same checkpoints.
 *
 * @example
 * const storage = memoryStorage();
 * const state = await open({ name: "orders", backend: storage });
 */
export function memoryStorage(): Storage {
  const objects = new Map<string, Uint8Array>();
  let head: Uint8Array | undefined;
  const durability: Durability = "none";
  return {
    durability,
    put(object, bytes) {
      objects.set(object, bytes);
    },
    read(object, range) {
      const bytes = objects.get(object);
      return bytes?.slice(...rangeWithin(bytes.length, range));
    },
    list: () => Array.from(objects, ([name, bytes]) => ({ name, length: bytes.length })),
    delete(object) {
      objects.delete(object);
    },
    readHead: () => head?.slice(),
    swapHead(expected, bytes) {
      const isExpected = isSame(head, expected);
      if (isExpected) head = bytes;
      return isExpected;
    },
  };
}
