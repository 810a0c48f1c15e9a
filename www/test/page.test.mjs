// The page end to end, in Chromium. EVENTFLUX_BIN, the native command, is asked too where it is given.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bytes, ratio } from "../js/format.js";
import {
  FULL_SPEED,
  SLOW,
  downloaded,
  launch,
  openPage,
  pause,
  play,
  reached,
  runTo,
  serve,
  setSpeed,
  temporaryDirectory,
  text,
} from "./browser.mjs";

const native = process.env.EVENTFLUX_BIN;
const example = (name) => fileURLToPath(new URL(`../../host/examples/flights/${name}`, import.meta.url));
const expected = JSON.parse(readFileSync(new URL("../expected.json", import.meta.url)));
const { engine } = createRequire(new URL("../../wasm/package.json", import.meta.url))("@eventflux/state");
const definition = JSON.parse(readFileSync(new URL("../flights.json", import.meta.url)));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let server;
before(async () => (server = await serve()));
after(() => server?.stop());

/** Waits for the end of the stream, and that the page finds its output right. */
async function finished(page) {
  await text(page, "#play", /Finished/);
  return text(page, "#verdict", /^0 mismatches/);
}

const outputOf = async (page, directory) => readFileSync(await downloaded(page, "#download-output", join(directory, "page.ndjson")));

/** What the chart has and the table says, found equal; the oldest checkpoint comes first. */
async function chartAndTable(page) {
  const [[places, raw, stored, ratios], rows, name] = await page.evaluate(() => [
    document.getElementById("chart").plot.data,
    [...document.querySelectorAll("#checkpoint-rows tr")].map((row) => [...row.cells].map((cell) => cell.textContent)).reverse(),
    document.querySelector("#chart canvas[role=img]").getAttribute("aria-label"),
  ]);
  assert.deepEqual(places, [...rows.keys()]);
  assert.deepEqual(ratios, raw.map((it, index) => (it > 0 ? it / stored[index] : null)));
  const drawn = places.map((place) => [bytes(raw[place]), bytes(stored[place]), ratio(raw[place], stored[place])]);
  assert.deepEqual(drawn, rows.map(([, , ...rest]) => rest.slice(0, 3)));
  assert.match(name, new RegExp(`^Chart of ${rows.length} checkpoints: .* The table below says the same\\.$`));
  assert.ok(rows.every(([, kind, , , , entries]) => (kind === "full") === (entries === "all")));
  return { ids: rows.map(([id]) => Number(id)), raw, stored };
}

/** Which checkpoint is marked: in the chart, in its legend, in the table, and by the slider. */
const marked = (page) =>
  page.evaluate(() => {
    const { plot } = document.getElementById("chart");
    const { left, width } = plot.select;
    return {
      chart: width > 0 ? plot.posToIdx(left + width / 2) : undefined,
      legend: plot.root.querySelector(".u-legend .u-value").textContent,
      table: [...document.querySelectorAll("#checkpoint-rows tr[aria-current=true] th")].map((it) => it.textContent).join(),
      slider: document.getElementById("time").value,
    };
  });

/** Downloads an output whose first bytes are elsewhere: what is here, which says where it begins. Compares its blocks. */
async function assertEndsAsExpected(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#download-output").click()]);
  const start = Number(/^out-from-byte-([1-9]\d*)\.ndjson$/.exec(download.suggestedFilename())[1]);
  const output = readFileSync(await download.path());
  const { length, blockLength, blocks } = expected;
  assert.equal(start + output.length, length);
  const first = Math.ceil(start / blockLength);
  assert.ok(blocks.length - first >= 20);
  blocks.slice(first).forEach((block, index) => {
    const at = (first + index) * blockLength - start;
    assert.ok(sha256(output.subarray(at, at + blockLength)).startsWith(block), `block ${first + index}`);
  });
}

/** The native application in a directory of its own; gives how to run a command there. */
function nativeApplication(directory) {
  for (const name of ["app.toml", "flights-2013-01.csv.gz"]) copyFileSync(example(name), join(directory, name));
  return (...args) => execFileSync(native, args, { cwd: directory, stdio: "pipe" });
}

