// The browser that the tests of a file share. Not in harness.mjs, which is also for what is no test.
import { after } from "node:test";
import { launch, openPage } from "./harness.mjs";

let browser;
after(async () => (await browser)?.close());

/** A new page of it. */
export async function newPage(options = {}) {
  browser ??= launch();
  return openPage(await browser, options);
}
