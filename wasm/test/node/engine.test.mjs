// Windows, patterns and aggregations.
import assert from "node:assert/strict";
import test from "node:test";
import { Engine, engine, memoryStorage } from "@eventflux/state";
import { definition, eventsFrom } from "./flights.mjs";
import { withCode } from "./support.mjs";

const small = {
  name: "totals",
  source: { timestamp: "at", fields: ["at", "key", "n"] },
  operator: [{ name: "sums", window: { tumbling: "1s" }, key: ["key"], compute: { n: "count", sum: "sum n" } }],
};

test("results come out as they fall due", async () => {
  const totals = await engine({ definition: small, backend: "memory" });
  assert.ok(totals instanceof Engine);
  totals.push([
    { at: 0, key: "a", n: 1 },
    { at: 10, key: "b", n: 2 },
  ]);
  assert.deepEqual(totals.results(), []);
  totals.push('[{"at": 500, "key": "a", "n": 5}, {"at": 1000, "key": "a", "n": 7}]');
  assert.deepEqual(totals.results(), [
    { operator: "sums", key: { key: "a" }, window_start: 0, window_end: 1000, n: 2, sum: 6 },
    { operator: "sums", key: { key: "b" }, window_start: 0, window_end: 1000, n: 1, sum: 2 },
  ]);
  assert.deepEqual(totals.results(), []);
  totals.push(new TextEncoder().encode('[{"at": 1, "key": "late"}]'));
  const { events, late, results, watermark, finished } = totals.progress();
  assert.deepEqual([events, late, results, watermark, finished], [5, { sums: 1 }, { sums: 2 }, 1000, false]);
  totals.finish();
  assert.match(totals.resultLines(), /^\{"operator":"sums","key":\{"key":"a"\},.*"sum":7\}\n$/);
  assert.equal(totals.progress().finished, true);
  await totals.close();
});

test("numbers of events and of definitions keep all their digits", async () => {
  const number = 1234.5678901234567;
  const [filtered] = small.operator;
  const operator = [{ ...filtered, where: [{ field: "n", eq: number }], compute: { max: "max n" } }];
  const totals = await engine({ definition: { ...small, operator }, backend: "memory" });
  totals.push([{ at: 0, key: "a", n: number }]);
  totals.finish();
  assert.deepEqual(
    totals.results().map(({ max }) => max),
    [number],
  );
  await totals.close();
});

test("wrong definitions and events are refused", async () => {
  const open = (definition) => engine({ definition, backend: "memory" });
  await assert.rejects(
    open({ ...small, operator: [{ name: "x", window: { tumblin: "1s" } }] }),
    withCode("INVALID", "operator"),
  );
  await assert.rejects(open({ ...small, source: { timestamp: "at" } }), withCode("INVALID", "fields"));
  await assert.rejects(open({ ...small, name: "" }), withCode("INVALID", "name"));
  const totals = await open(small);
  const wrong = [
    [{ at: 1, n: NaN }],
    [{ at: 1, n: undefined }],
    [{ at: 1, n: 1n }],
    [{ at: 1, n: [] }],
    [{ at: 1, other: 1 }],
    [{ n: 1 }],
    "no JSON",
    '[{"at": 1, "key": "a\ud800"}]',
  ];
  for (const events of wrong) assert.throws(() => totals.push(events), withCode("INVALID"), String(events));
  assert.equal(totals.progress().events, 0);
  await totals.close();
});

test("an engine goes on where its checkpoint was, and gives the same results", async () => {
  const events = eventsFrom(0).slice(0, 6000);
  const whole = await engine({ definition, backend: "memory" });
  whole.push(events);
  whole.finish();
  const expected = whole.resultLines();
  await whole.close();

  const storage = memoryStorage();
  let lines = "";
  for (let from = 0, goesOn = true; goesOn;) {
    const part = await engine({ definition, backend: storage });
    // What was pushed after the last checkpoint is lost, and pushed again.
    const { positions, outputs } = part.restored;
    from = Number(positions.events ?? 0n);
    lines = lines.slice(0, Number(outputs.lines ?? 0n));
    goesOn = from + 2000 < events.length;
    part.push(events.slice(from, from + 2000));
    lines += part.resultLines();
    await part.checkpoint({ positions: { events: from + 2000 }, outputs: { lines: lines.length } });
    part.push(events.slice(from + 2000, from + 2500));
    if (!goesOn) part.finish();
    lines += part.resultLines();
    await part.close();
  }
  assert.equal(lines, expected);
});

test("no checkpoint is taken while there are results that nobody has taken", async () => {
  const totals = await engine({ definition: small, backend: "memory" });
  totals.push([
    { at: 0, key: "a", n: 1 },
    { at: 1000, key: "a", n: 2 },
  ]);
  await assert.rejects(totals.checkpoint(), withCode("BUSY", "results()"));
  assert.equal(totals.results().length, 1);
  const taken = await totals.checkpoint();
  totals.finish();
  await assert.rejects(totals.checkpoint(), withCode("BUSY", "results()"));
  assert.equal(totals.results().length, 1);
  await totals.restore(taken.id);
  assert.deepEqual(totals.results(), []);
  await totals.close();
});

test("a checkpoint that waits is refused if results are taken meanwhile: its outputs are without them", async () => {
  const totals = await engine({ definition: small, backend: "memory" });
  const first = totals.checkpoint();
  totals.push([
    { at: 0, key: "a", n: 1 },
    { at: 1000, key: "a", n: 2 },
  ]);
  const second = totals.checkpoint({ positions: { events: 2 }, outputs: { lines: 0 } });
  assert.equal(totals.results().length, 1);
  // Nothing was taken.
  assert.deepEqual(totals.results(), []);
  const third = totals.checkpoint({ positions: { events: 2 }, outputs: { lines: 1 } });
  assert.deepEqual(totals.results(), []);
  await first;
  await assert.rejects(second, withCode("BUSY", "outputs"));
  assert.equal((await third).id, 1);
  await totals.close();
});

test("an engine whose operators are others says how to go on", async () => {
  const storage = memoryStorage();
  const opened = (operator, options) => engine({ definition: { ...small, operator }, backend: storage, ...options });
  const [sums] = small.operator;
  const totals = { name: "totals", aggregate: { n: "count" } };
  const first = await opened([sums]);
  await first.checkpoint();
  await first.close();
  for (const operator of [[sums, totals], [totals], [{ ...sums, window: { tumbling: "2s" } }]]) {
    await assert.rejects(opened(operator), withCode("MISMATCH", 'from: "none"'));
    await assert.rejects(opened(operator), (error) => !/allow_/.test(error.message));
  }
  const anew = await opened([sums, totals], { from: "none" });
  await anew.checkpoint();
  await anew.close();
});
