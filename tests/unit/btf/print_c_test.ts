import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, printC } from "../../../btf/mod.ts";
import { hasTool, run } from "../../_tools.ts";
import { everyKind, everyValue } from "../../_btf_everything.ts";

/** Prints, and lets clang look at it where there is one. */
async function printed(builder: BtfBuilder, ids?: readonly number[], checks = ""): Promise<string> {
  const text = printC(Btf.parse(builder.bytes()), ids);
  if (hasTool("clang-19")) {
    const { code, stderr } = await run("clang-19", [
      "-target",
      "bpf",
      "-fsyntax-only",
      "-Wno-visibility",
      "-x",
      "c",
      "-",
    ], {
      stdin: text + checks,
    });
    assertEquals(code, 0, `${stderr}\n${text}`);
  }
  return text;
}

Deno.test("printC() prints declarators as C has them", async () => {
  const b = new BtfBuilder();
  const int = b.int("int", 4, "signed");
  const u32 = b.int("unsigned int", 4);
  const constInt = b.qualified("const", int);
  const rows = b.array(b.array(int, 3, u32), 2, u32);
  const proto = b.funcProto(int, [{ name: "", typeId: int }, { name: "", typeId: 0 }]);
  const none = b.funcProto(0, []);
  const members: [name: string, typeId: number, expected: string, size?: number][] = [
    ["a", b.ptr(constInt), "const int *a"],
    ["b", b.qualified("const", b.ptr(int)), "int * const b"],
    ["c", b.ptr(b.qualified("const", b.ptr(constInt))), "const int * const *c"],
    ["d", rows, "int d[2][3]", 24],
    ["e", b.ptr(rows), "int (*e)[2][3]"],
    ["f", b.array(b.ptr(int), 2, u32), "int *f[2]", 16],
    ["g", b.ptr(proto), "int (*g)(int, ...)"],
    ["h", b.array(b.ptr(proto), 2, u32), "int (*h[2])(int, ...)", 16],
    [
      "i",
      b.ptr(b.funcProto(b.ptr(proto), [{ name: "", typeId: b.ptr(none) }])),
      "int (*(*i)(void (*)(void)))(int, ...)",
    ],
    ["j", b.qualified("volatile", b.qualified("const", b.array(int, 2, u32))), "volatile const int j[2]"],
    ["k", b.ptr(b.ptr(b.ptr(0))), "void ***k"],
    ["l", b.qualified("restrict", b.ptr(0)), "void * restrict l"],
    ["m", b.ptr(b.typeTag("user", b.qualified("const", int))), 'const int __attribute__((btf_type_tag("user"))) *m'],
    ["default", int, "int default_"],
    ["n", b.qualified("const", b.qualified("const", int)), "const int n", 4],
  ];
  let offset = 0;
  const laidOut = members.map(([name, typeId, , size = 8]) => {
    const member = { name, typeId, bitsOffset: 8 * offset };
    offset += Math.ceil(size / 8) * 8;
    return member;
  });
  const text = await printed(b, [b.struct("all", offset, laidOut)]);
  for (const [, , expected] of members) assertStringIncludes(text, `\t${expected};\n`);
});

Deno.test("printC() orders definitions, and declares what is only pointed to", async () => {
  const b = new BtfBuilder();
  const other = b.ptr(b.nextId + 1);
  const inner = b.struct("inner", 8, [{ name: "outer", typeId: b.nextId + 1, bitsOffset: 0 }]);
  b.ptr(b.nextId + 1);
  const outer = b.struct("outer", 24, [
    { name: "inner", typeId: inner, bitsOffset: 0 },
    { name: "self", typeId: b.nextId + 2, bitsOffset: 64 },
    { name: "gone", typeId: b.nextId + 4, bitsOffset: 128 },
  ]);
  b.ptr(b.typedef("outer_t", outer));
  b.ptr(b.fwd("gone"));
  b.ptr(other);
  const c = new BtfBuilder();
  const ids = c.addAll(Btf.parse(b.bytes()));
  const text = await printed(c, [ids.get(outer) as number]);
  const places = ["struct outer;", "struct inner {", "typedef struct outer outer_t;", "struct gone;", "struct outer {"]
    .map((part) => text.indexOf(part));
  assertEquals(places, places.toSorted((x, y) => x - y));
  assertEquals(places.includes(-1), false, text);
});

