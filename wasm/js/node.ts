/**
 * `@eventflux/state` in Node: reads the wasm file beside this one.
 *
 * @module
 */
import { compileOnce } from "./compile.js";
import { type Engine, type EngineOptions, openEngine } from "./engine.js";
import { compileNodeOption } from "./node-compile.js";
import type { OpenOptions } from "./options.js";
import type { Platform } from "./place.js";
import { type State, openState } from "./state.js";
import { openNodePlace } from "./files-place.js";

export * from "./api.js";

const compileOwn = /* @__PURE__ */ compileOnce(() =>
  compileNodeOption(new URL("./eventflux.wasm", import.meta.url)),
);

const platform: Platform = {
  compile: (wasm) => (wasm === undefined ? compileOwn() : compileNodeOption(wasm)),
  openPlace: openNodePlace,
};

/**
 * Opens keyed state, and restores its latest checkpoint if there is one.
 *
 * @throws {@link StateError} `LOCKED`, `FENCED`, `CORRUPT`, `VERSION`, `MISMATCH`, `NOT_FOUND` (as `from` says), `BUDGET`,
 * `QUOTA`, `UNSUPPORTED`, `STORAGE`, `INVALID`
 *
 * @example
 * await using state = await open({ name: "orders" });
 * state.set("total/eu", { n: 3, sum: 12.5 });
 * await state.checkpoint({ positions: { orders: 123n } });
 */
export function open(options: OpenOptions): Promise<State> {
  return openState(platform, options);
}

/**
 * Opens an engine, and restores its latest checkpoint if there is one.
 *
 * @throws as {@link open}; `INVALID` for a wrong definition, `MISMATCH` for checkpoints of another one
 *
 * @example
 * await using flights = await engine({ definition });
 * flights.push(events);
 * for (const result of flights.results()) console.log(result);
 * await flights.checkpoint({ positions: { file: 5000 } });
 */
export function engine(options: EngineOptions): Promise<Engine> {
  return openEngine(platform, options);
}
