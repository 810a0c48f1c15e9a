// Of several that write to one storage the right one goes on, and what fails ends no other.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { memoryStorage, open } from "@eventflux/state";
import { temporaryDirectory, withCode, withLittleMemory } from "./support.mjs";

/** Breaks an engine down that has little memory. */
const trap = (state) => assert.throws(() => state.set("x".repeat(8 << 20), 1), withCode("TRAPPED"));

async function ids(state) {
  const all = [];
  for await (const { id } of state.checkpoints()) all.push(id);
  return all;
}

/** A storage that does what is asked for, and whose answers of the head are lost while `isCut`. */
function losingAnswers(storage) {
  const backend = { ...storage, isCut: false };
  for (const method of ["swapHead", "readHead"]) {
    backend[method] = (...given) => {
      const answer = storage[method](...given);
      if (backend.isCut) throw new Error("no answer");
      return answer;
    };
  }
  return backend;
}

for (const place of ["own storage", "files"]) {
  test(`one that was taken over after it broke down does not recover: ${place}`, async (t) => {
    const where = place === "files" ? { directory: temporaryDirectory(t) } : { backend: memoryStorage() };
    const first = await open({ name: "orders", ...where, retain: { max: 1 }, wasm: withLittleMemory(100) });
    first.set("a", 1);
    const { id } = await first.checkpoint();
    await first.restore(id);
    trap(first);
    const second = await open({ name: "orders", ...where, retain: { max: 1 }, tabs: "takeover" });
    for (const value of [2, 3]) {
      second.set("a", value);
      await second.checkpoint();
    }
    await assert.rejects(first.recovered(), withCode("FENCED"));
    await assert.rejects(first.recovered(), withCode("FENCED"));
    await assert.rejects(first.checkpoint(), withCode("TRAPPED"));
    second.set("a", 4);
    await second.checkpoint();
    await Promise.all([first.close(), second.close()]);
  });
}

test("one that recovers goes on, however often, and after a storage that failed", async () => {
  const storage = memoryStorage();
  let fails;
  const failing = (method) => (...given) => {
    if (fails === method) throw new Error("as told");
    return storage[method](...given);
  };
  const backend = { ...storage, readHead: failing("readHead"), read: failing("read") };
  const state = await open({ name: "orders", backend, wasm: withLittleMemory(100) });
  for (let round = 1; round < 4; round += 1) {
    state.set("round", round);
    await state.checkpoint();
    trap(state);
    for (fails of ["readHead", "read"]) await assert.rejects(state.recovered(), withCode("STORAGE"));
    fails = undefined;
    await state.recovered();
    assert.equal(state.get("round"), round);
  }
  await state.close();
});

test("one that opens slowly ends no other that opened meanwhile", async () => {
  const storage = memoryStorage();
  await (await open({ name: "orders", backend: storage })).checkpoint();
  let goOn;
  const waits = new Promise((resolve) => (goOn = resolve));
  let isReading;
  const reading = new Promise((resolve) => (isReading = resolve));
  const slow = { ...storage, read: (...given) => (isReading(), waits.then(() => storage.read(...given))) };
  const opening = open({ name: "orders", backend: slow });
  await reading;
  const other = await open({ name: "orders", backend: storage });
  await other.checkpoint();
  goOn();
  await assert.rejects(opening, withCode("FENCED"));
  await other.checkpoint();
  await other.close();
});

for (const tabs of ["exclusive", "takeover"]) {
  test(`a refused open leaves the writer that works as it is: ${tabs}`, async (t) => {
    const directory = temporaryDirectory(t);
    const where = tabs === "takeover" ? { directory } : { backend: memoryStorage() };
    const writer = await open({ name: "orders", ...where });
    await writer.checkpoint();
    await assert.rejects(open({ name: "orders", ...where, tabs, from: 99 }), withCode("NOT_FOUND"));
    await assert.rejects(open({ name: "others", ...where, tabs }), withCode("MISMATCH"));
    await writer.checkpoint();
    if (tabs === "takeover") {
      await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED"), "the lock is still its own");
    }
    await writer.close();
  });
}

