// Feeds a CSV file to an engine, as the native command does, and records the same positions.

const utf8 = new TextEncoder();
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const BATCH = 1000;

/** An event as JSON, with the file's own digits: 5 stays an integer and 5.0 a float, which JavaScript's numbers do not tell apart. */
export const toEvent = (fields) => (line) => {
  const members = line.split(",").map((text, column) => {
    return `${JSON.stringify(fields[column])}:${NUMBER.test(text) ? text : JSON.stringify(text)}`;
  });
  return `{${members.join(",")}}`;
};

/** Pushes lines; the results, as text. */
function push(engine, fields, lines) {
  let results = "";
  for (let at = 0; at < lines.length; at += BATCH) {
    engine.push(`[${lines.slice(at, at + BATCH).map(toEvent(fields)).join(",")}]`);
    results += engine.resultLines();
  }
  return results;
}

/** Takes a file's events from the start up to one; to the end, if that is beyond it. */
export async function run(api, { name, csv, definition, to }) {
  const [header, ...events] = csv.trimEnd().split("\n");
  const fields = header.split(",");
  const engine = await api.engine({ definition, name });
  const taken = events.slice(0, to);
  let lines = push(engine, fields, taken);
  if (to >= events.length) {
    engine.finish();
    lines += engine.resultLines();
  }
  const read = `${[header, ...taken].join("\n")}\n`;
  await engine.checkpoint({
    positions: {
      "source.offset": utf8.encode(read).length,
      "source.line": taken.length + 2,
      "source.fingerprint": engine.progress().sourceFingerprint,
    },
    outputs: { "output.length": utf8.encode(lines).length },
  });
  const exported = await engine.export();
  await engine.close();
  return { lines, exported };
}

/** Goes on from an exported checkpoint to the end of the file: how long the output was, and what comes after. */
export async function goOn(api, { name, csv, definition, imported }) {
  let engine = await api.engine({ definition, name });
  const { id } = await engine.import(imported);
  // Once more, as after a crash: what was imported is what is there.
  await engine.close();
  engine = await api.engine({ definition, name });
  const { checkpoint, positions, outputs } = engine.restored;
  if (checkpoint.id !== id) throw new Error("another checkpoint than the imported one was restored");
  if (positions["source.fingerprint"] !== engine.progress().sourceFingerprint) throw new Error("another source");
  const rest = csv.slice(Number(positions["source.offset"])).trimEnd().split("\n");
  let lines = push(engine, definition.source.fields, rest);
  engine.finish();
  lines += engine.resultLines();
  await engine.close();
  return { length: Number(outputs["output.length"]), lines };
}
