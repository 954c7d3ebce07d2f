import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  Btf,
  BtfBuilder,
  type BtfCoreRelo,
  type CoreReloKind,
  coreReloKinds,
  CoreResolver,
  type CoreResult,
  patchCoreInsn,
  POISON_CALL,
} from "../../../btf/mod.ts";
import { NotSupportedError } from "../../../errors.ts";

/** A BTF of one struct, with an int before its members for each of `before`. */
function btf(build: (builder: BtfBuilder, int: number) => unknown, base?: Btf): Btf {
  const builder = base === undefined ? new BtfBuilder() : new BtfBuilder({ base });
  build(builder, builder.int("int", 4, "signed"));
  return Btf.parse(builder.bytes(), { base });
}

const local = btf((builder, int) =>
  builder.struct("s___mine", 8, [{ name: "a", typeId: int, bitsOffset: 0 }, { name: "b", typeId: int, bitsOffset: 32 }])
);
const relo = (kind: CoreReloKind, access = "0:1", typeId = 2): BtfCoreRelo => ({ insnOff: 0, typeId, access, kind });
const moved = (name: string, bitsOffset: number) => (builder: BtfBuilder, int: number): unknown =>
  builder.struct(name, 64, [{ name: "b", typeId: int, bitsOffset }]);

Deno.test("CoreResolver finds a member where the kernel has it, flavors aside", () => {
  const resolver = new CoreResolver(local, { kernel: btf(moved("s", 96)) });
  const { original, value, text } = resolver.resolve(relo("field_byte_offset"));
  assertEquals([original, value], [4n, 12n]);
  assertEquals(text, "<byte_off> [2] struct s___mine.b (0:1 @ offset 4)");
  assertEquals(resolver.resolve(relo("field_exists", "0:0")).value, 0n);
  assertEquals(resolver.resolve(relo("field_byte_offset", "0:0")).value, undefined);
});

Deno.test("CoreResolver looks at modules only where the kernel has nothing of the name", () => {
  const kernel = btf((builder, int) => builder.struct("other", 4, [{ name: "b", typeId: int, bitsOffset: 0 }]));
  let asked = 0;
  const modules = (): Btf[] => {
    asked++;
    return [btf(moved("s", 64), kernel)];
  };
  const resolver = new CoreResolver(local, { kernel, modules });
  assertEquals(resolver.resolve(relo("field_byte_offset")).value, 8n);
  assertEquals(resolver.resolve(relo("type_id_target", "0")).value, BigInt(kernel.typeCount + 1));
  assertEquals(asked, 1);
  const full = new CoreResolver(local, { kernel: btf(moved("s", 32)), modules });
  assertEquals(full.resolve(relo("field_byte_offset")).value, 4n);
  assertEquals(asked, 1);
});

Deno.test("CoreResolver refuses types of the kernel that differ, and names the relocation", () => {
  const kernel = btf((builder, int) => {
    moved("s", 32)(builder, int);
    moved("s___old", 64)(builder, int);
  });
  const error = assertThrows(
    () => new CoreResolver(local, { kernel }).resolve(relo("field_byte_offset")),
    NotSupportedError,
  );
  assertStringIncludes(error.message, "<byte_off> [2] struct s___mine.b (0:1 @ offset 4)");
  assertStringIncludes(error.message, "bit 32 in one, 64 in another");
});

Deno.test("CoreResolver refuses accesses that make no sense", () => {
  const resolver = new CoreResolver(local, { kernel: btf(moved("s", 32)) });
  const wrong: readonly [BtfCoreRelo, string][] = [
    [relo("field_exists", "0:2"), "has no member 2"],
    [relo("field_exists", "0:1:0"), "a step into a type of kind int"],
    [relo("field_exists", "0:x"), "not made of numbers"],
    [relo("field_exists", ""), "not made of numbers"],
    [relo("field_exists", Array(65).fill(0).join(":")), "more than 64 steps"],
    [relo("type_exists", "0:0"), "as a whole"],
    [relo("enumval_value", "0"), "no such value of an enum"],
    [relo("field_exists", "0", 99), "there is no such type"],
  ];
  for (const [one, words] of wrong) {
    assertStringIncludes(assertThrows(() => resolver.resolve(one), SyntaxError).message, words);
  }
});

Deno.test("CoreResolver reads bitfields in the smallest unit that holds them, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const builder = new BtfBuilder({ byteOrder: littleEndian ? "little" : "big" });
    const int = builder.int("int", 4, "signed");
    builder.struct("s", 8, [{ name: "f", typeId: int, bitsOffset: 30, bitfieldSize: 5 }]);
    const types = Btf.parse(builder.bytes());
    const resolver = new CoreResolver(types, { kernel: types });
    const value = (kind: CoreReloKind): bigint | undefined => resolver.resolve(relo(kind, "0:0")).value;
    assertEquals(value("field_byte_offset"), 0n);
    assertEquals(value("field_byte_size"), 8n);
    assertEquals(value("field_signed"), 1n);
    assertEquals(value("field_lshift_u64"), littleEndian ? 29n : 30n);
    assertEquals(value("field_rshift_u64"), 59n);
  }
});

