// Every error is a StateError with a code, and leaves the state as it was.
import assert from "node:assert/strict";
import fs, { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import test from "node:test";
import { StateError, engine, memoryStorage, open } from "@eventflux/state";
import { temporaryDirectory, withCode, withLittleMemory } from "./support.mjs";

/** What a storage may answer that breaks the engine down. */
class Broken extends Uint8Array {
  get length() {
    throw new RangeError("simulated");
  }
}

test("values that would come back as something else are refused", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  const cycle = [];
  cycle.push(cycle);
  const wrong = [
    [undefined, "undefined"],
    [() => 1, "function"],
    [Symbol("s"), "symbol"],
    [1n, "bigint"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [new Date(0), "Date"],
    [new Map(), "Map"],
    [new (class Order {})(), "Order"],
    [new Uint16Array(2), "Uint16Array"],
    [cycle, "refers to itself"],
    [{ list: [1, { x: undefined }] }, "at .list[1].x"],
    [{ bytes: new Uint8Array(1) }, "at .bytes"],
    [[1, , 2], "at [1]"],
    ["half \ud800", ""],
  ];
  for (const [value, text] of wrong) {
    assert.throws(() => state.set("a", value), withCode("INVALID", text));
    assert.throws(() => state.setMany([["a", value]]), withCode("INVALID", text));
  }
  for (const key of [1, undefined, "\udc00"]) {
    assert.throws(() => state.set(key, 1), withCode("INVALID", "key"));
    assert.throws(() => state.get(key), withCode("INVALID", "key"));
  }
  assert.equal(state.size, 0);
  for (const id of [-1, 0.5, "1", undefined, NaN]) {
    await assert.rejects(state.restore(id), withCode("INVALID"));
    await assert.rejects(state.at(id), withCode("INVALID"));
  }
  for (const id of [0, 2 ** 53 - 1]) {
    await assert.rejects(state.restore(id), withCode("NOT_FOUND"));
    await assert.rejects(state.diff(id, id), withCode("NOT_FOUND"));
  }
  for (const position of [-1, 0.5, 2 ** 60, -1n, 2n ** 64n, "1"]) {
    await assert.rejects(state.checkpoint({ positions: { p: position } }), withCode("INVALID"));
  }
  const p = 5n;
  for (const positions of [new Map([["p", p]]), [p], new (class Positions { p = p })(), "p", 5]) {
    await assert.rejects(state.checkpoint({ positions }), withCode("INVALID", "plain object"));
    await assert.rejects(state.checkpoint({ outputs: positions }), withCode("INVALID", "plain object"));
  }
  await assert.rejects(state.checkpoint({ label: 5 }), withCode("INVALID"));
  await assert.rejects(state.import("text"), withCode("INVALID"));
  const { id } = await state.checkpoint({ positions: { __proto__: null, p } });
  assert.deepEqual((await state.restore(id)).positions, { p });
  await state.close();
});

test("what cannot be made a text is refused, too", async (t) => {
  const definition = { name: "sums", source: { timestamp: "at", fields: ["at"] } };
  definition.operator = [{ name: "all", aggregate: { n: "count" } }];
  const circular = { ...definition };
  circular.checkpoint = circular;
  for (const options of [{ budgetBytes: 1n }, { retain: { max: 1n } }, { compression: 1n }, { tabs: 1n }, { backend: 1n }]) {
    await assert.rejects(open({ name: "orders", backend: "memory", ...options }), withCode("INVALID"));
    await assert.rejects(engine({ definition, backend: "memory", ...options }), withCode("INVALID"));
  }
  for (const wrong of [circular, { ...definition, checkpoint: { interval: 5n } }]) {
    await assert.rejects(engine({ definition: wrong, backend: "memory" }), withCode("INVALID", "JSON"));
  }
  const state = await open({ name: "orders", backend: "memory" });
  await assert.rejects(state.checkpoint({ label: 1n }), withCode("INVALID", "BigInt"));
  // As for what is longer than a text can be, of which it would take half a minute to find out.
  const { stringify } = JSON;
  t.after(() => (JSON.stringify = stringify));
  JSON.stringify = () => {
    throw new RangeError("Invalid string length");
  };
  const refused = (what) => withCode("BUDGET", `${what} cannot be made JSON: Invalid string length`);
  assert.throws(() => state.set("a", "long"), refused("the value"));
  assert.throws(() => state.setMany([["a", "long"]]), refused("the batch"));
  assert.throws(() => state.setMany(new Map([["a", "long"]])), refused("the value"));
  JSON.stringify = stringify;
  assert.equal(state.size, 0);
  await state.close();
  const { instantiate } = WebAssembly;
  t.after(() => (WebAssembly.instantiate = instantiate));
  WebAssembly.instantiate = () => Promise.reject(new RangeError("could not allocate memory"));
  await assert.rejects(open({ name: "orders", backend: "memory" }), withCode("BUDGET", "could not allocate memory"));
});

test("bytes that were given away are refused, and nothing is lost", async () => {
  const storage = memoryStorage();
  let isGone = false;
  const gone = (bytes) => (structuredClone(bytes, { transfer: [bytes.buffer] }), bytes);
  const read = (...given) => (isGone ? gone(storage.read(...given).slice()) : storage.read(...given));
  const state = await open({ name: "orders", backend: { ...storage, read } });
  state.set("a", 1);
  await state.checkpoint();
  const file = (await state.export()).slice();
  state.set("a", 2);
  const refused = withCode("INVALID", "the bytes are gone");
  assert.throws(() => state.set("b", gone(new Uint8Array(4))), refused);
  assert.throws(() => state.setMany([["b", gone(new Uint8Array(4))]]), refused);
  await assert.rejects(state.import(gone(file.slice())), refused);
  isGone = true;
  await assert.rejects(state.export(), refused);
  isGone = false;
  assert.deepEqual([state.get("a"), state.get("b"), state.size], [2, undefined, 1]);
  // What waits for a checkpoint has been taken at the call.
  const [taken, imported] = [state.checkpoint(), state.import(file)];
  gone(file);
  await taken;
  await imported;
  assert.equal(state.get("a"), 1);
  await state.close();

  const definition = {
    name: "sums",
    source: { fields: ["t", "v"], timestamp: "t", file: "-" },
    operator: [{ name: "sums", aggregate: { sum: "sum v" } }],
  };
  const sums = await engine({ definition, backend: "memory" });
  const events = () => new TextEncoder().encode('[{"t":1,"v":2}]');
  sums.push(events());
  assert.throws(() => sums.push(gone(events())), refused);
  for (const wrong of [{ t: 1, v: 2 }, null, 5]) {
    assert.throws(() => sums.push(wrong), withCode("INVALID", "events must be an array"));
  }
  assert.equal(sums.progress().events, 1);
  await sums.close();
});

test("a storage may answer every time with the same bytes", async () => {
  const storage = memoryStorage();
  // One whose slice() is no copy.
  const place = Buffer.alloc(1 << 16);
  // At once, or later: what is asked meanwhile is asked after it.
  for (const isLate of [false, true]) {
    const read = (...given) => {
      const bytes = storage.read(...given);
      if (!bytes) return undefined;
      place.set(bytes);
      const answer = place.subarray(0, bytes.length);
      return isLate ? Promise.resolve(answer) : answer;
    };
    const state = await open({ name: "orders", backend: { ...storage, read } });
    for (let key = 0; key < 100; key += 1) state.set(`key/${key}`, key);
    const { id } = await state.checkpoint();
    const [report, ...pasts] = await Promise.all([state.verify(), state.at(id), state.at(id), state.at(id)]);
    assert.deepEqual(report.findings, []);
    for (const past of pasts) assert.equal(past.get("key/99"), 99);
    await state.close();
  }
});

test("a storage that cannot be closed is told, and does not hide why nothing was opened", async () => {
  const close = () => {
    throw new Error("no close");
  };
  const state = await open({ name: "orders", backend: { ...memoryStorage(), close } });
  await assert.rejects(state.close(), withCode("STORAGE", "storage: close: no close"));
  const readHead = () => {
    throw Object.assign(new Error("full"), { name: "QuotaExceededError" });
  };
  await assert.rejects(open({ name: "orders", backend: { ...memoryStorage(), readHead, close } }), withCode("QUOTA"));
});

test("wrong options are refused before anything is opened", async () => {
  const wrong = [
    undefined,
    {},
    { name: "" },
    { name: 5 },
    { backend: "disk" },
    { backend: null },
    { tabs: "all" },
    { durability: "none" },
    { compression: "zip" },
    { retain: { max: 0 } },
    { budgetBytes: -1 },
    { from: "newest" },
    { from: 0.5 },
    { retain: 5 },
    { retain: null },
  ];
  for (const options of wrong) {
    const given =
      options && Object.keys(options).length > 0 && !("name" in options)
        ? { name: "orders", backend: "memory", ...options }
        : options;
    await assert.rejects(open(given), withCode("INVALID"), JSON.stringify(options));
  }
  await assert.rejects(open({ name: "orders", backend: "opfs" }), withCode("UNSUPPORTED", "files"));
  await assert.rejects(engine({ backend: "memory" }), withCode("INVALID", "definition"));
  const definition = { name: "sums", source: { timestamp: "at", fields: ["at"] }, operator: [] };
  definition.operator.push({ name: "hourly", window: { tumbling: "1h" }, compute: { n: "count" } });
  await assert.rejects(engine({ definition, name: "half \ud800" }), withCode("INVALID", "name"));
  await assert.rejects(
    open({ name: "orders", backend: "memory", wasm: new Uint8Array(9) }),
    withCode("UNSUPPORTED", "wasm"),
  );
  await assert.rejects(open({ name: "orders", backend: "memory", from: 3 }), withCode("NOT_FOUND"));
});

test("an option that there is not is refused, with what may be meant", async (t) => {
  const directory = join(temporaryDirectory(t), "orders");
  const definition = { name: "sums", source: { timestamp: "at", fields: ["at"] } };
  definition.operator = [{ name: "all", aggregate: { n: "count" } }];
  for (const [wrong, meant] of [
    [{ budgetbytes: 1000 }, "`budgetBytes`"],
    [{ tab: "wait" }, "`tabs`"],
    [{ checkpointsOnHide: false }, "`checkpointOnHide`"],
    [{ retain: { maximum: 5 } }, "`maximum`"],
    [{ retain: { maxx: 5 } }, "`max`?"],
    [{ isDeleted: undefined }, "no option `isDeleted`"],
  ]) {
    await assert.rejects(open({ name: "orders", directory, ...wrong }), withCode("INVALID", meant));
    await assert.rejects(engine({ definition, directory, ...wrong }), withCode("INVALID", meant));
  }
  // Only engines have one.
  await assert.rejects(open({ name: "orders", directory, definition }), withCode("INVALID", "no option `definition`"));
  assert.ok(!existsSync(directory), "nothing was opened");
  const all = { backend: "memory", directory, durability: "strict", compression: "none", tabs: "exclusive", from: "none" };
  Object.assign(all, { signal: undefined, retain: {}, budgetBytes: 1e6, persist: false, checkpointOnHide: false });
  Object.assign(all, { onChange: () => {}, wasm: undefined, name: "orders" });
  await (await open(all)).close();
  await (await engine({ ...all, definition })).close();
});

test("what JSON has not, or would change, is refused and breaks nothing", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  state.set("a", 1);
  const hidden = Object.defineProperty({ n: 1 }, "toJSON", { value: () => undefined });
  class List extends Array {
    toJSON() {
      return "hi";
    }
  }
  for (const value of [hidden, List.of(1), { inside: [hidden] }]) {
    assert.throws(() => state.set("b", value), withCode("INVALID", "toJSON"));
    assert.throws(() => state.setMany([["b", value]]), withCode("INVALID", "toJSON"));
  }
  // No member is called that: it is data.
  state.set("c", { toJSON: 1 });
  await assert.rejects(state.checkpoint({ toJSON() {} }), withCode("INVALID"));
  const nothing = Object.create(null);
  await assert.rejects(state.checkpoint({ positions: { a: nothing } }), withCode("INVALID", "position a is an object"));
  await assert.rejects(state.restore(nothing), withCode("INVALID", "an object is not the number"));
  assert.deepEqual([state.get("a"), state.get("b"), state.get("c")], [1, undefined, { toJSON: 1 }]);
  await state.close();

  const definition = { name: "sums", source: { timestamp: "at", fields: ["at", "q"] } };
  definition.operator = [{ name: "all", aggregate: { n: "count" } }];
  const sums = await engine({ definition, backend: "memory" });
  assert.throws(() => sums.push([{ at: 1, q: nothing }]), withCode("INVALID", "field q is an object"));
  await sums.close();
});