/** Flips a bit of what is stored for a checkpoint. */
function damage(page, id) {
  return page.evaluate(async (id) => {
    let objects = await navigator.storage.getDirectory();
    for (const part of ["eventflux", "flights", "objects"]) objects = await objects.getDirectoryHandle(part);
    for await (const handle of objects.values()) {
      if (!handle.name.startsWith(`checkpoint-${String(id).padStart(10, "0")}-`)) continue;
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      bytes[bytes.length >> 1] ^= 1;
      const file = await handle.createWritable();
      await file.write(bytes);
      await file.close();
    }
  }, id);
}

test("a whole run gives the native output", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await play(page);
  await finished(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), "verdict", "the keyboard goes on from what came of it");
  const output = await outputOf(page, directory);
  assert.equal(sha256(output), expected.sha256);
  const { ids, stored } = await chartAndTable(page);
  assert.deepEqual(ids, [...Array(29).keys()], "a checkpoint at the start, every 1,000 events, and at the end");
  assert.ok(stored.every((it) => it > 0));
  if (native) {
    nativeApplication(directory)("run", "app.toml");
    assert.equal(sha256(readFileSync(join(directory, "out.ndjson"))), expected.sha256);
  }
});

test("a killed worker and a killed tab cost nothing", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await play(page, SLOW);
  await runTo(page, 2_300);
  await page.locator("#kill-worker").click();
  const first = await text(page, "#log", /Killed the worker at event .* Went on from checkpoint .* 0 mismatches/);
  const [, checkpoint, event] = /checkpoint (\d+) in .*? event ([\d,]+),/.exec(first);
  assert.ok(Number(checkpoint) >= 2);
  assert.equal(Number(event.replace(",", "")), Number(checkpoint) * 1_000, "it went on where its checkpoint was");
  await runTo(page, 4_400);
  await page.locator("#kill-tab").click();
  await text(page, "#log", /Killed the tab at event .* Went on from checkpoint .* 0 mismatches/);
  await setSpeed(page, FULL_SPEED);
  await finished(page);
  assert.equal(sha256(await outputOf(page, directory)), expected.sha256);
  await page.reload();
  await text(page, "#play", /Finished/);
  assert.match(await finished(page), new RegExp(expected.sha256.slice(0, 16)));
});

test("a flipped bit is refused, and there is a choice", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  const choose = (name) => page.locator("#notice-choices").getByRole("button", { name }).click();
  await play(page, SLOW);
  await runTo(page, 5_200);
  await page.locator("#flip").click();
  await text(page, "#notice-code", /^CORRUPT$/);
  assert.match(await page.locator("#notice-message").innerText(), /do not match their hash/);
  assert.ok(await page.locator("#play").isDisabled());
  assert.equal(await page.evaluate(() => document.activeElement.id), "notice", "who cannot see it is told");
  await choose(/^Go back to checkpoint \d+$/);
  await text(page, "#log", /Went back by your choice.* 0 mismatches/);
  await play(page);
  await finished(page);
  assert.equal(sha256(await outputOf(page, directory)), expected.sha256);

  // The end once more, which comes at once.
  await page.locator("#flip").click();
  await text(page, "#notice-code", /^CORRUPT$/);
  await choose(/^Go back to checkpoint \d+$/);
  await text(page, "#log", /Went back by your choice[^]*Went back by your choice/);
  await play(page);
  await finished(page);
  assert.doesNotMatch(await page.locator("#log").innerText(), /Mismatch/);

  await page.locator("#flip").click();
  await text(page, "#notice-code", /^CORRUPT$/);
  await choose("Start anew");
  await text(page, "#progress-text", /^Event 0 of/);
  assert.equal((await outputOf(page, directory)).length, 0, "the output begins anew too");
});

test("what could not be fetched once is fetched again", async (t) => {
  const context = await launch(t);
  let answer;
  const asked = new Promise((resolve) => {
    const slowly = (route) => ((answer = () => route.fulfill({ body: "no JSON" })), resolve());
    context.route("**/expected.json", slowly, { times: 1 });
  });
  const [page] = context.pages();
  await page.goto(server.address);
  await asked;
  await text(page, "#verdict", /^Loading/);
  await answer();
  await text(page, "#notice-code", /^ERROR$/);
  assert.equal(await page.locator("#verdict").innerText(), "Nothing to compare yet.");
  await page.locator("#notice-choices").getByRole("button", { name: "Start anew" }).click();
  await page.locator("#play:not(:disabled)").waitFor();
});

