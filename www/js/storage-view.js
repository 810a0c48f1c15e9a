// The badge of the storage: what it takes, what a checkpoint is safe from, and whether the browser promised to keep it.

import { byId, setText } from "./dom.js";
import { bytes } from "./format.js";

const DURABILITIES = {
  strict: "strict: on the disk",
  relaxed: "relaxed: with the operating system",
  none: "none: in memory",
};

export async function showStorage(durability) {
  if (durability) setText("durability", DURABILITIES[durability]);
  const { usage, quota } = await navigator.storage.estimate();
  setText("usage", `${bytes(usage)} of ${bytes(quota)}`);
  const isPersisted = await navigator.storage.persisted();
  setText("persisted", isPersisted ? "yes" : "not promised");
  const persist = byId("persist");
  const hadFocus = persist === document.activeElement;
  persist.hidden = isPersisted;
  // What is hidden has it no more: the keyboard goes on from what came of it.
  if (hadFocus && isPersisted) byId("persisted").focus({ preventScroll: true });
}

export function askToPersist() {
  byId("persist").addEventListener("click", async () => {
    const isPersisted = await navigator.storage.persist();
    await showStorage();
    if (!isPersisted) setText("persisted", "the browser says no");
  });
}
