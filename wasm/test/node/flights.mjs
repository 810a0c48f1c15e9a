// The example of host/examples/flights, for JavaScript: its definition, and its events.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export const file = fileURLToPath(new URL("../../../host/examples/flights/flights-2013-01.csv.gz", import.meta.url));
export const csv = gunzipSync(readFileSync(file));
const header = csv.subarray(0, csv.indexOf(10)).toString();
const fields = header.split(",");

/** As app.toml there, and as the page has it. */
export const definition = JSON.parse(readFileSync(new URL("../../../www/flights.json", import.meta.url), "utf8"));
definition.source.file = file;

/** Events of the file from a position on, each with the position after it. */
export function eventsFrom(offset) {
  const lines = csv
    .subarray(offset || header.length + 1)
    .toString()
    .split("\n")
    .filter(Boolean);
  return lines.map((line) => {
    // By what they look like, as the native command reads them.
    const values = line.split(",").map((text) => (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) ? Number(text) : text));
    return Object.fromEntries(fields.map((field, column) => [field, values[column]]));
  });
}

/** Bytes of the file up to the end of an event. */
export function offsetAfter(count) {
  let at = header.length + 1;
  for (let event = 0; event < count; event += 1) at = csv.indexOf(10, at) + 1;
  return at;
}

/** A definition as the TOML that the command reads. */
export function toToml(value) {
  if (Array.isArray(value)) return `[${value.map(toToml).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, member]) => `${key} = ${toToml(member)}`)
    .join(", ")} }`;
}
