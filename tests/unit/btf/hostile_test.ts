import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, codecFrom, formatValue, parseBtfExt, printC, printTypeScript } from "../../../btf/mod.ts";
import { doubling, malformedBy, rawBtf } from "./_hostile.ts";

/** Milliseconds that refusing or indexing 10 MB may take; tests may run beside others. */
const LIMIT = 1000;

function timed<T>(work: () => T, what: string, limit = LIMIT): T {
  const start = performance.now();
  const result = work();
  assertLess(performance.now() - start, limit, what);
  return result;
}

/** All that follows types, which has to refuse the type. */
function refused(btf: Btf, id: number, length: number): void {
  const bytes = new Uint8Array(btf.kindOf(id) === "struct" || btf.kindOf(id) === "union" ? btf.sizeOf(id) ?? 0 : 0);
  for (
    const work of [
      () => btf.alignOf(id),
      () => printC(btf, [id]),
      () => codecFrom(btf, id),
      () => printTypeScript(btf, [id]),
      () => formatValue(btf, id, bytes),
    ]
  ) timed(() => malformedBy(work, length), "refusing");
}

Deno.test("types that stand for each other in a circle are refused", () => {
  for (const kind of ["typedef", "const", "volatile", "restrict"] as const) {
    const builder = new BtfBuilder();
    const add = (typeId: number): number =>
      kind === "typedef" ? builder.typedef("name", typeId) : builder.qualified(kind, typeId);
    const [first] = [add(2), add(1)];
    const bytes = builder.bytes();
    const btf = Btf.parse(bytes);
    const { offset } = malformedBy(() => btf.resolve(first), bytes.length);
    assertEquals(offset, 24);
    malformedBy(() => btf.sizeOf(first), bytes.length);
    malformedBy(() => btf.members(first), bytes.length);
    refused(btf, first, bytes.length);
    if (kind === "typedef") malformedBy(() => printC(btf), bytes.length);
  }
});

Deno.test("a struct that holds itself is refused, by itself and in all", () => {
  const builder = new BtfBuilder();
  const id = builder.struct("self", 8, [{ name: "inner", typeId: 2, bitsOffset: 0 }]);
  builder.array(id, 1, 3);
  builder.int("unsigned int", 4);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  assertEquals(btf.sizeOf(id), 8);
  refused(btf, id, bytes.length);
  malformedBy(() => printC(btf), bytes.length);
});

Deno.test("arrays and vars in a circle, and arrays beyond 4 GiB, are refused", () => {
  const builder = new BtfBuilder();
  const u32 = builder.int("unsigned int", 4);
  const circle = builder.array(builder.nextId, 2, u32);
  const variable = builder.var("v", builder.nextId);
  const huge = builder.array(builder.array(u32, 0xffffffff, u32), 0xffffffff, u32);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  for (const id of [circle, variable, huge]) malformedBy(() => btf.sizeOf(id), bytes.length);
  for (const id of [circle, variable]) malformedBy(() => btf.alignOf(id), bytes.length);
});

Deno.test("what is nested too deep is refused the same way whatever was asked before", () => {
  const builder = new BtfBuilder();
  let inner = builder.int("int", 4, "signed");
  const ids = [inner];
  for (let level = 0; level < 60; level++) {
    inner = builder.struct(`s${level}`, 4, [{ name: "inner", typeId: inner, bitsOffset: 0 }]);
    ids.push(inner);
  }
  const bytes = builder.bytes();
  const direct = Btf.parse(bytes);
  const stepwise = Btf.parse(bytes);
  const answer = (btf: Btf, id: number): boolean => {
    try {
      return btf.alignOf(id) === 4;
    } catch {
      return false;
    }
  };
  for (const id of ids.toReversed()) {
    const fresh = Btf.parse(bytes);
    assertEquals(answer(fresh, id), answer(direct, id), `${id}`);
  }
  for (const id of ids) assertEquals(answer(stepwise, id), answer(direct, id), `${id}`);
  assertEquals([answer(direct, ids[31]), answer(direct, ids[60])], [true, false]);
});

Deno.test("anonymous types that are written out endlessly are refused", () => {
  const { builder, id } = doubling(30);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  timed(() => malformedBy(() => codecFrom(btf, id), bytes.length), "codecFrom()");
  for (
    const work of [
      () => printC(btf, [id]),
      () => printC(btf),
      () => printTypeScript(btf, [id]),
      () => formatValue(btf, id, new Uint8Array(1)),
    ]
  ) {
    timed(() => malformedBy(work, bytes.length), "printing");
  }
});

