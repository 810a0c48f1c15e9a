/** What a caller can act on. {@link StateError} carries one of them. */
export type ErrorCode =
  /** The place is full: free space or ask for more, then take the checkpoint again. */
  | "QUOTA"
  /** Another tab or process writes to this storage. */
  | "LOCKED"
  /** Another writer has taken over; this one can change nothing any more. */
  | "FENCED"
  /** Stored bytes are not what was written, or some are missing. */
  | "CORRUPT"
  /** A newer release wrote it. */
  | "VERSION"
  /** The state has been closed. */
  | "CLOSED"
  /** The engine broke down; `await state.recovered()` goes back to the last checkpoint. */
  | "TRAPPED"
  /** The state would grow past its budget, or past the memory there is. */
  | "BUDGET"
  /** This place cannot do what was asked for. */
  | "UNSUPPORTED"
  /** There is no such checkpoint, or nothing where one looked. */
  | "NOT_FOUND"
  /** Something else is under way. */
  | "BUSY"
  /** An argument is wrong. */
  | "INVALID"
  /** The storage failed. */
  | "STORAGE"
  /** The checkpoint is of another state or another definition. */
  | "MISMATCH";

/**
 * Every error of this package: a {@link ErrorCode} to act on, and a message that says what happened and what to do.
 * What caused it, if that was another error, is its `cause`.
 *
 * @example
 * try {
 *   await state.checkpoint();
 * } catch (error) {
 *   if (error instanceof StateError && error.code === "QUOTA") askForSpace();
 *   else throw error;
 * }
 */
export class StateError extends Error {
  /** What to act on. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "StateError";
    this.code = code;
  }
}

/** The text of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
}

/** A property of whatever was thrown, if it is a text. */
function textOf(thrown: unknown, property: "code" | "name"): string | undefined {
  const text = (thrown as Record<string, unknown> | null | undefined)?.[property];
  return typeof text === "string" ? text : undefined;
}

/** An error of the engine as the user gets it; nothing if it is none, but a trap. */
export function fromEngine(thrown: unknown): StateError | undefined {
  if (thrown instanceof StateError) return thrown;
  // Others have a code too.
  return textOf(thrown, "name") === "StateError"
    ? new StateError((thrown as StateError).code, messageOf(thrown), thrown)
    : undefined;
}

/** An error of a storage as the user gets it: full is told from all else. */
export function fromStorage(operation: string, object: string, thrown: unknown): StateError {
  const own = fromEngine(thrown);
  if (own) return own;
  const isFull =
    textOf(thrown, "name") === "QuotaExceededError" || ["ENOSPC", "EDQUOT"].includes(textOf(thrown, "code") ?? "");
  const what = `storage: ${operation}${object && " "}${object}: ${messageOf(thrown)}`;
  return isFull
    ? new StateError("QUOTA", `${what}; free space and take the checkpoint again, the last one is whole`, thrown)
    : new StateError("STORAGE", what, thrown);
}
