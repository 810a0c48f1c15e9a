// The same engine: a random workload, and stored checkpoints of every format, give the same here as natively.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import * as node from "@eventflux/state";
import { inPage, inWorker, root } from "./harness.mjs";
import { newPage } from "./shared.mjs";
import { inspect, recorded, replay } from "./inside/replay.mjs";
import { eventflux } from "./native.mjs";

function workload() {
  const path = process.env.EVENTFLUX_WORKLOAD;
  if (path) return readFileSync(path, "utf8");
  const command = ["run", "--quiet", "-p", "eventflux-tests", "--example", "workload"];
  return execFileSync("cargo", command, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
}

test("a workload gives the same checkpoints, head and output as natively: Node, page, worker", async () => {
  const text = workload();
  const expected = recorded(text);
  assert.ok(expected.every(({ checkpoints }) => checkpoints.length >= 30));
  const page = await newPage();
  assert.deepEqual(await replay(node, text), expected);
  assert.deepEqual(await inPage(page, "replay", "replay", text), expected);
  assert.deepEqual(await inWorker(page, "replay", "replay", text), expected);
  await page.close();
});

for (const golden of ["v1/holder", "v2/holder", "v3/holder", "v3b/holder", "v3c/holder", "v3d/holder"]) {
  test(`stored checkpoints of ${golden} hold here what the command shows`, async () => {
    const directory = join(root, "tests/golden", golden);
    const read = (path) => new Uint8Array(readFileSync(join(directory, path)));
    const objects = readdirSync(join(directory, "objects")).map((object) => [object, read(`objects/${object}`)]);
    const stored = { name: "golden ☃", head: read("head"), objects };
    const page = await newPage();
    const seen = await inPage(page, "replay", "inspect", stored);
    await page.close();
    assert.deepEqual(seen, await inspect(node, stored));
    assert.deepEqual(seen.findings, []);
    for (const { id, inspected } of seen.checkpoints) {
      const { states } = JSON.parse(eventflux("inspect", directory, String(id), "--json"));
      const shown = states.map(({ name, kind, rows }) => ({ name, kind, rows }));
      assert.deepEqual(inspected, shown, `checkpoint ${id}`);
    }
    const [first, last] = [seen.checkpoints[0].id, seen.checkpoints.at(-1).id];
    const shown = JSON.parse(eventflux("diff", directory, String(first), String(last), "--json")).states;
    const changed = shown.flatMap(({ name, keys }) => keys.map((change) => ({ state: name, ...change })));
    const known = ({ state, key, before, after }) => JSON.stringify([state, key, before ?? null, after ?? null]);
    assert.deepEqual(seen.difference.map(known).sort(), changed.map(known).sort());
  });
}
