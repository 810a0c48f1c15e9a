// What a state and an engine share: one instance of the module, the storage, and what becomes of both.
//
// Invariants:
// - An instance that has trapped is never called again, not even to free something of it: its memory may be anything.
//   The bindings see to it, since what the user forgets is freed by them.
// - One task at a time writes (checkpoint, restore, import). The cut of a checkpoint is made in the very call, before
//   anything else may change the state; one that has to wait for another task is refused if the state changed or was
//   replaced meanwhile and it has positions or outputs.
// - The storage is asked one thing at a time, and the lock is given back only after the last answer.
// - Nothing here refers to the object that the user holds, so that it can be collected, and this closed; what is made
//   for the user of an older state does.

import { compiled } from "./compile.js";
import { StateError, fromEngine, fromStorage, messageOf } from "./error.js";
import { type Glue, type Handle, type Owned, type Request, type Task, createGlue } from "./glue.js";
import type {
  Change,
  Checkpoint,
  CheckpointRequest,
  ImportedCheckpoint,
  OpenOptions,
  Restored,
  TakenCheckpoint,
} from "./options.js";
import type { Place, Platform } from "./place.js";
import type { Storage } from "./storage/storage.js";
import { jsonOf, live, plain, positionsFromText, positionsToText, shown } from "./value.js";

/** A checkpoint as the engine tells of it, with what it recorded. */
interface Recorded<C, Position = string> {
  checkpoint: C;
  positions: Record<string, Position>;
  outputs: Record<string, Position>;
  /** Of an opening for writing: the one that was taken. */
  generation?: number;
}

/** One instance of the module, with its handle. */
interface Instance {
  glue: Glue;
  handle: Handle;
  /** Whether it has trapped, or is closed. */
  isDead: boolean;
}

/** Milliseconds that a task goes on before it lets the event loop run: a page draws a picture every 16. */
const TURN_MS = 5;

