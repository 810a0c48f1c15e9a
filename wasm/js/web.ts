// Browsers: which storage, who may write, who is told.

import { StateError, fromStorage, messageOf } from "./error.js";
import type { OpenOptions } from "./options.js";
import type { Place, PlaceCalls } from "./place.js";
import { openIndexedDb } from "./storage/indexeddb.js";
import { memoryStorage } from "./storage/memory.js";
import { hasOpfs, openOpfs } from "./storage/opfs.js";
import type { Storage } from "./storage/storage.js";

/** Takes the lock of a name; returns what gives it back. */
function takeLock(name: string, options: OpenOptions, lost: () => void): Promise<() => void> {
  const { tabs = "exclusive", signal } = options;
  if (typeof navigator.locks !== "object") {
    throw new StateError("UNSUPPORTED", "a page has locks only if it comes by https or from localhost; serve it so");
  }
  return new Promise((resolve, reject) => {
    let isHeld = false;
    const hold = (lock: Lock | null) => {
      if (!lock) {
        const advice = 'close it there, or open with `tabs: "wait"`, "read" or "takeover"';
        throw new StateError("LOCKED", `${JSON.stringify(options.name)} is open for writing already, here or in another tab; ${advice}`);
      }
      return new Promise<void>((release) => {
        isHeld = true;
        resolve(release);
      });
    };
    navigator.locks
      .request(
        name,
        {
          ifAvailable: tabs === "exclusive",
          steal: tabs === "takeover",
          ...(tabs === "wait" && signal ? { signal } : {}),
        },
        hold,
      )
      .catch((error: unknown) => {
        if (isHeld) return lost();
        if (error instanceof StateError) return reject(error);
        // A signal may be aborted with any reason.
        const gaveUp = (tabs === "wait" && signal?.aborted) || (error as Error).name === "AbortError";
        reject(
          gaveUp
            ? new StateError("LOCKED", "gave up waiting for the other tab", error)
            : new StateError("UNSUPPORTED", `no lock can be taken here: ${messageOf(error)}`, error),
        );
      });
  });
}

function openStorage(backend: string, options: OpenOptions, calls: PlaceCalls): Promise<Storage> {
  switch (backend) {
    case "opfs":
      return openOpfs(options.name, calls.newestHead);
    case "indexeddb":
      return openIndexedDb(options.name, options.durability ?? "strict");
    default:
      throw new StateError(
        "UNSUPPORTED",
        `there is no backend "${backend}" in browsers; use "indexeddb", "opfs" or "memory"`,
      );
  }
}

/** Opens what `backend` names. */
export async function openWebPlace(options: OpenOptions, calls: PlaceCalls): Promise<Place> {
  let { backend = "auto" } = options;
  if (backend === "memory") backend = memoryStorage();
  if (typeof backend === "object") {
    const storage = backend;
    return { storage, close: async () => storage.close?.() };
  }
  if (backend === "auto") backend = hasOpfs() ? "opfs" : "indexeddb";
  const name = `eventflux/${backend}/${options.name}`;
  let release = () => {};
  const lock = async () => {
    release = await takeLock(name, options, calls.fenced);
  };
  const { tabs } = options;
  if (tabs !== "takeover" && tabs !== "read") await lock();
  let channel: BroadcastChannel | undefined;
  try {
    const storage = await openStorage(backend, options, calls);
    channel = new BroadcastChannel(name);
    if (tabs === "read") channel.onmessage = () => calls.published();
    const place: Place = {
      storage,
      published: () => channel?.postMessage("published"),
      takeOver: tabs === "takeover" ? lock : undefined,
      close: async () => {
        try {
          await storage.close?.();
        } finally {
          channel?.close();
          release();
        }
      },
    };
    // Not awaited: some browsers ask the user, and others wait for the lock meanwhile.
    if (options.persist) void askToPersist().then((persisted) => (place.persisted = persisted));
    return place;
  } catch (error) {
    channel?.close();
    release();
    throw fromStorage("open", options.name, error);
  }
}

/** Whether the browser promises to keep what is stored. Only pages can ask; workers are told what it said. */
async function askToPersist(): Promise<boolean> {
  const { storage } = navigator;
  const asked = storage?.persist?.() ?? storage?.persisted?.();
  return (await asked?.catch(() => false)) ?? false;
}

/** Calls when a page is hidden or left; workers are never told. */
export function onPageHide(hidden: () => void): () => void {
  if (typeof document !== "object") return () => {};
  const changed = () => {
    if (document.visibilityState === "hidden") hidden();
  };
  document.addEventListener("visibilitychange", changed);
  addEventListener("pagehide", hidden);
  return () => {
    document.removeEventListener("visibilitychange", changed);
    removeEventListener("pagehide", hidden);
  };
}
