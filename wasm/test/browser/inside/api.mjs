// All of the API, on the storage of the place this runs in: IndexedDB in a page, OPFS in a worker.

function ensure(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

function same(actual, expected, what) {
  const text = (value) =>
    JSON.stringify(value, (_, member) => {
      if (typeof member === "bigint") return `${member}n`;
      return member instanceof Uint8Array ? { bytes: [...member] } : member;
    });
  ensure(text(actual) === text(expected), `${what}: ${text(actual)} is ${text(expected)}`);
}

/** What a promise is refused with. */
export async function codeOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error?.name === "StateError" ? error.code : `${error}`;
  }
  return "no error";
}

async function ids(state) {
  const all = [];
  for await (const { id } of state.checkpoints()) all.push(id);
  return all;
}

/** Values, checkpoints, and everything that is done with them. */
export async function everything(api, { name, durability }) {
  const state = await api.open({ name, durability, persist: true, retain: { max: 100 } });
  same(state.restored, { positions: {}, outputs: {} }, "a new state");
  // The browser answers when it likes.
  for (let waited = 0; state.persisted === undefined && waited < 10_000; waited += 10) await new Promise((go) => setTimeout(go, 10));
  ensure(typeof state.persisted === "boolean", "persistence was asked for");
  state.set("total/eu", { n: 3, sum: 12.5 });
  state.set("bytes", Uint8Array.of(1, 2, 3));
  state.setMany([["total/us", [1, "ß", null, true]], ["total/eu", { n: 4, sum: 13.5 }]]);
  same(state.get("total/eu"), { n: 4, sum: 13.5 }, "the later value");
  same(state.get("bytes"), Uint8Array.of(1, 2, 3), "bytes");
  same(state.get("nothing"), undefined, "no value");
  same(state.keys("total/"), ["total/eu", "total/us"], "keys");
  ensure(state.size === 3 && state.sizeBytes > 0, "its size");

  const first = await state.checkpoint({ label: "deploy", positions: { p0: 2n ** 64n - 1n }, outputs: { out: 7 } });
  same([first.id, first.parent, first.label, first.dirty], [0, null, "deploy", 3], "the first checkpoint");
  ensure(first.bytes > 0 && first.rawBytes > 0 && Math.abs(first.time - Date.now()) < 60_000, "its figures");
  ensure(state.remove("bytes") && !state.remove("bytes"), "removed once");
  state.set("total/eu", 5);
  const second = await state.checkpoint();
  same([second.parent, second.dirty, second.durability], [0, 2, first.durability], "the second checkpoint");
  same(await ids(state), [0, 1], "checkpoints");

  const past = await state.at(0);
  same(past.get("bytes"), Uint8Array.of(1, 2, 3), "the past's bytes");
  same([past.size, past.positions, past.outputs], [3, { p0: 2n ** 64n - 1n }, { out: 7n }], "the past");
  ensure(past.inspect()[0].rows.length === 3, "the past's rows");
  past.close();
  const difference = await state.diff(0, 1);
  same(difference.map(({ key }) => key).sort(), ["bytes", "total/eu"], "the difference");
  same((await state.verify()).findings, [], "what is damaged");

  const exported = await state.export(0);
  same((await state.restore(0)).positions, { p0: 2n ** 64n - 1n }, "what was restored");
  same(state.get("total/eu"), { n: 4, sum: 13.5 }, "the restored value");
  state.set("branch", true);
  same((await state.checkpoint()).parent, 0, "the branch's parent");
  state.set("gone", 1);
  await state.import(exported);
  same(state.keys(), ["bytes", "total/eu", "total/us"], "the imported keys");
  await state.close();
  same(await codeOf(state.checkpoint()), "CLOSED", "after the end");

  const again = await api.open({ name });
  same(again.keys(), ["bytes", "total/eu", "total/us"], "after opening again");
  same((await ids(again)).length, 4, "checkpoints after opening again");
  await again.deleteCheckpoint(0);
  same(await ids(again), [1, 2, 3], "without the savepoint");
  await again.close();
  const older = await api.open({ name, from: 1 });
  same(older.get("total/eu"), 5, "opened at an older one");
  await older.close();
  return first.durability;
}

