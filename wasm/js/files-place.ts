// Node: files, memory, and storages of one's own.

import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import { StateError, fromStorage, messageOf } from "./error.js";
import { type OpenOptions, placeName } from "./options.js";
import type { Place, PlaceCalls } from "./place.js";
import { openFiles } from "./storage/files.js";
import { memoryStorage } from "./storage/memory.js";

/** Opens what `backend` names. */
export async function openNodePlace(options: OpenOptions, calls: PlaceCalls): Promise<Place> {
  let { backend = "auto" } = options;
  if (backend === "memory") backend = memoryStorage();
  if (typeof backend === "object") {
    const storage = backend;
    return { storage, close: async () => storage.close?.() };
  }
  if (backend !== "auto" && backend !== "files") {
    throw new StateError("UNSUPPORTED", `there is no backend "${backend}" in Node; use "files" or "memory"`);
  }
  const directory = options.directory ?? join("eventflux", placeName(options.name));
  const storage = await openFiles(directory, options).catch((error: unknown) => {
    throw fromStorage("open", directory, error);
  });
  const watcher = options.tabs === "read" && options.onChange ? watchHead(storage.directory, calls) : undefined;
  return {
    storage,
    takeOver: options.tabs === "takeover" ? () => storage.lock(options) : undefined,
    close: async () => {
      watcher?.close();
      await storage.close?.();
    },
  };
}

/** Tells of each head that is published. A reader holds nothing that would have to be given back if this fails. */
function watchHead(directory: string, calls: PlaceCalls): FSWatcher {
  try {
    const watcher = watch(directory, { persistent: false }, (_, name) => name === "head" && calls.published());
    // It tells nothing any more. Whoever looks now finds out why, if the directory is gone.
    return watcher.on("error", calls.published);
  } catch (error) {
    // Not by its code: of what can be watched there may be no more, which has nothing to do with space.
    const hint = "open it without `onChange`, and call refresh() now and then";
    throw new StateError("STORAGE", `${directory} cannot be watched (${messageOf(error)}); ${hint}`, error);
  }
}
