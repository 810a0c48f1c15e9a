// Node: files, memory, and storages of one's own.

import { watch } from "node:fs";
import { join } from "node:path";
import { StateError, fromStorage } from "./error.js";
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
  const watcher =
    options.tabs === "read" && options.onChange
      ? watch(storage.directory, { persistent: false }, (_, name) => name === "head" && calls.published())
      : undefined;
  return {
    storage,
    close: async () => {
      watcher?.close();
      await storage.close?.();
    },
  };
}
