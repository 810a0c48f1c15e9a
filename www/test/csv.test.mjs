import assert from "node:assert/strict";
import { test } from "node:test";
import { Rows } from "../js/csv.js";

const rows = (text) => new Rows(new TextEncoder().encode(text), ["a", "b"]);

test("numbers keep their text, and all else is text", () => {
  const { json, count } = rows("a,b\n5,5.0\n-1e3,05\nNA,\n0,9007199254740993\n").next(10);
  const expected = '[{"a":5,"b":5.0},{"a":-1e3,"b":"05"},{"a":"NA","b":""},{"a":0,"b":9007199254740993}]';
  assert.equal(json, expected);
  assert.equal(count, 4);
});

test("a place is where the next row begins, in bytes", () => {
  const source = rows("a,b\né,1\n2,3\n");
  assert.deepEqual([source.total, source.offset, source.line], [2, 4, 1]);
  source.next(1);
  assert.deepEqual([source.offset, source.line], [9, 2]);
  const again = rows("a,b\né,1\n2,3\n");
  again.seek(9, 2);
  assert.deepEqual(again.next(5), { json: '[{"a":2,"b":3}]', count: 1 });
  assert.deepEqual(again.next(5), { json: "[]", count: 0 });
  again.seek(0, 0);
  assert.equal(again.next(5).count, 2);
});

test("what this reader does not know is refused", () => {
  assert.throws(() => rows('a,b\n"1",2\n'), /quotes/);
  assert.throws(() => rows("a,c\n1,2\n"), /other fields/);
  assert.throws(() => rows("a,b\n1,2"), /line end/);
  assert.throws(() => rows("a,b\n1\n").next(1), /line 2/);
  assert.throws(() => rows("a,b\n1,2\n").seek(99, 9), /longer file/);
});
