// The page's end of the wire to the worker.

/** An error as the worker told it: what to act on, and what happened. */
export class WorkerError extends Error {
  constructor({ code, message, isStored }) {
    super(message);
    this.code = code;
    /** Whether a file that was to be opened is a checkpoint all the same. */
    this.isStored = isStored;
  }
}

/** Whatever was thrown, likewise: errors of browsers have a number for a code, or none. */
export const told = (thrown) => (typeof thrown.code === "string" ? thrown : new WorkerError({ code: "ERROR", message: thrown.message }));

export class WorkerLink {
  #worker;
  #calls = new Map();
  #next = 0;
  #isDead = false;
  #onEvent;

  /** `onEvent` is given what happens without being asked for. */
  constructor(onEvent) {
    this.#onEvent = onEvent;
    this.#start();
  }

  #start() {
    this.#isDead = false;
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => {
      if (worker !== this.#worker) return;
      if (data.event) return this.#onEvent(data);
      const call = this.#calls.get(data.answer);
      this.#calls.delete(data.answer);
      if (data.error) call?.reject(new WorkerError(data.error));
      else call?.resolve(data.result);
    };
    worker.onerror = (event) => {
      if (worker !== this.#worker) return;
      const error = { code: "ERROR", message: event.message || "the worker did not start" };
      // One that did not start answers nothing: the next call begins with another one.
      this.#isDead = !event.message;
      // What it was asked for is perhaps never answered: those who wait for that are told, or else the page.
      if (!this.#refuse(error)) this.#onEvent({ event: "stopped", error });
    };
    this.#worker = worker;
  }

  /** Asks the worker for something; what it refuses is a {@link WorkerError}. */
  call(of, argument) {
    if (this.#isDead) this.#start();
    const call = (this.#next += 1);
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#worker.postMessage({ call, of, argument });
    });
  }

  /** Ends the worker in the midst of what it does, and starts a fresh one. */
  replace() {
    this.#worker.terminate();
    this.#refuse({ code: "KILLED", message: "the worker was killed" });
    this.#start();
  }

  /** Refuses all that was not answered; whether there was any. */
  #refuse(error) {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject } of calls) reject(new WorkerError(error));
    return calls.length > 0;
  }
}
