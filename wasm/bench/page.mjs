// What is measured, in the page: the same seeded data for all.
import * as Automerge from "@automerge/automerge/slim";
import { automergeWasmBase64 } from "@automerge/automerge/automerge.wasm.base64";
import Dexie from "dexie";
import { createStore, entries, setMany } from "idb-keyval";
import { LoroDoc } from "loro-crdt/base64";
import { IndexeddbPersistence } from "y-indexeddb";
import * as Y from "yjs";

const KEYS = 100_000;
const CHANGED = KEYS / 100;
const ROUNDS = 15;

const key = (at) => `key/${String(at).padStart(6, "0")}`;

/** A value of 92 bytes as JSON. */
let seed = 1;
function value(at) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const start = `{"n":${at},"sum":${seed / 8},"text":"`;
  return { n: at, sum: seed / 8, text: `${seed.toString(36)} a customer's name, and where`.padEnd(90 - start.length, ".") };
}
const all = () => Array.from({ length: KEYS }, (_, at) => [key(at), value(at)]);
const some = (round) => Array.from({ length: CHANGED }, (_, at) => (at * 97 + round * 31) % KEYS).map((at) => [key(at), value(at)]);

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function timed(act) {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
const completed = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
async function database(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore("store");
  return answer(request);
}
async function put(db, puts, durability) {
  const transaction = db.transaction("store", "readwrite", { durability });
  for (const [id, bytes] of puts) transaction.objectStore("store").put(bytes, id);
  await completed(transaction);
}

/** What each contestant does: fill, change and make durable, start again. */
const contestants = {
  async eventflux(name, durability) {
    const { open } = await import("/dist/browser.js");
    const options = { name, backend: "indexeddb", durability };
    let state = await open(options);
    let checkpoint;
    return {
      async full(rows) {
        state.setMany(rows);
        checkpoint = await timed(() => state.checkpoint());
      },
      checkpoint: () => checkpoint,
      change: (rows) => (rows.forEach(([id, row]) => state.set(id, row)), state.checkpoint()),
      async restore() {
        await state.close();
        const time = await timed(async () => (state = await open(options)));
        if (state.size !== KEYS) throw new Error("keys are missing");
        await state.close();
        return time;
      },
    };
  },
  async "raw IndexedDB, a put for each key"(name, durability) {
    const db = await database(name);
    return {
      full: (rows) => put(db, rows, durability),
      change: (rows) => put(db, rows, durability),
      restore: () => timed(() => answer(db.transaction("store").objectStore("store").getAll())),
    };
  },
  async "idb-keyval"(name) {
    const store = createStore(name, "store");
    return {
      full: (rows) => setMany(rows, store),
      change: (rows) => setMany(rows, store),
      restore: () => timed(() => entries(store)),
    };
  },
  async dexie(name, durability) {
    const db = new Dexie(name, { chromeTransactionDurability: durability });
    db.version(1).stores({ rows: "" });
    const write = (rows) =>
      db.rows.bulkPut(
        rows.map(([, row]) => row),
        rows.map(([id]) => id),
      );
    return { full: write, change: write, restore: () => timed(() => db.rows.toArray()) };
  },
  async "y-indexeddb"(name, durability) {
    let doc = new Y.Doc();
    let kept = new IndexeddbPersistence(name, doc);
    await kept.whenSynced;
    const write = (rows) => {
      doc.transact(() => rows.forEach(([id, row]) => doc.getMap("rows").set(id, row)));
      // Its own transaction comes before this one.
      return completed(kept.db.transaction("updates", "readwrite", { durability }));
    };
    return {
      full: write,
      change: write,
      async restore() {
        await kept.destroy();
        doc = new Y.Doc();
        return timed(async () => {
          kept = new IndexeddbPersistence(name, doc);
          await kept.whenSynced;
          if (doc.getMap("rows").size !== KEYS) throw new Error("keys are missing");
        });
      },
    };
  },
  async loro(name, durability) {
    const db = await database(name);
    const doc = new LoroDoc();
    let count = 0;
    const write = async (rows) => {
      const from = doc.version();
      const map = doc.getMap("rows");
      for (const [id, row] of rows) map.set(id, row);
      doc.commit();
      await put(db, [[(count += 1), doc.export({ mode: "update", from })]], durability);
    };
    return {
      full: write,
      change: write,
      restore: () =>
        timed(async () => {
          const again = new LoroDoc();
          again.importBatch(await answer(db.transaction("store").objectStore("store").getAll()));
          if (again.getMap("rows").size !== KEYS) throw new Error("keys are missing");
        }),
    };
  },
  async automerge(name, durability) {
    await Automerge.initializeBase64Wasm(automergeWasmBase64);
    const db = await database(name);
    let doc = Automerge.from({ rows: {} });
    let count = 0;
    const write = async (rows) => {
      doc = Automerge.change(doc, (draft) => rows.forEach(([id, row]) => (draft.rows[id] = row)));
      await put(db, [[(count += 1), Automerge.saveIncremental(doc)]], durability);
    };
    return {
      full: write,
      change: write,
      restore: () =>
        timed(async () => {
          let again = Automerge.init();
          for (const part of await answer(db.transaction("store").objectStore("store").getAll())) {
            again = Automerge.loadIncremental(again, part);
          }
          if (Object.keys(again.rows).length !== KEYS) throw new Error("keys are missing");
        }),
    };
  },
};

/** Times of one contestant, in milliseconds. */
export async function contest(name, durability) {
  seed = 1;
  const it = await contestants[name](`bench ${name} ${durability}`, durability);
  const rows = all();
  const full = await timed(() => it.full(rows));
  const times = [];
  let last;
  for (let round = 0; round < ROUNDS; round += 1) {
    const changed = some(round);
    await wait(30);
    times.push(await timed(async () => (last = await it.change(changed))));
  }
  await wait(200);
  return { full, change: median(times), restore: await it.restore(), checkpoint: it.checkpoint?.(), bytes: last?.bytes };
}

/** One put of so many bytes. */
export async function rawPut(bytes, durability) {
  const db = await database(`raw ${durability}`);
  const times = [];
  for (let round = 0; round < ROUNDS * 2; round += 1) {
    const random = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
    const whole = new Uint8Array(bytes);
    whole.set(random);
    await wait(30);
    times.push(await timed(() => put(db, [[round, whole]], durability)));
  }
  return median(times);
}

/** Start once the bytes are there; the median of some. */
export async function start() {
  const { open } = await import("/dist/browser.js");
  const wasm = await (await fetch("/dist/eventflux.wasm")).arrayBuffer();
  const times = [];
  for (let round = 0; round < 9; round += 1) {
    times.push(await timed(async () => (await open({ name: `start ${round}`, backend: "memory", wasm })).close()));
  }
  return { first: times[0], median: median(times) };
}

/** Longest time that the page could do nothing else while 100,000 keys were checkpointed: new ones, then changed ones. */
export async function longest() {
  const { open } = await import("/dist/browser.js");
  const state = await open({ name: "longest", backend: "indexeddb" });
  const gaps = [];
  for (let round = 0; round < 2; round += 1) {
    state.setMany(all());
    await wait(300);
    gaps.push(await longestGap(() => state.checkpoint()));
  }
  await state.close();
  const [first, later] = gaps;
  return { first, later };
}

/** Longest time between two messages of the page to itself, while something goes on. */
async function longestGap(act) {
  const { port1, port2 } = new MessageChannel();
  let gap = 0;
  let before = performance.now();
  let isGoing = true;
  port1.onmessage = () => {
    const now = performance.now();
    gap = Math.max(gap, now - before);
    before = now;
    if (isGoing) port2.postMessage(0);
  };
  port2.postMessage(0);
  await act();
  isGoing = false;
  await wait(50);
  return gap;
}

/** Events a second of the flights, of batches of JSON. */
export async function flights(definition, batches) {
  const { engine } = await import("/dist/browser.js");
  const bytes = batches.map((batch) => new TextEncoder().encode(batch));
  let best = Infinity;
  for (let round = 0; round < 5; round += 1) {
    const running = await engine({ definition, backend: "memory" });
    const time = await timed(() => {
      for (const batch of bytes) {
        running.push(batch);
        running.resultLines();
      }
      running.finish();
      running.resultLines();
    });
    best = Math.min(best, time);
    await running.close();
  }
  return best;
}

globalThis.bench = { contest, rawPut, start, longest, flights };
