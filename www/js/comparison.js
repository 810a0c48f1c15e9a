// Whether the output is what the native command wrote: by the hashes of its blocks and, at the end, of all of it.

import { readOutput } from "./output.js";

async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Comparison {
  /** Blocks that were compared. */
  compared = 0;
  /** Those of them that differ. */
  different = 0;
  /** Of a finished output that is here as a whole: its hash. */
  sha256;
  #expected;
  #next;

  /** Compares from a byte on; from 0, all. */
  constructor(expected, start) {
    this.#expected = expected;
    this.#next = Math.ceil(start / expected.blockLength);
  }

  get expected() {
    return this.#expected.sha256;
  }

  /** Compares what was stored since the last time. */
  async update(length) {
    const { blockLength, blocks } = this.#expected;
    const end = Math.floor(length / blockLength);
    if (end <= this.#next) return;
    const output = await readOutput();
    for (; this.#next < end; this.#next += 1) {
      const block = output.subarray(this.#next * blockLength, (this.#next + 1) * blockLength);
      this.compared += 1;
      if (!blocks[this.#next] || !(await sha256(block)).startsWith(blocks[this.#next])) this.different += 1;
    }
  }

  /** The hash of all of it. */
  async finish(length) {
    const output = await readOutput();
    this.sha256 = await sha256(output.subarray(0, length));
  }
}
