// The origin private file system, of files that know what was flushed: what a power failure leaves of the head, and what is
// read while it is written.
import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { open } from "../../dist/browser.js";
import { withCode, withLittleMemory } from "./support.mjs";

const entry = fileURLToPath(new URL("../../js/storage/opfs.ts", import.meta.url));
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
const { openOpfs } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

/** A machine: its files, and how many more steps its present process does. */
class Machine {
  steps = Infinity;
  /** Whether it is the power that fails then, in the middle of a step, and not the process, before it. */
  isPower = false;
  files = [];
  root = this.directory();

  /** One step of the process; `half` is what a failure of power leaves of it. */
  step(half) {
    if (this.steps > 0) return void (this.steps -= 1);
    if (this.isPower) half?.();
    this.isPower = false;
    throw new Error("the process is no more");
  }

  /** Starts anew after a power failure: only what is durable is there. */
  restart() {
    for (const file of this.files) file.cached = file.durable;
  }

  directory() {
    const entries = new Map();
    const get = (name, { create } = {}, make) => {
      if (!entries.has(name)) {
        if (!create) throw new DOMException(name, "NotFoundError");
        entries.set(name, make());
      }
      return entries.get(name);
    };
    return {
      getDirectoryHandle: async (name, options) => get(name, options, () => this.directory()),
      getFileHandle: async (name, options) => get(name, options, () => new MachineFile(this)),
      removeEntry: async (name) => {
        entries.get(name).cached = undefined;
        entries.delete(name);
      },
    };
  }
}

class MachineFile {
  cached = new Uint8Array();
  durable = new Uint8Array();

  constructor(machine) {
    this.machine = machine;
    machine.files.push(this);
  }

  /** As browsers do, it can be read for as long as it is what it was. */
  async getFile() {
    const { cached } = this;
    const read = async (bytes) => {
      await this.machine.meanwhile?.();
      if (this.cached === undefined) throw new DOMException("removed", "NotFoundError");
      if (this.cached !== cached) throw new DOMException("changed", "NotReadableError");
      return bytes.slice().buffer;
    };
    const { length: size } = cached;
    return { size, arrayBuffer: () => read(cached), slice: (...range) => ({ arrayBuffer: () => read(cached.subarray(...range)) }) };
  }

  async createSyncAccessHandle() {
    const { machine } = this;
    const over = (old, bytes, at) => {
      const all = new Uint8Array(Math.max(old.length, at + bytes.length));
      all.set(old);
      all.set(bytes, at);
      return all;
    };
    return {
      getSize: () => this.cached.length,
      read: (into, { at }) => {
        const part = this.cached.subarray(at, at + into.length);
        into.set(part);
        return part.length;
      },
      write: (bytes, { at }) => {
        machine.step(() => (this.durable = over(this.durable, bytes.subarray(0, bytes.length / 2), at)));
        this.cached = over(this.cached, bytes, at);
        return bytes.length;
      },
      truncate: (size) => {
        machine.step();
        this.cached = this.cached.slice(0, size);
      },
      flush: () => {
        machine.step();
        this.durable = this.cached;
      },
      close() {},
    };
  }
}

const head = (number) => new TextEncoder().encode(`head ${number}, all of ${number}`);
const numberOf = (bytes) => {
  const found = /^head (\d+), all of \1$/.exec(new TextDecoder().decode(bytes ?? new Uint8Array()));
  return found ? Number(found[1]) : -1;
};
const newestHead = (slots) => {
  const numbers = slots.map(numberOf);
  const newest = Math.max(...numbers);
  return newest === -1 ? -1 : numbers.indexOf(newest);
};

/** A process that replaces the head a few times; the number of the last one that it was told is durable, or -1. */
async function run(machine, steps, isPower) {
  Object.assign(machine, { steps, isPower });
  let acknowledged = -1;
  try {
    const storage = await openOpfs("orders", newestHead);
    let bytes = await storage.readHead();
    for (let count = 0; count < 3; count += 1) {
      const next = head(numberOf(bytes) + 1);
      assert.equal(await storage.swapHead(bytes, next), true);
      bytes = next;
      acknowledged = numberOf(bytes);
    }
  } catch (error) {
    assert.equal(error.message, "the process is no more");
  }
  machine.steps = Infinity;
  return acknowledged;
}

// What a worker has of it.
let machine;
Object.defineProperty(globalThis, "FileSystemFileHandle", { value: MachineFile });
Object.defineProperty(globalThis, "navigator", { value: { storage: { getDirectory: async () => machine.root } } });

test("what is deleted while it is read is not there, and a head that is written meanwhile is read again", async () => {
  machine = new Machine();
  const [writer, reader] = [await openOpfs("orders", newestHead), await openOpfs("orders", newestHead)];
  await writer.put("object", Uint8Array.of(1, 2, 3));
  let last;
  const publish = async () => {
    const next = head(numberOf(last) + 1);
    assert.equal(await writer.swapHead(last, next), true);
    last = next;
  };
  await publish();
  for (const [meanwhile, read] of [
    // Both slots.
    [() => publish().then(publish), async () => assert.deepEqual(await reader.readHead(), last)],
    [() => writer.delete("object"), async () => assert.equal(await reader.read("object", { offset: 1, length: 1 }), undefined)],
  ]) {
    machine.meanwhile = () => {
      machine.meanwhile = undefined;
      return meanwhile();
    };
    await read();
  }
  // One that never rests is an error all the same.
  machine.meanwhile = () => (machine.files.forEach((file) => (file.cached = file.cached?.slice())), undefined);
  await assert.rejects(reader.readHead(), { name: "NotReadableError" });
});

test("an engine that breaks down as it looks for the newest head is told as one", async () => {
  machine = new Machine();
  let directory = machine.root;
  for (const part of ["eventflux", "orders"]) directory = await directory.getDirectoryHandle(part, { create: true });
  (await directory.getFileHandle("head.0", { create: true })).cached = new Uint8Array(8 << 20);
  navigator.locks = { request: (_, options, hold) => hold({}) };
  await assert.rejects(open({ name: "orders", backend: "opfs", wasm: withLittleMemory(100) }), withCode("TRAPPED"));
});

test("no failure takes a head that was acknowledged", async () => {
  // The first process is killed, what it wrote may not be on the disk yet; then the power fails under the second one.
  for (let killed = 0; killed <= 10; killed += 1) {
    for (let failed = 0; failed <= 12; failed += 1) {
      machine = new Machine();
      const acknowledged = Math.max(await run(machine, killed, false), await run(machine, failed, true));
      machine.restart();
      const found = numberOf(await (await openOpfs("orders", newestHead)).readHead());
      assert.ok(found >= acknowledged, `${killed}, ${failed}: ${found} is left of ${acknowledged}`);
    }
  }
});
