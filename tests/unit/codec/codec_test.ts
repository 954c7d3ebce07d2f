import { assertEquals, assertThrows } from "@std/assert";
import { isTrusted } from "../../../codec/trust.ts";
import {
  array,
  BitfieldCodec,
  bits,
  bool,
  bytes,
  type Codec,
  cstr,
  decode,
  encode,
  enumOf,
  f32,
  f64,
  i128be,
  i16,
  i16be,
  i32,
  i64,
  i64be,
  i8,
  ipv4,
  ipv4Prefix,
  ipv6,
  ipv6Prefix,
  mac,
  max,
  offsetOf,
  pad,
  port,
  struct,
  structAt,
  sum,
  u128,
  u16,
  u16be,
  u32,
  u32be,
  u32le,
  u64,
  u64be,
  u8,
  union,
} from "../../../mod.ts";

const BOM = "\ufeff";

Deno.test("cstr() keeps byte order marks, refuses half of a surrogate pair, and takes the empty array", () => {
  assertEquals(decode(cstr(16), encode(cstr(16), `${BOM}x`)), `${BOM}x`);
  assertThrows(() => encode(cstr(16), "a\ud800"), RangeError, "half of a surrogate pair");
  assertEquals([encode(cstr(0), ""), decode(cstr(0), new Uint8Array(0))], [new Uint8Array(0), ""]);
  assertThrows(() => encode(cstr(0), "a"), RangeError, "1 bytes of UTF-8 are more than the limit of 0");
  assertThrows(() => encode(cstr(1), "a"), RangeError, "limit of 0");
});

Deno.test("bits() of an enum with values below zero has them", () => {
  const level = struct({ level: bits(enumOf({ LOW: -2, NONE: 0, HIGH: 1 }, i32), 2), rest: bits(u32, 30) });
  for (const name of ["LOW", "NONE", "HIGH"] as const) {
    assertEquals(decode(level, encode(level, { level: name, rest: 5 })), { level: name, rest: 5 });
  }
  assertEquals(encode(level, { level: "LOW", rest: 0 }), new Uint8Array([2, 0, 0, 0]));
  assertThrows(() => encode(level, { level: 2, rest: 0 }), RangeError, "Cannot encode level: 2 does not fit 2 bits");
});

Deno.test("a class that extends BitfieldCodec is not trusted with memory that must not be written to", () => {
  class Scribbler extends BitfieldCodec<number> {
    override decode(view: DataView<ArrayBuffer>, offset: number): number {
      view.setUint8(offset, 0);
      return 0;
    }
  }
  const member = bits(u8, 3);
  assertEquals([isTrusted(new BitfieldCodec(member, 0)), isTrusted(new Scribbler(member, 0))], [true, false]);
});

Deno.test("struct() refuses bit-fields of the other byte order", () => {
  assertThrows(() => struct({ a: bits(u16be, 9) }), TypeError, "Cannot make a bit-field of u16be");
});

