// The page's end of the wire to the worker.

/** An error as the worker told it: what to act on, and what happened. */
export class WorkerError extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

export class WorkerLink {
  #worker;
  #calls = new Map();
  #next = 0;
  #onEvent;

  /** `onEvent` is given what happens without being asked for. */
  constructor(onEvent) {
    this.#onEvent = onEvent;
    this.#start();
  }

  #start() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => {
      if (worker !== this.#worker) return;
      if (data.event) return this.#onEvent(data);
      const { resolve, reject } = this.#calls.get(data.answer);
      this.#calls.delete(data.answer);
      if (data.error) reject(new WorkerError(data.error));
      else resolve(data.result);
    };
    worker.onerror = (event) => {
      this.#onEvent({ event: "stopped", error: { code: "ERROR", message: event.message || "the worker did not start" } });
    };
    this.#worker = worker;
  }

  /** Asks the worker for something; what it refuses is a {@link WorkerError}. */
  call(of, argument) {
    const call = (this.#next += 1);
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#worker.postMessage({ call, of, argument });
    });
  }

  /** Ends the worker in the midst of what it does, and starts a fresh one. */
  replace() {
    this.#worker.terminate();
    for (const { reject } of this.#calls.values()) {
      reject(new WorkerError({ code: "KILLED", message: "the worker was killed" }));
    }
    this.#calls.clear();
    this.#start();
  }
}