test("a text that there is no memory for as bytes breaks nothing", async (t) => {
  const state = await open({ name: "orders", backend: "memory" });
  state.set("a", 1);
  const { encode } = TextEncoder.prototype;
  t.after(() => (TextEncoder.prototype.encode = encode));
  TextEncoder.prototype.encode = () => {
    throw new RangeError("Array buffer allocation failed");
  };
  assert.throws(() => state.set("b", "x".repeat(1_000_000)), withCode("BUDGET"));
  assert.equal(state.get("a"), 1);
  await state.close();
});

test("a directory that cannot be watched is told, with what to do", async (t) => {
  const directory = temporaryDirectory(t);
  const { watch } = fs;
  const set = (function_) => {
    fs.watch = function_;
    syncBuiltinESMExports();
  };
  set(() => {
    throw Object.assign(new Error("System limit for number of file watchers reached"), { code: "ENOSPC" });
  });
  t.after(() => set(watch));
  await (await open({ name: "orders", directory })).close();
  const reader = { name: "orders", directory, tabs: "read" };
  await assert.rejects(open({ ...reader, onChange() {} }), withCode("STORAGE", "refresh()"));
  await (await open(reader)).close();
});

test("a budget is kept", async () => {
  const state = await open({ name: "orders", backend: "memory", budgetBytes: 100_000 });
  assert.throws(() => {
    for (let key = 0; ; key += 1) state.set(`key/${key}`, "x".repeat(1000));
  }, withCode("BUDGET"));
  assert.ok(state.sizeBytes <= 100_000);
  await state.checkpoint();
  await state.close();
});

