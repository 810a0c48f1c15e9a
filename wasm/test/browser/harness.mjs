// One static server and one Chromium for all tests, and code run in a page, or in a worker of a page.
//
// The browser has a profile of its own, on the disk: in the private contexts that tests of pages usually get, nothing is durable.
import { setTimeout as sleep } from "node:timers/promises";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { ARGUMENTS, CHROMIUM } from "./chromium.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

/** The repository. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));
/** Whether the long campaigns run. */
export const isLong = Boolean(process.env.EVENTFLUX_LONG);

/** Where a path of an address is on the disk. */
const PLACES = { dist: "wasm/dist", inside: "wasm/test/browser/inside", bench: "wasm/bench/build" };

function answer(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/") return response.setHeader("content-type", "text/html").end("<!doctype html><title>tests</title>");
  const [, place, ...rest] = normalize(pathname).split("/");
  let bytes;
  try {
    bytes = readFileSync(join(root, PLACES[place] ?? "nowhere", ...rest));
  } catch {
    return response.writeHead(404).end();
  }
  response.setHeader("content-type", TYPES[extname(pathname)] ?? "application/octet-stream").end(bytes);
}

const server = createServer(answer);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
server.unref();
/** Where the server is. A page from `localhost` is one that browsers trust. */
export const address = `http://localhost:${server.address().port}/`;
/** The same server, but to the browser another origin, with a storage of its own. */
export const otherAddress = `http://127.0.0.1:${server.address().port}/`;

/** A directory that is gone in the end. */
export function temporaryDirectory() {
  const directory = mkdtempSync(join(tmpdir(), "eventflux-browser-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

/** A browser with a profile. */
export function launch(profile = temporaryDirectory(), more = []) {
  return chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: [...ARGUMENTS, ...more] });
}

/**
 * A browser whose process can be killed: `{ context, kill }`. Playwright starts its own through a script of the
 * distribution, and does not say which process it is.
 */
export async function launchToKill(profile) {
  const args = [...ARGUMENTS, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"];
  const process = spawn(CHROMIUM, args, { stdio: ["ignore", "ignore", "pipe"], detached: true });
  const ended = new Promise((resolve) => process.on("exit", resolve));
  const endpoint = await new Promise((resolve, reject) => {
    let text = "";
    process.stderr.on("data", (part) => {
      text += part;
      const match = /listening on (ws:\S+)/.exec(text);
      if (match) resolve(match[1]);
    });
    ended.then(() => reject(new Error(`Chromium ended: ${text}`)));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  return {
    context: browser.contexts()[0],
    async kill() {
      // All processes of the browser: it leads a group of its own.
      globalThis.process.kill(-process.pid, "SIGKILL");
      await ended;
      // The others may take a moment longer, and until then the profile's files are theirs. Not for ever: one that nobody
      // waits for stays in the group.
      for (let attempts = 0; attempts < 100 && isThere(-process.pid); attempts += 1) await sleep(20);
      await browser.close().catch(() => {});
    },
  };
}

/** Whether there is a process of this number, or of this group. */
function isThere(number) {
  try {
    return globalThis.process.kill(number, 0);
  } catch {
    return false;
  }
}

/** A new page of a browser; what goes wrong in it unseen comes up here. */
export async function openPage(context, { origin = address } = {}) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error("in the page:", error));
  await page.goto(origin);
  return page;
}

/** Runs a function of a module in `inside/` in a page, with the package and an argument. */
export async function inPage(page, module, name, argument, entry = "browser") {
  const result = await page.evaluate(
    async ([module, name, argument, entry]) => {
      const { run } = await import("/inside/run.mjs");
      return run(module, name, argument, entry);
    },
    [module, name, argument, entry],
  );
  return unpack(result);
}

/** As {@link inPage}, in a dedicated worker of the page, which is ended afterwards. */
export async function inWorker(page, module, name, argument, entry = "browser") {
  const result = await page.evaluate(
    (task) =>
      new Promise((resolve, reject) => {
        const worker = new Worker("/inside/worker.mjs", { type: "module" });
        worker.onerror = (event) => reject(new Error(`worker: ${event.message}`));
        worker.onmessage = ({ data }) => {
          worker.terminate();
          resolve(data);
        };
        worker.postMessage(task);
      }),
    [module, name, argument, entry],
  );
  return unpack(result);
}

function unpack({ error, value }) {
  if (error) throw new Error(error);
  return value;
}

/** A name for a state that no other test uses. */
let names = 0;
export const freshName = () => `state ${(names += 1)}`;