const RESULT: CoreResult = {
  original: 4n,
  value: 12n,
  exact: true,
  access: undefined,
  sizeMatters: false,
  target: undefined,
  matches: [],
  text: "<byte_off> [2] struct s.b (0:1 @ offset 4)",
};
const insns = (...bytes: number[]): Uint8Array => new Uint8Array(bytes);

Deno.test("patchCoreInsn() writes into every form of instruction", () => {
  const alu = insns(0xb7, 1, 0, 0, 4, 0, 0, 0);
  assertEquals(patchCoreInsn(alu, 0, RESULT), false);
  assertEquals([...alu], [0xb7, 1, 0, 0, 12, 0, 0, 0]);
  const load = insns(0x61, 0x12, 4, 0, 0, 0, 0, 0);
  patchCoreInsn(load, 0, { ...RESULT, access: { original: 4, size: 8 } });
  assertEquals([...load], [0x79, 0x12, 12, 0, 0, 0, 0, 0]);
  const wide = insns(0x18, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  patchCoreInsn(wide, 0, { ...RESULT, value: 0x1_0000_0002n });
  assertEquals([...wide], [0x18, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
});

Deno.test("patchCoreInsn() poisons what the kernel lacks, and signed numbers of another size", () => {
  const wide = insns(0x18, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  assertEquals(patchCoreInsn(wide, 0, { ...RESULT, value: undefined }), true);
  assertEquals([...new Int32Array(wide.buffer)], [0x85, POISON_CALL, 0x85, POISON_CALL]);
  const load = insns(0x61, 0x12, 4, 0, 0, 0, 0, 0);
  assertEquals(patchCoreInsn(load, 0, { ...RESULT, sizeMatters: true }), true);
  assertEquals(load[0], 0x85);
});

Deno.test("patchCoreInsn() refuses instructions that cannot be adapted", () => {
  const wrong: readonly [Uint8Array, number, Partial<CoreResult>, string][] = [
    [insns(0xb7, 1, 0, 0, 5, 0, 0, 0), 0, {}, "it holds 5, but was compiled with 4"],
    [insns(0xbf, 0x12, 0, 0, 0, 0, 0, 0), 0, {}, "but a register"],
    [insns(0x61, 0x12, 4, 0, 0, 0, 0, 0), 0, { value: 0x8000n }, "offset 32768 is more than 32767"],
    [
      insns(0x69, 0x12, 4, 0, 0, 0, 0, 0),
      0,
      { access: { original: 4, size: 8 } },
      "it accesses 2 bytes, the field has 4",
    ],
    [insns(0x61, 0x12, 4, 0, 0, 0, 0, 0), 0, { access: { original: 4, size: 3 } }, "3 bytes cannot be accessed"],
    [insns(0x05, 0, 0, 0, 4, 0, 0, 0), 0, {}, "its code 0x5 takes no number"],
    [insns(0x18, 0x11, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, {}, "no 64-bit load of a number"],
    [insns(0x18, 1, 0, 0, 4, 0, 0, 0), 0, {}, "lacks its second half"],
    [insns(0xb7, 1, 0, 0, 4, 0, 0, 0), 1, {}, "there are 1 instructions"],
  ];
  for (const [bytes, index, change, words] of wrong) {
    const before = [...bytes];
    const error = assertThrows(() => patchCoreInsn(bytes, index, { ...RESULT, ...change }), SyntaxError);
    assertStringIncludes(error.message, words);
    assertEquals([...bytes], before);
  }
});

Deno.test("CoreResolver answers every kind for types that name themselves, or ends with an error of its own", () => {
  const loops = btf((builder, int) => {
    const next = builder.nextId;
    builder.struct("s", 8, [{ name: "", typeId: next, bitsOffset: 0 }, { name: "b", typeId: int, bitsOffset: 0 }]);
    const pointer = builder.nextId;
    builder.ptr(pointer);
    builder.typedef("p", pointer);
  });
  let refused = 0;
  for (const kind of coreReloKinds) {
    for (const typeId of [2, 3, 4]) {
      try {
        new CoreResolver(loops, { kernel: loops }).resolve(relo(kind, kind.startsWith("field") ? "0:1" : "0", typeId));
      } catch (error) {
        if (!(error instanceof SyntaxError) && !(error instanceof NotSupportedError)) throw error;
        refused++;
      }
    }
  }
  assertEquals(refused > 10, true);
});
