import { StateError, messageOf } from "./error.js";

/**
 * A value: JSON-like data (nulls, booleans, finite numbers, texts, arrays and plain objects of them) or bytes. All else
 * is refused, since it would come back as something else.
 */
export type Value = null | boolean | number | string | Uint8Array | object;

/** Levels that a value may be nested; the engine's own bound. */
const DEPTH_MAX = 100;

/** What is wrong in a value, and where. */
interface Fault {
  path: string;
  what: string;
}

/** Whether it is an object without a class, of whatever realm. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** What `JSON.stringify` would lose or turn into something else. Only what is wrong costs the making of a path. */
function faultIn(value: unknown, depth: number): Fault | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      if (Number.isFinite(value)) return undefined;
      return { path: "", what: `${value}, which JSON does not have; use null or a text` };
    case "bigint":
      return { path: "", what: "a bigint; use a number, or its digits as a text" };
    case "object":
      return value === null ? undefined : faultInObject(value, depth);
    default:
      return { path: "", what: `${typeof value}; use JSON-like data, a Uint8Array, or remove()` };
  }
}

function faultInObject(value: object, depth: number): Fault | undefined {
  if (depth === DEPTH_MAX) return { path: "", what: `nested deeper than ${DEPTH_MAX} levels, or refers to itself` };
  const isArray = Array.isArray(value);
  if (!isArray && !isPlain(value)) {
    const kind = Object.getPrototypeOf(value).constructor?.name ?? "class instance";
    return { path: "", what: `a ${kind}; use plain objects, arrays and texts, or bytes as a value of their own` };
  }
  // It would be called, in place of what is looked at here.
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return { path: "", what: "one with toJSON()" };
  if (isArray) {
    for (let index = 0; index < value.length; index += 1) {
      const fault = faultIn(value[index], depth + 1);
      if (fault) return { ...fault, path: `[${index}]${fault.path}` };
    }
    return undefined;
  }
  for (const key in value) {
    const fault = faultIn((value as Record<string, unknown>)[key], depth + 1);
    if (fault) return { ...fault, path: `.${key}${fault.path}` };
  }
  return undefined;
}

/** Refuses what would come back as something else. */
export function checkValue(value: unknown): void {
  const fault = faultIn(value, 0);
  if (fault) {
    const at = fault.path.length > 200 ? "" : fault.path && ` at ${fault.path}`;
    throw new StateError("INVALID", `the value${at} is ${fault.what}`);
  }
}

/** The JSON of a value. */
export function toJson(value: unknown): string {
  checkValue(value);
  return jsonOf(value, "the value");
}

/** The JSON of what was given. Some has none, such as a bigint, and some is longer than a text can be. */
export function jsonOf(given: unknown, what: string): string {
  // Of what a `toJSON` turns into nothing there is none.
  return textOf(() => JSON.stringify(given).toString(), what);
}

/** What is wrong, in a message: some objects have no text. */
export function shown(value: unknown): string {
  return typeof value === "object" ? "an object" : String(value);
}

/** A text that cannot always be made of what was given, nor its bytes. */
export function textOf<T>(make: () => T, what: string): T {
  try {
    return make();
  } catch (error) {
    const code = error instanceof RangeError ? "BUDGET" : "INVALID";
    throw new StateError(code, `${what} cannot be made JSON: ${messageOf(error)}`, error);
  }
}

const utf8 = /* @__PURE__ */ new TextEncoder();
/** Room for the batches of `setMany`, mostly; what is larger does not stay in memory. */
const ROOM_BYTES = 1 << 20;
let room: Uint8Array | undefined;

/** A text as UTF-8, to be copied before the next call: its place is used again, which is faster than a fresh one. */
export function toUtf8(text: string): Uint8Array {
  return textOf(() => {
    // No character of a text takes more than three bytes.
    if (3 * text.length > ROOM_BYTES) return utf8.encode(text);
    room ??= new Uint8Array(ROOM_BYTES);
    return room.subarray(0, utf8.encodeInto(text, room).written);
  }, "the text");
}

/** Bytes, unless they are gone: a buffer that was transferred has none, and the engine must not find that out. */
export function live(bytes: Uint8Array): Uint8Array {
  try {
    return bytes.subarray();
  } catch (error) {
    throw new StateError("INVALID", "the bytes are gone", error);
  }
}

/** Whether it is a text that stays the same as UTF-8. */
export function isText(value: unknown): value is string {
  if (typeof value !== "string") return false;
  // Not there everywhere; four times as fast.
  const { isWellFormed }: { isWellFormed?: () => boolean } = String.prototype as object;
  return isWellFormed ? isWellFormed.call(value) : !/\p{Surrogate}/u.test(value);
}

/** A key, or another text, that stays the same as UTF-8. */
export function keyOf(key: unknown, what = "a key"): string {
  if (!isText(key)) {
    throw new StateError("INVALID", `${what} must be a text, without half of a surrogate pair`);
  }
  return key;
}

/** A value as the engine gives it. */
export function fromEngineValue(value: string | Uint8Array | undefined): unknown {
  return typeof value === "string" ? JSON.parse(value) : value;
}

/** Events as JSON: flat objects of what the operators know. */
export function eventsToJson(events: readonly object[]): string {
  if (!Array.isArray(events)) throw new StateError("INVALID", "events must be an array");
  events.forEach((event, index) => {
    const fields = event as Record<string, unknown>;
    for (const field in fields) {
      const value = fields[field];
      const isPlain =
        value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
      if (!isPlain) {
        throw new StateError(
          "INVALID",
          `event ${index} of the batch: field ${field} is ${shown(value)}; use a finite number, a text, a boolean or null`,
        );
      }
    }
  });
  return jsonOf(events, "the batch");
}

/** Positions in a source, by name: whole numbers from 0 to 2^64 - 1. */
export type Positions = Readonly<Record<string, number | bigint>>;

/** A plain object: of others, such as maps and promises, no member would be found. Nothing is one without members. */
export function plain<T extends object>(object: T | undefined, what: string): T {
  const given = Object(object) as T;
  if (!isPlain(given)) throw new StateError("INVALID", `${what} must be a plain object`);
  return given;
}

/** Positions as texts, which keep all their digits. */
export function positionsToText(positions: Positions | undefined): Record<string, string> {
  const texts: Record<string, string> = Object.create(null);
  for (const [name, position] of Object.entries(plain(positions, "positions"))) {
    if (typeof position !== "bigint" && !Number.isSafeInteger(position)) {
      throw new StateError(
        "INVALID",
        `position ${name} is ${shown(position)} (${typeof position}); use a whole number below 2^53, or a bigint`,
      );
    }
    texts[name] = String(position);
  }
  return texts;
}

/** Positions out of their texts. */
export function positionsFromText(texts: Readonly<Record<string, string>>): Record<string, bigint> {
  return Object.fromEntries(Object.entries(texts).map(([name, digits]) => [name, BigInt(digits)]));
}