test("one that opens while another publishes goes on from what that wrote", async () => {
  const storage = memoryStorage();
  const first = await open({ name: "orders", backend: storage });
  let rounds = 3;
  const swapHead = async (...given) => {
    if (rounds > 0) {
      first.set("a", (rounds -= 1));
      await first.checkpoint();
    }
    return storage.swapHead(...given);
  };
  const second = await open({ name: "orders", backend: { ...storage, swapHead } });
  assert.deepEqual([second.get("a"), second.restored.checkpoint.id, rounds], [0, 2, 0]);
  await assert.rejects(first.checkpoint(), withCode("FENCED"));
  assert.equal((await second.checkpoint()).parent, 2);
  await Promise.all([first.close(), second.close()]);
});

test("a checkpoint whose answer was lost is found by the next one", async () => {
  for (const max of [1, 10]) {
    const storage = memoryStorage();
    const backend = losingAnswers(storage);
    const state = await open({ name: "orders", backend, retain: { max } });
    state.set("a", 1);
    await state.checkpoint();
    state.set("a", 2);
    state.set("b", 2);
    backend.isCut = true;
    await assert.rejects(state.checkpoint(), withCode("STORAGE"));
    await assert.rejects(state.checkpoint(), withCode("STORAGE"));
    backend.isCut = false;
    state.set("a", 3);
    const taken = await state.checkpoint();
    assert.deepEqual([taken.id, taken.parent, taken.dirty], [3, 0, 2]);
    assert.deepEqual(await ids(state), max === 1 ? [3] : [0, 1, 3]);
    for (const [id, values] of [[0, [1, undefined]], [1, [2, 2]], [3, [3, 2]]]) {
      if (max === 1 && id !== 3) continue;
      const past = await state.at(id);
      assert.deepEqual([past.get("a"), past.get("b")], values);
    }
    assert.deepEqual((await state.verify()).findings, []);
    await state.close();
    const again = await open({ name: "orders", backend: storage });
    assert.deepEqual([again.get("a"), again.get("b")], [3, 2]);
    await again.close();
  }
});

test("a checkpoint is deleted though the answer was lost", async () => {
  const storage = memoryStorage();
  const backend = losingAnswers(storage);
  const state = await open({ name: "orders", backend });
  for (let n = 0; n < 4; n += 1) {
    state.set("a", n);
    await state.checkpoint();
  }
  backend.isCut = true;
  await assert.rejects(state.deleteCheckpoint(1), withCode("STORAGE"));
  await assert.rejects(state.deleteCheckpoint(2), withCode("STORAGE"));
  backend.isCut = false;
  await state.deleteCheckpoint(2);
  // Of the first it was told that it failed; the storage has deleted it, or it is there to be deleted.
  if ((await ids(state)).includes(1)) await state.deleteCheckpoint(1);
  assert.deepEqual(await ids(state), [0, 3]);
  assert.deepEqual((await state.verify()).findings, []);
  state.set("a", 4);
  assert.equal((await state.checkpoint()).parent, 3);
  await state.close();
});

test("one that recovers goes on from a checkpoint whose answer was lost, if the one before it is gone", async () => {
  const storage = memoryStorage();
  const backend = losingAnswers(storage);
  const state = await open({ name: "orders", backend, retain: { max: 2 }, wasm: withLittleMemory(100) });
  for (let n = 0; n < 2; n += 1) {
    state.set("a", n);
    await state.checkpoint();
  }
  await state.restore(0);
  state.set("a", 2);
  backend.isCut = true;
  await assert.rejects(state.checkpoint(), withCode("STORAGE"));
  backend.isCut = false;
  trap(state);
  assert.equal((await state.recovered()).checkpoint.id, 2);
  assert.equal(state.get("a"), 2);
  assert.equal((await state.checkpoint()).parent, 2);
  await state.close();
});

test("why a head could not be written is told though it cannot be read either", async () => {
  const storage = memoryStorage();
  let isFull = false;
  const swapHead = (...given) => {
    if (isFull) throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
    return storage.swapHead(...given);
  };
  const readHead = () => {
    if (isFull) throw new Error("no answer");
    return storage.readHead();
  };
  const state = await open({ name: "orders", backend: { ...storage, swapHead, readHead } });
  isFull = true;
  await assert.rejects(state.checkpoint(), withCode("QUOTA", "no space left"));
  isFull = false;
  await state.checkpoint();
  await state.close();
});

