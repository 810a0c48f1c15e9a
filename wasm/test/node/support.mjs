// What the tests share.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The native command; tests of it are skipped without. */
export const command = process.env.EVENTFLUX_BIN;

/** A directory that is gone after the test. */
export function temporaryDirectory(test) {
  const directory = mkdtempSync(join(tmpdir(), "eventflux-"));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs the native command to its end. */
export function native(...args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  return { status, stdout, stderr };
}

/** Another process of Node: its lines of output one by one, and how it ended. */
export class Child {
  constructor(program, ...args) {
    const path = fileURLToPath(new URL(program, import.meta.url));
    this.process = spawn(process.execPath, [path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = [];
    this.ended = new Promise((resolve) => this.process.on("close", (status, signal) => resolve({ status, signal })));
    this.waiting = undefined;
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.waiting?.();
    });
    this.ended.then(() => this.waiting?.());
  }

  /** Waits until it has written so many lines, or has ended. */
  async line(count) {
    let hasEnded = false;
    this.ended.then(() => (hasEnded = true));
    while (this.lines.length < count && !hasEnded) await new Promise((resolve) => (this.waiting = resolve));
    return this.lines[count - 1];
  }

  async kill() {
    this.process.kill("SIGKILL");
    return this.ended;
  }
}

/** Whether an error is one of the package with this code: for `assert.throws` and `assert.rejects`. */
export function withCode(code, text = "") {
  return (error) => {
    if (error?.name === "StateError" && error.code === code && error.message.includes(text)) return true;
    throw error;
  };
}

/** The module, with a memory that may grow by so many pages of 64 KiB only. */
export function withLittleMemory(pages) {
  const wasm = readFileSync(createRequire(import.meta.url).resolve("@eventflux/state/core.wasm"));
  const leb = (number) => (number < 128 ? [number] : [(number & 127) | 128, ...leb(number >>> 7)]);
  const read = (at) => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = wasm[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return [value, at];
      shift += 7;
    }
  };
  for (let at = 8; at < wasm.length;) {
    const [length, body] = read(at + 1);
    if (wasm[at] === 5) {
      const [initial] = read(body + 2);
      const limits = [1, 1, ...leb(initial), ...leb(initial + pages)];
      return Buffer.concat([
        wasm.subarray(0, at),
        Buffer.from([5, ...leb(limits.length), ...limits]),
        wasm.subarray(body + length),
      ]);
    }
    at = body + length;
  }
  throw new Error("the module has no memory");
}