/** A storage that is full from some time on: nothing is lost but the checkpoint. */
export async function full(api, { name }) {
  const storage = api.memoryStorage();
  const { put } = storage;
  let isFull = false;
  storage.put = (object, bytes) => {
    if (isFull) throw new DOMException("no room", "QuotaExceededError");
    return put(object, bytes);
  };
  const state = await api.open({ name, backend: storage });
  state.set("a", 1);
  await state.checkpoint();
  isFull = true;
  state.set("b", 2);
  same(await codeOf(state.checkpoint()), "QUOTA", "a full storage");
  same([state.get("a"), state.get("b"), await ids(state)], [1, 2, [0]], "the state after that");
  isFull = false;
  await state.checkpoint();
  await state.close();
  const again = await api.open({ name, backend: storage });
  same([again.get("a"), again.get("b")], [1, 2], "the next one made up for it");
  await again.close();
}

/** The origin's own quota: what is written no longer fits. */
export async function overQuota(api, { name }) {
  const state = await api.open({ name });
  state.set("a", 1);
  await state.checkpoint();
  const random = new Uint8Array(1 << 16);
  for (let at = 0; at < 64; at += 1) state.set(`big/${at}`, crypto.getRandomValues(random));
  const code = await codeOf(state.checkpoint());
  const seen = [state.size, await ids(state)];
  await state.close();
  const again = await api.open({ name });
  const value = again.get("a");
  await again.close();
  return { code, seen, value };
}

/** The database is deleted by someone else. */
export async function deleted(api, { name }) {
  const state = await api.open({ name });
  state.set("a", 1);
  await state.checkpoint();
  const databases = await indexedDB.databases();
  for (const database of databases) {
    if (!database.name.includes(encodeURIComponent(name))) continue;
    await new Promise((resolve, reject) => {
      const request = indexedDB.deleteDatabase(database.name);
      request.onsuccess = resolve;
      request.onblocked = request.onerror = () => reject(new Error("it is in the way"));
    });
  }
  same(await codeOf(state.checkpoint()), "STORAGE", "after the deletion");
  same(state.get("a"), 1, "what is in memory");
  await state.close();
  const again = await api.open({ name });
  same(again.size, 0, "opened anew");
  await again.close();
}

/** Opens a state whose engine can be broken down. */
async function openToTrap(api, options) {
  const exports = [];
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...given) => {
    const instance = await instantiate.apply(WebAssembly, given);
    exports.push(instance.exports);
    return instance;
  };
  const state = await api.open(options);
  WebAssembly.instantiate = instantiate;
  const trap = () => {
    // All of its memory overwritten: the next call that allocates follows wild pointers.
    new Uint8Array(exports.at(-1).memory.buffer).fill(0xff);
    let code = "none";
    try {
      for (let at = 0; at < 1000; at += 1) state.set(`key ${at}`, "x".repeat(at));
    } catch (error) {
      code = error.code;
    }
    same(code, "TRAPPED", "a broken engine");
  };
  return { state, trap };
}

/** An engine that breaks down goes back to its last checkpoint. */
export async function trapped(api, { name }) {
  const { state, trap } = await openToTrap(api, { name });
  state.set("a", 1);
  const { id } = await state.checkpoint({ positions: { p: 5 } });
  state.set("a", 2);
  trap();
  same(await codeOf(state.checkpoint()), "TRAPPED", "until it is recovered");
  const { checkpoint, positions } = await state.recovered();
  same([checkpoint.id, positions, state.get("a")], [id, { p: 5n }, 1], "recovered");
  state.set("a", 3);
  await state.checkpoint();
  await state.close();
}

const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));

/** What is done with the entries of the objects in the database of a state. */
async function withEntries(name, use) {
  const found = (await indexedDB.databases()).find((database) => database.name.includes(encodeURIComponent(name)));
  const database = await done(indexedDB.open(found.name));
  const objects = database.transaction("objects", "readwrite").objectStore("objects");
  try {
    return await use(objects, await done(objects.getAllKeys()));
  } finally {
    database.close();
  }
}

