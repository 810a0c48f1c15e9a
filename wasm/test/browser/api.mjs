// The API in a page, with IndexedDB, and in a dedicated worker, with OPFS; and what can go wrong there.
import assert from "node:assert/strict";
import test from "node:test";
import { freshName, inPage, inWorker, isLong, otherAddress } from "./harness.mjs";
import { newPage } from "./shared.mjs";

for (const durability of ["strict", "relaxed"]) {
  test(`all of the API, ${durability}: page`, async () => {
    const page = await newPage();
    assert.equal(await inPage(page, "api", "everything", { name: freshName(), durability }), durability);
    await page.close();
  });
}

test("all of the API: worker", async () => {
  const page = await newPage();
  assert.equal(await inWorker(page, "api", "everything", { name: freshName() }), "relaxed");
  await page.close();
});

test("a full storage: the state and the last checkpoint are as before", async () => {
  const page = await newPage();
  await inPage(page, "api", "full", { name: freshName() });
  await page.close();
});

for (const [place, run] of [["page", inPage], ["worker", inWorker]]) {
  test(`the origin's quota is used up: ${place}`, async () => {
    // Of an origin that nothing was stored for yet: browsers look at quotas only now and then.
    const page = await newPage({ origin: otherAddress });
    const session = await page.context().newCDPSession(page);
    const { origin } = new URL(otherAddress);
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 2 << 20 });
    const { code, seen, value } = await run(page, "api", "overQuota", { name: freshName() });
    await session.send("Storage.overrideQuotaForOrigin", { origin });
    await page.close();
    assert.deepEqual([code, seen, value], ["QUOTA", [65, [0]], 1]);
  });
}

test("what did not fit is not written once more by an engine that recovers, nor what no head names", async () => {
  const page = await newPage({ origin: otherAddress });
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(otherAddress);
  await session.send("Storage.clearDataForOrigin", { origin, storageTypes: "all" });
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 2 << 20 });
  const name = freshName();
  const [code, recovered, value, objects] = await inPage(page, "api", "trappedOverQuota", { name });
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  const first = "checkpoint-0000000000-g1.efx";
  assert.deepEqual([code, recovered, value, objects], ["QUOTA", "no error", 1, [first]]);
  assert.deepEqual(await inPage(page, "api", "trappedInCheckpoint", { name: freshName() }), [first]);
  await page.close();
});

test("objects of IndexedDB in one piece, in several, and as one entry", async () => {
  const page = await newPage();
  await inPage(page, "api", "pieces", { name: freshName() });
  await page.close();
});

test("the database is deleted under us", async () => {
  const page = await newPage();
  await inPage(page, "api", "deleted", { name: freshName() });
  await page.close();
});

test("an engine that breaks down is recovered", async () => {
  const page = await newPage();
  await inPage(page, "api", "trapped", { name: freshName() });
  await page.close();
});

test("a page that is hidden: a checkpoint, unless only the program knows its positions and outputs", async () => {
  const page = await newPage();
  const seen = (request) => inPage(page, "api", "hidden", { name: freshName(), request });
  assert.deepEqual(await seen({}), [0, 1, 2]);
  assert.deepEqual(await seen({ positions: { n: 1 } }), [0]);
  assert.deepEqual(await seen({ outputs: { log: 1 } }), [0]);
  // Before there was any, nobody knows whether there will be positions.
  assert.deepEqual(await inPage(page, "api", "hiddenFirst", { name: freshName() }), [0, 1]);
  assert.match(await inPage(page, "api", "hiddenWrong", { name: freshName() }), /`position`/);
  await page.close();
});

test("a bad wasm file", async () => {
  const page = await newPage();
  const codes = await inPage(page, "api", "badWasm", { name: freshName() });
  assert.deepEqual(codes, Array(4).fill("UNSUPPORTED"));
  await page.close();
});

test("without a network", async () => {
  const page = await newPage();
  // The modules are there by then, the wasm is not.
  await page.evaluate(() => Promise.all(["run", "api"].map((module) => import(`/inside/${module}.mjs`))));
  await page.evaluate(() => Promise.all(["browser", "inline", "wasm-base64"].map((entry) => import(`/dist/${entry}.js`))));
  await page.route("**/*", (route) => route.abort());
  const argument = { name: freshName() };
  await assert.rejects(inPage(page, "api", "everything", argument), /UNSUPPORTED .*cannot be fetched/s);
  await inPage(page, "api", "everything", argument, "inline");
  await page.close();
});