test("what was put by an engine that broke down goes, and is not published", async (t) => {
  const storage = memoryStorage();
  let breaks = false;
  const put = (...given) => {
    storage.put(...given);
    if (breaks) trap(state);
  };
  const state = await open({ name: "orders", backend: { ...storage, put }, wasm: withLittleMemory(100) });
  await state.checkpoint();
  state.set("a", 1);
  breaks = true;
  await assert.rejects(state.checkpoint(), withCode("TRAPPED"));
  breaks = false;
  assert.equal(storage.list().length, 2);
  await state.recovered();
  assert.deepEqual(storage.list().map(({ name }) => name), ["checkpoint-0000000000-g1.efx"]);
  await state.checkpoint();
  assert.equal(storage.list().length, 2);
  await state.close();
  const directory = temporaryDirectory(t);
  const files = await open({ name: "orders", directory, wasm: withLittleMemory(100) });
  await files.checkpoint();
  trap(files);
  await files.recovered();
  assert.equal(readdirSync(join(directory, "objects")).length, 1, "what was published stays");
  await files.close();
});

test("what a writer that was killed had put and not published goes with the next one", async () => {
  const storage = memoryStorage();
  const first = await open({ name: "orders", backend: storage });
  await first.checkpoint();
  await first.close();
  const left = "checkpoint-0000000001-g1.efx";
  storage.put(left, Uint8Array.of(1));
  const names = () => storage.list().map(({ name }) => name);
  // A reader changes nothing, and a storage that cannot delete it is no obstacle.
  await (await open({ name: "orders", backend: storage, tabs: "read" })).close();
  const stubborn = () => {
    throw new Error("as told");
  };
  await (await open({ name: "orders", backend: { ...storage, delete: stubborn } })).close();
  assert.ok(names().includes(left));
  storage.put("checkpoint-0000000001-g2.efx", Uint8Array.of(1));
  const second = await open({ name: "orders", backend: storage });
  assert.deepEqual(names(), ["checkpoint-0000000000-g1.efx", left]);
  await second.checkpoint();
  assert.equal(second.restored.checkpoint.id, 0);
  await second.close();
});

test("what makes the values for setMany may read and write the state meanwhile", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  const events = Array.from({ length: 5000 }, (_, at) => ({ key: `k${at % 7}`, at }));
  state.setMany((function* () {
    for (const { key } of events) yield [key, (state.get(key) ?? 0) + 1];
  })());
  const counts = [0, 1, 2, 3, 4, 5, 6].map((at) => state.get(`k${at}`));
  assert.deepEqual(counts, [715, 715, 714, 714, 714, 714, 714]);
  let taken;
  state.setMany((function* () {
    yield ["first", 1];
    assert.deepEqual([state.keys("f"), state.size, state.remove("first")], [["first"], 8, true]);
    yield ["last", "held back"];
    state.set("last", "written");
    yield ["outer", 1];
    state.setMany([["outer", 2], ["bytes", Uint8Array.of(1)]]);
    yield ["cut", 1];
    taken = state.checkpoint();
    yield ["cut", 2];
  })());
  assert.deepEqual([state.get("first"), state.get("last"), state.get("outer"), state.get("cut")], [undefined, "written", 2, 2]);
  const past = await state.at((await taken).id);
  assert.deepEqual([past.get("cut"), past.get("bytes")], [1, Uint8Array.of(1)]);
  // What could not be written for a checkpoint that nobody waits for is told all the same.
  const small = await open({ name: "small", backend: "memory", budgetBytes: 100_000 });
  let refused;
  assert.throws(() => small.setMany((function* () {
    yield ["large", "x".repeat(200_000)];
    refused = small.checkpoint();
  })()), withCode("BUDGET"));
  await assert.rejects(refused, withCode("BUDGET"));
  assert.throws(() => state.setMany((function* () {
    yield ["before", 1];
    yield ["wrong", undefined];
  })()), withCode("INVALID"));
  // What was held back for that is not written by what comes later.
  assert.equal(state.get("before"), undefined);
  await state.close();
});

test("a batch that cannot be made a text within a checkpoint that nobody waits for is written in the end", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  const { join } = Array.prototype;
  function* entries() {
    yield ["a", 1];
    yield ["b", 2];
    Array.prototype.join = () => {
      throw new RangeError("simulated");
    };
    // Writes what is held back, and nobody hears that it cannot.
    const taking = state.checkpoint().catch(() => {});
    Array.prototype.join = join;
    void taking;
    yield ["c", 3];
  }
  state.setMany(entries());
  assert.deepEqual(state.keys(), ["a", "b", "c"]);
  await state.close();
});
