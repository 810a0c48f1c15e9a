// The flights as a stream: rows of CSV in, events as JSON out, and how far it was read.

/** A number by JSON's grammar: its text goes on as it stands, so that `5` stays an integer and `5.0` a float. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const LINE_END = 10;

/** Fetches a file and unpacks it, unless the server said how it is packed, and the browser has done so already. */
export async function fetchUnpacked(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answers ${response.status}`);
  const packed = await response.blob();
  const [first, second] = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  const isPacked = first === 0x1f && second === 0x8b;
  const stream = isPacked ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed.stream();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Rows of a CSV file without quotes, which the flights do not need. */
export class Rows {
  /** Bytes before the next row. */
  offset = 0;
  /** Lines before the next row. */
  line = 0;
  /** Rows in all. */
  total = 0;
  #bytes;
  #names;
  #decoder = new TextDecoder("utf-8", { fatal: true });

  constructor(bytes, fields) {
    this.#bytes = bytes;
    this.#names = fields.map((name) => `${JSON.stringify(name)}:`);
    if (bytes.includes('"'.charCodeAt(0))) throw new Error("the file has quotes, which this reader does not know");
    if (bytes.at(-1) !== LINE_END) throw new Error("the file does not end with a line end");
    for (const byte of bytes) if (byte === LINE_END) this.total += 1;
    const header = this.#take(1);
    if (header.trimEnd() !== fields.join(",")) throw new Error("the file has other fields than the definition");
    this.total -= 1;
  }

  /** Refuses a place that is not in this file. */
  check(offset) {
    if (offset > this.#bytes.length) throw new Error("the checkpoint is of a longer file than this one");
    if (offset > 0 && this.#bytes[offset - 1] !== LINE_END) {
      throw new Error("the checkpoint is of another file than this one, in which no row ends there");
    }
  }

  /** Goes to a place that was recorded; without one, to the first row. */
  seek(offset, line) {
    this.check(offset);
    this.offset = 0;
    this.line = 0;
    if (!offset) return void this.#take(1);
    this.offset = offset;
    this.line = line;
  }

  /** The next rows, at most `count`: a JSON array of events, and how many they are. */
  next(count) {
    const rows = this.#take(count).split("\n");
    rows.pop();
    return { json: `[${rows.map((row) => this.#event(row)).join(",")}]`, count: rows.length };
  }

  #event(row) {
    const texts = row.split(",");
    if (texts.length !== this.#names.length) throw new Error(`line ${this.line}: a row with ${texts.length} fields`);
    const members = texts.map((text, index) => this.#names[index] + (NUMBER.test(text) ? text : JSON.stringify(text)));
    return `{${members.join(",")}}`;
  }

  /** The text of the next lines. */
  #take(count) {
    const start = this.offset;
    for (let lines = 0; lines < count && this.offset < this.#bytes.length; lines += 1) {
      this.offset = this.#bytes.indexOf(LINE_END, this.offset) + 1;
      this.line += 1;
    }
    return this.#decoder.decode(this.#bytes.subarray(start, this.offset));
  }
}
