// From where the module comes to the module: what differs between entries.

import { StateError, messageOf } from "./error.js";
import type { OpenOptions } from "./options.js";

/** Compiles, and says what to do if the bytes are no module. */
export async function compiled<T>(compile: () => Promise<T>, where: string): Promise<T> {
  try {
    return await compile();
  } catch (error) {
    if (error instanceof StateError) throw error;
    // Of too little memory the file is not to blame.
    if (error instanceof RangeError) {
      throw new StateError("BUDGET", `there is no memory for ${where}: ${messageOf(error)}`, error);
    }
    throw new StateError(
      "UNSUPPORTED",
      `${where} cannot be compiled as wasm (${messageOf(error)}); see that the package's own file is served there, or import @eventflux/state/inline`,
      error,
    );
  }
}

async function fetched(address: string | URL): Promise<WebAssembly.Module> {
  let response: Response;
  try {
    response = await fetch(address);
  } catch (error) {
    throw unreachable(address, messageOf(error), error);
  }
  if (!response.ok) throw unreachable(address, `status ${response.status}`);
  return compiled(async () => {
    // Streaming insists on the type `application/wasm`, with no parameter behind it: not every server sends that.
    if (response.headers.get("content-type") === "application/wasm") {
      return WebAssembly.compileStreaming(response);
    }
    return WebAssembly.compile(await response.arrayBuffer());
  }, String(address));
}

/** There is no file to be had. */
export function unreachable(address: string | URL, reason: string, cause?: unknown): StateError {
  return new StateError(
    "UNSUPPORTED",
    `${address} cannot be fetched (${reason}); serve it, say where it is with the option \`wasm\`, or import @eventflux/state/inline`,
    cause,
  );
}

/** The module of the option `wasm`. */
export function compileOption(wasm: NonNullable<OpenOptions["wasm"]>): Promise<WebAssembly.Module> {
  if (wasm instanceof WebAssembly.Module) return Promise.resolve(wasm);
  if (typeof wasm === "string" || wasm instanceof URL) return fetched(wasm);
  return compiled(() => WebAssembly.compile(wasm as BufferSource), "the option `wasm`");
}

/** Compiles once for all states, and again if that failed. */
export function compileOnce(compile: () => Promise<WebAssembly.Module>): () => Promise<WebAssembly.Module> {
  let module: Promise<WebAssembly.Module> | undefined;
  return () => {
    module ??= compile().catch((error: unknown) => {
      module = undefined;
      throw error;
    });
    return module;
  };
}

/** Compiles what is at an address. */
export function compileAt(address: URL): Promise<WebAssembly.Module> {
  return fetched(address);
}

/** Compiles what is in the program: the module with gzip, as base64. */
export function compileBase64(base64: string): Promise<WebAssembly.Module> {
  return compiled(async () => {
    const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return WebAssembly.compile(await new Response(unpacked).arrayBuffer());
  }, "the module in the program");
}
