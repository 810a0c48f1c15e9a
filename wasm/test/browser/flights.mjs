// The example of host/examples/flights in Chromium gives the native output, byte for byte; and what stopped half-way in one of the two
// goes on in the other.
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { gunzipSync } from "node:zlib";
import { freshName, inPage, root, temporaryDirectory } from "./harness.mjs";
import { newPage } from "./shared.mjs";
import { definition } from "./flights-definition.mjs";
import { eventflux } from "./native.mjs";

const example = join(root, "host/examples/flights");
const DATA = "flights-2013-01.csv.gz";
const csv = gunzipSync(readFileSync(join(example, DATA))).toString();
const header = csv.slice(0, csv.indexOf("\n"));
/** Where Chromium stops: in the midst of everything. */
const HALF = 13_501;

/** A directory with the example; the path of its definition. */
function application() {
  const directory = temporaryDirectory();
  for (const file of ["app.toml", DATA]) copyFileSync(join(example, file), join(directory, file));
  return directory;
}

const output = (directory) => readFileSync(join(directory, "out.ndjson"), "utf8");

let whole;
/** The example, run natively to its end. */
function nativeRun() {
  if (!whole) {
    whole = application();
    eventflux("run", join(whole, "app.toml"));
  }
  return whole;
}

test("flights: Chromium gives the native output", async () => {
  const page = await newPage();
  const name = freshName();
  const { lines } = await inPage(page, "flights", "run", { name, csv, definition: definition(header), from: 0, to: Infinity });
  assert.ok(lines === output(nativeRun()), "the output differs");
  await page.close();
});

test("flights: what stopped half-way in Chromium, the command goes on with", async () => {
  const page = await newPage();
  const half = await inPage(page, "flights", "run", { name: freshName(), csv, definition: definition(header), from: 0, to: HALF });
  await page.close();
  assert.ok(half.lines.length > 0);
  const directory = application();
  const file = join(directory, "half.efx");
  writeFileSync(file, half.exported);
  writeFileSync(join(directory, "out.ndjson"), half.lines);
  eventflux("copy", file, `file:${join(directory, "state")}`);
  eventflux("run", join(directory, "app.toml"));
  assert.ok(output(directory) === output(nativeRun()), "the output differs");
});

test("flights: what the command had half-way, Chromium goes on with", async () => {
  const directory = nativeRun();
  const state = `file:${join(directory, "state")}`;
  const checkpoints = JSON.parse(eventflux("checkpoints", state, "--json"));
  const { id } = checkpoints[Math.floor(checkpoints.length / 2)];
  const file = join(temporaryDirectory(), "half.efx");
  eventflux("copy", "--checkpoint", String(id), state, file);
  const page = await newPage();
  const imported = new Uint8Array(readFileSync(file));
  const rest = await inPage(page, "flights", "goOn", { name: freshName(), csv, definition: definition(header), imported });
  await page.close();
  const expected = output(directory);
  assert.ok(rest.length > 0 && rest.length < Buffer.byteLength(expected));
  assert.ok(expected.slice(0, rest.length) + rest.lines === expected, "the output differs");
});
