// Reading beside a writer that goes on meanwhile.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import test from "node:test";
import { memoryStorage, open } from "@eventflux/state";
import { temporaryDirectory, withCode } from "./support.mjs";

/** A storage as another one sees it; `before(method)` is called before each call of a method. */
function seen(storage) {
  const beside = { ...storage, before: () => {} };
  for (const method of ["read", "readHead"]) {
    beside[method] = async (...given) => {
      await beside.before(method);
      return storage[method](...given);
    };
  }
  return beside;
}

/** Calls a function before the call of a method of this number, from now on. */
function once(beside, method, number, happens) {
  beside.before = async (called) => {
    if (called !== method || --number > 0) return;
    beside.before = () => {};
    await happens();
  };
}

async function ids(state) {
  const all = [];
  for await (const { id } of state.checkpoints()) all.push(id);
  return all;
}

/** A writer that keeps one checkpoint, and one that reads beside it. */
async function pair() {
  const storage = memoryStorage();
  const writer = await open({ name: "orders", backend: storage, retain: { max: 1 } });
  let n = 0;
  /** Writes all keys and takes checkpoints until nothing is left of those before; the number of the last one. */
  const goOn = async () => {
    const before = storage.list().map(({ name }) => name);
    for (;;) {
      n += 1;
      for (let key = 0; key < 100; key += 1) writer.set(`key/${key}`, n);
      const { id } = await writer.checkpoint();
      if (!storage.list().some(({ name }) => before.includes(name))) return id;
    }
  };
  await goOn();
  const backend = seen(storage);
  return { storage, writer, goOn, backend, newest: () => n, reader: await open({ name: "orders", backend, tabs: "read" }) };
}

test("what a writer deletes while it is read is not damaged: the newest is read instead", async () => {
  const { reader, backend, goOn, newest } = await pair();
  for (const number of [1, 2]) {
    let id;
    once(backend, "read", number, async () => (id = await goOn()));
    const { checkpoint } = await reader.refresh();
    assert.deepEqual([checkpoint.id, await ids(reader)], [id, [id]]);
    assert.equal(reader.get("key/0"), newest());

    once(backend, "read", number, goOn);
    const other = await open({ name: "orders", backend, tabs: "read" });
    assert.equal(other.get("key/0"), newest());
    await other.close();

    once(backend, "read", number, goOn);
    const copy = await open({ name: "orders", backend: "memory" });
    await copy.import(await reader.export());
    assert.equal(copy.get("key/0"), newest());
    await copy.close();
  }
  await reader.close();
});

test("what was asked for by its number and is deleted while it is read is not there", async () => {
  const { reader, backend, goOn } = await pair();
  for (const ask of ["at", "diff", "export"]) {
    const { id } = (await reader.refresh()).checkpoint;
    once(backend, "read", 1, goOn);
    await assert.rejects(reader[ask](id, id), withCode("NOT_FOUND"));
  }
  await reader.close();
});

test("a head that is lost is damage, also to those that only read", async (t) => {
  const directory = temporaryDirectory(t);
  const writer = await open({ name: "orders", directory });
  const reader = await open({ name: "orders", directory, tabs: "read" });
  writer.set("a", 1);
  await writer.checkpoint();
  await reader.refresh();
  fs.unlinkSync(`${directory}/head`);
  const lost = withCode("CORRUPT", "head");
  await assert.rejects(reader.refresh(), lost);
  assert.equal(reader.get("a"), 1);
  for (const call of ["at", "restore", "export"]) await assert.rejects(writer[call](0), lost);
  await assert.rejects(writer.diff(0, 0), lost);
  for (const options of [{ tabs: "read" }, { tabs: "read", from: 0 }]) {
    await assert.rejects(open({ name: "orders", directory, ...options }), lost);
  }
  await Promise.all([reader.close(), writer.close()]);
  await assert.rejects(open({ name: "orders", directory }), lost);
});

