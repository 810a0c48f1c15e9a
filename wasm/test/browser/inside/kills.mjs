// A writer that is to be killed: it counts, and tells each number once its checkpoint is acknowledged.

async function opened(api, name) {
  // The one that was killed may still be going.
  const state = await api.open({ name, tabs: "wait", compression: "none" });
  const count = state.get("count") ?? 0;
  for (let at = 1; at <= count; at += 1) {
    if (state.get(`key/${at}`)?.[0] !== at) throw new Error(`of ${count} values number ${at} is missing`);
  }
  if (state.size !== (count === 0 ? 0 : count + 1)) throw new Error(`${state.size} keys for a count of ${count}`);
  return { state, count };
}

/** What is there now: the number counted to, and what is damaged. */
export async function look(api, { name }) {
  const { state, count } = await opened(api, name);
  const { findings } = await state.verify();
  await state.close();
  return { count, findings };
}

/** Counts for as long as it lives. */
export async function count(api, { name, tell }) {
  const { state, count } = await opened(api, name);
  for (let at = count + 1; ; at += 1) {
    state.set(`key/${at}`, [at, "x".repeat(2000)]);
    state.set("count", at);
    await state.checkpoint();
    tell(at);
  }
}

/** In a page: counts, and writes the numbers to the console. */
export function countInPage(api, { name }) {
  return count(api, { name, tell: (at) => console.log(`acknowledged ${at}`) });
}

/** In a page: lets a worker count, ends it in the midst of it, and gives the last number that it told. */
export function endWorker(api, { name, after }) {
  const worker = new Worker("/inside/counting-worker.mjs", { type: "module" });
  worker.postMessage(name);
  return new Promise((resolve, reject) => {
    let last = 0;
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      if (last === 0) {
        setTimeout(() => {
          worker.terminate();
          resolve(last);
        }, after);
      }
      last = data;
    };
  });
}
