// Runs short of file descriptors: descriptors.mjs DIRECTORY, under a limit of them. Takes a checkpoint with one more left
// each time, until one succeeds; says what became of each.
import { closeSync, openSync } from "node:fs";
import { open } from "@eventflux/state";

const state = await open({ name: "orders", directory: process.argv[2] });
await state.checkpoint();
console.log("open");
const held = [];
try {
  for (;;) held.push(openSync("/dev/null"));
} catch {
  // None is left.
}
for (let outcome; outcome !== "taken"; ) {
  closeSync(held.pop());
  state.set("left", (state.get("left") ?? 0) + 1);
  outcome = await state.checkpoint().then(
    () => "taken",
    ({ name, code, message }) => `${name} ${code} ${message}`,
  );
  console.log(outcome);
}
await state.close();