test("what fails in the page itself is told as an error, too", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await page.evaluate(() => {
    File.prototype.arrayBuffer = () => Promise.reject(new DOMException("it is gone", "NotFoundError"));
  });
  writeFileSync(join(directory, "gone.efx"), "");
  await page.locator("#file").setInputFiles(join(directory, "gone.efx"));
  await text(page, "#file-text", /^gone\.efx was refused\. ERROR: it is gone\.$/);
  // A worker that is killed never answers what it was asked.
  await page.evaluate(() => {
    document.getElementById("speed").dispatchEvent(new Event("input"));
    document.getElementById("kill-worker").click();
  });
  await text(page, "#log", /Killed the worker/);
  await page.evaluate(() => sessionStorage.setItem("interrupted", "no JSON"));
  await page.reload();
  await text(page, "#notice-code", /^ERROR$/);
  await text(page, "#log", /ERROR: .*JSON/);
});

test("a second tab reads or takes over, and the loser is told", async (t) => {
  const directory = temporaryDirectory(t);
  const context = await launch(t);
  const first = await openPage(context, server.address);
  await play(first, SLOW);
  await runTo(first, 1_100);
  const [second] = await Promise.all([context.waitForEvent("page"), first.locator("#second-tab").click()]);
  await text(second, "#notice-code", /^LOCKED$/);
  assert.equal(await second.locator("#checkpoints-text").innerText(), "They are shown once the state is open here.");
  await second.getByRole("button", { name: "Read beside it" }).click();
  await text(second, "#notice-title", /Reading/);
  await runTo(first, 3_100);
  await reached(second, 3_000);
  assert.ok(await second.locator("#play").isDisabled());
  assert.ok(await second.locator("#flip").isDisabled());
  await second.locator("#time").fill("1");
  await text(second, "#past", /Checkpoint 1 .* event 1,000/);

  await second.getByRole("button", { name: "Take over" }).click();
  await text(first, "#notice-code", /^FENCED$/);
  await text(second, "#log", /Took over/);
  await play(second);
  await finished(second);
  assert.equal(sha256(await outputOf(second, directory)), expected.sha256);
  assert.ok(await first.locator("#play").isDisabled());
  await first.getByRole("button", { name: "Take it back" }).click();
  await finished(first);
  await text(second, "#notice-code", /^FENCED$/);
});

test("a worker that does not start is told, with choices", async (t) => {
  const context = await launch(t);
  await context.addInitScript(() => {
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        globalThis.Worker = Worker;
        this.postMessage = () => setTimeout(() => this.dispatchEvent(new ErrorEvent("error", { message: "simulated" })));
      }
    };
  });
  const [page] = context.pages();
  await page.goto(server.address);
  await text(page, "#notice-message", /^simulated$/);
  await page.locator("#notice-choices").getByRole("button", { name: "Try again" }).click();
  await page.locator("#play:not(:disabled)").waitFor();
  assert.ok(await page.locator("#notice").isHidden());
});

test("a worker whose script is not there answers nothing: the next call begins with another one", async (t) => {
  const context = await launch(t);
  await context.addInitScript(() => {
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(_, options) {
        // Of the right type, and no JavaScript at all.
        super(URL.createObjectURL(new Blob(["import 'data:text/plain,';"], { type: "text/javascript" })), options);
        globalThis.Worker = Worker;
      }
    };
  });
  const [page] = context.pages();
  await page.goto(server.address);
  await text(page, "#notice-title", /It cannot go on/);
  await page.locator("#notice-choices").getByRole("button", { name: "Start anew" }).click();
  await page.locator("#play:not(:disabled)").waitFor();
  assert.ok(await page.locator("#notice").isHidden());
});

