// All that a state does, on every storage of Node.
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { State, memoryStorage, open, rangeWithin } from "@eventflux/state";
import { temporaryDirectory, withCode } from "./support.mjs";

/** A storage as a user would write it: promises, and bytes that are kept as texts. */
function ownStorage() {
  const objects = new Map();
  let head;
  const text = (bytes) => bytes && Buffer.from(bytes).toString("base64");
  const bytes = (text) => text && new Uint8Array(Buffer.from(text, "base64"));
  return {
    async put(object, content) {
      objects.set(object, text(content));
    },
    async read(object, range) {
      const content = bytes(objects.get(object));
      return content?.subarray(...rangeWithin(content.length, range));
    },
    list: async () => [...objects.keys()].map((name) => ({ name, length: bytes(objects.get(name)).length })),
    async delete(object) {
      objects.delete(object);
    },
    readHead: async () => bytes(head),
    async swapHead(expected, content) {
      if (head !== text(expected)) return false;
      head = text(content);
      return true;
    },
  };
}

/** Where checkpoints go: options that open the same storage each time. */
const places = {
  memory: () => ({ backend: memoryStorage() }),
  files: (test) => ({ directory: join(temporaryDirectory(test), "a", "b") }),
  "a storage of one's own": () => ({ backend: ownStorage() }),
};

for (const [place, make] of Object.entries(places)) {
  test(`values come back as they were (${place})`, async (t) => {
    const options = { name: "orders", ...make(t) };
    const values = {
      null: null,
      true: true,
      integer: -(2 ** 53) + 1,
      float: 0.1,
      tiny: 5e-324,
      text: "grün 🌱 \u0000",
      list: [1, [2, []], {}],
      object: { b: 1, a: { __proto: null } },
      bytes: Uint8Array.of(0, 255, 7),
      empty: new Uint8Array(),
    };
    const state = await open(options);
    assert.ok(state instanceof State);
    for (const [key, value] of Object.entries(values)) state.set(key, value);
    const check = (state) => {
      for (const [key, value] of Object.entries(values)) assert.deepEqual(state.get(key), value, key);
      assert.equal(state.size, Object.keys(values).length);
      assert.deepEqual(state.keys(), Object.keys(values).sort());
      assert.deepEqual(state.keys("t"), ["text", "tiny", "true"]);
    };
    check(state);
    await state.checkpoint();
    await state.close();
    const again = await open(options);
    check(again);
    assert.equal(again.get("absent"), undefined);
    assert.equal(again.remove("text"), true);
    assert.equal(again.remove("text"), false);
    assert.ok(again.sizeBytes > 0);
    await again.close();
  });

  test(`checkpoints, and what goes back to them (${place})`, async (t) => {
    const options = { name: "orders", ...make(t), retain: { max: 5 } };
    const state = await open(options);
    assert.equal(state.restored.checkpoint, undefined);
    state.setMany(Array.from({ length: 1000 }, (_, key) => [`key/${key}`, { n: key }]));
    const first = await state.checkpoint({ label: "deploy", positions: { p0: 123n, p1: 2n ** 64n - 1n, p2: 7 } });
    assert.equal(first.label, "deploy");
    assert.equal(first.parent, null);
    assert.equal(first.dirty, 1000);
    assert.ok(first.bytes > 0 && first.rawBytes > first.bytes && Math.abs(first.time - Date.now()) < 60_000);
    assert.equal(first.durability, place === "memory" ? "none" : "strict");
    state.set("key/7", "changed");
    state.remove("key/8");
    const second = await state.checkpoint();
    assert.equal(second.parent, first.id);
    assert.equal(second.dirty, 2);
    assert.deepEqual([first.kind, second.kind], ["full", "incremental"]);
    const listed = [];
    for await (const checkpoint of state.checkpoints()) listed.push(checkpoint.id);
    assert.deepEqual(listed, [first.id, second.id]);

    const past = await state.at(first.id);
    assert.deepEqual(past.get("key/7"), { n: 7 });
    assert.equal(past.size, 1000);
    assert.equal(past.keys("key/99").length, 11);
    assert.equal(past.checkpoint.id, first.id);
    assert.deepEqual(past.positions, { p0: 123n, p1: 2n ** 64n - 1n, p2: 7n });
    assert.equal(past.inspect()[0].rows.length, 1000);
    past.close();
    past.close();
    assert.throws(() => past.get("key/7"), withCode("CLOSED"));

    const differences = await state.diff(first.id, second.id);
    assert.deepEqual(differences.map(({ key, before, after }) => [key, before, after]).sort(), [
      ["key/7", { n: 7 }, "changed"],
      ["key/8", { n: 8 }, null],
    ]);
    const report = await state.verify();
    assert.deepEqual([report.checkpoints, report.findings, report.newestWhole], [2, [], second.id]);

    const restored = await state.restore(first.id);
    assert.equal(restored.checkpoint.id, first.id);
    assert.deepEqual(restored.positions, { p0: 123n, p1: 2n ** 64n - 1n, p2: 7n });
    assert.deepEqual(state.get("key/7"), { n: 7 });
    await assert.rejects(state.deleteCheckpoint(first.id), withCode("BUSY"), "the state builds on it");
    const branch = await state.checkpoint();
    assert.equal(branch.parent, first.id);
    await assert.rejects(state.deleteCheckpoint(branch.id), withCode("INVALID"), "the newest");
    await assert.rejects(state.deleteCheckpoint(99), withCode("NOT_FOUND"));
    await state.deleteCheckpoint(first.id);
    await assert.rejects(state.at(first.id), withCode("NOT_FOUND"));
    assert.deepEqual((await state.verify()).findings, []);
    await state.close();

    const older = await open({ ...options, from: second.id });
    assert.equal(older.get("key/7"), "changed");
    assert.equal(older.restored.checkpoint.id, second.id);
    await older.close();
  });

  test(`export and import (${place})`, async (t) => {
    const state = await open({ name: "orders", ...make(t) });
    await assert.rejects(state.export(), withCode("NOT_FOUND"));
    state.set("a", 1);
    const first = await state.checkpoint({ positions: { p: 2n ** 63n }, outputs: { out: 7 } });
    state.set("a", 2);
    await state.checkpoint();
    const file = await state.export(first.id);
    const other = await open({ name: "orders", backend: "memory" });
    other.set("b", 1);
    const taken = await other.import(file);
    assert.deepEqual([taken.positions, taken.outputs], [{ p: 2n ** 63n }, { out: 7n }]);
    assert.equal(other.get("a"), 1);
    assert.equal(other.get("b"), undefined);
    assert.equal((await other.at(taken.id)).get("a"), 1);
    await state.import(file);
    assert.equal(state.get("a"), 1);
    await assert.rejects(state.import(file.subarray(0, 50)), withCode("CORRUPT"));
    assert.equal(state.get("a"), 1);
    await state.close();
    await other.close();
  });
}