test("an object that is missing under the same head is damage, one that always is under another is not", async () => {
  const { storage, writer, reader, backend, goOn } = await pair();
  backend.before = (method) => method === "read" && goOn();
  await assert.rejects(reader.refresh(), withCode("STORAGE", "let it retain more of them"));
  backend.before = () => {};
  const { id } = (await reader.refresh()).checkpoint;
  for (const { name } of storage.list()) storage.delete(name);
  for (const ask of ["refresh", "at", "diff", "export"]) await assert.rejects(reader[ask](id, id), withCode("CORRUPT"));
  // It shows what it did.
  assert.equal(reader.restored.checkpoint.id, id);
  assert.equal(reader.get("key/0") > 0, true);
  await Promise.all([reader.close(), writer.close()]);
});

test("a checkpoint is described though it is newer than what was seen last", async () => {
  const storage = memoryStorage();
  const backend = seen(storage);
  const fenced = await open({ name: "orders", backend: storage });
  const writer = await open({ name: "orders", backend: storage });
  writer.set("n", 0);
  await writer.checkpoint();
  const reader = await open({ name: "orders", backend, tabs: "read" });
  writer.set("n", 1);
  const { durability, ...taken } = await writer.checkpoint({ positions: { n: 1 } });
  for (const beside of [reader, fenced]) {
    const past = await beside.at(taken.id);
    assert.deepEqual([past.checkpoint, past.positions, past.get("n")], [taken, { n: 1n }, 1]);
  }
  assert.deepEqual((await fenced.restore(taken.id)).checkpoint, taken);

  // Published while the reader looks.
  for (const number of [1, 2, 3]) {
    once(backend, "readHead", number, async () => {
      writer.set("n", (await writer.checkpoint()).id + 1);
      await writer.checkpoint();
    });
    const { checkpoint } = await reader.refresh();
    assert.equal(reader.get("n"), checkpoint.id);
    assert.equal((await ids(reader)).at(-1), checkpoint.id);
    await backend.before("readHead");
  }
  await Promise.all([reader.close(), writer.close(), fenced.close()]);
});

/** A directory with a state, and its watchers from now on: `begun` is told of each. */
async function watched(t, begun) {
  const directory = temporaryDirectory(t);
  const writer = await open({ name: "orders", directory });
  const { watch } = fs;
  const set = (function_) => {
    fs.watch = function_;
    syncBuiltinESMExports();
  };
  set((_, __, listener) => {
    const watcher = Object.assign(new EventEmitter(), { close() {} });
    begun(watcher, () => listener("rename", "head"));
    return watcher;
  });
  t.after(() => set(watch));
  return { directory, writer };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 20));

test("what is published while a reader opens is told once it is open, and once", async (t) => {
  let publish;
  const { directory, writer } = await watched(t, (_, published) => {
    publish = published;
    publish();
    publish();
  });
  let told = 0;
  let refreshed;
  const reader = await open({
    name: "orders",
    directory,
    tabs: "read",
    onChange() {
      told += 1;
      // Of what was not there yet if it were told too early.
      refreshed = reader.refresh();
    },
  });
  assert.equal(told, 0);
  await turn();
  assert.equal(told, 1);
  await refreshed;
  writer.set("n", 1);
  await writer.checkpoint();
  publish();
  assert.equal(told, 2);
  await refreshed;
  assert.equal(reader.get("n"), 1);
  await Promise.all([reader.close(), writer.close()]);
  publish();
  assert.equal(told, 2);
});

test("a watcher that breaks down is told as a change, and ends nothing", async (t) => {
  let watcher;
  const { directory, writer } = await watched(t, (begun) => (watcher = begun));
  let told = 0;
  const reader = await open({ name: "orders", directory, tabs: "read", onChange: () => (told += 1) });
  await turn();
  assert.equal(told, 0);
  watcher.emit("error", new Error("too many open files"));
  assert.equal(told, 1);
  await reader.refresh();
  await Promise.all([reader.close(), writer.close()]);
});

test("a reader shows nothing of a storage that was emptied", async () => {
  const { backend, writer, reader } = await pair();
  assert.equal(reader.size, 100);
  await writer.close();
  const { readHead, list } = backend;
  Object.assign(backend, { readHead: async () => undefined, list: async () => [] });
  assert.deepEqual((await reader.refresh()).checkpoint, undefined);
  assert.deepEqual([reader.size, reader.get("key/1"), await ids(reader)], [0, undefined, []]);
  Object.assign(backend, { readHead, list });
  await reader.refresh();
  assert.equal(reader.size, 100);
  await reader.close();
});
