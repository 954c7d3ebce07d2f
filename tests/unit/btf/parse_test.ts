import { assert, assertEquals, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, btfKindNumber, btfKinds } from "../../../btf/mod.ts";
import { everyKind, everyValue } from "../../_btf_everything.ts";
import { malformedBy, rawBtf } from "./_hostile.ts";

const INT = 1 << 24;
const STRUCT = 4 << 24;

Deno.test("Btf.parse() reads both byte orders, aligned or not, to the same types", () => {
  const little = Btf.parse(everyValue("little").builder.bytes());
  const big = Btf.parse(everyValue("big").builder.bytes());
  assertEquals([little.byteOrder, big.byteOrder], ["little", "big"]);
  assertEquals([...big.types()], [...little.types()]);
  const bytes = everyValue().builder.bytes();
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  assertEquals([...Btf.parse(shifted.subarray(3)).types()], [...little.types()]);
  assertEquals(big.find("struct", "everything"), little.find("struct", "everything"));
});

Deno.test("Btf.parse() names the place of what is malformed", () => {
  const name = [0, 0, 0];
  const cases: [bytes: Uint8Array, offset: number, reason: string][] = [
    [new Uint8Array(0), 0, "magic number"],
    [new Uint8Array(30), 0, "magic number"],
    [rawBtf([]).subarray(0, 20), 20, "24 bytes"],
    [rawBtf([]).fill(2, 2, 3), 2, "version 2"],
    [rawBtf([]).fill(8, 3, 4), 3, "flags"],
    [rawBtf([], "\0", { 4: 20 }), 4, "header of 20 bytes"],
    [rawBtf([], "\0", { 4: 1000 }), 4, "header of 1000 bytes"],
    [rawBtf([], "\0", { 8: 2 }), 8, "not aligned"],
    [rawBtf([], "\0", { 12: 3 }), 12, "multiple of 4"],
    [rawBtf([], "\0", { 12: 400 }), 12, "past the end"],
    [rawBtf(name, "\0", { 16: 4 }), 16, "before the types end"],
    [rawBtf([], "\0", { 20: 0xffffffff }), 20, "past the end"],
    [rawBtf([], "x\0"), 24, "first string"],
    [rawBtf([], "\0x"), 25, "last string"],
    [rawBtf([0, 0]), 24, "cut off"],
    [rawBtf([0, 0, 0]), 28, "no kind 0"],
    [rawBtf([0, 20 << 24, 0]), 28, "no kind 20"],
    [rawBtf([0, INT, 4]), 24, "cut off"],
    [rawBtf([0, STRUCT | 2, 4, 0, 0, 0]), 24, "cut off"],
    [rawBtf([0, STRUCT | 0xffffff, 4]), 24, "cut off"],
    [rawBtf([0, INT, 4, 3 << 24 | 32]), 36, "no encoding 3"],
    [rawBtf([0, INT, 3, 24]), 32, "not 3"],
    [rawBtf([0, INT, 4, 33]), 36, "do not fit"],
    [rawBtf([5, INT, 4, 32], "\0ab\0"), 24, "a name at 5"],
    [rawBtf([0, 2 << 24, 2]), 32, "no type 2"],
    [rawBtf([0, STRUCT | 1, 4, 0, 9, 0]), 40, "no type 9"],
    [rawBtf([0, STRUCT | 1, 4, 9, 0, 0]), 36, "a name at 9"],
    [rawBtf([0, 13 << 24 | 1, 0, 0, 7]), 40, "no type 7"],
    [rawBtf([0, 3 << 24, 0, 0, 7, 1]), 40, "no type 7"],
    [rawBtf([0, 12 << 24 | 3, 0]), 28, "no linkage 3"],
    [rawBtf([0, 14 << 24, 0, 4]), 28, "no linkage 4"],
    [rawBtf([0, 17 << 24, 0, -2]), 36, "no component -2"],
    [rawBtf([0, 6 << 24, 3]), 32, "not 3"],
    [rawBtf([0, 16 << 24, 1]), 32, "not 1"],
    [rawBtf([0, 15 << 24 | 1, 4, 3, 0, 4]), 36, "no type 3"],
  ];
  for (const [bytes, offset, reason] of cases) {
    const error = malformedBy(() => Btf.parse(bytes), bytes.length);
    assertEquals([error.offset, error.message.includes(reason)], [offset, true], `${reason}: ${error.message}`);
    assertEquals(Btf.tryParse(bytes), undefined);
  }
});