/** Lets the event loop run: a task of its own, which neither page nor Node delays. */
function pause(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

function perform(request: Request, storage: Storage, takeOver: Place["takeOver"]): unknown {
  switch (request.op) {
    case "put":
      return storage.put(request.object, request.bytes);
    case "read":
      return storage.read(request.object, request);
    case "list":
      return storage.list();
    case "delete":
      return storage.delete(request.object);
    case "readHead":
      return storage.readHead();
    case "swapHead":
      return storage.swapHead(request.expected, request.bytes);
    case "takeOver":
      return takeOver?.().then(() => true);
    case "pause":
      return pause();
  }
}

/** An open state or engine, without the methods its user sees. */
export class Session {
  readonly isReader: boolean;
  /** What the state began with. */
  restored: Restored = { checkpoint: undefined, positions: {}, outputs: {} };
  #options: OpenOptions;
  #handleOptions: string;
  #module: WebAssembly.Module;
  #instance!: Instance;
  #place!: Place;
  #trapped: StateError | undefined;
  #recovery: Promise<Restored> | undefined;
  #closing: Promise<void> | undefined;
  /** Whether another one has taken our lock. */
  #isFenced = false;
  /** The generation of the storage that is ours; 0 before it is opened. */
  #generation = 0;
  /** The last object put, unless a head was to be swapped since. */
  #put: string | undefined;
  /** Tasks that are under way. */
  #tasks = new Set<Promise<unknown>>();
  /** The one of them that writes; it never rejects. */
  #writing: Promise<unknown> | undefined;
  /** The last question to the storage; it never rejects. */
  #asked: Promise<unknown> = Promise.resolve();
  /** How often the state was written to, or replaced, so far. */
  #changes = 0;
  /** How many there were at the last checkpoint. */
  #changesTaken = 0;
  /** Whether a checkpoint has had positions or outputs; nothing as long as there was none. */
  #usesProgress: boolean | undefined;
  /** The checkpoint that the state goes back to after a trap. */
  #last: number | undefined;
  /** How the engine is told of it: the user may have gone back to an older one than the newest. */
  #from: string;
  #stopHide: (() => void) | undefined;
  /** Whether the program may be told of others: not before it has what `open` gives it. */
  #isTold = false;
  /** What it was not told. All are of one kind: a reader's is that something was published, a writer's that it was cut off. */
  #untold: Change | undefined;
  /** Writes what is held back, before anything else is done with the state. */
  writeHeld: (() => void) | undefined;

  private constructor(options: OpenOptions, handleOptions: string, module: WebAssembly.Module) {
    this.#options = options;
    this.#handleOptions = handleOptions;
    this.#module = module;
    this.#from = String(options.from ?? "latest");
    this.isReader = options.tabs === "read";
  }

  /**
   * Opens the place and restores its latest checkpoint, if there is one. `onHide`: whether to take one as the page
   * hides.
   */
  static async open(
    platform: Platform,
    options: OpenOptions,
    handleOptions: string,
    onHide: boolean,
  ): Promise<Session> {
    const session = new Session(options, handleOptions, await platform.compile(options.wasm));
    await session.#instantiate();
    session.#place = await platform.openPlace(options, {
      newestHead: (slots) => session.#guard(session.#instance, () => session.#instance.glue.newestHead(slots)),
      published: () => session.#tell({ kind: "published" }),
      fenced: () => {
        session.#isFenced = true;
        session.#tell({ kind: "fenced" });
      },
    });
    try {
      await session.#openHandle();
    } catch (error) {
      // Why it cannot be closed is not why it cannot be opened.
      await session.close().catch(() => {});
      throw error;
    }
    if (!session.isReader && (options.checkpointOnHide ?? onHide)) {
      session.#stopHide = platform.onHide?.(() => session.#checkpointOnHide());
    }
    session.#isTold = true;
    const untold = session.#untold;
    // Whoever awaits the state has it before the event loop runs.
    if (untold) void pause().then(() => session.#tell(untold));
    return session;
  }

  get persisted(): boolean | undefined {
    return this.#place.persisted;
  }

  /** Calls the engine; what it throws is a {@link StateError}. */
  call<T>(use: (handle: Handle) => T): T {
    this.#ensureUsable();
    return this.#guard(this.#instance, () => use(this.#instance.handle));
  }

  /** As {@link Session.call}, for what changes the state. */
  change<T>(use: (handle: Handle) => T): T {
    this.#ensureWriter();
    this.#changes += 1;
    return this.call(use);
  }

  /**
   * Something made by the engine: calls to it until it is closed, or its state is, or traps. Until it is closed it keeps
   * what the user holds of the state: if that is collected, the state is closed.
   */
  own<O extends Owned>(owned: O, of: object): { call<T>(use: (owned: O) => T): T; close(): void } {
    const instance = this.#instance;
    let kept: object | undefined = of;
    return {
      call: (use) => {
        if (!kept) throw new StateError("CLOSED", "this past state has been closed; ask for it again with at()");
        this.#ensureUsable();
        if (instance.isDead) throw trapped();
        return this.#guard(instance, () => use(owned));
      },
      close: () => {
        if (kept) this.#guard(instance, () => owned.free());
        kept = undefined;
      },
    };
  }

  /** Runs a task that only reads. */
  async read<T>(begin: (handle: Handle) => Task): Promise<T> {
    this.#ensureUsable();
    return this.#run<T>(begin);
  }

  /**
   * Runs a task that writes, once no other one does. `replaces`: it puts another state in place of this one. `isBound`: it
   * is refused if the state is no longer what it was at the call.
   */
  async write<T>(begin: (handle: Handle) => Task, replaces: boolean, isBound = false): Promise<T> {
    this.#ensureUsable();
    this.#ensureWriter();
    return this.#alone<T>(begin, replaces, isBound);
  }

  /** Runs a task once no other one replaces or captures the state. */
  async #alone<T>(begin: (handle: Handle) => Task, replaces: boolean, isBound = false): Promise<T> {
    const changes = this.#changes;
    while (this.#writing) await this.#writing;
    this.#ensureUsable();
    if (isBound && changes !== this.#changes) {
      throw new StateError(
        "BUSY",
        "the state has changed while something else was under way; take it again, with its own positions and outputs",
      );
    }
    const task = this.#run<T>(begin);
    const settled = task.then(
      () => {
        // Before those that wait go on: what they were given is of the state that was.
        if (replaces) this.#changes += 1;
      },
      () => {},
    );
    this.#writing = settled;
    try {
      return await task;
    } finally {
      if (this.#writing === settled) this.#writing = undefined;
    }
  }

  async checkpoint(request: CheckpointRequest): Promise<TakenCheckpoint> {
    const given = plain(request, "request");
    const positions = positionsToText(given.positions);
    const outputs = positionsToText(given.outputs);
    const isBound = hasProgress({ positions, outputs });
    // Also of one that fails.
    if (isBound) this.#usesProgress = true;
    let changes = 0;
    // What is no member of a request the engine refuses.
    const text = jsonOf({ ...given, positions, outputs }, "the request");
    const begin = (handle: Handle) => {
      changes = this.#changes;
      return handle.checkpoint(text, Date.now());
    };
    const entry = await this.write<string>(begin, false, isBound);
    this.#changesTaken = changes;
    this.#usesProgress ??= false;
    return this.taken(JSON.parse(entry) as Checkpoint);
  }

  /** A checkpoint that was just published, for the user and for those that read beside us. */
  taken(taken: Checkpoint): TakenCheckpoint {
    this.#place.published?.();
    this.#last = taken.id;
    this.#from = "latest";
    return { ...taken, durability: this.#place.storage.durability ?? "strict" };
  }

  /** Goes back to a checkpoint. */
  async restore(id: number): Promise<Restored> {
    checkId(id);
    const answer = await this.write<string>((handle) => handle.restore(id), true);
    this.#from = String(id);
    return this.began(answer);
  }

  /** After an import: as a checkpoint, that all of the state is now in. */
  imported(answer: string): ImportedCheckpoint {
    const { checkpoint, ...progress } = this.#replaced<Checkpoint>(answer);
    return { ...this.taken(checkpoint), ...progress };
  }

  /** Reads the newest checkpoint of the writer. */
  async refresh(): Promise<Restored> {
    if (!this.isReader) {
      throw new StateError("UNSUPPORTED", 'this one writes; only what was opened with `tabs: "read"` follows');
    }
    this.#ensureUsable();
    const answer = await this.#alone<string>((handle) => handle.refresh("latest"), true);
    this.#from = "latest";
    return this.began(answer);
  }

  /** Notes what was restored, and gives it. */
  began(answer: string): Restored {
    const { checkpoint, ...progress } = this.#replaced<Checkpoint | null>(answer);
    this.#last = checkpoint?.id;
    this.restored = { checkpoint: checkpoint ?? undefined, ...progress };
    return this.restored;
  }

  /** The state is that of a checkpoint: what there is to say of it. */
  #replaced<C>(answer: string): Recorded<C, bigint> {
    const { checkpoint, positions, outputs, generation } = JSON.parse(answer) as Recorded<C>;
    this.#generation = generation ?? this.#generation;
    this.#changesTaken = this.#changes;
    if (checkpoint) this.#usesProgress ||= hasProgress({ positions, outputs });
    return { checkpoint, positions: positionsFromText(positions), outputs: positionsFromText(outputs) };
  }

  /** After a trap: a fresh instance with the last checkpoint. Without one: what there is. */
  async recovered(): Promise<Restored> {
    this.#ensureOpen();
    if (!this.#trapped) {
      // Who asks twice gets the same; but not positions from before what was written since.
      if (this.#changes === this.#changesTaken && this.#last === this.restored.checkpoint?.id) return this.restored;
      throw new StateError("INVALID", "there is nothing to recover from, or it was done, and there are changes since");
    }
    this.#recovery ??= this.#recover().finally(() => (this.#recovery = undefined));
    return this.#recovery;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #instantiate(): Promise<void> {
    const glue = createGlue();
    await compiled(() => glue.init(this.#module), "the wasm module");
    const instance: Instance = { glue, handle: undefined as never, isDead: false };
    this.#instance = instance;
    instance.handle = this.#guard(instance, () => new glue.Handle(this.#handleOptions));
  }

  async #openHandle(): Promise<Restored> {
    return this.began(
      await this.#run<string>((handle) =>
        this.isReader ? handle.refresh(this.#from) : handle.open(this.#from, this.#generation),
      ),
    );
  }

  async #recover(): Promise<Restored> {
    // What is under way may still ask the storage something: the head must be its last.
    await Promise.allSettled(this.#tasks);
    await this.#asked;
    this.#ensureOpen();
    // No head names it; a storage that holds it back must not write it with the next one.
    if (this.#put) await this.#ask({ op: "delete", object: this.#put }).catch(() => {});
    await this.#instantiate();
    // Whoever closes meanwhile waits for this, frees the new instance, and gives the lock back: nothing is opened then.
    this.#ensureOpen();
    await this.#openHandle().catch((error: StateError) => {
      if (this.isReader || error.code !== "NOT_FOUND") throw error;
      // A checkpoint whose answer was lost is there after all, and retention has let go of the one before.
      this.#from = "latest";
      return this.#openHandle();
    });
    // Not before: without its checkpoint the new instance is empty, and nobody may take that for the state.
    this.#trapped = undefined;
    return this.restored;
  }

  async #close(): Promise<void> {
    this.#stopHide?.();
    await this.#recovery?.catch(() => {});
    await Promise.allSettled(this.#tasks);
    await this.#asked;
    this.#instance.isDead = true;
    // Whoever keeps what is closed does not keep its memory.
    this.#instance.glue.abandon();
    this.#instance = undefined as never;
    await this.#place.close().catch((error: unknown) => {
      throw fromStorage("close", "", error);
    });
  }

  /** Runs a task to its end. Up to its first question to the storage it runs within this call. */
  #run<T>(begin: (handle: Handle) => Task): Promise<T> {
    const running = this.#drive<T>(begin);
    this.#tasks.add(running);
    const done = () => this.#tasks.delete(running);
    running.then(done, done);
    return running;
  }

  async #drive<T>(begin: (handle: Handle) => Task): Promise<T> {
    const instance = this.#instance;
    let turn = performance.now();
    const task = this.#guard(instance, () => begin(instance.handle));
    try {
      for (;;) {
        const request = this.#guard(instance, () => task.poll());
        if (!request) return this.#guard(instance, () => task.result() as T);
        if (request.op === "pause" && performance.now() - turn < TURN_MS) {
          this.#guard(instance, () => task.answer(undefined));
          continue;
        }
        const answer = await this.#ask(request).then(
          (value) => () => task.answer(value),
          (error) => () => task.fail(fromStorage(request.op, "object" in request ? request.object : "", error)),
        );
        // Another call may have trapped meanwhile.
        if (instance.isDead) throw this.#trapped ?? trapped();
        turn = performance.now();
        this.#guard(instance, answer);
      }
    } finally {
      this.#guard(instance, () => task.free());
    }
  }

  /** Asks the storage, after all that was asked before. */
  #ask(request: Request): Promise<unknown> {
    if (request.op === "pause") return pause();
    const answer = this.#asked.then(async () => {
      if ("bytes" in request) {
        // The one that took over may not have its generation yet.
        if (this.#isFenced) throw new StateError("FENCED", "another one has taken over");
        // A head has no name.
        this.#put = (request as { object?: string }).object;
      }
      const given = await perform(request, this.#place.storage, this.#place.takeOver);
      // Whoever answered may use their place for the next answer. That of Node's buffers is a slice in name only.
      return given instanceof Uint8Array ? Uint8Array.prototype.slice.call(live(given)) : given;
    });
    this.#asked = answer.catch(() => {});
    return answer;
  }

  /** Calls into an instance. What comes out of it without a code of ours left it in an unknown state. */
  #guard<T>(instance: Instance, use: () => T): T {
    try {
      return use();
    } catch (error) {
      throw fromEngine(error) ?? this.#trap(instance, error);
    }
  }

  #trap(instance: Instance, cause: unknown): StateError {
    instance.isDead = true;
    instance.glue.abandon();
    const point = this.#last === undefined ? "the empty state" : `checkpoint ${this.#last}`;
    const error = new StateError(
      "TRAPPED",
      `the engine broke down (${messageOf(cause)}); what was written since the last checkpoint is lost: ` +
        `\`await recovered()\` goes back to ${point}, and until then every call is refused`,
      cause,
    );
    if (instance === this.#instance) this.#trapped ??= error;
    return error;
  }

  #ensureOpen(): void {
    if (this.#closing) throw closed();
  }

  #ensureUsable(): void {
    this.#ensureOpen();
    if (this.#trapped) throw this.#trapped;
    this.writeHeld?.();
  }

  #ensureWriter(): void {
    if (this.isReader) {
      throw new StateError("UNSUPPORTED", 'opened with `tabs: "read"`: it can only be read; open it without to write');
    }
  }

  #tell(change: Change): void {
    if (!this.#isTold) this.#untold = change;
    else if (!this.#closing) this.#options.onChange?.(change);
  }

  #checkpointOnHide(): void {
    const { checkpointOnHide } = this.#options;
    if (this.#changes === this.#changesTaken || this.#writing || this.#closing || this.#trapped) return;
    const request =
      typeof checkpointOnHide === "function"
        ? checkpointOnHide()
        : (this.#usesProgress ?? !checkpointOnHide)
          ? undefined
          : {};
    // Nobody waits for it. What it fails with the next one fails with too, unless results were not taken, or the request
    // that was given is wrong, which nobody would find out.
    if (request)
      this.checkpoint(request).catch((error: StateError) => {
        if (error.code === "INVALID") throw error;
      });
  }
}

/** Whether anything is said of sources or outputs: only the program knows which state that belongs to. */
function hasProgress(progress: { positions: object; outputs: object }): boolean {
  return Object.keys({ ...progress.positions, ...progress.outputs }).length > 0;
}

/** Refuses what the engine would take for another number. */
export function checkId(id: number): void {
  if (!Number.isSafeInteger(id) || id < 0)
    throw new StateError("INVALID", `${shown(id)} is not the number of a checkpoint`);
}

function trapped(): StateError {
  return new StateError(
    "TRAPPED",
    "its engine broke down; ask for it again with at()",
  );
}

function closed(): StateError {
  return new StateError("CLOSED", "the state has been closed; open it again");
}
