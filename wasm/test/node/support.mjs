// What the tests share.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
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