Deno.test("Btf.parse() takes the longer vlen and header of newer kernels", () => {
  const count = 70_000;
  const words = [0, (4 << 24 | count) >>> 0, 4];
  for (let index = 0; index < count; index++) words.push(0, 0, 0);
  const btf = Btf.parse(rawBtf(words));
  assertEquals(btf.members(1).length, count);
  const longer = new Uint8Array([...rawBtf([]).subarray(0, 24), ...new Uint8Array(8), 0]);
  longer[4] = 32;
  assertEquals(Btf.parse(longer).typeCount, 1);
});

Deno.test("Btf.type() and others refuse an id that is none", () => {
  const btf = Btf.parse(everyKind().bytes());
  for (const id of [-1, btf.typeCount, 0.5, NaN, 2 ** 40]) {
    for (
      const method of ["type", "kindOf", "nameOf", "resolve", "sizeOf", "alignOf", "members", "composite"] as const
    ) {
      assertThrows(() => btf[method](id), RangeError, "Cannot find BTF type", method);
    }
  }
  assertEquals(btf.type(0), { kind: "void", name: "" });
  assertEquals([btf.kindOf(0), btf.nameOf(0), btf.sizeOf(0), btf.alignOf(0)], ["void", "", undefined, undefined]);
  assertThrows(() => btf.text(1 << 20), RangeError, "strings");
});

