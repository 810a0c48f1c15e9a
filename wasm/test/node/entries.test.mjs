// The ways to load the package in Node, and what is no business of its user.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";
import * as esm from "@eventflux/state";
import * as inline from "@eventflux/state/inline";
import { temporaryDirectory, withCode } from "./support.mjs";

const cjs = createRequire(import.meta.url)("@eventflux/state");

for (const [entry, { open, StateError, memoryStorage, engine }] of Object.entries({ esm, cjs, inline })) {
  test(`${entry}: opens, and has all there is`, async () => {
    const state = await open({ name: "orders", backend: memoryStorage() });
    state.set("a", { n: 1 });
    await state.checkpoint();
    assert.deepEqual(state.get("a"), { n: 1 });
    await state.close();
    assert.throws(() => state.get("a"), StateError);
    assert.equal(typeof engine, "function");
  });
}

test("all entries export the same", () => {
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
  assert.deepEqual(Object.keys(inline).sort(), Object.keys(esm).sort());
});

test("the wasm file by its address", async () => {
  const address = pathToFileURL(createRequire(import.meta.url).resolve("@eventflux/state/core.wasm"));
  for (const { open } of [esm, cjs, inline]) {
    for (const wasm of [address, address.href]) await (await open({ name: "orders", backend: "memory", wasm })).close();
    const opening = (name) => open({ name: "orders", backend: "memory", wasm: new URL(name, address) });
    await assert.rejects(opening("nowhere.wasm"), withCode("UNSUPPORTED", "nowhere.wasm cannot be fetched"));
    await assert.rejects(opening("node.js"), withCode("UNSUPPORTED", "cannot be compiled"));
  }
});

test("the wasm file may have any type that a server gives it", async (t) => {
  const bytes = readFileSync(createRequire(import.meta.url).resolve("@eventflux/state/core.wasm"));
  let type;
  const server = createServer((_, response) => response.setHeader("content-type", type).end(bytes));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const wasm = `http://127.0.0.1:${server.address().port}/`;
  for (type of ["application/wasm", "application/wasm; charset=utf-8", "Application/WASM", "application/octet-stream"]) {
    await (await esm.open({ name: "orders", backend: "memory", wasm })).close();
  }
});

function run(program, ...options) {
  const path = new URL("../..", import.meta.url);
  const args = [...options, "--input-type=module", "--eval", program];
  return spawnSync(process.execPath, args, { cwd: path, encoding: "utf8", timeout: 60_000 });
}

test("an open state does not keep a program alive, and leaves no process behind", (t) => {
  const directory = temporaryDirectory(t);
  const program = `
    import { open } from "@eventflux/state";
    import { readdirSync, readFileSync } from "node:fs";
    const state = await open({ name: "orders", directory: ${JSON.stringify(join(directory, "a"))} });
    state.set("a", 1);
    await state.checkpoint();
    const reader = await open({ name: "orders", directory: state && ${JSON.stringify(join(directory, "a"))}, tabs: "read", onChange() {} });
    if (process.platform === "linux") {
      console.log(readFileSync("/proc/self/task/" + process.pid + "/children", "utf8").trim());
    }`;
  const { status, stdout, stderr } = run(program);
  assert.deepEqual([status, stdout.trim(), stderr], [0, "", ""]);
});

test("a state that was forgotten is closed, and its lock given back", (t) => {
  const directory = temporaryDirectory(t);
  const program = `
    import { open } from "@eventflux/state";
    const options = { name: "orders", directory: ${JSON.stringify(directory)} };
    await (async () => {
      const state = await open(options);
      state.set("a", 1);
      await state.checkpoint();
    })();
    for (;;) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
      const again = await open(options).catch((error) => error.code);
      if (again === "LOCKED") continue;
      console.log(again.get("a"));
      await again.close();
      break;
    }`;
  const { status, stdout } = run(program, "--expose-gc");
  assert.deepEqual([status, stdout.trim()], [0, "1"]);
});

test("an older state keeps the state it is of, until it is closed", (t) => {
  const directory = temporaryDirectory(t);
  const program = `
    import { open } from "@eventflux/state";
    const options = { name: "orders", directory: ${JSON.stringify(directory)} };
    const past = await (async () => {
      const state = await open(options);
      state.set("a", 1);
      return state.at((await state.checkpoint()).id);
    })();
    const collect = async () => {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    };
    for (let round = 0; round < 10; round += 1) await collect();
    console.log(past.get("a"));
    past.close();
    for (;;) {
      await collect();
      const again = await open(options).catch((error) => error.code);
      if (again === "LOCKED") continue;
      await again.close();
      break;
    }`;
  const { status, stdout, stderr } = run(program, "--expose-gc");
  assert.deepEqual([status, stdout.trim(), stderr], [0, "1", ""]);
});

test("after a trap no finaliser calls into the broken engine", () => {
  const program = `
    import { open, memoryStorage } from "@eventflux/state";
    class Broken extends Uint8Array { get length() { throw new RangeError("simulated"); } }
    const instances = [];
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (...given) => {
      const instance = { exports: {} };
      for (const [name, member] of Object.entries((await instantiate.apply(WebAssembly, given)).exports)) {
        instance.exports[name] = typeof member !== "function" ? member : (...given) => {
          if (instance.isBroken) console.log("called", name);
          return member(...given);
        };
      }
      instances.push(instance);
      return instance;
    };
    const state = await open({ name: "orders", backend: memoryStorage() });
    for (let round = 0; round < 3; round += 1) {
      const { id } = await state.checkpoint();
      await state.at(id);
      const closed = await state.at(id);
      const reading = state.verify().catch(() => {});
      try { state.set("a", new Broken(3)); } catch {}
      instances.at(-1).isBroken = true;
      await reading;
      closed.close();
      await state.recovered();
    }
    for (let round = 0; round < 5; round += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await state.close();
    console.log("done");`;
  const { status, stdout, stderr } = run(program, "--expose-gc");
  assert.deepEqual([status, stdout.trim(), stderr], [0, "done", ""]);
});
