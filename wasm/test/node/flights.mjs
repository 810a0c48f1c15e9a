// The example of host/examples/flights, for JavaScript: its definition, and its events.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export const file = fileURLToPath(new URL("../../../host/examples/flights/flights-2013-01.csv.gz", import.meta.url));
export const csv = gunzipSync(readFileSync(file));
const header = csv.subarray(0, csv.indexOf(10)).toString();
const fields = header.split(",");

/** As app.toml there. */
export const definition = {
  name: "flights",
  source: { file, timestamp: "time_hour", null: ["", "NA"], watermark_delay: "24h", fields },
  operator: [
    {
      name: "origin_hourly",
      window: { tumbling: "1h" },
      key: ["origin"],
      where: [{ field: "dep_delay", null: false }],
      compute: { flights: "count", mean_delay: "avg dep_delay", worst: "max dep_delay", spread: "stddev dep_delay" },
    },
    {
      name: "destinations_6h",
      window: { hopping: { size: "6h", every: "2h" } },
      key: ["origin"],
      compute: { flights: "count", destinations: "distinct dest", median_delay: "median dep_delay" },
    },
    {
      name: "rotations",
      window: { session: "12h" },
      key: ["tailnum"],
      where: [{ field: "tailnum", null: false }],
      compute: { legs: "count", miles: "sum distance", from: "first origin", to: "last dest" },
    },
    {
      name: "cancelled_by_hundred",
      window: { length: 100 },
      key: ["origin"],
      where: [{ field: "dep_time", null: true }],
      compute: { flights: "count", carriers: "distinct carrier", from: "first time_hour", to: "last time_hour" },
    },
    {
      name: "later_and_later",
      key: ["tailnum"],
      within: "12h",
      pattern: [
        { step: "first", where: [{ field: "dep_delay", gt: 60 }] },
        { step: "again", where: [{ field: "dep_delay", gt: { step: "first", field: "dep_delay" } }] },
      ],
    },
    {
      name: "carriers",
      key: ["carrier", "origin"],
      aggregate: { flights: "count", mean_air: "avg air_time", spread: "stddev arr_delay", first: "first time_hour" },
    },
  ],
};

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
