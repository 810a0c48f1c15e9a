// Does what tests/examples/workload.rs did, through the package: in Node, in a page, in a worker. What it gives is to be equal to
// what that wrote: SHA-256 of each checkpoint, of the head, of the output.

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));

/** A storage that tells what was put last. */
function recording(api) {
  const storage = api.memoryStorage();
  const { put } = storage;
  const record = { storage, last: undefined };
  storage.put = (object, bytes) => {
    record.last = bytes;
    return put(object, bytes);
  };
  return record;
}

/** At a time, which the package asks the clock for. */
async function at(time, act) {
  const { now } = Date;
  Date.now = () => time;
  try {
    return await act();
  } finally {
    Date.now = now;
  }
}

async function plain(api, { compression, steps }, max) {
  const record = recording(api);
  const checkpoints = [];
  const state = await api.open({ name: "plain", backend: record.storage, compression, retain: { max } });
  for (const [step, ...what] of steps) {
    if (step === "set") state.set(...what);
    else if (step === "remove") state.remove(what[0]);
    else if (step === "restore") await state.restore(what[0]);
    else {
      const [time, label, positions] = what;
      await at(time, () => state.checkpoint({ label: label ?? undefined, positions }));
      checkpoints.push(await sha256(record.last));
    }
  }
  const keys = state.size;
  await state.close();
  return { checkpoints, keys, head: await sha256(await record.storage.readHead()) };
}

async function engine(api, { text, steps }, max) {
  const record = recording(api);
  const checkpoints = [];
  let output = "";
  const running = await api.engine({ definition: JSON.parse(text), backend: record.storage, retain: { max } });
  for (const [step, ...what] of steps) {
    if (step === "push") {
      running.push(what[0]);
      output += running.resultLines();
    } else {
      const [time, length] = what;
      await at(time, () => running.checkpoint({ outputs: { out: length } }));
      checkpoints.push(await sha256(record.last));
    }
  }
  running.finish();
  output += running.resultLines();
  await running.close();
  const head = await sha256(await record.storage.readHead());
  return { checkpoints, output: await sha256(new TextEncoder().encode(output)), head };
}

/** What comes of a workload here. */
export async function replay(api, text) {
  const workload = JSON.parse(text);
  const results = [];
  for (const part of workload.plain) results.push(await plain(api, part, workload.retained));
  results.push(await engine(api, workload.engine, workload.retained));
  return results;
}

/** What came of it natively, in the same form. */
export function recorded(text) {
  const { plain, engine } = JSON.parse(text);
  const hashes = (steps) => steps.filter(([step]) => step === "checkpoint").map((step) => step.at(-1));
  const results = plain.map(({ steps, keys, head }) => ({ checkpoints: hashes(steps), keys, head }));
  results.push({ checkpoints: hashes(engine.steps), output: engine.output, head: engine.head });
  return results;
}

/** The checkpoints of a stored state, as `eventflux inspect --json` is to show each, and what differs between two. */
export async function inspect(api, { name, head, objects }) {
  const storage = api.memoryStorage();
  for (const [object, bytes] of objects) await storage.put(object, bytes);
  await storage.swapHead(undefined, head);
  // They are of another program, whose values ours cannot go on with: they can be looked at.
  const state = await api.open({ name, backend: storage, from: "none" });
  const checkpoints = [];
  for await (const { id } of state.checkpoints()) {
    const past = await state.at(id);
    checkpoints.push({ id, inspected: past.inspect(), label: past.checkpoint.label });
    past.close();
  }
  const [first, last] = [checkpoints[0].id, checkpoints.at(-1).id];
  const difference = await state.diff(first, last);
  const report = await state.verify();
  await state.close();
  return { checkpoints, difference, findings: report.findings };
}
