// What the page shows of an older checkpoint: its state, operator by operator, and what has changed since.

/** Rows that are shown of each operator. */
const ROWS_MAX = 4;
/** Characters of a value that are shown. */
const TEXT_MAX = 160;

const shorten = (text) => (text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)} …` : text);
const keyText = (key) => Object.values(key).join(" · ");
const valueText = (value) => (value === undefined || value === null ? "" : shorten(JSON.stringify(value)));

/** The kinds of differences of each operator: how many, and the first ones. */
function changesByOperator(differences) {
  const operators = {};
  for (const { state, key, before, after } of differences) {
    const kind = (before ?? null) === null ? "added" : (after ?? null) === null ? "removed" : "changed";
    const operator = (operators[state] ??= { added: 0, removed: 0, changed: 0, rows: [] });
    operator[kind] += 1;
    if (operator.rows.length < ROWS_MAX) {
      operator.rows.push({ key: keyText(key), kind, before: valueText(before), after: valueText(after) });
    }
  }
  return operators;
}

/** Opens a checkpoint beside the present state, and compares it with the newest one. */
export async function describePast(engine, id, newest) {
  const past = await engine.at(id);
  try {
    const changes = changesByOperator(await engine.diff(id, newest));
    const operators = past
      .inspect()
      // The first one is for values without an operator.
      .filter(({ kind }) => kind !== "values")
      .map(({ name, rows }) => ({
        name,
        keys: rows.length,
        rows: rows.slice(0, ROWS_MAX).map(({ key, value }) => ({ key: keyText(key), value: valueText(value) })),
        changes: changes[name] ?? { added: 0, removed: 0, changed: 0, rows: [] },
      }));
    return {
      checkpoint: past.checkpoint,
      newest,
      events: Math.max(0, Number(past.positions["source.line"] ?? 1n) - 1),
      offset: Number(past.positions["source.offset"] ?? 0n),
      output: Number(past.outputs["output.length"] ?? 0n),
      operators,
    };
  } finally {
    past.close();
  }
}
