import { assert, assertEquals, assertThrows } from "@std/assert";
import { BtfBuilder } from "../../../btf/mod.ts";
import { BpfObject } from "../../../object/mod.ts";
import { relocationBytes, writeObject, type WrittenSection, type WrittenSymbol } from "./_elf_writer.ts";

const FUNC = 0x12;
const VARIABLE = 0x11;
/** The first section's number, after those of strings and symbols. */
const FIRST = 3;

/** Instructions by their bytes, in hexadecimal. */
function insns(...hex: string[]): Uint8Array {
  return Uint8Array.fromHex(hex.join("").replaceAll(" ", ""));
}

const EXIT = "9500000000000000";
const call = (distance: number): string => {
  const imm = new Uint8Array(new Int32Array([distance]).buffer).toHex();
  return `85100000${imm}`;
};

function code(name: string, bytes: Uint8Array): WrittenSection {
  return { name, flags: 4, bytes };
}

function refused(sections: readonly WrittenSection[], symbols: readonly WrittenSymbol[], reason: string): void {
  const error = assertThrows(() => BpfObject.parse(writeObject(sections, symbols)), SyntaxError, reason);
  const { offset, section } = error as SyntaxError & { offset: number; section: string };
  assertEquals([typeof offset, typeof section], ["number", "string"]);
}

/** What something takes, which has to be in proportion to what it is given. */
function within<T>(milliseconds: number, work: () => T): T {
  const start = performance.now();
  const result = work();
  const took = performance.now() - start;
  assert(took < milliseconds, `it took ${took} ms`);
  return result;
}

Deno.test("BpfObject.parse() refuses code that makes no sense, with section and offset", () => {
  const main = { name: "main", info: FUNC, section: FIRST, value: 0, size: 16 };
  const two = insns(EXIT, EXIT);
  refused([code("tc", two)], [{ ...main, size: 24 }], "ends at 24 of 16 bytes");
  refused([code("tc", two)], [{ ...main, value: 4 }], "is not made of whole slots");
  refused([code("tc", two)], [main, { ...main, name: "b", value: 8, size: 8 }], "begins inside of another");
  refused([code("tc", insns(call(100), EXIT))], [main], "a call goes to slot 101");
  refused([code("tc", insns(call(-2), EXIT))], [{ ...main, value: 8, size: 8 }, { ...main, size: 8 }], "slot -1");
  const relocated = (offset: number, symbol: number, bytes = two): WrittenSection[] => [
    code("tc", bytes),
    { name: ".reltc", type: 9, bytes: relocationBytes([{ offset, symbol }]), info: FIRST },
  ];
  refused(relocated(4, 1), [main], "a relocation is not at an instruction");
  refused(relocated(0, 1), [main], "cannot be given the address of main");
  refused(relocated(1 << 20, 1), [main], "1048576");
  refused(relocated(0, 99), [main], "99");
  const load = insns("1801000000000000 0000000000000000");
  refused(relocated(8, 1, insns(EXIT, "1801000000000000")), [main], "the second slot of an instruction is missing");
  refused(
    relocated(0, 2, load),
    [main, { ...main, name: "x", info: VARIABLE, section: 0xfff1 }],
    "x is nowhere in the object",
  );
  refused(
    relocated(0, 2, load),
    [main, { ...main, name: "x", info: VARIABLE, section: 1 }],
    "which holds no variables",
  );
  refused(
    relocated(0, 2, load),
    [main, { name: "e", info: 0x10, section: 0, value: 0, size: 0 }],
    "the object has no BTF",
  );
  refused([{ name: ".maps", bytes: new Uint8Array(8) }], [], "its maps have no BTF");
  refused([{ name: ".data", bytes: two }, { name: ".data", bytes: two }], [], "there is another section of the name");
});

