import type { OpenOptions } from "./options.js";
import type { Storage } from "./storage/storage.js";

/** A storage with what comes with the place it is in: who may write there, and who is told. */
export interface Place {
  readonly storage: Storage;
  /** Whether the browser promised to keep it; nothing if it was not asked, or has not answered yet. */
  persisted?: boolean;
  /** Tells those that read beside us of a checkpoint. */
  published?(): void;
  /** Takes the right to write from whoever has it; there for `tabs: "takeover"` only, since that is not done before. */
  readonly takeOver?: (() => Promise<void>) | undefined;
  /** Gives up all of it: storage first, lock last. Called once. */
  close(): Promise<void>;
}

/** What a place calls back. */
export interface PlaceCalls {
  /** The newest valid record of a head among some, or -1. */
  newestHead(slots: Uint8Array[]): number;
  /** The writer has published a checkpoint. */
  published(): void;
  /** Another one has taken our lock. */
  fenced(): void;
}

/** What differs between Node and browsers. */
export interface Platform {
  /** The compiled module. */
  compile(wasm: OpenOptions["wasm"]): WebAssembly.Module | Promise<WebAssembly.Module>;
  /** Opens the place that `backend` names and takes the lock that `tabs` asks for; none is taken over yet. */
  openPlace(options: OpenOptions, calls: PlaceCalls): Promise<Place>;
  /** Calls when the page is hidden or left, until the returned function is called. */
  onHide?(hidden: () => void): () => void;
}
