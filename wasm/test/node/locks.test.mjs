// Who may write: two states in one process, two processes, and the files between them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { memoryStorage, open } from "@eventflux/state";
import { Child, temporaryDirectory, withCode } from "./support.mjs";

test("a second writer is refused at once, and told who has it", async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory });
  assert.equal(readFileSync(join(directory, "writer.lock"), "utf8"), `process ${process.pid}\n`);
  await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED", `process ${process.pid}`));
  await state.close();
  await (await open({ name: "orders", directory })).close();
});

test("between processes too, until the other one is killed", async (t) => {
  const directory = temporaryDirectory(t);
  const holder = new Child("holder.mjs", directory, "exclusive");
  assert.equal(await holder.line(1), "open");
  await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED", `process ${holder.process.pid}`));
  await holder.kill();
  await (await open({ name: "orders", directory })).close();
});

test("waiting ends when the other one closes, or is given up", async (t) => {
  const directory = temporaryDirectory(t);
  const first = await open({ name: "orders", directory });
  const giveUp = new AbortController();
  const givingUp = open({ name: "orders", directory, tabs: "wait", signal: giveUp.signal });
  const waiting = open({ name: "orders", directory, tabs: "wait" });
  giveUp.abort();
  await assert.rejects(givingUp, withCode("LOCKED", "gave up"));
  first.set("a", 1);
  await first.checkpoint();
  await first.close();
  const second = await waiting;
  assert.equal(second.get("a"), 1);
  await second.close();
});

test("a writer that is taken over is fenced off and can change nothing", async (t) => {
  const directory = temporaryDirectory(t);
  const holder = new Child("holder.mjs", directory, "exclusive");
  await holder.line(1);
  holder.process.stdin.write("first\n");
  assert.equal(await holder.line(2), "0");
  const state = await open({ name: "orders", directory, tabs: "takeover" });
  assert.equal(state.get("line"), "first");
  holder.process.stdin.write("second\n");
  assert.equal(await holder.line(3), "FENCED");
  state.set("line", "ours");
  await state.checkpoint();
  // The lock is the taker's, though the holder lives.
  await assert.rejects(open({ name: "orders", directory }), withCode("LOCKED", `process ${process.pid}`));
  await state.close();
  holder.process.stdin.end();
  assert.deepEqual(await holder.ended, { status: 0, signal: null });
  const again = await open({ name: "orders", directory });
  assert.equal(again.get("line"), "ours");
  await again.close();
});

test("the newest to open a storage of one's own fences the others off", async () => {
  const storage = memoryStorage();
  const first = await open({ name: "orders", backend: storage });
  const second = await open({ name: "orders", backend: storage });
  await assert.rejects(first.checkpoint(), withCode("FENCED"));
  await second.checkpoint();
  await first.close();
  await second.close();
});

test("a reader beside the writer follows it, and cannot write", async (t) => {
  const directory = temporaryDirectory(t);
  await assert.rejects(
    open({ name: "orders", directory: join(directory, "none"), tabs: "read" }),
    withCode("NOT_FOUND"),
  );
  assert.equal(existsSync(join(directory, "none")), false);
  const writer = await open({ name: "orders", directory });
  let told;
  const change = () => new Promise((resolve) => (told = resolve));
  const reader = await open({ name: "orders", directory, tabs: "read", onChange: (change) => told?.(change) });
  assert.equal(reader.isReadOnly, true);
  assert.equal(reader.restored.checkpoint, undefined);
  for (let n = 1; n <= 3; n += 1) {
    const changed = change();
    writer.set("n", n);
    await writer.checkpoint({ positions: { n } });
    assert.deepEqual(await changed, { kind: "published" });
    assert.equal(reader.get("n"), n === 1 ? undefined : n - 1);
    const [{ positions }] = await Promise.all([reader.refresh(), reader.refresh()]);
    assert.deepEqual(positions, { n: BigInt(n) });
    assert.equal(reader.get("n"), n);
  }
  assert.throws(() => reader.set("n", 0), withCode("UNSUPPORTED", "read"));
  assert.throws(() => reader.remove("n"), withCode("UNSUPPORTED"));
  await assert.rejects(reader.checkpoint(), withCode("UNSUPPORTED"));
  await assert.rejects(reader.restore(0), withCode("UNSUPPORTED"));
  await assert.rejects(writer.refresh(), withCode("UNSUPPORTED"));
  assert.deepEqual((await reader.verify()).findings, []);
  await writer.close();
  await reader.close();
});

test("what a writer left half-written is removed by the next one", async (t) => {
  const directory = temporaryDirectory(t);
  await (await open({ name: "orders", directory })).close();
  writeFileSync(join(directory, "head.0.tmp"), "part");
  writeFileSync(join(directory, "objects", "checkpoint-0000000000-g1.efx.1.tmp"), "part");
  const state = await open({ name: "orders", directory });
  await state.checkpoint();
  await state.close();
  assert.deepEqual(readdirSync(directory).sort(), ["head", "head.lock", "objects", "writer.lock"]);
  assert.equal(readdirSync(join(directory, "objects")).length, 1);
});

test("temporary files of others stay", async (t) => {
  const directory = temporaryDirectory(t);
  await (await open({ name: "orders", directory })).close();
  const others = ["notes.tmp", "notes.0.tmp", "head.tmp", "head.a.tmp", "checkpoint-0000000000-g1.efx.1.tmp"];
  const inObjects = ["notes.tmp", "head.0.tmp", "checkpoint-0000000000-g1.efx.tmp", "checkpoint-0-g1.efx.0.tmp"];
  for (const name of others) writeFileSync(join(directory, name), "text");
  for (const name of inObjects) writeFileSync(join(directory, "objects", name), "text");
  await (await open({ name: "orders", directory })).close();
  for (const name of others) assert.ok(readdirSync(directory).includes(name), name);
  assert.deepEqual(readdirSync(join(directory, "objects")).sort(), inObjects.sort());
});

test("where no lock can be taken, that is said", async (t) => {
  const { PATH } = process.env;
  process.env.PATH = "/nowhere";
  t.after(() => (process.env.PATH = PATH));
  const directory = temporaryDirectory(t);
  const opening = open({ name: "orders", directory });
  if (process.platform === "linux") await assert.rejects(opening, withCode("UNSUPPORTED", "flock"));
  else await (await opening).close();
});

const onLinux = { skip: process.platform !== "linux" && "locks are taken by flock(1) on Linux only" };

test("a program that runs short of file descriptors lives, and a later checkpoint succeeds", onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const program = fileURLToPath(new URL("descriptors.mjs", import.meta.url));
  const limited = ["-c", 'ulimit -n 100; exec "$@"', "sh", process.execPath, program, directory];
  const { status, stdout, stderr } = spawnSync("sh", limited, { encoding: "utf8", timeout: 60_000 });
  assert.deepEqual([status, stderr], [0, ""]);
  const [, ...outcomes] = stdout.trim().split("\n");
  assert.equal(outcomes.pop(), "taken");
  for (const outcome of outcomes) assert.match(outcome, /^StateError STORAGE /);
  assert.ok(outcomes.some((outcome) => outcome.includes("flock")), stdout);
  const state = await open({ name: "orders", directory });
  assert.equal(state.get("left"), outcomes.length + 1);
  await state.close();
});