test("two tabs: refused, waiting, reading, taking over", async () => {
  const name = freshName();
  const [first, second] = [await newPage(), await newPage()];
  const step = (page, action, more = {}) => inPage(page, "api", action, { name, ...more });
  assert.deepEqual(await step(first, "tabOpen"), []);
  assert.equal(await step(first, "tabWrite", { key: "a" }), "no error");
  assert.equal(await step(second, "tabOpen", { mode: "exclusive" }), "LOCKED");

  assert.deepEqual(await step(second, "tabOpen", { mode: "read" }), ["a"]);
  assert.equal(await step(first, "tabWrite", { key: "b" }), "no error");
  const { keys, changes } = await step(second, "tabRefresh");
  assert.deepEqual([keys, changes[0]], [["a", "b"], "published"]);
  await step(second, "tabClose");

  const waiting = step(second, "tabOpen", { mode: "wait" });
  assert.equal(await step(first, "tabWrite", { key: "c" }), "no error");
  await step(first, "tabClose");
  assert.deepEqual(await waiting, ["a", "b", "c"]);

  assert.deepEqual(await step(first, "tabOpen", { mode: "takeover" }), ["a", "b", "c"]);
  assert.equal(await step(second, "tabWrite", { key: "lost" }), "FENCED");
  assert.deepEqual(await step(second, "tabChanges"), ["fenced"]);
  assert.equal(await step(first, "tabWrite", { key: "d" }), "no error");
  await Promise.all([step(first, "tabClose"), step(second, "tabClose")]);
  await Promise.all([first.close(), second.close()]);
});

test("a take-over that is refused leaves the other tab as it is", async () => {
  const name = freshName();
  const [first, second] = [await newPage(), await newPage()];
  const step = (page, action, more = {}) => inPage(page, "api", action, { name, ...more });
  assert.deepEqual(await step(first, "tabOpen"), []);
  assert.equal(await step(first, "tabWrite", { key: "a" }), "no error");
  assert.equal(await step(second, "tabOpen", { mode: "takeover", from: 99 }), "NOT_FOUND");
  assert.equal(await step(first, "tabWrite", { key: "b" }), "no error");
  assert.deepEqual(await step(first, "tabChanges"), []);
  assert.equal(await step(second, "tabOpen"), "LOCKED");
  await step(first, "tabClose");
  await Promise.all([first.close(), second.close()]);
});

test("a tab that was cut off takes nothing back: after a trap, and while it opens", async () => {
  const [first, second] = [await newPage(), await newPage()];
  for (const opens of [false, true]) {
    const name = freshName();
    const step = (page, action, more = {}) => inPage(page, "api", action, { name, ...more });
    let opening;
    if (opens) {
      await step(first, "tabAskSlowly");
      opening = step(first, "tabOpen");
      await step(first, "tabAsked");
    } else {
      assert.deepEqual(await step(first, "tabOpen", { breaks: true }), []);
      assert.equal(await step(first, "tabTrap"), "TRAPPED");
    }
    assert.deepEqual(await step(second, "tabOpen", { mode: "takeover" }), []);
    assert.equal(await step(second, "tabWrite", { key: "a" }), "no error");
    if (opens) {
      await step(first, "tabAnswer");
      assert.equal(await opening, "FENCED");
    } else {
      assert.equal(await step(first, "tabRecover"), "FENCED");
      await step(first, "tabClose");
    }
    assert.equal(await step(second, "tabWrite", { key: "b" }), "no error");
    await step(second, "tabClose");
  }
  await Promise.all([first.close(), second.close()]);
});

test("opening does not wait for what the browser asks the user", async () => {
  const page = await newPage();
  assert.deepEqual(await inPage(page, "api", "persistSlowly", { name: freshName() }), ["undefined", true]);
  await page.close();
});

test("opening and closing keeps memory flat", async (t) => {
  const page = await newPage();
  const session = await page.context().newCDPSession(page);
  const used = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await session.send("Runtime.getHeapUsage");
    return usedSize + embedderHeapUsedSize + backingStorageSize;
  };
  const count = isLong ? 10_000 : 300;
  await inPage(page, "api", "cycles", { count: 100 });
  const before = await used();
  await inPage(page, "api", "cycles", { count });
  const grown = (await used()) - before;
  await page.close();
  t.diagnostic(`${before} bytes used before ${count} cycles, ${before + grown} after`);
  // One instance has a megabyte of memory at least: a leak would be hundreds of them.
  assert.ok(grown < 4 << 20, `${grown} bytes more after ${count} cycles`);
});