Deno.test("functions whose parameters are functions are refused where they go on endlessly", () => {
  const builder = new BtfBuilder();
  let inner = builder.int("int", 4, "signed");
  for (let level = 0; level < 60; level++) {
    const pointer = builder.ptr(inner);
    inner = builder.funcProto(0, [{ name: "", typeId: pointer }, { name: "", typeId: pointer }]);
  }
  const id = builder.typedef("function", builder.ptr(inner));
  const bytes = builder.bytes();
  timed(() => malformedBy(() => printC(Btf.parse(bytes), [id]), bytes.length), "printC()");

  const circle = new BtfBuilder();
  circle.typedef("circle", 2);
  circle.ptr(3);
  circle.funcProto(0, [{ name: "", typeId: 2 }]);
  circle.typedef("anonymous", 5);
  circle.struct("", 8, [{ name: "self", typeId: 6, bitsOffset: 0 }]);
  circle.ptr(5);
  const both = Btf.parse(circle.bytes());
  malformedBy(() => printC(both, [1]), 1000);
  malformedBy(() => printC(both, [4]), 1000);
  // A pointer is an address, wherever it leads.
  assertEquals(codecFrom(both, 4).size, 8);
});

Deno.test("a chain of a hundred thousand pointers is refused by printC() and sized by sizeOf()", () => {
  const builder = new BtfBuilder();
  const count = 100_000;
  for (let index = 0; index < count; index++) builder.ptr(index);
  const id = builder.typedef("deep", count);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  assertEquals(btf.sizeOf(id), 8);
  timed(() => malformedBy(() => printC(btf, [id]), bytes.length), "printC()");
  assertEquals(codecFrom(btf, id).size, 8);
});

Deno.test("four billion values without bytes are refused", () => {
  const builder = new BtfBuilder();
  const u32 = builder.int("unsigned int", 4);
  const id = builder.array(builder.struct("empty", 0, []), 0xffffffff, u32);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  assertEquals(btf.sizeOf(id), 0);
  timed(() => malformedBy(() => codecFrom(btf, id), bytes.length), "codecFrom()");
  timed(() => malformedBy(() => formatValue(btf, id, new Uint8Array(0)), bytes.length), "formatValue()");
});

Deno.test("members outside of their struct, and those that would be a prototype, are refused", () => {
  const builder = new BtfBuilder();
  const u32 = builder.int("unsigned int", 4);
  const outside = builder.struct("outside", 4, [{ name: "late", typeId: u32, bitsOffset: 32 }]);
  const proto = builder.struct("proto", 4, [{ name: "__proto__", typeId: u32, bitsOffset: 0 }]);
  const wide = builder.struct("wide", 4, [{ name: "bits", typeId: u32, bitsOffset: 30, bitfieldSize: 3 }]);
  const odd = builder.struct("odd", 8, [{ name: "odd", typeId: u32, bitsOffset: 3 }]);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  for (const id of [outside, proto, wide, odd]) malformedBy(() => codecFrom(btf, id), bytes.length);
  for (const id of [outside, wide, odd]) {
    malformedBy(() => formatValue(btf, id, new Uint8Array(btf.sizeOf(id) ?? 0)), bytes.length);
    malformedBy(() => printC(btf, [id]), bytes.length);
  }
});

Deno.test("10 MB of hostile BTF are refused or indexed in under a second", () => {
  const count = 10_000_000 / 12;
  const words = (make: (index: number) => readonly number[], length: number): number[] => {
    const all: number[] = [];
    for (let index = 0; index < length; index++) for (const word of make(index)) all.push(word);
    return all;
  };
  // Each names the string before it and a byte more, so that the names are as long as the file in sum.
  const long = `\0${"x".repeat(2_000_000)}\0`;
  const files: [name: string, bytes: Uint8Array<ArrayBuffer>][] = [
    ["pointers", rawBtf(words((index) => [0, 2 << 24, index], count))],
    ["long names", rawBtf(words((index) => [1 + index, 8 << 24, 0], count * 0.7), long)],
    ["one name", rawBtf(words(() => [1, 8 << 24, 0], count), "\0same\0")],
    ["members", rawBtf([0, (4 << 24 | 800_000) >>> 0, 4, ...words(() => [0, 0, 0], 800_000)])],
    ["a bad end", rawBtf([...words(() => [0, 2 << 24, 0], count), 0, 2 << 24, 0xffffffff])],
    ["zeros", rawBtf(new Array(2_500_000).fill(0))],
    ["strings", rawBtf([], "\0".repeat(10_000_000))],
  ];
  for (const [name, bytes] of files) {
    timed(() => {
      const btf = Btf.tryParse(bytes);
      if (btf === undefined) return;
      assertEquals(btf.find("struct", "none"), undefined);
      btf.find("typedef", "same");
    }, name);
  }
});

