// The native command.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./harness.mjs";

let path = process.env.EVENTFLUX_BIN;

/** Where the command is; built, if EVENTFLUX_BIN does not say. */
export function binary() {
  if (path) return path;
  execFileSync("cargo", ["build", "--quiet", "--bin", "eventflux"], { cwd: root, stdio: "inherit" });
  path = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/eventflux");
  return path;
}

/** Runs the command; its standard output. */
export function eventflux(...args) {
  return execFileSync(binary(), args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"] });
}
