// Locks of files, as the native program takes them: flock(2), which Node does not have.
//
// Invariants:
// - A lock belongs to what `open` has opened, not to the process that asked for it: flock(1) locks the file that Node
//   opened and hands down, and ends; Node holds the lock until it closes the file or dies, however it dies. No process
//   stays behind.
// - `writer.lock` counts only while it is the file of that name: a take-over removes the name, and the next writer
//   makes a new file.

import { spawn } from "node:child_process";
import { type FileHandle, constants, open, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { StateError, messageOf } from "../error.js";
import type { OpenOptions } from "../options.js";

/** `open` locks as flock(2) does: macOS and the BSDs, where these have the same values. */
const OPEN_LOCKED = 0x20 | 0x4;
const LOCKING_SYSTEMS = ["darwin", "freebsd", "openbsd"];
/** How long replacing the head waits for another process that does the same. */
const HEAD_WAIT_MS = 10_000;
const HEAD_RETRY_MS = 5;
const WRITER_RETRY_MS = 100;
/** What a process is short of at the moment, which says nothing of whether files can be locked. */
const SHORTAGES = ["EMFILE", "ENFILE", "EAGAIN", "ENOMEM"];

/** Whether an error is one of the system, of one of these codes. */
export function isCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as { code?: string } | undefined)?.code ?? "");
}

/** Opens and locks a file, which is made if there is none; nothing if another one has locked it. */
async function openLocked(path: string): Promise<FileHandle | undefined> {
  const flags = constants.O_RDWR | constants.O_CREAT;
  if (LOCKING_SYSTEMS.includes(process.platform)) {
    try {
      return await open(path, flags | OPEN_LOCKED);
    } catch (error) {
      if (isCode(error, "EAGAIN", "EWOULDBLOCK")) return undefined;
      throw error;
    }
  }
  const file = await open(path, flags);
  try {
    if (await flock(file)) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** Locks an open file; whether no other one had. */
async function flock(file: FileHandle): Promise<boolean> {
  if (process.platform === "win32") throw unlockable("Windows has no flock");
  // First without a pipe: that of a process that cannot be started for want of descriptors Node never closes.
  if ((await runFlock(file, "ignore")).status === 0) return true;
  const { status, complaint } = await runFlock(file, "pipe");
  if (status === 0) return true;
  if (status === 1 && complaint === "") return false;
  throw unlockable(complaint.trim() || `flock ended with ${status}`);
}

/** Runs flock(1) on an open file: how it ended, and what it complained of, if there is a pipe for that. */
function runFlock(file: FileHandle, stderr: "ignore" | "pipe"): Promise<{ status: number | null; complaint: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", stderr, file.fd] });
    let complaint = "";
    child.on("error", (error) =>
      reject(
        isCode(error, ...SHORTAGES)
          ? new Error(`flock cannot be started: ${messageOf(error)}`, { cause: error })
          : unlockable(messageOf(error), error),
      ),
    );
    child.on("close", (status) => resolve({ status, complaint }));
    // There is none if it cannot be started.
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  });
}

function unlockable(reason: string, cause?: unknown): StateError {
  return new StateError(
    "UNSUPPORTED",
    `files cannot be locked: ${reason}; install flock (util-linux), open with \`tabs: "read"\`, or give a storage of your own`,
    cause,
  );
}

/** Whether a path still names an open file. */
async function isAt(file: FileHandle, path: string): Promise<boolean> {
  const ours = await file.stat({ bigint: true });
  try {
    const named = await stat(path, { bigint: true });
    return named.dev === ours.dev && named.ino === ours.ino;
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Takes the lock of the writer, as `tabs` says. Closing the file gives it back. */
export async function lockWriter(directory: string, { tabs, signal }: OpenOptions): Promise<FileHandle> {
  const path = join(directory, "writer.lock");
  for (;;) {
    if (signal?.aborted && tabs === "wait") {
      throw new StateError("LOCKED", "gave up waiting for the other process", signal.reason);
    }
    const file = await openLocked(path);
    if (file) {
      try {
        if (await isAt(file, path)) {
          await file.truncate(0);
          await file.write(`process ${process.pid}\n`, 0);
          return file;
        }
      } catch (error) {
        await file.close();
        throw error;
      }
      // A take-over between opening and locking has left us a file without a name.
      await file.close();
    } else if (tabs === "takeover") {
      // The other one keeps its lock on a file without a name; the generation fences it off.
      await unlink(path).catch((error: unknown) => {
        if (!isCode(error, "ENOENT")) throw error;
      });
    } else if (tabs === "wait") {
      await sleep(WRITER_RETRY_MS);
    } else {
      const holder = (await readFile(path, "utf8").catch(() => "")).trim() || "unknown";
      throw new StateError(
        "LOCKED",
        `${directory} is open for writing by another one (${holder}); stop that, or open with \`tabs: "wait"\`, "read" or "takeover"`,
      );
    }
  }
}

/** Takes the lock under which the head is replaced. Closing the file gives it back. */
export async function lockHead(directory: string): Promise<FileHandle> {
  const until = Date.now() + HEAD_WAIT_MS;
  for (;;) {
    const file = await openLocked(join(directory, "head.lock"));
    if (file) return file;
    if (Date.now() > until) throw new Error("another process holds the head's lock for too long");
    await sleep(HEAD_RETRY_MS);
  }
}
