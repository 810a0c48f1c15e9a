// Node: `fetch` takes no addresses of files.

import { readFile } from "node:fs/promises";
import { compileOption, compiled, unreachable } from "./compile.js";
import { messageOf } from "./error.js";
import type { OpenOptions } from "./options.js";

/** The module of the option `wasm`. */
export async function compileNodeOption(wasm: NonNullable<OpenOptions["wasm"]>): Promise<WebAssembly.Module> {
  const isAddress = typeof wasm === "string" || wasm instanceof URL;
  if (!isAddress || !/^file:/i.test(String(wasm))) return compileOption(wasm);
  return compiled(async () => {
    const bytes = await readFile(new URL(wasm)).catch((error: unknown) => {
      throw unreachable(wasm, messageOf(error), error);
    });
    return new WebAssembly.Module(bytes);
  }, String(wasm));
}
