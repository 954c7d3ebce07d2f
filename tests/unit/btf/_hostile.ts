/** BTF that is malformed on purpose. */

import { assert, assertInstanceOf } from "@std/assert";
import { BtfBuilder } from "../../../btf/mod.ts";

/** Bytes of a header, types and strings that no builder would make. */
export function rawBtf(
  words: readonly number[],
  strings = "\0",
  header: Record<number, number> = {},
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(strings);
  const bytes = new Uint8Array(24 + 4 * words.length + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  bytes[2] = 1;
  [24, 0, 4 * words.length, 4 * words.length, text.length].forEach((word, index) => {
    view.setUint32(4 + 4 * index, header[4 + 4 * index] ?? word, true);
  });
  words.forEach((word, index) => view.setUint32(24 + 4 * index, word >>> 0, true));
  bytes.set(text, 24 + 4 * words.length);
  return bytes;
}

/** The error of malformed BTF that something throws: its place is inside of the file. */
export function malformedBy(work: () => unknown, length: number): SyntaxError & { offset: number } {
  try {
    work();
  } catch (error) {
    assertInstanceOf(error, SyntaxError, String(error));
    const { offset } = error as SyntaxError & { offset: number };
    assert(Number.isInteger(offset) && offset >= 0 && offset <= length, `offset ${offset} of ${length}`);
    assert(/^Cannot [^]+: [^]+[^.]$/.test(error.message), error.message);
    return error as SyntaxError & { offset: number };
  }
  throw new Error("It has not been refused");
}

/** Structs without a name that hold the next one twice, so that the first holds 2 ^ depth. */
export function doubling(depth: number): { builder: BtfBuilder; id: number } {
  const builder = new BtfBuilder();
  let inner = builder.int("char_", 1);
  for (let level = 0; level < depth; level++) {
    // Both are at the same place, so that the size stays small.
    inner = builder.union("", 1, [
      { name: `a${level}`, typeId: inner, bitsOffset: 0 },
      { name: `b${level}`, typeId: inner, bitsOffset: 0 },
    ]);
  }
  return { builder, id: builder.typedef("doubled", inner) };
}
