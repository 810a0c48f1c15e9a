// The example of host/examples/flights.

/** What app.toml says, as the package takes it. */
export function definition(header) {
  const fields = header.split(",");
  const where = (field, isNull) => [{ field, null: isNull }];
  return {
    name: "flights",
    source: { file: "flights-2013-01.csv.gz", timestamp: "time_hour", null: ["", "NA"], watermark_delay: "24h", fields },
    operator: [
      {
        name: "origin_hourly",
        window: { tumbling: "1h" },
        key: ["origin"],
        where: where("dep_delay", false),
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
        where: where("tailnum", false),
        compute: { legs: "count", miles: "sum distance", from: "first origin", to: "last dest" },
      },
      {
        name: "cancelled_by_hundred",
        window: { length: 100 },
        key: ["origin"],
        where: where("dep_time", true),
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
}