test("a second click while it opens does nothing", async (t) => {
  const context = await launch(t);
  // So that it still opens when the second click comes.
  await context.addInitScript(() => {
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      postMessage(message) {
        setTimeout(() => super.postMessage(message), message.of === "open" ? 1_000 : 0);
      }
    };
  });
  const page = await openPage(context, server.address);
  const times = (page, what) => page.locator("#log li", { hasText: what }).count();
  for (const time of [1, 2]) {
    await page.locator("#anew").dblclick();
    await page.waitForFunction((time) => document.getElementById("log").innerText.split("Started anew").length > time, time);
    assert.deepEqual([await times(page, "Started anew"), await page.locator("#notice").isHidden()], [time, true]);
    assert.equal(await page.evaluate(() => document.activeElement.id), "anew", "the keyboard is where it was");
  }

  const second = await context.newPage();
  await second.goto(server.address);
  await text(second, "#notice-code", /^LOCKED$/);
  await second.getByRole("button", { name: "Take over" }).dblclick();
  await text(second, "#log", /Took over/);
  await text(page, "#notice-code", /^FENCED$/);
  await play(second);
  await finished(second);
  assert.ok(await second.locator("#notice").isHidden());
  assert.deepEqual([await times(second, "Took over"), await times(second, "FENCED"), await times(page, "LOCKED")], [1, 0, 0]);
});

test("a reader that finds damage is given a choice, though the other tab goes on", async (t) => {
  const context = await launch(t);
  const first = await openPage(context, server.address);
  await play(first, SLOW);
  await runTo(first, 2_100);
  await pause(first);
  const [second] = await Promise.all([context.waitForEvent("page"), first.locator("#second-tab").click()]);
  await text(second, "#notice-code", /^LOCKED$/);
  const newest = (await chartAndTable(first)).ids.at(-1);
  await damage(second, newest);
  await second.getByRole("button", { name: "Read beside it" }).click();
  await text(second, "#notice-code", /^CORRUPT$/);
  await second.getByRole("button", { name: `Go back to checkpoint ${newest - 1}`, exact: true }).waitFor();
});

test("a checkpoint that cannot be downloaded stops nothing", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await play(page, SLOW);
  await runTo(page, 3_100);
  await damage(page, 1);
  await page.locator("#time").fill("1");
  await page.locator("#download").click();
  await text(page, "#file-text", /^Checkpoint 1 cannot be downloaded\. CORRUPT: .*\.$/);
  assert.ok(await page.locator("#notice").isHidden());
  await setSpeed(page, FULL_SPEED);
  await finished(page);
  assert.equal(sha256(await outputOf(page, directory)), expected.sha256);
});

test("a checkpoint goes to another browser and to the native command", async (t) => {
  const directory = temporaryDirectory(t);
  const from = await openPage(await launch(t), server.address);
  await play(from, SLOW);
  await runTo(from, 12_100);
  await pause(from);
  await from.locator("#time").fill("12");
  const file = await downloaded(from, "#download", join(directory, "page.efx"));
  const written = await outputOf(from, directory);

  const to = await openPage(await launch(t), server.address);
  writeFileSync(join(directory, "broken.efx"), readFileSync(file).subarray(1_000));
  await to.locator("#file").setInputFiles(join(directory, "broken.efx"));
  await text(to, "#log", /broken\.efx was refused\. CORRUPT/);
  await to.locator("#file").setInputFiles(file);
  await text(to, "#log", /Opened page\.efx .* event 12,000/);
  // Once more, when there is some output already, behind what is not here.
  await play(to, SLOW);
  await runTo(to, 15_100);
  await pause(to);
  await to.locator("#file").setInputFiles(file);
  await text(to, "#log", /Opened page\.efx[^]*Opened page\.efx/);
  await play(to);
  assert.match(await finished(to), /were written elsewhere/);
  await assertEndsAsExpected(to);

  if (native) {
    const run = nativeApplication(directory);
    run("copy", "page.efx", "file:state");
    writeFileSync(join(directory, "out.ndjson"), written);
    run("run", "app.toml");
    assert.equal(sha256(readFileSync(join(directory, "out.ndjson"))), expected.sha256, "the native command went on from the page");
  }
});

