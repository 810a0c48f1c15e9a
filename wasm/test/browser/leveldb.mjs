// What a killed Chromium leaves of its databases, which are LevelDB's.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const BLOCK = 32768;
const HEADER = 7;
/** Kinds of records that go on in the next one. */
const FIRST = 2;
const MIDDLE = 3;

/** The files of the databases in a profile: paths and lengths. */
export function databaseFiles(profile) {
  const directory = join(profile, "Default/IndexedDB");
  if (!existsSync(directory)) return [];
  const paths = readdirSync(directory, { recursive: true }).map((path) => join(directory, path));
  return paths.filter((path) => statSync(path).isFile()).map((path) => ({ path, length: statSync(path).size }));
}

/** The logs in a profile that end in the midst of a record: a write that a kill has cut. */
export function tornLogs(profile) {
  const logs = databaseFiles(profile).filter(({ path }) => /\.log$|MANIFEST-\d+$/.test(path));
  return logs.map(({ path }) => path).filter((path) => isTorn(readFileSync(path)));
}

/** Records lie in blocks, each with a checksum, its length and its kind in front (`doc/log_format.md` of LevelDB). */
function isTorn(bytes) {
  let goesOn = false;
  let at = 0;
  while (at < bytes.length) {
    const left = BLOCK - (at % BLOCK);
    if (left < HEADER) {
      at += left;
      continue;
    }
    if (at + HEADER > bytes.length) return true;
    const kind = bytes[at + HEADER - 1];
    goesOn = kind === FIRST || kind === MIDDLE;
    at += HEADER + bytes.readUInt16LE(at + 4);
    if (at > bytes.length) return true;
  }
  return goesOn;
}
