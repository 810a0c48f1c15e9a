// The same directory for Node and the native command: what one writes the other reads, and a lock of one holds for the
// other. Needs the command, EVENTFLUX_BIN; without it these tests are skipped.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { engine, open } from "@eventflux/state";
import { definition, eventsFrom, offsetAfter, toToml } from "./flights.mjs";
import { command, native, temporaryDirectory, withCode } from "./support.mjs";

const skip = command ? false : "EVENTFLUX_BIN does not name the native command";

/** Writes an application for the command; the address of its storage. */
function application(directory, overrides = {}) {
  const app = {
    ...definition,
    checkpoint: { storage: "file:state", every_events: 10_000, max_retained: 10 },
    sink: { file: "out.ndjson" },
    ...overrides,
  };
  const path = join(directory, "app.toml");
  writeFileSync(
    path,
    Object.entries(app)
      .map(([key, value]) => `${key} = ${toToml(value)}\n`)
      .join(""),
  );
  return path;
}

test("the command reads what Node wrote", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory });
  state.set("total/eu", { n: 3 });
  await state.checkpoint({ label: "deploy", positions: { p: 123n } });
  state.set("total/us", Uint8Array.of(1, 2));
  await state.checkpoint();
  // Beside the writer.
  const verified = native("verify", `file:${directory}`, "--json");
  assert.equal(verified.status, 0, verified.stderr);
  const inspected = native("inspect", `file:${directory}`);
  assert.equal(inspected.status, 0, inspected.stderr);
  assert.match(inspected.stdout, /total\/eu/);
  const listed = native("checkpoints", `file:${directory}`);
  assert.match(listed.stdout, /deploy/);
  await state.close();
  const saved = native("savepoint", `file:${directory}`, "kept");
  assert.equal(saved.status, 0, saved.stderr);
  const again = await open({ name: "orders", directory });
  assert.deepEqual(again.get("total/us"), Uint8Array.of(1, 2));
  const labels = [];
  for await (const { label } of again.checkpoints()) labels.push(label);
  assert.ok(labels.includes("kept"));
  await again.close();
});

test("without a number the latest is exported, not a savepoint of an older one", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const state = await open({ name: "orders", directory });
  state.set("a", 1);
  const first = await state.checkpoint();
  state.set("a", 2);
  const second = await state.checkpoint();
  await state.close();
  const saved = native("savepoint", `file:${directory}`, "old", "--of", String(first.id));
  assert.equal(saved.status, 0, saved.stderr);
  const again = await open({ name: "orders", directory, tabs: "read" });
  assert.equal(again.restored.checkpoint.id, second.id);
  const other = await open({ name: "orders", backend: "memory" });
  await other.import(await again.export());
  assert.equal(other.get("a"), 2);
  await Promise.all([again.close(), other.close()]);
});

test("Node goes on where the command was, and gives the same results", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const ran = native("run", application(directory));
  assert.equal(ran.status, 0, ran.stderr);
  const expected = readFileSync(join(directory, "out.ndjson"), "utf8");
  const state = join(directory, "state");
  const reader = await engine({ definition, directory: state, tabs: "read" });
  const checkpoints = [];
  for await (const checkpoint of reader.checkpoints()) checkpoints.push(checkpoint);
  await reader.close();
  assert.ok(checkpoints.length >= 3);

  const flights = await engine({ definition, directory: state, from: checkpoints[1].id });
  const { positions, outputs } = flights.restored;
  assert.equal(positions["source.fingerprint"], flights.progress().sourceFingerprint);
  let lines = expected.slice(0, Number(outputs["output.length"]));
  assert.ok(lines.length > 0);
  flights.push(eventsFrom(Number(positions["source.offset"])));
  flights.finish();
  lines += flights.resultLines();
  assert.ok(lines === expected);
  await flights.close();
});

test("the command goes on where Node was, and gives the same results", { skip }, async (t) => {
  const [whole, half] = [temporaryDirectory(t), temporaryDirectory(t)];
  const ran = native("run", application(whole));
  assert.equal(ran.status, 0, ran.stderr);
  const flights = await engine({ definition, directory: join(half, "state") });
  const taken = 12_345;
  flights.push(eventsFrom(0).slice(0, taken));
  const lines = flights.resultLines();
  writeFileSync(join(half, "out.ndjson"), lines);
  await flights.checkpoint({
    positions: {
      "source.offset": offsetAfter(taken),
      "source.line": taken + 2,
      "source.fingerprint": flights.progress().sourceFingerprint,
    },
    outputs: { "output.length": Buffer.byteLength(lines) },
  });
  await flights.close();
  const goesOn = native("run", application(half));
  assert.equal(goesOn.status, 0, goesOn.stderr);
  assert.ok(readFileSync(join(half, "out.ndjson"), "utf8") === readFileSync(join(whole, "out.ndjson"), "utf8"));
});

