// What all entries export, beside `open` and `engine`.

export { Checkpointed } from "./checkpointed.js";
export {
  type Condition,
  type Definition,
  Engine,
  type EngineOptions,
  type Operand,
  type Operator,
  type Progress,
  type Result,
} from "./engine.js";
export { type ErrorCode, StateError } from "./error.js";
export type {
  Change,
  Checkpoint,
  CheckpointRequest,
  Difference,
  ImportedCheckpoint,
  OpenOptions,
  Restored,
  TakenCheckpoint,
  VerifyReport,
} from "./options.js";
export { Past } from "./past.js";
export { State } from "./state.js";
export { memoryStorage } from "./storage/memory.js";
export { type ByteRange, type Durability, type ObjectInfo, type Storage, rangeWithin } from "./storage/storage.js";
export type { Positions, Value } from "./value.js";