test("numbers keep all their digits", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  const bits = new DataView(new ArrayBuffer(8));
  const anyFinite = () => {
    bits.setBigUint64(0, (BigInt(Math.floor(Math.random() * 2 ** 32)) << 32n) | BigInt(Math.floor(Math.random() * 2 ** 32)));
    const number = bits.getFloat64(0);
    return Number.isFinite(number) ? number : anyFinite();
  };
  const numbers = [1234.5678901234567, 2 ** 53 + 2, 2 ** 63, -(2 ** 63), 2 ** 64, 1e21];
  for (let n = 0; n < 5000; n += 1) numbers.push(Math.random(), anyFinite());
  const entries = numbers.map((number, n) => [`key/${n}`, number]);
  const check = () => {
    for (const [key, number] of entries) assert.ok(Object.is(state.get(key), number), `${state.get(key)} was ${number}`);
  };
  for (const [key, number] of entries) state.set(key, number);
  check();
  for (const [key] of entries) state.remove(key);
  state.setMany(entries);
  check();
  await state.close();
});

test("only what retention keeps stays", async () => {
  const storage = memoryStorage();
  const state = await open({ name: "orders", backend: storage, retain: { max: 3 } });
  for (let n = 0; n < 20; n += 1) {
    state.set("n", n);
    await state.checkpoint(n === 5 ? { label: "kept" } : {});
  }
  const labels = [];
  for await (const { label } of state.checkpoints()) labels.push(label);
  assert.deepEqual(labels, ["kept", null, null, null]);
  assert.ok(storage.list().length < 20);
  await state.close();
});

test("writes while a checkpoint is under way are no part of it", async () => {
  const storage = memoryStorage();
  const state = await open({ name: "orders", backend: storage });
  for (let key = 0; key < 5000; key += 1) state.set(`key/${key}`, "before".repeat(10));
  const taking = state.checkpoint({ positions: { n: 1 } });
  for (let key = 0; key < 5000; key += 1) state.set(`key/${key}`, "after");
  const { id } = await taking;
  const past = await state.at(id);
  assert.ok(past.keys().every((key) => past.get(key) === "before".repeat(10)));
  assert.equal((await state.checkpoint()).dirty, 5000);
  await state.close();
});