test("a file that is refused changes nothing", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await play(page, SLOW);
  await runTo(page, 3_100);
  await pause(page);
  const others = { "longer.efx": { "source.offset": 10n ** 12n }, "fields.efx": { "source.fingerprint": 1n } };
  for (const [name, positions] of Object.entries(others)) {
    const other = await engine({ definition, backend: "memory" });
    await other.checkpoint({ positions });
    writeFileSync(join(directory, name), await other.export());
    await other.close();
    await page.locator("#file").setInputFiles(join(directory, name));
    await text(page, "#log", new RegExp(`${name} was refused\\. ERROR: the checkpoint is of`));
    await text(page, "#file-text", new RegExp(`^${name} was refused`));
  }
  // One that says how far it is in words of its own, and one that is in the midst of a row.
  for (const [name, says, positions] of [
    ["own.efx", "does not say how far", { events: 5n }],
    ["start.efx", "does not say how far", { "source.offset": 0n, "source.line": 0n }],
    ["row.efx", "no row ends there", { "source.offset": 500n, "source.line": 5n }],
  ]) {
    const other = await engine({ definition, backend: "memory" });
    other.push([{ time_hour: "2013-01-01T10:00:00Z" }]);
    await other.checkpoint({ positions });
    writeFileSync(join(directory, name), await other.export());
    await other.close();
    await page.locator("#file").setInputFiles(join(directory, name));
    await text(page, "#file-text", new RegExp(`^${name} was refused.*${says}`));
  }
  // A stream that is under way goes on.
  await play(page, SLOW);
  await page.locator("#file").setInputFiles(join(directory, "fields.efx"));
  await text(page, "#file-text", /^fields\.efx was refused/);
  await runTo(page, 5_100);
  await setSpeed(page, FULL_SPEED);
  await finished(page);
  assert.equal(sha256(await outputOf(page, directory)), expected.sha256);
  assert.deepEqual((await chartAndTable(page)).ids, [...Array(29).keys()]);
});

test("a file that is stored, but cannot be gone on from, is not told as refused", async (t) => {
  const directory = temporaryDirectory(t);
  const page = await openPage(await launch(t), server.address);
  await play(page, SLOW);
  await runTo(page, 2_100);
  await pause(page);
  const file = await downloaded(page, "#download", join(directory, "page.efx"));
  // Nobody else can open the output meanwhile.
  await page.evaluate(async () => {
    const output = await (await navigator.storage.getDirectory()).getFileHandle("flights-output.ndjson");
    globalThis.held = await output.createWritable();
  });
  await page.locator("#file").setInputFiles(file);
  await text(page, "#file-text", /^page\.efx is stored as the newest checkpoint, but going on from it failed\. ERROR/);
  assert.match(await page.locator("#notice-text").innerText(), /^The file is stored as the newest checkpoint/);
  await page.evaluate(() => globalThis.held.abort());
  await page.locator("#notice-choices").getByRole("button", { name: "Try again" }).click();
  await text(page, "#log", /^\S+ Went on from checkpoint \d+ .* 0 mismatches/);
  await play(page);
  await finished(page);
  assert.equal(sha256(await outputOf(page, directory)), expected.sha256);
});

test("a checkpoint of the native command goes on in the page", { skip: !native && "EVENTFLUX_BIN is not given" }, async (t) => {
  const directory = temporaryDirectory(t);
  const run = nativeApplication(directory);
  run("run", "app.toml");
  run("copy", "--checkpoint", "3", "file:state", "native.efx");
  const page = await openPage(await launch(t), server.address);
  const data = await page.evaluateHandle((bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "native.efx"));
    return transfer;
  }, [...readFileSync(join(directory, "native.efx"))]);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: data });
  await text(page, "#log", /Opened native\.efx .* event 15,000/);
  await play(page);
  assert.match(await finished(page), /were written elsewhere/);
  await assertEndsAsExpected(page);
});

test("the past can be looked at by keyboard, on a phone, in the dark", async (t) => {
  const context = await launch(t, { colorScheme: "dark", viewport: { width: 390, height: 844 } });
  const page = await openPage(context, server.address);
  await page.getByRole("button", { name: "Start", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("slider", { name: /^Speed/ }).focus();
  await page.keyboard.press("End");
  await finished(page);
  await page.getByRole("slider", { name: /^Checkpoint/ }).focus();
  await page.keyboard.press("Home");
  for (let step = 0; step < 3; step += 1) await page.keyboard.press("ArrowRight");
  await text(page, "#past", /Checkpoint 3 .* event 3,000/);
  await text(page, "#now-text", /^Now is checkpoint 28\.$/);
  assert.deepEqual(await marked(page), { chart: 3, legend: "3", table: "3", slider: "3" });
  const rotations = page.locator("#past summary", { hasText: "rotations" });
  assert.match(await rotations.innerText(), /keys; since then .* removed/);
  await rotations.focus();
  await page.keyboard.press("Enter");
  await page.locator("#past details[open] .state dd").first().waitFor();
  assert.equal(await page.locator("#checkpoint-rows tr").count(), 29);
  const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(needed, there, "nothing sticks out");
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, a, progress")].filter(
      (it) => !(it.textContent.trim() || it.labels?.[0]?.textContent.trim()),
    ).length,
  );
  assert.equal(unnamed, 0, "every control has a name");
  await text(page, "#durability", /relaxed/);
  await text(page, "#usage", /MB of/);
});