Deno.test("printC() gives the layout by padding, bit padding and packing", async () => {
  const b = new BtfBuilder();
  const u8 = b.int("unsigned char", 1);
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long", 8);
  const packed = b.struct("packed", 5, [
    { name: "a", typeId: u8, bitsOffset: 0 },
    { name: "b", typeId: u32, bitsOffset: 8 },
  ]);
  const aligned = b.struct("aligned", 128, [
    { name: "a", typeId: u8, bitsOffset: 0 },
    { name: "b", typeId: u64, bitsOffset: 512 },
  ]);
  const bits = b.struct("bits", 16, [
    { name: "a", typeId: u32, bitsOffset: 3, bitfieldSize: 2 },
    { name: "b", typeId: u32, bitsOffset: 21, bitfieldSize: 4 },
    { name: "c", typeId: u8, bitsOffset: 40 },
    { name: "d", typeId: u64, bitsOffset: 64, bitfieldSize: 33 },
  ]);
  const inside = b.struct("inside", 7, [
    { name: "p", typeId: packed, bitsOffset: 0 },
    { name: "q", typeId: u8, bitsOffset: 48 },
  ]);
  const straddling = b.struct("straddling", 5, [
    { name: "a", typeId: u32, bitsOffset: 0, bitfieldSize: 30 },
    { name: "b", typeId: u32, bitsOffset: 30, bitfieldSize: 10 },
  ]);
  const union = b.union("roomy", 12, [{ name: "a", typeId: u32, bitsOffset: 0 }]);
  const empty = b.struct("empty", 0, []);
  const opaque = b.struct("opaque", 3, []);
  const named = b.struct("", 4, [{ name: "x", typeId: u32, bitsOffset: 0 }]);
  const parent = b.struct("parent", 16, [
    { name: "", typeId: named, bitsOffset: 0 },
    // Members of a named struct among their parent's: what -fms-extensions allows.
    { name: "", typeId: union, bitsOffset: 32 },
  ]);
  const sizes = { packed: 5, aligned: 128, bits: 16, inside: 7, straddling: 5, empty: 0, opaque: 3, parent: 16 };
  const checks = Object.entries(sizes).map(([name, size]) =>
    `_Static_assert(sizeof(struct ${name}) == ${size}, "${name}");`
  );
  checks.push(
    '_Static_assert(sizeof(union roomy) == 12, "roomy");',
    '_Static_assert(__builtin_offsetof(struct aligned, b) == 64, "b");',
    '_Static_assert(__builtin_offsetof(struct inside, q) == 6, "q");',
    '_Static_assert(__builtin_offsetof(struct bits, c) == 5, "c");',
    '_Static_assert(__builtin_offsetof(struct parent, a) == 4, "a");',
    // Bits are where they are: clang folds what a constant's bytes are.
    "struct bits bit_value = { .a = 3, .b = 15, .c = 1, .d = 0x1ffffffffULL };",
  );
  const ids = [packed, aligned, bits, inside, straddling, union, empty, opaque, parent];
  const text = await printed(b, ids, checks.join("\n"));
  assertStringIncludes(text, "} __attribute__((packed));");
});

Deno.test("printC() names what comes twice, what C has already, and what C cannot name", async () => {
  const b = new BtfBuilder();
  const int = b.int("int", 4, "signed");
  const first = b.struct("same", 4, [{ name: "a", typeId: int, bitsOffset: 0 }]);
  const second = b.struct("same", 8, [
    { name: "a", typeId: int, bitsOffset: 0 },
    { name: "b", typeId: first, bitsOffset: 32 },
  ]);
  b.union("same", 4, [{ name: "u", typeId: int, bitsOffset: 0 }]);
  b.ptr(b.fwd("same"));
  b.typedef("same", second);
  b.typedef("same", int);
  b.enum("colors", [{ name: "RED", val: 1 }, { name: "same", val: 2 }]);
  b.enum("more", [{ name: "RED", val: 3 }]);
  b.typedef("__builtin_va_list", int);
  b.struct("core::option<u8>", 4, [{ name: "0", typeId: int, bitsOffset: 0 }]);
  b.typedef("i33", b.int("i33", 8, "signed"));
  b.typedef("longer", b.float("long double", 16));
  b.typedef("char_t", b.int("long int", 4, "signed"));
  const text = await printed(b);
  for (
    const part of [
      ...[
        "struct same {",
        "struct same___2 {",
        "union same___3 {",
        "\tstruct same b;",
        "typedef struct same___2 same;",
      ],
      ...[
        "typedef int same___2;",
        "\tRED = 1,",
        "\tRED___2 = 3,",
        "\tsame___3 = 2,",
        "typedef int __builtin_va_list_;",
      ],
      ...["struct _core__option_u8_ {", "\tint _0;", "typedef long i33;", "typedef unsigned __int128 long_double"],
    ]
  ) assertStringIncludes(text.replace("_long_double", "long_double"), part);
});

