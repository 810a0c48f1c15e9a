// What wasm-bindgen makes of wasm/src, as far as this package calls it. All that crosses is JSON, numbers and copies of
// bytes; numbers of 64 bits that may pass 2^53 cross as decimal texts.

/** What the engine asks of the storage. */
export type Request =
  | { op: "put"; object: string; bytes: Uint8Array }
  | { op: "read"; object: string; offset?: number; length?: number }
  | { op: "list" }
  | { op: "delete"; object: string }
  | { op: "readHead" }
  | { op: "swapHead"; expected?: Uint8Array; bytes: Uint8Array }
  | { op: "takeOver" }
  | { op: "pause" };

/** Something of the module that is to be freed. */
export interface Owned {
  free(): void;
}

/** Something that waits for the storage: poll, answer, poll, …, result. */
export interface Task extends Owned {
  poll(): Request | undefined;
  answer(value: unknown): void;
  fail(error: unknown): void;
  result(): unknown;
}

/** A state of some older checkpoint. */
export interface Past extends Owned {
  get(key: string): string | Uint8Array | undefined;
  keys(prefix: string): string;
  size(): number;
  info(): string;
  inspect(): string;
}

/** A state, or an engine. */
export interface Handle extends Owned {
  set(key: string, json: Uint8Array): void;
  setBytes(key: string, bytes: Uint8Array): void;
  setMany(json: Uint8Array): void;
  get(key: string): string | Uint8Array | undefined;
  remove(key: string): boolean;
  keys(prefix: string): string;
  size(): number;
  sizeBytes(): number;
  push(json: Uint8Array): void;
  results(): string;
  finish(): void;
  progress(): string;
  entries(): string;
  open(from: string, held: number): Task;
  refresh(from: string): Task;
  checkpoint(request: string, nowMs: number): Task;
  restore(id: number): Task;
  at(id: number): Task;
  verify(): Task;
  deleteCheckpoint(id: number): Task;
  diff(before: number, after: number): Task;
  exportCheckpoint(id: number | undefined): Task;
  importCheckpoint(bytes: Uint8Array, nowMs: number): Task;
}

/** The bindings of one instance. */
export interface Glue {
  init(module: WebAssembly.Module): Promise<void>;
  Handle: new (options: string) => Handle;
  newestHead(slots: Uint8Array[]): number;
  /** From now on nothing calls into the instance; what is freed is forgotten. */
  abandon(): void;
}

/** Fresh bindings, for an instance of their own. */
export function createGlue(): Glue;
