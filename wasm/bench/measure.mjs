// Runs page.mjs in Chromium and prints what it measured, with the bounds that were set. Arguments pick parts: size,
// start, longest, flights, or contestants by their names; without any, all are measured.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants, gunzipSync } from "node:zlib";
import { build } from "esbuild";
import { launch, openPage, root, temporaryDirectory } from "../test/browser/harness.mjs";

const wasm = join(root, "wasm");
const dist = join(wasm, "dist");
const picked = process.argv.slice(2);
const isPicked = (part) => picked.length === 0 || picked.includes(part);
const row = (what, figure, bound = "") => {
  console.log(`${what.padEnd(64)} ${figure.padStart(14)}  ${bound}`);
};
const ms = (time) => `${time.toFixed(time < 20 ? 1 : 0)} ms`;
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} KB`;

console.log(`${cpus()[0].model}, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}, Node ${process.version}`);

if (isPicked("size")) sizes();

await build({
  entryPoints: [new URL("page.mjs", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  minify: true,
  outfile: new URL("build/page.js", import.meta.url).pathname,
  external: ["/dist/*"],
  conditions: ["browser"],
  logLevel: "error",
});

const context = await launch();
console.log(`Chromium ${context.browser()?.version() ?? ""}`);
const inPage = async (name, ...given) => {
  const page = await openPage(context);
  touchMemory();
  const answer = page.evaluate(
    async ([name, given]) => {
      await import("/bench/page.js");
      return globalThis.bench[name](...given);
    },
    [name, given],
  );
  try {
    return await answer;
  } finally {
    await page.close();
  }
};

if (isPicked("start")) {
  const { first, median } = await inPage("start");
  row("start once the bytes are there (median; the first)", `${ms(median)}; ${ms(first)}`, "<= 15 ms");
}
if (isPicked("longest")) {
  const { first, later } = await inPage("longest");
  row("longest main-thread task, 100,000 new keys checkpointed", ms(first), "<= 16 ms");
  row("longest main-thread task, 100,000 changed keys checkpointed", ms(later), "<= 16 ms");
}

const names = ["eventflux", "raw IndexedDB, a put for each key", "idb-keyval", "dexie", "y-indexeddb", "loro", "automerge"];
const bounds = { relaxed: "<= 8 ms", strict: "<= 12 ms" };
for (const durability of ["relaxed", "strict"]) {
  let raw;
  for (const name of names.filter(isPicked)) {
    if (name === "idb-keyval" && durability === "strict") continue;
    try {
      const { change, full, restore, checkpoint, bytes } = await inPage("contest", name, durability);
      const ours = name === "eventflux";
      if (ours) {
        raw = await inPage("rawPut", bytes, durability);
        row(`raw IndexedDB, ${durability}: one put of the same ${bytes} bytes`, ms(raw));
      }
      row(`${name}, ${durability}: 1 % of 100,000 keys`, ms(change), ours ? bounds[durability] : "");
      row(`${name}, ${durability}: of that, raw puts of the same bytes`, `${(change / raw).toFixed(1)} x`, ours ? "<= 3 x" : "");
      row(`${name}, ${durability}: full, 100,000 keys`, ms(full), ours ? "<= 150 ms" : "");
      if (ours) row(`${name}, ${durability}: of that, the checkpoint`, ms(checkpoint));
      row(`${name}, ${durability}: restore`, ms(restore), ours ? "<= 200 ms" : "");
    } catch (error) {
      row(`${name}, ${durability}`, "failed", String(error).slice(0, 200));
    }
  }
}

if (isPicked("flights")) await flights();
await context.close();
console.log(`load at the end ${loadavg()[0].toFixed(1)}`);

/**
 * Touches a gigabyte, in a process that gives it back: the host of a virtual machine may take back what is free for some
 * seconds, and takes long to hand it out again; benches/src/memory.rs has more of it.
 */
function touchMemory() {
  execFileSync(process.execPath, ["-e", "Array.from({ length: 16 }, () => Buffer.alloc(1 << 26, 1))"]);
}

/** What has to be loaded. */
function sizes() {
  const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } };
  const brotli = (bytes) => brotliCompressSync(bytes, options).length;
  row("wasm, brotli 11", kb(brotli(readFileSync(join(dist, "eventflux.wasm")))), "<= 80 KB");
  const entry = readFileSync(join(dist, "browser.js"), "utf8");
  const chunks = [entry, ...Array.from(entry.matchAll(/\.\/(chunk-\w+\.js)/g), ([, name]) => readFileSync(join(dist, name)))];
  row("JavaScript in a browser, brotli 11", kb(chunks.map(brotli).reduce((a, b) => a + b)), "<= 10 KB");
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", tmpdir()], { cwd: wasm }));
  const tarball = join(tmpdir(), filename);
  row("tarball", kb(readFileSync(tarball).length), "<= 500 KB");
  rmSync(tarball);
}

/**
 * The example of host/examples/flights: the same batches of JSON into the same engine, natively and in the page, in
 * turns; neither takes checkpoints.
 */
async function flights() {
  const { definition } = await import("../test/browser/flights-definition.mjs");
  const { toEvent } = await import("../test/browser/inside/flights.mjs");
  const file = join(root, "host/examples/flights/flights-2013-01.csv.gz");
  const [header, ...lines] = gunzipSync(readFileSync(file)).toString().trimEnd().split("\n");
  const event = toEvent(header.split(","));
  const batches = [];
  for (let at = 0; at < lines.length; at += 1000) batches.push(`[${lines.slice(at, at + 1000).map(event).join(",")}]`);
  const flights = definition(header);
  // What the package says for a source that has no file.
  const native = { ...flights, source: { file: "-", ...flights.source } };
  const input = join(temporaryDirectory(), "batches.ndjson");
  writeFileSync(input, [JSON.stringify(native), ...batches].join("\n"));
  const command = ["run", "--release", "--quiet", "-p", "eventflux-core", "--example", "push_json", "--", input, "3"];
  let [outside, inside] = [Infinity, Infinity];
  for (let round = 0; round < 4; round += 1) {
    outside = Math.min(outside, Number(execFileSync("cargo", command, { cwd: root })));
    inside = Math.min(inside, await inPage("flights", flights, batches));
  }
  const rate = (time) => `${Math.round(lines.length / time)} k/s`;
  row("flights as JSON, native engine: push and results", rate(outside));
  row("flights as JSON, engine in Chromium: push and results", rate(inside));
  row("flights as JSON, Chromium over native", (outside / inside).toFixed(2), ">= 0.5");
}