Deno.test("Btf.find() tells kinds and prefixes apart", () => {
  const builder = new BtfBuilder();
  const first = builder.int("a", 4);
  const second = builder.struct("a", 0, []);
  const third = builder.struct("ab", 0, []);
  const fourth = builder.struct("a", 4, []);
  const accented = builder.struct("é", 0, []);
  const btf = Btf.parse(builder.bytes());
  assertEquals([btf.find("int", "a"), btf.find("struct", "a"), btf.find("struct", "ab")], [first, second, third]);
  assertEquals(btf.findAll("struct", "a"), [second, fourth]);
  assertEquals(btf.find("struct", "é"), accented);
  assertEquals([btf.find("union", "a"), btf.find("struct", "abc"), btf.find("struct", "a\0b")], [
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("Btf.find() finds the same one by one as in the table that it makes when that has gone on for a while", () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const expected = new Map<string, number[]>();
  for (let number = 0; number < 300; number++) {
    // Every third name is there three times, and all are there as another kind.
    const name = `n${number % 3 === 0 ? number % 100 : number}`;
    builder.typedef(name, int);
    const id = builder.struct(name, 4, [{ name: "a", typeId: int, bitsOffset: 0 }]);
    expected.set(name, [...expected.get(name) ?? [], id]);
  }
  const btf = Btf.parse(builder.bytes());
  for (let round = 0; round < 3; round++) {
    for (const [name, ids] of expected) {
      assertEquals([btf.find("struct", name), btf.findAll("struct", name)], [ids[0], ids], name);
    }
    assertEquals([btf.find("struct", "n"), btf.findAll("union", "n0"), btf.find("struct", "n0x")], [
      undefined,
      [],
      undefined,
    ]);
  }
});

Deno.test("Btf.member() finds members in anonymous ones and by a path, and nothing else", () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const inner = builder.struct("", 8, [
    { name: "b", typeId: int, bitsOffset: 0 },
    { name: "flag", typeId: int, bitsOffset: 32, bitfieldSize: 1 },
  ]);
  const either = builder.union("", 8, [{ name: "", typeId: inner, bitsOffset: 0 }, {
    name: "c",
    typeId: int,
    bitsOffset: 0,
  }]);
  const named = builder.struct("named", 12, [
    { name: "a", typeId: int, bitsOffset: 0 },
    { name: "", typeId: either, bitsOffset: 32 },
  ]);
  const outer = builder.struct("outer", 16, [
    { name: "first", typeId: int, bitsOffset: 0 },
    {
      name: "n",
      typeId: builder.typedef("named_t", builder.add({ kind: "const", name: "", typeId: named })),
      bitsOffset: 32,
    },
  ]);
  const btf = Btf.parse(builder.bytes());
  const at = (id: number, path: string): readonly number[] | undefined => {
    const member = btf.member(id, path);
    return member && [member.bitsOffset, member.bitfieldSize, member.typeId];
  };
  assertEquals(at(named, "a"), [0, 0, int]);
  assertEquals(at(named, "b"), [32, 0, int]);
  assertEquals(at(named, "c"), [32, 0, int]);
  assertEquals(at(outer, "n.flag"), [96, 1, int]);
  assertEquals(btf.member(outer, "n.flag")?.name, "flag");
  for (const path of ["", "n.", ".a", "b", "n.none", "first.a", "n.a.b", "firs", "first\0"]) {
    assertEquals(at(outer, path), undefined, path);
  }
  assertEquals(btf.member(int, "a"), undefined);
  assertThrows(() => btf.member(99, "a"), RangeError, "99");
});

Deno.test("Btf.member() refuses anonymous members that are nested in a circle", () => {
  const btf = Btf.parse(rawBtf([0, STRUCT | 1, 4, 0, 1, 0]));
  assertThrows(() => btf.member(1, "a"), SyntaxError, "nested more than 32 deep");
  // Without a circle, but with more ways through than anyone could go.
  const builder = new BtfBuilder();
  let inner = builder.struct("", 0, []);
  for (let level = 0; level < 30; level++) {
    inner = builder.struct("", 0, [0, 0].map((bitsOffset) => ({ name: "", typeId: inner, bitsOffset })));
  }
  const start = performance.now();
  assertEquals(Btf.parse(builder.bytes()).member(inner, "a"), undefined);
  assert(performance.now() - start < 1000);
});

Deno.test("Btf.bytes are the caller's own, but of trusted BTF a copy", () => {
  const bytes = everyKind().bytes();
  assert(Btf.parse(bytes).bytes === bytes);
  const trusted = Btf.parse(bytes, { trusted: true });
  assert(trusted.bytes !== bytes);
  assertEquals(trusted.bytes, bytes);
  assertEquals([...trusted.types()], [...Btf.parse(bytes).types()]);
});

Deno.test("Btf.parse() of split BTF finds names and types of a base of a base", () => {
  const first = new BtfBuilder();
  const int = first.int("int", 4, "signed");
  const base = Btf.parse(first.bytes());
  const second = new BtfBuilder({ base });
  const pair = second.struct("pair", 8, [{ name: "int", typeId: int, bitsOffset: 0 }]);
  const middle = Btf.parse(second.bytes(), { base });
  const third = new BtfBuilder({ base: middle });
  const outer = third.typedef("pair", pair);
  const top = Btf.parse(third.bytes(), { base: middle });
  assertEquals([top.firstId, top.typeCount], [3, 4]);
  assertEquals([top.find("int", "int"), top.find("struct", "pair"), top.find("typedef", "pair")], [int, pair, outer]);
  assertEquals([top.sizeOf(outer), top.alignOf(outer), top.resolve(outer)], [8, 4, pair]);
  assertEquals(top.members(outer)[0].name, "int");
  malformedBy(() => Btf.parse(third.bytes()), 100);
  const big = new BtfBuilder({ byteOrder: "big" }).bytes();
  assert(malformedBy(() => Btf.parse(big, { base }), big.length).message.includes("endian"));
  assertThrows(() => new BtfBuilder({ base, byteOrder: "big" }), TypeError, "big-endian");
});

Deno.test("Btf.members() takes the bitfields of old BTF from the member's type", () => {
  const builder = new BtfBuilder();
  const bits = builder.add({ kind: "int", name: "unsigned int", size: 4, bitsOffset: 2, nrBits: 3, encoding: "none" });
  const id = builder.struct("old", 4, [{ name: "three", typeId: bits, bitsOffset: 8 }]);
  assertEquals(Btf.parse(builder.bytes()).members(id), [{
    ...{ name: "three", typeId: bits, bitsOffset: 10, bitfieldSize: 3 },
  }]);
});

Deno.test("btfKindNumber() counts as BTF_KIND_* do", () => {
  assertEquals(btfKinds.map(btfKindNumber), btfKinds.map((_, index) => index));
  assertEquals([btfKindNumber("int"), btfKindNumber("datasec"), btfKindNumber("enum64")], [1, 15, 19]);
});