test("the chart chooses a checkpoint, and follows the window and the theme", async (t) => {
  const page = await openPage(await launch(t, { colorScheme: "light" }), server.address);
  assert.match(await page.locator("#chart canvas").getAttribute("aria-label"), /^Chart of 1 checkpoint:/);
  await play(page);
  await finished(page);
  assert.deepEqual(await marked(page), { chart: undefined, legend: "28", table: "", slider: "28" }, "none yet: the legend is of the newest");
  const position = (place) =>
    page.evaluate((place) => {
      const { plot } = document.getElementById("chart");
      return { x: plot.valToPos(place, "x"), y: plot.over.clientHeight / 2 };
    }, place);
  const over = page.locator("#chart .u-over");
  await over.click({ position: await position(7) });
  await text(page, "#past", /Checkpoint 7 .* event 7,000/);
  assert.deepEqual(await marked(page), { chart: 7, legend: "7", table: "7", slider: "7" });
  await over.hover({ position: await position(9) });
  await text(page, "#chart .u-legend", /Checkpoint\s*9/);
  await page.mouse.move(0, 0);
  await text(page, "#chart .u-legend", /Checkpoint\s*7/);

  await page.setViewportSize({ width: 700, height: 800 });
  const fits = ({ plot, clientWidth }) => plot.width === clientWidth && clientWidth < 700;
  await page.waitForFunction(`(${fits})(document.getElementById("chart"))`);
  assert.deepEqual(await marked(page), { chart: 7, legend: "7", table: "7", slider: "7" });

  // What is drawn from now on has the colors of the dark.
  const drawn = page.evaluate(
    () =>
      new Promise((resolve) => {
        const { plot } = document.getElementById("chart");
        plot.hooks.draw.push(() => resolve(plot.series.slice(1).map((series) => (series._fill ?? series._stroke).trim())));
      }),
  );
  const colors = () =>
    page.evaluate(() => ["raw", "stored"].map((name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim()));
  const light = await colors();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await colors();
  assert.deepEqual((await drawn).slice(0, 2), dark);
  assert.notDeepEqual(light, dark);
});

test("what is looked at is compared with what is now, and bars have their numbers when the oldest go", async (t) => {
  const page = await openPage(await launch(t), server.address);
  await play(page, SLOW);
  await runTo(page, 2_100);
  await pause(page);
  await page.locator("#time").fill("1");
  await text(page, "#now-text", /^Now is checkpoint \d+\.$/);
  // Whoever reads on in it is not disturbed by what comes.
  await page.locator("#past summary", { hasText: "rotations" }).click();
  await play(page);
  for (let newest = 28; ; newest += 29) {
    await finished(page);
    if (newest === 28) {
      await text(page, "#now-text", /^Now is checkpoint 28; the differences are to checkpoint \d, the newest when/);
      await page.locator("#past details[open] .state dd").first().waitFor();
      await page.locator("#time").fill("2");
      await text(page, "#past", /Checkpoint 2 /);
      await text(page, "#now-text", /^Now is checkpoint 28\.$/);
    }
    if (newest > 128) break;
    await page.getByRole("button", { name: "Start anew", exact: true }).click();
    await text(page, "#play", /Start|Continue/);
    await play(page);
  }
  const { ids } = await chartAndTable(page);
  assert.equal(ids.length, 100);
  // The numbers under the bars are those of the checkpoints.
  const labels = await page.evaluate(() => document.getElementById("chart").plot.axes[0]._values);
  assert.ok(labels.filter((label) => label !== "").length > 5, labels.join(" "));
  assert.ok(labels.every((label) => label === "" || ids.includes(Number(label))), labels.join(" "));
});