test("what a storage fails with comes out, and the next checkpoint makes up for it", async () => {
  const storage = memoryStorage();
  let failure;
  let place;
  const failing = {
    ...storage,
    put: (object, bytes) => {
      if (failure && place === "put") throw failure;
      return storage.put(object, bytes);
    },
    swapHead: (expected, bytes) => {
      if (failure && place === "swapHead") throw failure;
      return storage.swapHead(expected, bytes);
    },
  };
  const state = await open({ name: "orders", backend: failing });
  state.set("a", 1);
  const failures = [
    [Object.assign(new Error("no space left"), { code: "ENOSPC" }), "QUOTA"],
    [new DOMException("full", "QuotaExceededError"), "QUOTA"],
    [Object.assign(new Error("broken"), { code: "EIO" }), "STORAGE"],
    [new StateError("UNSUPPORTED", "of one's own"), "UNSUPPORTED"],
    ["text", "STORAGE"],
  ];
  for (place of ["put", "swapHead"]) {
    for (const [thrown, code] of failures) {
      failure = thrown;
      await assert.rejects(state.checkpoint(), withCode(code));
    }
  }
  failure = undefined;
  assert.equal((await state.checkpoint()).dirty, 1);
  await state.close();
});

test("damage is told, and an older checkpoint can be chosen", async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory });
  state.set("a", "first");
  const { id } = await state.checkpoint();
  state.set("a", "second");
  await state.checkpoint();
  await state.close();
  const object = join(directory, "objects", readdirSync(join(directory, "objects")).sort().at(-1));
  const bytes = readFileSync(object);
  bytes[26] ^= 1;
  writeFileSync(object, bytes);
  await assert.rejects(open({ name: "orders", directory }), withCode("CORRUPT"));
  const beside = await open({ name: "orders", directory, tabs: "read", from: "none" });
  assert.equal((await beside.verify()).newestWhole, id);
  await beside.close();
  // The lock was given back, and nothing has changed.
  const older = await open({ name: "orders", directory, from: id });
  assert.equal(older.get("a"), "first");
  const report = await older.verify();
  assert.equal(report.findings.length, 1);
  assert.equal(report.newestWhole, id);
  // A copy of it would be found out when it is needed.
  await assert.rejects(older.export(id + 1), withCode("CORRUPT"));
  await older.import(await older.export(id));
  assert.equal(older.get("a"), "first");
  await older.close();
  await assert.rejects(open({ name: "others", directory, from: id }), withCode("MISMATCH", "orders"));
});