Deno.test("structAt() writes what no member covers as zeros, though members overlap", () => {
  const twice = structAt<{ a: number; b: number }>({
    name: "twice",
    size: 8,
    alignment: 4,
    members: [{ name: "a", offset: 0, codec: u32 }, { name: "b", offset: 0, codec: u32 }],
  });
  const memory = new Uint8Array(8).fill(0xff);
  twice.encode(new DataView(memory.buffer), 0, { a: 1, b: 1 });
  assertEquals(memory, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
});

Deno.test("sum() and max() refuse what is no number, also of one CPU alone", () => {
  for (const fold of [sum, max]) {
    for (const values of [["1"], [1, "1"]]) assertThrows(() => fold(values as never), TypeError, "string is no number");
    assertEquals([fold([3]), fold([3n])], [3, 3n]);
  }
});

/** A value that a codec takes, with its bytes. */
type Case = readonly [codec: Codec<unknown>, value: unknown, bytes: readonly number[]];

const CASES: readonly Case[] = [
  [u8, 0xfe, [0xfe]],
  [i8, -2, [0xfe]],
  [u16, 0x1234, [0x34, 0x12]],
  [i16, -2, [0xfe, 0xff]],
  [u16be, 0x1234, [0x12, 0x34]],
  [i16be, -2, [0xff, 0xfe]],
  [u32, 0x12345678, [0x78, 0x56, 0x34, 0x12]],
  [u32le, 0x12345678, [0x78, 0x56, 0x34, 0x12]],
  [u32be, 0x12345678, [0x12, 0x34, 0x56, 0x78]],
  [i32, -(2 ** 31), [0, 0, 0, 0x80]],
  [u64, 0xfedcba9876543210n, [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe]],
  [u64be, 0xfedcba9876543210n, [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10]],
  [i64, -1n, [255, 255, 255, 255, 255, 255, 255, 255]],
  [i64be, -256n, [255, 255, 255, 255, 255, 255, 255, 0]],
  [u128, 1n << 127n | 5n, [5, ...Array<number>(14).fill(0), 0x80]],
  [i128be, -2n, [...Array<number>(15).fill(255), 254]],
  [f32, 0.5, [0, 0, 0, 0x3f]],
  [f64, -2, [0, 0, 0, 0, 0, 0, 0, 0xc0]],
  [bool, true, [1]],
  [bool, false, [0]],
  [bytes(3), new Uint8Array([1, 2, 3]), [1, 2, 3]],
  [cstr(4), "añ", [0x61, 0xc3, 0xb1, 0]],
  [cstr(4), "", [0, 0, 0, 0]],
  [array(u16, 2), [1, 2], [1, 0, 2, 0]],
  [array(array(u8, 2), 2), [[1, 2], [3, 4]], [1, 2, 3, 4]],
  [enumOf({ DROP: 1, PASS: 2 }), "PASS", [2, 0, 0, 0]],
  [enumOf({ DROP: 1, PASS: 2 }), 7, [7, 0, 0, 0]],
  [enumOf({ LOW: -1 }, i32), "LOW", [255, 255, 255, 255]],
  [enumOf({ BIG: 1n << 40n }, u64), "BIG", [0, 0, 0, 0, 0, 1, 0, 0]],
  [ipv4, "192.0.2.1", [192, 0, 2, 1]],
  [ipv6, "2001:db8::1", [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 1]],
  [ipv6, "::", Array<number>(16).fill(0)],
  [ipv6, "::ffff:192.0.2.1", [...Array<number>(10).fill(0), 255, 255, 192, 0, 2, 1]],
  [ipv6, "1:0:0:2::3", [0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]],
  [mac, "52:54:00:ab:cd:ef", [0x52, 0x54, 0, 0xab, 0xcd, 0xef]],
  [port, 443, [1, 187]],
  [ipv4Prefix, "10.0.0.0/8", [8, 0, 0, 0, 10, 0, 0, 0]],
  [ipv6Prefix, "2001:db8::/32", [32, 0, 0, 0, 0x20, 1, 0xd, 0xb8, ...Array<number>(12).fill(0)]],
  [struct({ a: u8, b: u32, c: u8 }), { a: 1, b: 2, c: 3 }, [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]],
  [struct({ a: u8, b: u32 }, { packed: true }), { a: 1, b: 2 }, [1, 2, 0, 0, 0]],
  [struct({ a: u8, _: pad(2), b: u8 }), { a: 1, b: 2 }, [1, 0, 0, 2]],
  [struct({ inner: struct({ a: u64 }), b: u8 }), { inner: { a: 1n }, b: 2 }, [
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    2,
    ...Array<number>(7).fill(0),
  ]],
  [struct({ a: bits(u32, 3), b: bits(u32, 5), c: bits(i32, 8) }), { a: 5, b: 17, c: -3 }, [5 | 17 << 3, 0xfd, 0, 0]],
  [struct({ a: bits(u8, 6), b: bits(u8, 6) }), { a: 63, b: 1 }, [63, 1]],
  [struct({ a: bits(u64, 40), b: bits(bool, 1) }), { a: 0x1234567890n, b: true }, [
    0x90,
    0x78,
    0x56,
    0x34,
    0x12,
    1,
    0,
    0,
  ]],
];

for (const [codec, value, expected] of CASES) {
  const shown = JSON.stringify(value, (_, one) => typeof one === "bigint" ? `${one}n` : one);
  Deno.test(`${codec.name} writes and reads ${shown}`, () => {
    const written = encode(codec, value);
    assertEquals([...written], [...expected]);
    assertEquals(codec.size, expected.length);
    assertEquals(decode(codec, written), value);
  });
}

Deno.test("codecs read and write at an offset, and nothing outside", () => {
  for (const [codec, value, expected] of CASES) {
    const memory = new Uint8Array(codec.size + 32).fill(0xa5);
    const view = new DataView(memory.buffer, 8, codec.size + 16);
    codec.encode(view, 8, value);
    assertEquals([...memory.subarray(16, 16 + codec.size)], [...expected], codec.name);
    assertEquals(codec.decode(view, 8), value);
    assertEquals([...memory.subarray(0, 16), ...memory.subarray(16 + codec.size)], Array<number>(32).fill(0xa5));
  }
});

/** A value that a codec refuses, with the class and the words of the error. */
type Refusal = readonly [Codec<unknown>, unknown, typeof RangeError | typeof TypeError, string];

const REFUSED: readonly Refusal[] = [
  [u8, 256, RangeError, "Cannot encode u8: 256 is not an integer from 0 to 255"],
  [u8, -1, RangeError, "-1 is not"],
  [i8, 128, RangeError, "from -128 to 127"],
  [u32, 2 ** 32, RangeError, "from 0 to 4294967295"],
  [u32, 0.5, RangeError, "0.5 is not an integer"],
  [u32, NaN, RangeError, "NaN"],
  [u32, "1", TypeError, 'Cannot encode u32: "1" is not a number'],
  [u32, 1n, TypeError, "1n is not a number"],
  [u32, undefined, TypeError, "undefined is not a number"],
  [u64, 1, TypeError, "1 is not a bigint"],
  [u64, -1n, RangeError, "from 0 to 18446744073709551615"],
  [i64, 1n << 63n, RangeError, "from -9223372036854775808 to 9223372036854775807"],
  [u128, 1n << 128n, RangeError, "is not an integer"],
  [f64, "x", TypeError, "is not a number"],
  [bool, 1, TypeError, "1 is not a boolean"],
  [bytes(3), new Uint8Array(2), RangeError, "2 bytes are not the 3"],
  [bytes(3), [1, 2, 3], TypeError, "is not a Uint8Array"],
  [cstr(4), "abcd", RangeError, "4 bytes of UTF-8 are more than the limit of 3"],
  [cstr(4), "a\0", RangeError, "NUL"],
  [array(u8, 2), [1], RangeError, "1 elements are not the 2"],
  [array(u8, 2), [1, 999], RangeError, "Cannot encode [1]: 999"],
  [enumOf({ A: 1 }), "B", TypeError, '"B" is not one of A'],
  [ipv4, "1.2.3", RangeError, '"1.2.3" is not an address'],
  [ipv4, "1.2.3.256", RangeError, "is not an address"],
  [ipv4, "01.2.3.4", RangeError, "is not an address"],
  [ipv6, "1::2::3", RangeError, "is not an address"],
  [ipv6, "1:2:3:4:5:6:7:8:9", RangeError, "is not an address"],
  [ipv6, "::12345", RangeError, "is not an address"],
  [ipv6, "1.2.3.4::", RangeError, "is not an address"],
  [mac, "52:54:00:ab:cd", RangeError, "six bytes"],
  [ipv4Prefix, "10.0.0.0/33", RangeError, "more than 32 bits"],
  [ipv4Prefix, "10.0.0.1/8", RangeError, "bits set beyond the first 8"],
  [ipv4Prefix, "x/8", RangeError, "is not an address, or a prefix"],
  [
    struct({ a: u32, b: struct({ c: array(u8, 2) }) }),
    { a: 1, b: { c: [0, 300] } },
    RangeError,
    "Cannot encode b.c[1]: 300",
  ],
  [struct({ a: u32 }), {}, TypeError, "Cannot encode a: undefined is not a number"],
  [struct({ a: u32 }), null, TypeError, "null is not an object"],
  [struct({ flags: bits(u32, 3) }), { flags: 8 }, RangeError, "Cannot encode flags: 8 does not fit 3 bits"],
  [struct({ flags: bits(i32, 3) }), { flags: -5 }, RangeError, "Cannot encode flags: -5 does not fit 3 bits"],
  [union({ a: u8, b: u16 }), {}, RangeError, "exactly one of a, b, and has none"],
  [union({ a: u8, b: u16 }), { a: 1, b: 2 }, RangeError, "exactly one of a, b, and has a, b"],
  [union({ a: u8, b: u16 }), { a: 256 }, RangeError, "Cannot encode a: 256"],
];

for (const [codec, value, type, words] of REFUSED) {
  Deno.test(`${codec.name} refuses ${Deno.inspect(value)}: ${words}`, () => {
    assertThrows(() => encode(codec, value), type, words);
  });
}

Deno.test("struct() writes padding as zeros, whatever was there", () => {
  const codec = struct({ a: u8, b: u32, flag: bits(u8, 1) });
  const memory = new Uint8Array(codec.size).fill(0xff);
  codec.encode(new DataView(memory.buffer), 0, { a: 1, b: 2, flag: 1 });
  assertEquals([...memory], [1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
});

Deno.test("struct() reads the same once its decoder is compiled, whatever its members are called", () => {
  const inner = struct({ 'a"b': u8, "c\nd": bits(u8, 4), constructor: u16, toString: u32 });
  const codec = struct({ inner, "x'y`${z}": array(inner, 2), _: pad(3) });
  const member = { 'a"b': 1, "c\nd": 2, constructor: 3, toString: 4 };
  const value = { inner: member, "x'y`${z}": [member, member] };
  const written = encode(codec, value);
  for (let round = 0; round < 200; round++) assertEquals(decode(codec, written), value);
  assertThrows(() => struct({ ["__proto__"]: u8 }), TypeError, '"__proto__"');
});

Deno.test("struct() reads the same where code may not be made from strings", async () => {
  const text = `
    import { decode, encode, struct, u32, u8 } from ${JSON.stringify(import.meta.resolve("../../../codec.ts"))};
    const codec = struct({ a: u8, b: u32 });
    const bytes = encode(codec, { a: 1, b: 2 });
    for (let round = 0; round < 200; round++) decode(codec, bytes);
    console.log(JSON.stringify(decode(codec, bytes)));
  `;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", "--v8-flags=--disallow-code-generation-from-strings", text],
  }).output();
  assertEquals(new TextDecoder().decode(stdout).trim(), '{"a":1,"b":2}', new TextDecoder().decode(stderr));
});

Deno.test("struct() refuses fields whose order JavaScript does not keep, and what is no codec", () => {
  assertThrows(() => struct({ 1: u8 }), TypeError, 'field "1" is a number');
  assertThrows(() => struct({ a: {} as Codec<unknown> }), TypeError, 'field "a" has no codec');
});

Deno.test("structAt() takes members that overlap, and refuses those outside", () => {
  const members = [{ name: "low", offset: 0, codec: u8 }, { name: "all", offset: 0, codec: u32 }];
  const codec = structAt<{ low: number; all: number }>({ name: "both", size: 4, alignment: 4, members });
  assertEquals(decode(codec, new Uint8Array([1, 2, 0, 0])), { low: 1, all: 0x201 });
  assertThrows(
    () => structAt({ name: "x", size: 3, alignment: 1, members }),
    RangeError,
    "all is outside of its 3 bytes",
  );
});

Deno.test("offsetOf() tells where members are, and refuses what has none", () => {
  const codec = struct({ a: u8, b: u32, c: bits(u8, 3), d: bits(u8, 3) });
  assertEquals([offsetOf(codec, "a"), offsetOf(codec, "b"), offsetOf(codec, "d")], [0, 4, 8]);
  assertThrows(() => offsetOf(codec, "x" as "a"), TypeError, 'struct has no member "x"');
  assertThrows(() => offsetOf(ipv4 as unknown as typeof codec, "a"), TypeError, "ipv4 has no member");
});

Deno.test("union() reads every member from the same bytes, and writes what it read", () => {
  const codec = union({ word: u32, parts: array(u8, 4), small: u8 });
  const value = decode(codec, new Uint8Array([1, 2, 3, 4]));
  assertEquals([value.word, value.parts, value.small], [0x04030201, [1, 2, 3, 4], 1]);
  assertEquals([...encode(codec, value)], [1, 2, 3, 4]);
  assertEquals([...encode(codec, { small: 9 })], [9, 0, 0, 0]);
  assertEquals(JSON.stringify(value), '{"word":67305985,"parts":[1,2,3,4],"small":1}');
  assertEquals(Deno.inspect(value), "union { word: 67305985, parts: [ 1, 2, 3, 4 ], small: 1 }");
  assertThrows(() => union({ a: u32 }, { size: 2 }), RangeError, "4 bytes of 2");
});

Deno.test("cstr() reads an array without NUL to its end, and ipv4Prefix an address as all of its bits", () => {
  assertEquals(decode(cstr(2), new Uint8Array([0x61, 0x62])), "ab");
  assertEquals(decode(ipv4Prefix, encode(ipv4Prefix, "10.1.2.3")), "10.1.2.3/32");
});

Deno.test("decode() refuses another number of bytes, and codecs sizes that no type has", () => {
  assertThrows(() => decode(u32, new Uint8Array(3)), RangeError, "3 bytes are not its size of 4");
  for (const size of [-1, 0.5, NaN]) {
    assertThrows(() => bytes(size), RangeError);
    assertThrows(() => array(u8, size), RangeError);
  }
  assertThrows(() => bits(u8, 9), RangeError, "9 bits are not from 1 to 8");
  assertThrows(() => bits(u8, 0), RangeError, "0 bits");
  assertThrows(() => enumOf({ A: 300 }, u8), RangeError, "300 is not");
});
