/**
 * `@eventflux/state` in browsers: fetches the wasm file beside this one.
 *
 * @module
 */
import { compileAt, compileOnce, compileOption } from "./compile.js";
import { type Engine, type EngineOptions, openEngine } from "./engine.js";
import type { OpenOptions } from "./options.js";
import type { Platform } from "./place.js";
import { type State, openState } from "./state.js";
import { onPageHide, openWebPlace } from "./web.js";

export * from "./api.js";

const compileOwn = /* @__PURE__ */ compileOnce(() => compileAt(new URL("./eventflux.wasm", import.meta.url)));

const platform: Platform = {
  compile: (wasm) => (wasm === undefined ? compileOwn() : compileOption(wasm)),
  openPlace: openWebPlace,
  onHide: onPageHide,
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