test("a trap costs what was written since the last checkpoint, and nothing goes on before that is known", async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory, wasm: withLittleMemory(100) });
  state.set("a", 1);
  const { id } = await state.checkpoint({ positions: { n: 1 } });
  state.set("a", 2);
  const past = await state.at(id);
  const reading = state.verify();
  assert.throws(() => state.set("x".repeat(8 << 20), 1), withCode("TRAPPED", `checkpoint ${id}`));
  for (const call of [() => state.get("a"), () => state.set("a", 3), () => state.size, () => past.get("a")]) {
    assert.throws(call, withCode("TRAPPED"));
  }
  await assert.rejects(state.checkpoint(), withCode("TRAPPED"));
  await assert.rejects(reading, withCode("TRAPPED"));
  // The lock is still ours.
  await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED"));
  const recoveries = await Promise.all([state.recovered(), state.recovered()]);
  for (const { checkpoint, positions } of recoveries) assert.deepEqual([checkpoint.id, positions], [id, { n: 1n }]);
  assert.equal(state.get("a"), 1);
  assert.deepEqual((await state.recovered()).positions, { n: 1n });
  // Whoever went back to those positions now would write all of it twice.
  state.set("a", 2);
  await assert.rejects(state.recovered(), withCode("INVALID", "nothing to recover"));
  assert.throws(() => past.get("a"), withCode("TRAPPED"));
  past.close();
  state.set("a", 4);
  assert.equal((await state.checkpoint()).parent, id);
  await state.close();
});

