// A program that writes until it is killed: writer.mjs DIRECTORY [TABS]. It says `open N` with what it has restored,
// and `N` once checkpoint N is acknowledged.
import { open } from "@eventflux/state";

const [directory, tabs] = process.argv.slice(2);
const state = await open({ name: "orders", directory, tabs, retain: { max: 3 } });
let n = state.get("n") ?? 0;
console.log(`open ${n} ${state.restored.positions.n ?? 0n}`);
for (;;) {
  n += 1;
  state.set("n", n);
  // Keys that are written together are together after every restore.
  for (let key = 0; key < 20; key += 1) state.set(`key/${(n * 7 + key) % 100}`, n);
  await state.checkpoint({ positions: { n } });
  console.log(String(n));
}