Deno.test("printC() prints enums of all sizes with all values", async () => {
  const b = new BtfBuilder();
  const ids = [
    b.enum("tiny", [{ name: "TINY", val: 200 }], 1),
    b.enum("half", [{ name: "HALF", val: -2 }], 2),
    b.enum("whole", [{ name: "LOWEST", val: -(2 ** 31) }, { name: "HIGHEST", val: 2 ** 31 - 1 }]),
    b.enum("unsigned_", [{ name: "TOP", val: 2 ** 32 - 1 }]),
    b.enum64("wide", [{ name: "WIDE", val: 2n ** 64n - 1n }, { name: "NARROW", val: 0n }]),
    b.enum64("low", [{ name: "LOW", val: -(2n ** 63n) }]),
    b.enum64("small", [{ name: "SMALL", val: 1n }]),
    // One that is only declared is the one of its name.
    b.ptr(b.enum("wide", [])),
  ];
  const checks = [
    ...["TINY == 200", "HALF == -2", "LOWEST == -2147483647 - 1", "HIGHEST == 2147483647", "TOP == 4294967295"],
    ...["WIDE == 18446744073709551615ULL", "NARROW == 0", "LOW == -9223372036854775807LL - 1", "SMALL == 1"],
    ...["sizeof(enum tiny) == 1", "sizeof(enum half) == 2", "sizeof(enum whole) == 4", "sizeof(enum unsigned_) == 4"],
    ...["sizeof(enum wide) == 8", "sizeof(enum low) == 8", "sizeof(enum small) == 8"],
  ];
  await printed(b, ids, checks.map((check) => `_Static_assert(${check}, "${check}");\n`).join(""));
});

Deno.test("printC() prints an anonymous enum once, and functions and variables where asked", async () => {
  const b = new BtfBuilder();
  const anonymous = b.enum("", [{ name: "ONE", val: 1 }]);
  const holder = b.struct("holder", 8, [
    { name: "a", typeId: anonymous, bitsOffset: 0 },
    { name: "b", typeId: anonymous, bitsOffset: 32 },
  ]);
  b.enum("", [{ name: "ALONE", val: 7 }]);
  const func = b.func("work", b.funcProto(0, [{ name: "h", typeId: b.ptr(holder) }]));
  const variable = b.var("counter", holder);
  const section = b.datasec(".bss", 8, [{ typeId: variable, offset: 0, size: 8 }]);
  const tag = b.declTag("important", func);
  const all = await printed(b);
  assertEquals(all.split("ONE = 1").length, 2);
  assertStringIncludes(all, "ALONE = 7");
  assertStringIncludes(all, "\tunsigned int b;");
  assertEquals(all.includes("work"), false);
  const asked = await printed(b, [tag, section]);
  assertStringIncludes(asked, "extern void work(struct holder *);");
  assertStringIncludes(asked, "extern struct holder counter;");
});

Deno.test("printC() of BTF with every kind compiles", async () => {
  assertStringIncludes(await printed(everyKind()), "#ifndef __VMLINUX_H__");
  const { builder, struct, size } = everyValue();
  await printed(builder, [struct], `_Static_assert(sizeof(struct everything) == ${size}, "size");`);
  await printed(everyValue("big").builder);
  assertThrows(() => printC(Btf.parse(everyKind().bytes()), [99]), RangeError);
});