Deno.test("text that overlaps to more than anyone could read is refused", () => {
  const words: number[] = [];
  for (let index = 0; index < 300_000; index++) words.push(1 + index % 1000, 8 << 24, 0);
  const bytes = rawBtf(words, `\0${"x".repeat(2000)}\0`.slice(0, 1024) + "\0");
  const btf = Btf.parse(bytes);
  malformedBy(() => printC(btf), bytes.length);
  const members = [0, (4 << 24 | 700_000) >>> 0, 0];
  for (let index = 0; index < 700_000; index++) members.push(1 + index % 900, 2, 0);
  const struct = rawBtf([...members, 0, 3 << 24, 0, 3, 3, 0, 2002, 1 << 24, 4, 32], `\0${"x".repeat(2000)}\0int\0`);
  const wide = Btf.parse(struct.fill(0, 24 + 4 * members.length + 40 + 1020, 24 + 4 * members.length + 40 + 1021));
  malformedBy(() => printC(wide, [1]), struct.length);
  malformedBy(() => printTypeScript(wide, [1]), struct.length);
  const other = new BtfBuilder();
  const long = "y".repeat(1000);
  assertThrows(
    () => {
      for (let index = 0; index < 20_000; index++) other.string(`${index}${long}`);
    },
    RangeError,
    "16 MiB",
  );
});

Deno.test("Btf.type() refuses a name of more than 1024 bytes", () => {
  const bytes = rawBtf([1, 8 << 24, 0], `\0${"x".repeat(1025)}\0`);
  const btf = Btf.parse(bytes);
  assertEquals(malformedBy(() => btf.type(1), bytes.length).offset, 24 + 12 + 1);
  assertEquals(btf.text(1, 5000).length, 1025);
  assert(Btf.parse(rawBtf([1, 8 << 24, 0], `\0${"x".repeat(1024)}\0`)).nameOf(1).length === 1024);
});

Deno.test("parseBtfExt() names the place of what is malformed", () => {
  const btf = Btf.parse(rawBtf([0, 2 << 24, 0], "\0text\0"));
  const ext = (...words: number[]): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(4 + 4 * words.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x0001eb9f, true);
    words.forEach((word, index) => view.setUint32(4 + 4 * index, word, true));
    return bytes;
  };
  const cases: [bytes: Uint8Array, offset: number, reason: string][] = [
    [new Uint8Array(3), 0, "magic"],
    [ext(24), 8, "header"],
    [ext(1, 0, 0, 0, 0), 4, "header of 1 "],
    [ext(24, 2, 8, 0, 0, 8, 1), 8, "not aligned"],
    [ext(24, 0, 100, 0, 0), 12, "past the end"],
    [ext(24, 0, 4, 0, 0, 4), 24, "record of 4 bytes"],
    [ext(24, 0, 8, 0, 0, 8, 1), 28, "cut off"],
    [ext(24, 0, 12, 0, 0, 8, 1, 0), 32, "no records"],
    [ext(24, 0, 12, 0, 0, 8, 1, 0xffffffff), 32, "past the end"],
    [ext(24, 0, 20, 0, 0, 8, 99, 1, 0, 0), 28, "a string at 99"],
    [ext(24, 0, 20, 0, 0, 8, 1, 1, 0, 2), 40, "no type 2"],
    [ext(32, 0, 0, 0, 0, 0, 28, 16, 1, 1, 0, 1, 1, 13), 56, "no relocation kind 13"],
  ];
  for (const [bytes, offset, reason] of cases) {
    const error = malformedBy(() => parseBtfExt(bytes, btf), bytes.length);
    assertEquals([error.offset, error.message.includes(reason)], [offset, true], `${reason}: ${error.message}`);
  }
});
