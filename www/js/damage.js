// Damages a stored checkpoint, as a failing disk would: one bit of one byte.

/** Flips a bit in the middle of what was stored for a checkpoint; tells where. */
export async function flipBit(name, id) {
  let objects = await navigator.storage.getDirectory();
  for (const part of ["eventflux", name, "objects"]) objects = await objects.getDirectoryHandle(part);
  const prefix = `checkpoint-${String(id).padStart(10, "0")}-`;
  for await (const file of objects.values()) {
    if (!file.name.startsWith(prefix)) continue;
    const handle = await file.createSyncAccessHandle();
    try {
      const at = Math.floor(handle.getSize() / 2);
      const byte = new Uint8Array(1);
      handle.read(byte, { at });
      byte[0] ^= 1;
      handle.write(byte, { at });
      handle.flush();
      return { object: file.name, at };
    } finally {
      handle.close();
    }
  }
  throw new Error(`nothing is stored for checkpoint ${id}`);
}