/** Names in the database of a state. */
async function storedObjects(name) {
  const names = await withEntries(name, (_, keys) => keys.map((key) => (Array.isArray(key) ? key[0] : key)));
  return [...new Set(names)];
}

const randomBytes = (length) => Uint8Array.from({ length }, () => Math.random() * 256);

/** Objects of several sizes, in pieces and as they were stored before: all are read, and gone once nobody needs them. */
export async function pieces(api, { name }) {
  const options = { name, retain: { max: 1 } };
  for (const [length, expected] of [[10, 1], [59_000, 1], [61_000, 2], [230_000, 4], [400_000, 1]]) {
    let state = await api.open(options);
    const value = randomBytes(length);
    state.set("a", value);
    const { bytes } = await state.checkpoint();
    await state.close();

    await withEntries(name, async (objects, keys) => {
      const object = keys.at(-1)[0];
      const parts = keys.filter(([of]) => of === object);
      same(parts.length, expected, `pieces of an object with ${length} bytes`);
      const lengths = (await Promise.all(parts.map((key) => done(objects.get(key))))).map((part) => part.length);
      same(lengths.reduce((sum, length) => sum + length), bytes, "its bytes");
    });
    state = await api.open(options);
    same(state.get("a"), value, `a value of ${length} bytes`);
    await state.close();

    await withEntries(name, async (objects, keys) => {
      for (const object of new Set(keys.map(([object]) => object))) {
        const range = IDBKeyRange.bound([object], [object, []]);
        const parts = await done(objects.getAll(range));
        await done(objects.delete(range));
        await done(objects.put(Uint8Array.from(parts.flatMap((part) => [...part])), object));
      }
    });
    state = await api.open(options);
    same([state.get("a"), (await state.verify()).findings], [value, []], "as they were stored before");
    const old = await storedObjects(name);
    for (let count = 0; count < 8; count += 1) {
      state.set("a", count);
      await state.checkpoint();
    }
    await state.close();
    same((await storedObjects(name)).filter((object) => old.includes(object)), [], "those that nobody needs");
  }
}

/** A checkpoint that is too large, then an engine that breaks down: what was too large is not written once more. */
export async function trappedOverQuota(api, { name }) {
  const { state, trap } = await openToTrap(api, { name });
  state.set("a", 1);
  await state.checkpoint();
  const random = new Uint8Array(1 << 16);
  for (let at = 0; at < 64; at += 1) state.set(`big/${at}`, crypto.getRandomValues(random));
  const code = await codeOf(state.checkpoint());
  trap();
  const recovered = await codeOf(state.recovered());
  const answer = [code, recovered, state.get("a"), await storedObjects(name)];
  await state.close();
  return answer;
}

/** An engine that breaks down in the midst of a checkpoint: what that has put is not written by the next head. */
export async function trappedInCheckpoint(api, { name }) {
  const { state, trap } = await openToTrap(api, { name });
  await state.checkpoint();
  state.set("a", 1);
  const taking = codeOf(state.checkpoint());
  // Its first question to the storage is on its way, and its second one comes with the answer.
  trap();
  same(await taking, "TRAPPED", "a checkpoint of a broken engine");
  await state.recovered();
  const objects = await storedObjects(name);
  await state.close();
  return objects;
}

/** Which checkpoints are there after a page was hidden: with a state whose checkpoints had this, then with it opened anew. */
export async function hidden(api, { name, request }) {
  const state = await api.open({ name });
  await state.checkpoint(request);
  const hide = async (state) => {
    state.set("a", state.restored.checkpoint?.id ?? null);
    dispatchEvent(new Event("pagehide"));
    await state.close();
  };
  await hide(state);
  await hide(await api.open({ name }));
  const again = await api.open({ name, tabs: "read" });
  const all = await ids(again);
  await again.close();
  return all;
}

/** How many checkpoints there are after a page was hidden before any was taken: by default, and if it was asked for. */
export async function hiddenFirst(api, { name }) {
  const counts = [];
  for (const checkpointOnHide of [undefined, true]) {
    const state = await api.open({ name, checkpointOnHide });
    state.set("a", 1);
    dispatchEvent(new Event("pagehide"));
    await state.close();
    const again = await api.open({ name });
    counts.push((await ids(again)).length);
    await again.close();
  }
  return counts;
}

