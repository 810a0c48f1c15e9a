// Holds a state open: holder.mjs DIRECTORY TABS. Says `open`, then takes a checkpoint for every line of its standard
// input and says its number, or the code of the error; ends with its input.
import { createInterface } from "node:readline";
import { open } from "@eventflux/state";

const [directory, tabs] = process.argv.slice(2);
const state = await open({ name: "orders", directory, tabs });
console.log("open");
for await (const line of createInterface({ input: process.stdin })) {
  state.set("line", line);
  console.log(
    await state.checkpoint().then(
      ({ id }) => id,
      (error) => error.code,
    ),
  );
}
await state.close();
