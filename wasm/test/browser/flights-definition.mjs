// The example of host/examples/flights, as the page has it.
import { readFileSync } from "node:fs";

/** What app.toml says, as the package takes it; `header`: that of the file. */
export function definition(header) {
  const flights = JSON.parse(readFileSync(new URL("../../../www/flights.json", import.meta.url), "utf8"));
  flights.source.fields = header.split(",");
  return flights;
}
