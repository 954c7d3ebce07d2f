import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { Btf, BtfBuilder, type BtfExt, codecFrom, decode, encode, encodeBtfExt, parseBtfExt } from "../../btf/mod.ts";
import { coreReloKinds } from "../../btf/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { Elf } from "../../elf/mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { rootToken } from "./_objects.ts";

const OPTIONS = { root: false, tools: ["clang-19"] } as const;

/** The bytes of each section by its name. */
function sectionsOf({ sections }: Elf): Map<string, Uint8Array<ArrayBuffer>> {
  return new Map(sections.map(({ name, data }) => [name, new Uint8Array(data)]));
}

/** Compiles C for bpf: the sections of the object, and the assembly. */
async function compile(
  source: string,
  target = "bpf",
): Promise<{ sections: Map<string, Uint8Array<ArrayBuffer>>; assembly: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/source.c`;
    await Deno.writeTextFile(file, source);
    const common = ["-target", target, "-g", "-O2", file];
    const object = await run("clang-19", [...common, "-c", "-o", `${folder}/object.o`]);
    assertEquals(object.code, 0, object.stderr);
    const { stdout } = await run("clang-19", [...common, "-S", "-o", "-"]);
    return { sections: sectionsOf(Elf.parse(await Deno.readFile(`${folder}/object.o`))), assembly: stdout };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const PROGRAMS = `
struct inner { int a; long b; } __attribute__((preserve_access_index));
struct outer { char name[16]; struct inner in[3]; unsigned f:3; } __attribute__((preserve_access_index));
enum en { EA = 1, EB = 7 };
static __attribute__((noinline)) int sub(struct outer *o) {
  return o->in[2].a + __builtin_preserve_field_info(o->f, 0) + __builtin_preserve_field_info(o->f, 2);
}
__attribute__((section("xdp"))) int prog(struct outer *o) {
  return sub(o) + __builtin_preserve_type_info(*(struct inner *)0, 0) + __builtin_preserve_type_info(*(struct inner *)0, 1)
    + __builtin_btf_type_id(*(struct inner *)0, 0)
    + (int)__builtin_preserve_enum_value(*(typeof(enum en) *)EB, 1);
}
__attribute__((section("tc"))) int other(struct outer *o) { return o->name[3]; }
`;

/** What the assembly says of .BTF.ext: the numbers of each record by the title of its part, null for addresses. */
function extOf(assembly: string): Map<string, (number | null)[][]> {
  const text = assembly.slice(assembly.indexOf(".section\t.BTF.ext"));
  const lines = text.slice(0, text.indexOf(".addrsig")).split("\n").filter((line) => line.includes("\t.long\t"));
  const parts = new Map<string, (number | null)[][]>();
  let [part, size, left] = ["", 0, 0];
  let record: (number | null)[] = [];
  for (let index = 7; index < lines.length; index++) {
    const [, value, note = ""] = /\.long\t(\S+)(?:\s+# (.*))?/.exec(lines[index]) ?? [];
    if (["FuncInfo", "LineInfo", "FieldReloc"].includes(note)) {
      [part, size] = [note, Number(value) / 4];
      parts.set(part, []);
    } else if (note.includes("section string offset")) left = size * Number(/\.long\t(\d+)/.exec(lines[++index])?.[1]);
    else {
      assert(left-- > 0, lines[index]);
      record.push(value.startsWith(".L") ? null : Number(value));
      if (record.length === size) {
        parts.get(part)?.push(record);
        record = [];
      }
    }
  }
  return parts;
}

kernelTest("parseBtfExt() reads what clang writes, as its assembly says", OPTIONS, async () => {
  const { sections, assembly } = await compile(PROGRAMS);
  const [btfBytes, extBytes] = [".BTF", ".BTF.ext"].map((name) => sections.get(name) as Uint8Array<ArrayBuffer>);
  const btf = Btf.parse(btfBytes);
  const ext = parseBtfExt(extBytes, btf);
  const theirs = extOf(assembly);
  const words = new DataView(extBytes.buffer);

  const funcs = ext.funcInfo.flatMap(({ records }) => records);
  assertEquals(funcs.map(({ typeId }) => [null, typeId]), theirs.get("FuncInfo"));
  assertEquals(funcs.map(({ typeId }) => btf.nameOf(typeId)).sort(), ["other", "prog", "sub"]);
  assertEquals(ext.funcInfo.map(({ section }) => section).sort(), [".text", "tc", "xdp"]);

  const lines = ext.lineInfo.flatMap(({ records }) => records);
  assertEquals(
    lines.map(({ line, column }) => line << 10 | column),
    theirs.get("LineInfo")?.map(([, , , place]) => place),
  );
  for (const [index, [, file, text]] of (theirs.get("LineInfo") ?? []).entries()) {
    assertEquals(lines[index].file, btf.text(file as number));
    assertEquals(lines[index].text, btf.text(text as number));
    assertEquals(lines[index].text, PROGRAMS.split("\n")[lines[index].line - 1]);
  }

  const relos = ext.coreRelo.flatMap(({ records }) => records);
  assertEquals(
    relos.map(({ typeId, kind }) => [typeId, coreReloKinds.indexOf(kind)]),
    theirs.get("FieldReloc")?.map(([, type, , kind]) => [type, kind]),
  );
  for (const [index, [, , access]] of (theirs.get("FieldReloc") ?? []).entries()) {
    assertEquals(relos[index].access, btf.text(access as number));
  }
  assertEquals(new Set(relos.map(({ kind }) => kind)).size, 6);
  for (const { section, records } of [...ext.funcInfo, ...ext.lineInfo, ...ext.coreRelo]) {
    const code = sections.get(section) as Uint8Array;
    for (const { insnOff } of records) assert(insnOff % 8 === 0 && insnOff < code.length, `${insnOff} in ${section}`);
  }
  assertEquals(words.getUint32(4, true), 32);

  // In another BTF, with other ids and offsets of strings, they say the same.
  const builder = new BtfBuilder();
  builder.int("first of all", 4);
  const ids = builder.addAll(btf);
  const moved = <T extends { readonly typeId: number }>(record: T): T => ({
    ...record,
    typeId: ids.get(record.typeId) as number,
  });
  const mapped = {
    funcInfo: ext.funcInfo.map(({ section, records }) => ({ section, records: records.map(moved) })),
    lineInfo: ext.lineInfo,
    coreRelo: ext.coreRelo.map(({ section, records }) => ({ section, records: records.map(moved) })),
  };
  const encoded = encodeBtfExt(mapped, builder);
  assertEquals(parseBtfExt(encoded, Btf.parse(builder.bytes())), mapped);
});

kernelTest("Btf.parse() and parseBtfExt() read what clang writes in the other byte order", OPTIONS, async () => {
  const [big, little] = await Promise.all(["bpfeb", "bpfel"].map(async (target) => {
    const { sections } = await compile(PROGRAMS, target);
    const btf = Btf.parse(sections.get(".BTF") as Uint8Array);
    return { btf, ext: parseBtfExt(sections.get(".BTF.ext") as Uint8Array, btf) };
  }));
  assertEquals([big.btf.byteOrder, little.btf.byteOrder], ["big", "little"]);
  assertEquals([...big.btf.types()], [...little.btf.types()]);
  const texts = ({ lineInfo }: BtfExt): unknown =>
    lineInfo.map(({ records }) => records.map(({ file: _, ...record }) => record));
  assertEquals(texts(big.ext), texts(little.ext));
  assertEquals([big.ext.funcInfo, big.ext.coreRelo], [little.ext.funcInfo, little.ext.coreRelo]);
  const builder = new BtfBuilder({ byteOrder: "big" });
  for (const [, type] of big.btf.types()) builder.add(type);
  const again = encodeBtfExt(big.ext, builder);
  assertEquals(parseBtfExt(again, Btf.parse(builder.bytes())), big.ext);
});

const LOADED = `
__attribute__((section("xdp"))) int counted(void *ctx) {
  unsigned int total = 2;
  unsigned int data = ((unsigned int *)ctx)[3];
  if (data & 1)
    total += 40;
  return total;
}
`;

kernelTest(
  "parseBtfExt() gives functions and lines that the kernel takes, and bpftool shows",
  { tools: ["clang-19", "bpftool"] },
  async () => {
    const { sections } = await compile(LOADED);
    const parsed = Btf.parse(sections.get(".BTF") as Uint8Array);
    const ext = parseBtfExt(sections.get(".BTF.ext") as Uint8Array, parsed);
    const builder = new BtfBuilder();
    const func = parsed.find("func", "counted") as number;
    const ids = builder.addAll(parsed, [func]);
    const lines = ext.lineInfo.find(({ section }) => section === "xdp")?.records ?? [];
    assertGreater(lines.length, 2);
    // The kernel counts instructions, where clang counts bytes.
    const lineWords = lines.flatMap(({ insnOff, file, text, line, column }) => [
      ...[insnOff / 8, builder.string(file), builder.string(text), line << 10 | column],
    ]);
    const token = rootToken();
    using btf = btfLoad(token, builder.bytes());
    const funcWords = [ext.funcInfo[0].records[0].insnOff / 8, ids.get(func) as number];
    using program = progLoad(token, {
      type: "xdp",
      name: "counted",
      license: "GPL",
      insns: sections.get("xdp") as Uint8Array<ArrayBuffer>,
      btf: {
        fd: btf,
        funcInfo: { records: new Uint8Array(Uint32Array.from(funcWords).buffer), size: 8 },
        lineInfo: { records: new Uint8Array(Uint32Array.from(lineWords).buffer), size: 16 },
      },
    });
    const { id } = objGetInfoByFd(token, program, { kind: "prog" });
    const { stdout } = await run("bpftool", ["prog", "dump", "xlated", "id", `${id}`, "linum"]);
    assertStringIncludes(stdout, "int counted(void * ctx):");
    for (const { text, line, column } of lines) {
      assertStringIncludes(stdout, `; ${text.trim()} [file:`);
      assertStringIncludes(stdout, ` line_num:${line} line_col:${column}]`);
    }
  },
);

const VALUES = `
typedef unsigned int u32;
typedef unsigned char u8;
enum color { RED, GREEN = 5, BLUE = 300 };
enum sign { MINUS = -1, PLUS = 1 };
enum wide { WIDE = 0x123456789aULL };
struct point { int x, y; };
typedef struct { short s; long long l; } anon_t;
struct packed { char c; u32 u; unsigned short h; } __attribute__((packed));
struct all {
  signed char i8; u8 u8v; short i16; unsigned short u16; int i32; u32 u32v; long long i64; unsigned long long u64v;
  __int128 i128; _Bool yes; float f; double d;
  enum color color; enum sign sign; enum wide wide; enum color unknown;
  char text[12]; const char full[4]; u8 bytes[3]; int matrix[2][3];
  struct point point; struct point points[2]; anon_t anon; struct packed packed;
  u32 b1 : 3; int b2 : 5; enum color b3 : 4; _Bool b4 : 1; unsigned long long b5 : 40; enum sign b6 : 3;
  union { u32 word; u8 octets[4]; struct { unsigned short low, high; }; };
  union named { u32 word; float real; } either;
  struct { int p; struct { int q; }; };
  void *pointer; int none[0];
};
struct all value = {
  .i8 = -5, .u8v = 250, .i16 = -3000, .u16 = 60000, .i32 = -2000000000, .u32v = 4000000000U,
  .i64 = -9000000000000000000LL, .u64v = 18000000000000000000ULL, .i128 = -170000000000LL, .yes = 1, .f = 1.5f,
  .d = -2.25e100, .color = BLUE, .sign = MINUS, .wide = WIDE, .unknown = 77, .text = "hello", .full = {'a','b','c','d'},
  .bytes = {1, 2, 255}, .matrix = {{1, -2, 3}, {4, 5, -6}}, .point = {-7, 8}, .points = {{1, 2}, {3, 4}},
  .anon = {-9, 10}, .packed = {'p', 123456789, 4321}, .b1 = 6, .b2 = -13, .b3 = GREEN, .b4 = 1, .b5 = 0x123456789aULL,
  .b6 = MINUS, .word = 0x11223344, .either = {.real = 0.5f}, .p = 11, .q = 12, .pointer = 0,
};
`;

const EXPECTED = {
  ...{ i8: -5, u8v: 250, i16: -3000, u16: 60000, i32: -2000000000, u32v: 4000000000 },
  ...{ i64: -9000000000000000000n, u64v: 18000000000000000000n, i128: -170000000000n, yes: true, f: 1.5 },
  ...{ d: -2.25e100, color: "BLUE", sign: "MINUS", wide: "WIDE", unknown: 77, text: "hello", full: "abcd" },
  ...{ bytes: [1, 2, 255], matrix: [[1, -2, 3], [4, 5, -6]], point: { x: -7, y: 8 } },
  ...{ points: [{ x: 1, y: 2 }, { x: 3, y: 4 }], anon: { s: -9, l: 10n }, packed: { c: 112, u: 123456789, h: 4321 } },
  ...{ b1: 6, b2: -13, b3: "GREEN", b4: true, b5: 0x123456789an, b6: "MINUS" },
  ...{ p: 11, q: 12, pointer: 0n, none: [] },
};

kernelTest("codecFrom() reads and writes what clang lays out in the other byte order", OPTIONS, async () => {
  const { sections } = await compile(VALUES, "bpfeb");
  const btf = Btf.parse(sections.get(".BTF") as Uint8Array);
  const data = sections.get(".data") as Uint8Array<ArrayBuffer>;
  const codec = codecFrom<Record<string, unknown>>(btf, btf.find("struct", "all") as number);
  const value = decode(codec, data);
  const { either, ...rest } = value;
  assertEquals(rest, {
    ...EXPECTED,
    ...{ word: 0x11223344, octets: [0x11, 0x22, 0x33, 0x44], low: 0x1122, high: 0x3344 },
  });
  assertEquals((either as { real: number }).real, 0.5);
  const expected = data.slice();
  expected[
    (btf.members(btf.find("struct", "all") as number).find(({ name }) => name === "full")?.bitsOffset ?? 0) / 8 + 3
  ] = 0;
  assertEquals(encode(codec, { ...value, full: "abc" }), expected);
});

kernelTest("codecFrom() reads and writes what clang lays out, for every kind of value", OPTIONS, async () => {
  const { sections } = await compile(VALUES);
  const btf = Btf.parse(sections.get(".BTF") as Uint8Array);
  const data = sections.get(".data") as Uint8Array<ArrayBuffer>;
  const id = btf.find("struct", "all") as number;
  const codec = codecFrom<Record<string, unknown>>(btf, id);
  assertEquals([codec.size, codec.alignment], [data.length, 16]);
  const value = decode(codec, data);
  const { either, ...rest } = value;
  assertEquals(rest, {
    ...EXPECTED,
    ...{ word: 0x11223344, octets: [0x44, 0x33, 0x22, 0x11], low: 0x3344, high: 0x1122 },
  });
  assertEquals((either as { real: number }).real, 0.5);
  assertEquals((either as { word: number }).word, 0x3f000000);

  // A string has to have room for its NUL where it is written.
  const shorter: Record<string, unknown> = { ...value, full: "abc" };
  const expected = data.slice();
  expected[(btf.members(id).find(({ name }) => name === "full")?.bitsOffset ?? 0) / 8 + 3] = 0;
  assertEquals(encode(codec, shorter), expected);
  // Of an anonymous union one member is enough, and others have to agree.
  const { low: _low, high: _high, octets: _octets, ...one } = shorter;
  assertEquals(encode(codec, { ...one, either: { real: 0.5 } }), expected);
  let message = "";
  try {
    encode(codec, { ...shorter, word: 5 });
  } catch (error) {
    assert(error instanceof RangeError);
    message = error.message;
  }
  assert(message.includes("word shares its bytes"), message);
  assertGreater(btf.typeCount, 30);
});