test("a second checkpoint waits, and is refused if its positions are no longer those of the state", async () => {
  const state = await open({ name: "orders", backend: ownStorage() });
  state.set("n", 1);
  const [first, second] = await Promise.all([
    state.checkpoint({ positions: { n: 1 } }),
    state.checkpoint({ positions: { n: 1 } }),
  ]);
  assert.equal(second.parent, first.id);
  const third = state.checkpoint();
  const fourth = state.checkpoint({ positions: { n: 2 } });
  const fifth = state.checkpoint();
  state.set("n", 3);
  await third;
  await assert.rejects(fourth, withCode("BUSY"));
  assert.equal((await state.at((await fifth).id)).get("n"), 3);
  await state.close();
});

test("a checkpoint with positions that waits for the state to be replaced is refused", async () => {
  const storage = ownStorage();
  const state = await open({ name: "orders", backend: storage });
  state.set("n", 1);
  const { id } = await state.checkpoint({ positions: { n: 1 } });
  const file = await state.export(id);
  for (const replace of [() => state.restore(id), () => state.import(file)]) {
    state.set("n", 2);
    const replacing = replace();
    const named = state.checkpoint({ positions: { n: 2 } });
    const plain = state.checkpoint();
    await replacing;
    await assert.rejects(named, withCode("BUSY"));
    assert.equal((await state.at((await plain).id)).get("n"), 1);
  }
  // One that failed has replaced nothing.
  state.set("n", 3);
  const failing = state.import(file.subarray(0, 50));
  const taking = state.checkpoint({ positions: { n: 3 } });
  await assert.rejects(failing, withCode("CORRUPT"));
  assert.equal((await state.at((await taking).id)).get("n"), 3);
  await state.close();
});

test("outputs without positions bind a checkpoint to its state as well", async () => {
  const state = await open({ name: "orders", backend: ownStorage() });
  const first = state.checkpoint();
  const second = state.checkpoint({ outputs: { log: 100 } });
  state.set("k", 2);
  await first;
  await assert.rejects(second, withCode("BUSY"));
  await state.close();
});

test("closing waits for what is under way, and all calls after it are refused", async () => {
  const storage = ownStorage();
  const state = await open({ name: "orders", backend: storage });
  state.set("a", 1);
  const taking = state.checkpoint();
  await Promise.all([state.close(), state.close()]);
  await taking;
  assert.throws(() => state.get("a"), withCode("CLOSED"));
  assert.throws(() => state.set("a", 2), withCode("CLOSED"));
  await assert.rejects(state.checkpoint(), withCode("CLOSED"));
  await assert.rejects(state.recovered(), withCode("CLOSED"));
  const again = await open({ name: "orders", backend: storage });
  assert.equal(again.get("a"), 1);
  await again[Symbol.asyncDispose]();
  assert.throws(() => again.size, withCode("CLOSED"));
});

test("what changed is counted, too, where it went into a base", async () => {
  const state = await open({ name: "orders", backend: ownStorage() });
  const kinds = new Set();
  for (let round = 0; round < 5; round += 1) {
    state.set("a", round);
    const { dirty, kind } = await state.checkpoint();
    assert.equal(dirty, 1, `round ${round}, ${kind}`);
    if (round > 0) kinds.add(kind);
  }
  assert.ok(kinds.has("full"), "a base was renewed");
  await state.close();
});

test("what is closed keeps no memory, whoever keeps its older states", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const kept = [];
  collect();
  const before = process.memoryUsage().external;
  for (let at = 0; at < 20; at += 1) {
    const state = await open({ name: "orders", backend: "memory" });
    state.set("large", new Uint8Array(4_000_000));
    const { id } = await state.checkpoint();
    kept.push(await state.at(id));
    await state.close();
  }
  // What was let go of is collected when the engine finds the time: what is still kept, never.
  let more = Infinity;
  for (let turn = 0; turn < 200 && more >= 40_000_000; turn += 1) {
    await setTimeout(20);
    collect();
    more = process.memoryUsage().external - before;
  }
  assert.ok(more < 40_000_000, `${more} bytes more`);
  for (const past of kept) {
    assert.throws(() => past.get("large"), withCode("CLOSED"));
    past.close();
  }
});