Deno.test("BpfObject links functions that call each other in a circle once each", () => {
  // main calls one, one calls two, two calls one and itself.
  const bytes = insns(call(1), EXIT, call(1), EXIT, call(-3), call(-2), EXIT);
  const text = (name: string, value: number, size: number): WrittenSymbol => {
    return { name, info: FUNC, section: FIRST, value, size };
  };
  const object = BpfObject.parse(
    writeObject([code("tc", bytes)], [text("main", 0, 16), text("one", 16, 16), text("two", 32, 24)]),
  );
  const { insnCount, functions } = object.needs.programs.main;
  assertEquals([insnCount, functions], [7, ["one", "two"]]);
});

Deno.test("BpfObject.needs links deep chains of calls, and refuses programs without end", () => {
  const count = 20_000;
  const chain = Array.from({ length: count }, (_, index) => index < count - 1 ? call(1) + EXIT : EXIT + EXIT).join("");
  const symbols = Array.from({ length: count }, (_, index): WrittenSymbol => {
    return { name: `f${index}`, info: index === 0 ? FUNC : FUNC & 0x0f, section: FIRST, value: 16 * index, size: 16 };
  });
  const object = within(4000, () => BpfObject.parse(writeObject([code("tc", insns(chain))], symbols)));
  assertEquals(within(2000, () => object.needs.programs.f0.insnCount), 2 * count);
  // As programs all of them, each with what it calls, they would come to 200 million instructions.
  const all = BpfObject.parse(
    writeObject([code("tc", insns(chain))], symbols.map((symbol) => ({ ...symbol, info: FUNC }))),
  );
  assertThrows(() => within(8000, () => all.needs), RangeError, "all programs come to more than");
});

Deno.test("BpfObject.parse() takes many maps, with many slots, in time", () => {
  const count = 5_000;
  const builder = new BtfBuilder();
  const [int, u32] = [builder.int("int", 4, "signed"), builder.int("unsigned int", 4)];
  const number = (value: number): number => builder.ptr(builder.array(int, value, int));
  const inner = builder.struct("inner", 24, [
    { name: "type", typeId: number(2), bitsOffset: 0 },
    { name: "max_entries", typeId: number(1), bitsOffset: 64 },
    { name: "value", typeId: builder.ptr(u32), bitsOffset: 128 },
  ]);
  const outer = builder.struct("outer", 24, [
    { name: "type", typeId: number(12), bitsOffset: 0 },
    { name: "max_entries", typeId: number(4), bitsOffset: 64 },
    { name: "key", typeId: builder.ptr(u32), bitsOffset: 128 },
    { name: "values", typeId: builder.array(builder.ptr(inner), 0, int), bitsOffset: 192 },
  ]);
  const size = 56;
  const vars = Array.from({ length: count }, (_, index) => ({
    typeId: builder.var(`m${index}`, outer, "global"),
    offset: size * index,
    size,
  }));
  builder.datasec(".maps", size * count, vars);
  const relocations = vars.flatMap(({ offset }, index) =>
    [0, 1, 3].map((slot) => ({ offset: offset + 24 + 8 * slot, symbol: (index * 7) % count + 1 }))
  );
  const symbols = vars.map(({ offset }, index): WrittenSymbol => {
    return { name: `m${index}`, info: VARIABLE, section: FIRST, value: offset, size };
  });
  const bytes = writeObject([
    { name: ".maps", flags: 3, bytes: new Uint8Array(size * count) },
    { name: ".rel.maps", type: 9, bytes: relocationBytes(relocations), info: FIRST },
    { name: ".BTF", bytes: builder.bytes() },
  ], symbols);
  const { maps } = within(4000, () => BpfObject.parse(bytes)).spec;
  assertEquals(Object.keys(maps).length, count);
  assertEquals(maps.m3.slots, [0, 1, 3].map((index) => ({ index, name: "m21" })));
  assertEquals([maps.m3.type, maps.m3.inner?.type, maps.m3.inner?.valueSize], ["array_of_maps", "array", 4]);
});
