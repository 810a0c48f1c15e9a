// A writer that is killed at any moment: not one checkpoint that was acknowledged is lost, and none is half there.
import assert from "node:assert/strict";
import test from "node:test";
import { open } from "@eventflux/state";
import { Child, temporaryDirectory } from "./support.mjs";

const kills = process.env.EVENTFLUX_LONG ? 100 : 20;

test(`${kills} times kill -9`, async (t) => {
  const directory = temporaryDirectory(t);
  let acknowledged = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const writer = new Child("writer.mjs", directory);
    // Somewhere in a checkpoint: after some of them, and then some moments later. Every fifth time while it may still
    // open.
    const isOpening = kill % 5 === 4;
    if (!isOpening) await writer.line(1 + (kill % 5) * 2);
    await new Promise((resolve) => setTimeout(resolve, isOpening ? 40 + ((kill * 37) % 60) : (kill * 37) % 23));
    assert.deepEqual(await writer.kill(), { status: null, signal: "SIGKILL" });
    const [opened, ...lines] = writer.lines;
    if (!opened) continue;
    const [, restored, position] = opened.split(" ").map(Number);
    assert.equal(restored, position);
    assert.ok(restored >= acknowledged, `checkpoint ${acknowledged} is lost: ${opened}`);
    acknowledged = Math.max(restored, ...lines.map(Number));
  }
  const state = await open({ name: "orders", directory });
  const n = state.get("n");
  assert.ok(n >= acknowledged && acknowledged > 0);
  assert.deepEqual(state.restored.positions, { n: BigInt(n) });
  // Each key is of the last time that it was written.
  for (let key = 0; key < 100; key += 1) {
    let last = n;
    while (last > 0 && (((key - last * 7) % 100) + 100) % 100 >= 20) last -= 1;
    assert.equal(state.get(`key/${key}`), last || undefined, `key/${key}`);
  }
  assert.deepEqual((await state.verify()).findings, []);
  await state.close();
});
