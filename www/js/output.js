// The results as a file of the origin private file system, as the native command writes its output.
//
// Invariants:
// - Whatever a checkpoint accounts for is in the file, and flushed, before the checkpoint is taken.
// - What the file has beyond the last checkpoint is cut off before anything is added.
// - The file is open only while it is used: a tab that takes over is not shut out. What the loser may still write is what the
//   winner writes at the same place: the results depend on nothing but the events.

const NAME = "flights-output.ndjson";
const OPEN_WAIT_MS = 5_000;
const OPEN_RETRY_MS = 10;

const utf8 = new TextEncoder();

async function withFile(use) {
  const file = await (await navigator.storage.getDirectory()).getFileHandle(NAME, { create: true });
  const until = Date.now() + OPEN_WAIT_MS;
  for (;;) {
    let handle;
    try {
      handle = await file.createSyncAccessHandle();
    } catch (error) {
      if (error.name !== "NoModificationAllowedError" || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, OPEN_RETRY_MS));
      continue;
    }
    try {
      return use(handle);
    } finally {
      handle.close();
    }
  }
}

/** The output as it is stored, beside whoever writes it: one that is changed meanwhile cannot be read, and is read again. */
export async function readOutput() {
  const until = Date.now() + OPEN_WAIT_MS;
  for (;;) {
    try {
      const file = await (await navigator.storage.getDirectory()).getFileHandle(NAME);
      return new Uint8Array(await (await file.getFile()).arrayBuffer());
    } catch (error) {
      if (error.name === "NotFoundError") return new Uint8Array();
      if (error.name !== "NotReadableError" || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, OPEN_RETRY_MS));
    }
  }
}

export class Output {
  /** Bytes of results so far, stored or not. */
  length;
  /** First byte that is here: the ones before were written elsewhere, by the native command. */
  start;
  #stored;
  #waiting = [];

  /** What a checkpoint accounts for: bytes of output, and from which one on they are here. */
  constructor({ length, start }) {
    this.length = length;
    this.start = start;
    this.#stored = length;
  }

  /** Finds out from where on the output is here: what the file lacks it never had. It grows only once a checkpoint has recorded that. */
  async find() {
    const size = await withFile((handle) => handle.getSize());
    if (size < this.length) this.start = this.length;
  }

  /** Cuts off what the checkpoint does not account for; gives how many bytes that were. */
  async cut() {
    return withFile((handle) => {
      const size = handle.getSize();
      if (size <= this.length) return 0;
      handle.truncate(this.length);
      handle.flush();
      return size - this.length;
    });
  }

  append(lines) {
    const bytes = utf8.encode(lines);
    this.#waiting.push(bytes);
    this.length += bytes.length;
  }

  /** Stores all that was added. */
  async flush() {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    await withFile((handle) => {
      for (const bytes of waiting) {
        for (let at = 0; at < bytes.length; ) {
          const written = handle.write(bytes.subarray(at), { at: this.#stored + at });
          if (written === 0) throw new DOMException("the storage is full", "QuotaExceededError");
          at += written;
        }
        this.#stored += bytes.length;
      }
      handle.flush();
    });
  }
}