for (const format of [1, 2]) {
  test(`a checkpoint of format ${format} is gone on from, and the command reads what came of it`, { skip }, async (t) => {
    const golden = fileURLToPath(new URL("../../../tests/golden", import.meta.url));
    const directory = temporaryDirectory(t);
    for (const part of ["head", "objects"]) cpSync(join(golden, `v${format}/engine`, part), join(directory, part), { recursive: true });
    const application = JSON.parse(readFileSync(join(golden, "application.json"), "utf8"));
    application.source.fields = ["at", "key", "number", "any"];
    const version = (object) => readFileSync(join(directory, "objects", object)).readUInt16LE(4);
    const before = readdirSync(join(directory, "objects"));
    assert.ok(before.every((object) => version(object) === format));

    // The last but one: the source had not ended.
    const continued = await engine({ definition: application, directory, from: 5 });
    const { events } = continued.progress();
    assert.equal(continued.restored.positions["source.offset"], BigInt(events));
    continued.push([
      { at: 36_000, key: "new", number: 2, any: null },
      { at: 47_000, key: "new", number: 5.5, any: true },
    ]);
    assert.notEqual(continued.resultLines(), "");
    const taken = await continued.checkpoint({ positions: { "source.offset": events + 2 } });
    assert.equal(taken.parent, 5);
    const past = await continued.at(taken.id);
    const inspected = past.inspect();
    const difference = await continued.diff(5, taken.id);
    assert.equal(continued.progress().events, events + 2);
    await continued.close();

    const after = readdirSync(join(directory, "objects")).filter((object) => !before.includes(object));
    assert.deepEqual(after.map(version), [3]);
    const verified = native("verify", `file:${directory}`, "--json");
    assert.equal(verified.status, 0, verified.stderr);
    const shown = JSON.parse(native("inspect", `file:${directory}`, "--json").stdout);
    assert.equal(shown.checkpoint.id, taken.id);
    const states = shown.states.map(({ name, kind, rows }) => ({ name, kind, rows }));
    const operators = ["values", "tumbling", "sessions", "by length", "rising", "totals"];
    assert.deepEqual(states.map(({ name }) => name).sort(), operators.sort());
    assert.ok(JSON.stringify(states).includes('"new"'));
    assert.deepEqual(inspected, states);
    const changed = JSON.parse(native("diff", `file:${directory}`, "5", String(taken.id), "--json").stdout).states;
    const keys = changed.flatMap(({ name, keys }) => keys.map((key) => ({ state: name, ...key })));
    assert.ok(keys.length > 0);
    assert.deepEqual(new Set(difference), new Set(keys));
  });
}

test("a lock holds between Node and the command, both ways", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const state = join(directory, "state");
  const flights = await engine({ definition, directory: state });
  await flights.checkpoint();
  const source = { ...definition.source, file: "-" };
  const app = application(directory, { source, sink: { file: "out.ndjson" } });
  const refused = native("savepoint", `file:${state}`, "label");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`process ${process.pid}`));
  await flights.close();

  const running = spawn(command, ["run", app, "--from", "none"], { stdio: ["pipe", "inherit", "inherit"] });
  const ended = new Promise((resolve) => running.on("close", resolve));
  running.stdin.write(`${definition.source.fields.join(",")}\n`);
  // It holds the lock once it has written its number there.
  while (readFileSync(join(state, "writer.lock"), "utf8") !== `process ${running.pid}\n`) {
    assert.equal(running.exitCode, null);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await assert.rejects(engine({ definition, directory: state }), withCode("LOCKED", `process ${running.pid}`));
  const other = await engine({ definition, directory: state, tabs: "takeover", from: "none" });
  await other.checkpoint();
  await other.close();
  // Killed, not ended: what it would say of the take-over is its own business.
  running.kill("SIGKILL");
  await ended;
  await (await engine({ definition, directory: state })).close();
});