test("what is whole and does not fit into the memory is no damage", async () => {
  const backend = memoryStorage();
  const state = await open({ name: "orders", backend });
  let count = 0;
  for (let number = 0; number < 14; number += 1) {
    for (const to = count + 2600; count < to; count += 1) {
      state.set(`key ${count}`, `${Math.random()} ${"of".repeat(150)} ${Math.random()}`);
    }
    await state.checkpoint();
  }
  await state.close();
  const codes = new Set();
  for (let pages = 150; pages < 400; pages += 10) {
    const opened = await open({ name: "orders", backend, wasm: withLittleMemory(pages) }).catch((error) => error);
    codes.add(opened.code ?? "opened");
    if (opened.code === undefined) {
      assert.equal(opened.size, count);
      await opened.close();
    }
  }
  // Some allocations have no way to fail; what they end is whole as well.
  assert.deepEqual([...codes].filter((code) => !["BUDGET", "TRAPPED", "opened"].includes(code)), []);
  assert.ok(codes.has("BUDGET") && codes.has("opened"), [...codes].join());
});

test("a checkpoint for which there is no memory is not taken, and costs nothing", async () => {
  for (const pages of [700, 1000, 1500, 2000]) {
    const state = await open({ name: "orders", backend: "memory", wasm: withLittleMemory(pages) });
    const bytes = new Uint8Array(10_000);
    for (let key = 0; key < 3000; key += 1) state.set(`key ${key}`, crypto.getRandomValues(bytes));
    await assert.rejects(state.checkpoint(), withCode("BUDGET", "taking a checkpoint, which is given up"));
    assert.equal(state.size, 3000);
    for (let key = 300; key < 3000; key += 1) state.remove(`key ${key}`);
    assert.equal((await state.checkpoint()).dirty, 300);
    await state.close();
  }
});

test("a request that is none is refused", async (t) => {
  const state = await open({ name: "orders", backend: "memory" });
  t.after(() => state.close());
  for (const request of [Promise.resolve({}), "deploy", new Map([["label", "deploy"]]), 5, [1]]) {
    await assert.rejects(state.checkpoint(request), withCode("INVALID", "plain object"));
  }
  await assert.rejects(state.checkpoint({ positions: new Map() }), withCode("INVALID", "positions must be a plain object"));
  // Positions that are not taken as such would be missed only after a crash.
  await assert.rejects(state.checkpoint({ position: { p: 1 } }), withCode("INVALID", "did you mean `positions`?"));
  await assert.rejects(state.checkpoint({ time: 5 }), withCode("INVALID", "no member of a request `time`"));
  assert.equal((await state.checkpoint({ label: undefined })).id, 0);
});

