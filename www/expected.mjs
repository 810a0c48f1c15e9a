// Makes expected.json out of what the native command wrote: node www/expected.mjs out.ndjson > www/expected.json
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const BLOCK_LENGTH = 32 * 1024;

const output = readFileSync(process.argv[2]);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const blocks = [];
// Whole blocks only: the hash of all is for the rest.
for (let at = 0; at + BLOCK_LENGTH <= output.length; at += BLOCK_LENGTH) {
  blocks.push(sha256(output.subarray(at, at + BLOCK_LENGTH)).slice(0, 16));
}
console.log(JSON.stringify({ length: output.length, sha256: sha256(output), blockLength: BLOCK_LENGTH, blocks }, null, 1));
