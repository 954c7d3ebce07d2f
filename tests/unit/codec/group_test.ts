import { assertEquals, assertThrows } from "@std/assert";
import { BitfieldCodec, bits, decode, encode, structAt, u16, u32, u32be, u8 } from "../../../codec.ts";

/** A word that is also two halves, and a byte after it. */
const word = structAt<{ word?: number; low?: number; high?: number; after: number }>({
  name: "word",
  size: 8,
  alignment: 4,
  members: [
    { name: "word", offset: 0, codec: u32, group: 0 },
    { name: "low", offset: 0, codec: u16, group: 0 },
    { name: "high", offset: 2, codec: u16, group: 0 },
    { name: "after", offset: 4, codec: u8 },
  ],
});

Deno.test("structAt() reads all members of a group, and writes one of them", () => {
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 0, 0, 0]);
  const value = { after: 5, word: 0x04030201, low: 0x0201, high: 0x0403 };
  assertEquals(decode(word, bytes), value);
  assertEquals(encode(word, value), bytes);
  assertEquals(encode(word, { after: 5, word: 0x04030201 }), bytes);
  assertEquals(encode(word, { after: 5, low: 0x0201, high: 0x0403 }), bytes);
  assertEquals(encode(word, { after: 5, high: 0x0403 }), new Uint8Array([0, 0, 3, 4, 5, 0, 0, 0]));
});

Deno.test("structAt() refuses a group of which nothing is given, or whose members differ", () => {
  assertThrows(() => encode(word, { after: 5 }), RangeError, "Cannot encode word: it needs one of word, low, high");
  assertThrows(
    () => encode(word, { after: 5, word: 1, low: 2 }),
    RangeError,
    "Cannot encode word: word shares its bytes with another member that says otherwise",
  );
  assertThrows(() => encode(word, { after: 5, low: 70000 }), RangeError, "Cannot encode low: ");
});

Deno.test("BitfieldCodec counts from the highest bit where it is big-endian, and takes a sign of its own", () => {
  const field = new BitfieldCodec(bits(u32be, 4), 3, { littleEndian: false });
  assertEquals(decode(field, new Uint8Array([0b000_1010_0])), 0b1010);
  assertEquals(encode(field, 0b0110), new Uint8Array([0b000_0110_0]));
  const signed = new BitfieldCodec(bits(u32be, 4), 3, { littleEndian: false, signed: true });
  assertEquals(decode(signed, new Uint8Array([0b000_1110_0])), 0xfffffffe);
});
