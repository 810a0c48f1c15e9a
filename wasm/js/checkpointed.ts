/// <reference lib="esnext.disposable" preserve="true" />
import { StateError } from "./error.js";
import type {
  Checkpoint,
  CheckpointRequest,
  Difference,
  ImportedCheckpoint,
  Restored,
  TakenCheckpoint,
  VerifyReport,
} from "./options.js";
import { Past } from "./past.js";
import { type Session, checkId } from "./session.js";
import { live } from "./value.js";

/** Closes what its user has let go of without closing it. */
const forgotten = new FinalizationRegistry<Session>((session) => void session.close().catch(() => {}));

/**
 * What a {@link State} and an {@link Engine} have in common: checkpoints.
 *
 * What is under way awaits within a method, which keeps the object: it is not forgotten meanwhile.
 */
export abstract class Checkpointed {
  /** @internal */
  protected readonly session: Session;

  /** @internal */
  constructor(session: Session) {
    this.session = session;
    forgotten.register(this, session, this);
  }

  /** The checkpoint that the state began with, or was last restored from, and its positions. */
  get restored(): Restored {
    return this.session.restored;
  }

  /** Whether it was opened for reading. */
  get isReadOnly(): boolean {
    return this.session.isReader;
  }

  /**
   * Whether the browser promised to keep the storage; `undefined` if it was not asked (`persist`), or has not answered yet:
   * it may ask the user.
   */
  get persisted(): boolean | undefined {
    return this.session.persisted;
  }

  /**
   * Takes a checkpoint of the state as it is now. What is written to the state meanwhile is no part of it. One that has to
   * wait for another one, a restore or an import is of the state as it is then; with positions or outputs it is `BUSY`
   * instead, if that is no longer what they belong to.
   *
   * @returns the checkpoint, once the storage says that it is durable
   * @throws {@link StateError} `FENCED` (another writer has taken over: stop), `QUOTA` and `STORAGE` (it is not taken or,
   * where an answer was lost, nobody knows; the state is as before, and the next one makes up for it), `BUSY` (it had to wait for another one, a restore or an
   * import, and the state has changed since: its positions or outputs are no longer those of the state; or an engine has
   * results that were not taken)
   *
   * @example
   * const taken = await state.checkpoint({ label: "deploy", positions: { orders: 123n } });
   */
  async checkpoint(request: CheckpointRequest = {}): Promise<TakenCheckpoint> {
    return await this.session.checkpoint(request);
  }

  /**
   * The checkpoints that can be restored, oldest first.
   *
   * @example
   * for await (const { id, time, bytes } of state.checkpoints()) console.log(id, new Date(time), bytes);
   */
  async *checkpoints(): AsyncGenerator<Checkpoint, void, undefined> {
    yield* this.#entries();
  }

  /**
   * Replaces the state by that of a checkpoint: all of it or, if it throws, nothing. The next checkpoint starts a
   * branch from there.
   *
   * @throws {@link StateError} `NOT_FOUND`, `CORRUPT`, `BUDGET`
   */
  async restore(id: number): Promise<Restored> {
    return await this.session.restore(id);
  }

  /**
   * The state of an older checkpoint, beside the present one.
   *
   * @throws {@link StateError} `NOT_FOUND`, `CORRUPT`, `BUDGET`
   */
  async at(id: number): Promise<Past> {
    checkId(id);
    const past = await this.session.read<import("./glue.js").Past>((handle) => handle.at(id));
    return new Past(this.session.own(past, this));
  }

  /**
   * Deletes a checkpoint, a savepoint too: those stay until then. After a checkpoint that failed with `STORAGE`, take the
   * next one first.
   *
   * @throws {@link StateError} `NOT_FOUND`; `INVALID`: the newest one cannot be deleted; `BUSY`: the state goes on
   * from it, and has no newer one yet; those of {@link Checkpointed.checkpoint}
   */
  async deleteCheckpoint(id: number): Promise<void> {
    checkId(id);
    await this.session.write((handle) => handle.deleteCheckpoint(id), false);
  }

  /** Reads all that is stored and says what is damaged. Damage that it finds is no error. */
  async verify(): Promise<VerifyReport> {
    return JSON.parse(await this.session.read<string>((handle) => handle.verify())) as VerifyReport;
  }

  /**
   * The keys whose values differ between two checkpoints.
   *
   * @throws {@link StateError} `NOT_FOUND`, `CORRUPT`, `BUDGET`
   */
  async diff(before: number, after: number): Promise<Difference[]> {
    checkId(before);
    checkId(after);
    return JSON.parse(await this.session.read<string>((handle) => handle.diff(before, after))) as Difference[];
  }

  /**
   * A checkpoint with all it needs, as one file that {@link Checkpointed.import} and the native command read. Without
   * an id: the one that opening begins with, the newest that is no savepoint of an older one.
   *
   * @throws {@link StateError} `NOT_FOUND`, `CORRUPT`, `BUDGET`
   */
  async export(id?: number): Promise<Uint8Array> {
    if (id !== undefined) checkId(id);
    return this.session.read<Uint8Array>((handle) => handle.exportCheckpoint(id));
  }

  /**
   * Replaces the state by that of an exported file, and publishes it as a new checkpoint, with the positions and outputs
   * that the file recorded.
   *
   * @throws {@link StateError} `CORRUPT`, `VERSION`, `MISMATCH` (it is of another state); those of {@link
   * Checkpointed.checkpoint}
   */
  async import(bytes: Uint8Array): Promise<ImportedCheckpoint> {
    if (!(bytes instanceof Uint8Array)) throw new StateError("INVALID", "an exported file is a Uint8Array");
    // It may have to wait, and they may be given away meanwhile.
    const copy = new Uint8Array(live(bytes));
    return this.session.imported(
      await this.session.write<string>((handle) => handle.importCheckpoint(copy, Date.now()), true),
    );
  }

  /**
   * Reads the newest checkpoint of the writer beside us; for `tabs: "read"`.
   *
   * @example
   * const state = await open({ name: "orders", tabs: "read", onChange: () => state.refresh().then(show) });
   */
  async refresh(): Promise<Restored> {
    return await this.session.refresh();
  }

  /**
   * Goes back to the last checkpoint after an error `TRAPPED`, with a fresh engine; the lock stays ours. Until then
   * every call is refused, so that nobody goes on with a state that has lost what they wrote. What was written since
   * that checkpoint has to be written again: from the positions that it returns.
   *
   * @throws {@link StateError} `INVALID`: there was no such error, or another call has recovered from it, and what is there
   * has changed since
   */
  async recovered(): Promise<Restored> {
    return await this.session.recovered();
  }

  /**
   * Closes the state, once what is under way is done, and lets others open it. Takes no checkpoint. May be called
   * twice; all other calls get `CLOSED` from now on. `await using` calls it.
   */
  close(): Promise<void> {
    forgotten.unregister(this);
    return this.session.close();
  }

  /** As {@link Checkpointed.close}. */
  declare [Symbol.asyncDispose]: () => Promise<void>;

  #entries(): Checkpoint[] {
    return JSON.parse(this.session.call((handle) => handle.entries())) as Checkpoint[];
  }
}

// Where there is no such symbol yet, this is the one that transpiled `await using` looks for.
Object.defineProperty(Checkpointed.prototype, Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose"), {
  value(this: Checkpointed) {
    return this.close();
  },
});