test("a reader that follows a writer recovers to what it showed, or what is newer", async () => {
  const storage = memoryStorage();
  const writer = await open({ name: "orders", backend: storage });
  await writer.checkpoint();
  let isBroken = false;
  const backend = { ...storage, read: (object, range) => (isBroken ? new Broken(1) : storage.read(object, range)) };
  const reader = await open({ name: "orders", backend, tabs: "read", from: 0 });
  writer.set("a", 1);
  const { id } = await writer.checkpoint();
  await reader.refresh();
  isBroken = true;
  await assert.rejects(reader.verify(), withCode("TRAPPED", `checkpoint ${id}`));
  isBroken = false;
  assert.equal((await reader.recovered()).checkpoint.id, id);
  assert.equal(reader.get("a"), 1);
  await Promise.all([reader.close(), writer.close()]);
});

test("closing while it recovers waits for that, and nothing is opened any more", async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory, wasm: withLittleMemory(100) });
  await state.checkpoint();
  assert.throws(() => state.set("x".repeat(8 << 20), 1), withCode("TRAPPED"));
  const { instantiate } = WebAssembly;
  t.after(() => (WebAssembly.instantiate = instantiate));
  let goOn;
  const begun = new Promise((resolve) => {
    WebAssembly.instantiate = async (...given) => {
      await new Promise((go) => ((goOn = go), resolve()));
      return instantiate.apply(WebAssembly, given);
    };
  });
  const recovering = assert.rejects(state.recovered(), withCode("CLOSED"));
  await begun;
  WebAssembly.instantiate = instantiate;
  const head = readFileSync(join(directory, "head"));
  const closing = state.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  // The lock is still ours.
  await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED"));
  goOn();
  await Promise.all([recovering, closing]);
  assert.deepEqual(readFileSync(join(directory, "head")), head);
  await (await open({ name: "orders", directory })).close();
});

test("a trap within a checkpoint goes back to the one before", async () => {
  const storage = memoryStorage();
  let isBroken = false;
  const state = await open({
    name: "orders",
    backend: { ...storage, read: (object, range) => (isBroken ? new Broken(1) : storage.read(object, range)) },
  });
  state.set("a", 1);
  const first = await state.checkpoint();
  state.set("a", 2);
  await state.checkpoint();
  await state.restore(first.id);
  isBroken = true;
  await assert.rejects(state.at(first.id), withCode("TRAPPED", `checkpoint ${first.id}`));
  isBroken = false;
  // Where the user had gone back to, not the newest.
  assert.equal((await state.recovered()).checkpoint.id, first.id);
  assert.equal(state.get("a"), 1);
  await state.close();
});

test("what there is no memory for is refused before it is taken, and costs nothing", async () => {
  const state = await open({ name: "orders", backend: "memory" });
  state.set("a", 1);
  // Zeros that nobody touches, which take no memory here.
  assert.throws(() => state.set("b", new Uint8Array(2_100_000_000)), withCode("BUDGET", "memory"));
  assert.deepEqual([state.get("a"), state.get("b"), state.size], [1, undefined, 1]);
  await state.checkpoint();
  await state.close();
});

test("wrong options say what is wrong, and a wasm file that is another one is told", async () => {
  const definition = {
    name: "counts",
    source: { fields: ["n"], timestamp: "t" },
    operator: [{ name: "all", where: [{ field: "n", lt: 2 ** 63 }], aggregate: { n: "count" } }],
  };
  await assert.rejects(engine({ definition, backend: "memory" }), withCode("INVALID", "9223372036854775808"));
  for (const max of [0, 1.5, "3"]) {
    await assert.rejects(open({ name: "a", backend: "memory", retain: { max } }), withCode("INVALID", "whole number"));
  }
  const empty = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  await assert.rejects(open({ name: "a", backend: "memory", wasm: empty }), withCode("UNSUPPORTED", "package's own file"));
});
