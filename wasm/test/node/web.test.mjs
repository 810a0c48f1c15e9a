// The entry for browsers, as far as it is what a browser answers that matters.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { open } from "../../dist/browser.js";
import { withCode } from "./support.mjs";

const wasm = readFileSync(new URL("../../dist/eventflux.wasm", import.meta.url));

test("only what has waited gives up waiting; where locks are refused, that is said", async (t) => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  t.after(() => (before ? Object.defineProperty(globalThis, "navigator", before) : delete globalThis.navigator));
  let answer;
  const locks = { request: (_, options) => Promise.reject(answer(options)) };
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  const opening = (more) => open({ name: "orders", backend: "indexeddb", wasm, ...more });
  // Who takes over asks for the lock last, once there is a storage, which Node has not.
  for (const tabs of ["exclusive", "wait"]) {
    answer = () => new DOMException("no access to storage", "SecurityError");
    await assert.rejects(opening({ tabs }), withCode("UNSUPPORTED", "no access to storage"));
    answer = () => new DOMException("stolen", "AbortError");
    await assert.rejects(opening({ tabs }), withCode("LOCKED", "gave up"));
  }
  for (const reason of ["enough", undefined]) {
    answer = ({ signal }) => signal.reason;
    await assert.rejects(opening({ tabs: "wait", signal: AbortSignal.abort(reason) }), withCode("LOCKED", "gave up"));
  }
});
