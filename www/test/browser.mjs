// What the tests share: the page served, and Debian's Chromium with an empty profile.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ARGUMENTS, CHROMIUM } from "../../wasm/test/browser/chromium.mjs";

const { chromium } = createRequire(new URL("../../wasm/package.json", import.meta.url))("playwright-core");

/** Places of the slider: as fast as it goes, fast enough to get somewhere, and so slow that nothing ends meanwhile. */
export const FULL_SPEED = "8";
export const FAST = "7";
export const SLOW = "0";

/** Starts www/serve on a free port; gives the address and how to stop it. */
export async function serve() {
  const server = spawn(process.execPath, [fileURLToPath(new URL("../serve", import.meta.url)), "0"]);
  server.stderr.pipe(process.stderr);
  const address = await new Promise((resolve, reject) => {
    server.stdout.on("data", (text) => /^http\S+/m.test(text) && resolve(/^http\S+/m.exec(text)[0]));
    server.on("exit", (code) => reject(new Error(`www/serve ended with ${code}`)));
  });
  return { address, stop: () => server.kill() };
}

/** A directory that is gone after the test. */
export function temporaryDirectory(test) {
  const directory = mkdtempSync(join(tmpdir(), "eventflux-www-"));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A browser of its own for a test; any error on the console of any page fails it. */
export async function launch(test, options = {}) {
  const errors = [];
  const profile = mkdtempSync(join(tmpdir(), "eventflux-profile-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: ARGUMENTS,
    ...options,
  });
  const watch = (page) => {
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
  };
  context.pages().forEach(watch);
  context.on("page", watch);
  test.after(async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
    if (errors.length > 0) throw new Error(`errors on the console:\n${errors.join("\n")}`);
  });
  return context;
}

/** Waits until the text of an element matches. */
export async function text(page, selector, pattern) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const shown = await page.locator(selector).innerText();
    if (pattern.test(shown)) return shown;
    if (Date.now() > deadline) throw new Error(`${selector} is still ${JSON.stringify(shown)}, not ${pattern}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Opens the page, ready to start. */
export async function openPage(context, address) {
  const page = context.pages().find((it) => it.url() === "about:blank") ?? (await context.newPage());
  await page.goto(address);
  await page.locator("#play:not(:disabled)").waitFor();
  return page;
}

export const setSpeed = (page, speed) => page.locator("#speed").fill(speed);

/** Starts the stream, or goes on with it. */
export async function play(page, speed = FULL_SPEED) {
  await setSpeed(page, speed);
  await page.locator("#play").click();
}

/** Waits until so many events are through. */
export function reached(page, events) {
  const isThrough = (least) => document.getElementById("progress").value >= least;
  return page.waitForFunction(isThrough, events, { polling: 20 });
}

/** Goes fast until so many events are through, and then on, but slowly: what is done next meets a stream that runs. */
export async function runTo(page, events) {
  await setSpeed(page, FAST);
  await reached(page, events);
  await setSpeed(page, SLOW);
}

/** Stops the stream; gives the events that are through. */
export async function pause(page) {
  await page.locator("#play").click();
  await text(page, "#play", /Continue/);
  return page.evaluate(() => document.getElementById("progress").value);
}

/** What a button downloads. */
export async function downloaded(page, button, path) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
  await download.saveAs(path);
  return path;
}