/** What is told of a request on hide that is wrong. */
export async function hiddenWrong(api, { name }) {
  const state = await api.open({ name, checkpointOnHide: () => ({ position: { p: 1 } }) });
  state.set("a", 1);
  const told = new Promise((resolve) => {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      resolve(event.reason.message);
    });
  });
  dispatchEvent(new Event("pagehide"));
  const message = await told;
  await state.close();
  return message;
}

/** A file that is no wasm, one that is not there, and bytes. */
export async function badWasm(api, { name }) {
  const codes = [];
  for (const wasm of ["/inside/run.mjs", "/nowhere.wasm", Uint8Array.of(0, 97, 115, 109, 9), Uint8Array.of(1)]) {
    codes.push(await codeOf(api.open({ name, wasm, backend: "memory" })));
  }
  const state = await api.open({ name, wasm: await (await fetch("/dist/eventflux.wasm")).arrayBuffer(), backend: "memory" });
  await state.close();
  return codes;
}

/** Opens, writes, closes, many times; what memory there is afterwards. */
export async function cycles(api, { count }) {
  for (let at = 0; at < count; at += 1) {
    const state = await api.open({ name: "cycle", backend: "memory" });
    state.set("key", { at });
    await state.checkpoint();
    await state.close();
  }
}

/** States that stay open between the steps of a test. */
const open = new Map();

/** Opens a state for the steps of a test of two tabs: its keys, or the code of the error. */
export async function tabOpen(api, { name, mode, from, breaks = false }) {
  const changes = [];
  const options = { name, tabs: mode, from, onChange: ({ kind }) => changes.push(kind) };
  const opened = breaks ? openToTrap(api, options) : api.open(options).then((state) => ({ state }));
  const code = await codeOf(opened.then((opened) => open.set(name, { ...opened, changes })));
  return code === "no error" ? open.get(name).state.keys() : code;
}

/** From now on whoever opens a database waits for `tabAnswer`. */
export function tabAskSlowly() {
  const { open } = IDBFactory.prototype;
  const answer = new Promise((resolve) => (globalThis.answerOpen = () => resolve(true)));
  globalThis.asked = new Promise((resolve) => {
    IDBFactory.prototype.open = function (...given) {
      const request = open.apply(this, given);
      const succeeded = new Promise((told) => request.addEventListener("success", told));
      const set = (told) => void Promise.all([succeeded, answer]).then(() => told());
      Object.defineProperty(request, "onsuccess", { set });
      succeeded.then(() => resolve(true));
      return request;
    };
  });
}
export const tabAsked = () => globalThis.asked;
export const tabAnswer = () => globalThis.answerOpen();

/** Opens a state while the browser's question to the user is not answered; what it says of the answer, before and after. */
export async function persistSlowly(api, { name }) {
  let answer;
  Object.defineProperty(navigator.storage, "persist", { value: () => new Promise((resolve) => (answer = resolve)) });
  // So that one that waits for it is found out.
  setTimeout(() => answer(true), 5_000);
  const state = await api.open({ name, persist: true });
  const before = state.persisted;
  answer(true);
  await new Promise((go) => setTimeout(go));
  const after = state.persisted;
  await state.close();
  return [`${before}`, after];
}

export async function tabTrap(api, { name }) {
  const { state, trap } = open.get(name);
  trap();
  return codeOf(state.checkpoint());
}

export const tabRecover = (api, { name }) => codeOf(open.get(name).state.recovered());

export async function tabWrite(api, { name, key }) {
  const { state } = open.get(name);
  state.set(key, 1);
  return codeOf(state.checkpoint());
}

export async function tabRefresh(api, { name }) {
  const { state, changes } = open.get(name);
  for (let waited = 0; changes.length === 0 && waited < 10_000; waited += 10) await new Promise((go) => setTimeout(go, 10));
  await state.refresh();
  return { keys: state.keys(), changes };
}

export const tabChanges = (api, { name }) => open.get(name).changes;
export const tabClose = (api, { name }) => open.get(name).state.close();
