import { assertEquals, assertGreater } from "@std/assert";
import {
  array,
  bits,
  bool,
  bytes,
  type Codec,
  cstr,
  encode,
  f32,
  f64,
  i128,
  i16,
  i32,
  i64,
  i8,
  ipv6,
  offsetOf,
  pad,
  struct,
  type StructFields,
  u128,
  u16,
  u32,
  u64,
  u8,
  union,
} from "../../../mod.ts";
import type { BitfieldMember } from "../../../codec.ts";
import { kernelTest } from "../../_kernel_test.ts";
import { run, toolPath } from "../../_tools.ts";

/** C types with the codecs that stand for them. */
const SCALARS: Readonly<Record<string, Codec<unknown>>> = {
  "unsigned char": u8,
  "signed char": i8,
  "unsigned short": u16,
  "short": i16,
  "unsigned int": u32,
  "int": i32,
  "unsigned long long": u64,
  "long long": i64,
  "unsigned __int128": u128,
  "__int128": i128,
  "float": f32,
  "double": f64,
  "_Bool": bool,
};

const NAMES = Object.keys(SCALARS);

/** A stream of numbers that is the same each time. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed;
  while (true) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    yield state >>> 8;
  }
}

interface Made {
  readonly declaration: string;
  readonly codec: Codec<unknown> | BitfieldMember<unknown>;
}

/** A field of some type: its C declaration and its codec. */
function field(name: string, next: () => number, depth: number): Made {
  const type = NAMES[next() % NAMES.length];
  switch (next() % (depth > 0 ? 8 : 6)) {
    case 0: {
      const length = 1 + next() % 5;
      return { declaration: `${type} ${name}[${length}];`, codec: array(SCALARS[type], length) };
    }
    case 1: {
      const size = 1 + next() % 20;
      return { declaration: `char ${name}[${size}];`, codec: next() % 2 === 0 ? cstr(size) : bytes(size) };
    }
    case 2:
    case 3: {
      const integers = NAMES.filter((one) => !/float|double|128/.test(one));
      const base = integers[next() % integers.length];
      const width = base === "_Bool" ? 1 : 1 + next() % (8 * SCALARS[base].size);
      return { declaration: `${base} ${name} : ${width};`, codec: bits(SCALARS[base], width) };
    }
    case 6: {
      const inner = fields(next, depth - 1);
      return { declaration: `struct { ${inner.text} } ${name};`, codec: struct(inner.codecs) };
    }
    case 7: {
      const members: [string, Codec<unknown>][] = [];
      const text: string[] = [];
      for (let index = 0; index < 1 + next() % 3; index++) {
        const member = NAMES[next() % NAMES.length];
        text.push(`${member} m${index};`);
        members.push([`m${index}`, SCALARS[member]]);
      }
      return { declaration: `union { ${text.join(" ")} } ${name};`, codec: union(Object.fromEntries(members)) };
    }
    default:
      return { declaration: `${type} ${name};`, codec: SCALARS[type] };
  }
}

function fields(next: () => number, depth = 2): { text: string; codecs: StructFields } {
  const count = 1 + next() % 7;
  const made = Array.from({ length: count }, (_, index) => field(`f${index}`, next, depth));
  return {
    text: made.map(({ declaration }) => declaration).join(" "),
    codecs: Object.fromEntries(made.map(({ codec }, index) => [`f${index}`, codec])),
  };
}

const COUNT = 400;

kernelTest("struct() lays out what clang lays out: sizes, alignments and offsets of 400 structs", {
  root: false,
  tools: ["clang-19"],
}, async () => {
  const stream = numbers(20260701);
  const next = (): number => stream.next().value;
  const lines: string[] = [];
  let [offsets, fieldsOfBits, packedOnes] = [0, 0, 0];
  for (let index = 0; index < COUNT; index++) {
    const { text, codecs } = fields(next);
    const packed = index % 5 === 0;
    const alignment = index % 7 === 0 ? 32 : undefined;
    const codec = struct(codecs, { packed, alignment });
    const attributes = [...(packed ? ["packed"] : []), ...(alignment === undefined ? [] : [`aligned(${alignment})`])];
    lines.push(`struct s${index} { ${text} } __attribute__((${attributes.join(", ")}));`);
    lines.push(`_Static_assert(sizeof(struct s${index}) == ${codec.size}, "size of s${index}");`);
    lines.push(`_Static_assert(_Alignof(struct s${index}) == ${codec.alignment}, "alignment of s${index}");`);
    packedOnes += packed ? 1 : 0;
    for (const [name, one] of Object.entries(codecs)) {
      if (!("decode" in one)) {
        fieldsOfBits++;
        continue;
      }
      offsets++;
      lines.push(
        `_Static_assert(__builtin_offsetof(struct s${index}, ${name}) == ${
          offsetOf(codec as Codec<Record<string, unknown>>, name)
        }, "s${index}.${name}");`,
      );
    }
  }
  assertGreater(offsets, COUNT);
  assertGreater(fieldsOfBits, 100);
  assertEquals(packedOnes, COUNT / 5);
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a.c`, lines.join("\n"));
    const clang = toolPath("clang-19") ?? "clang";
    const { code, stderr } = await run(clang, ["-fsyntax-only", "-Wno-everything", `${folder}/a.c`]);
    assertEquals(code, 0, stderr.slice(0, 2000));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest("bit-fields have the bits that clang gives them", { root: false, tools: ["clang-19"] }, async () => {
  const codec = struct({
    a: bits(u32, 3),
    b: bits(i32, 13),
    c: bits(u64, 37),
    d: bits(u8, 5),
    e: bits(bool, 1),
    f: u16,
    g: bits(i64, 64),
    h: bits(u16, 9),
    _: pad(0),
    i: bits(u16, 9),
  });
  const value = { a: 5, b: -4000, c: 0x15_5555_aaaan, d: 19, e: true, f: 0xbeef, g: -2n, h: 0x155, i: 0x0ab };
  const source = `
    #include <stdio.h>
    struct s { unsigned a : 3; int b : 13; unsigned long long c : 37; unsigned char d : 5; _Bool e : 1; unsigned short f;
      long long g : 64; unsigned short h : 9; unsigned short i : 9; };
    int main(void) {
      union { struct s s; unsigned char bytes[sizeof(struct s)]; } u = { .bytes = { 0 } };
      u.s.a = 5; u.s.b = -4000; u.s.c = 0x155555aaaaULL; u.s.d = 19; u.s.e = 1; u.s.f = 0xbeef; u.s.g = -2;
      u.s.h = 0x155; u.s.i = 0x0ab;
      for (unsigned n = 0; n < sizeof u.bytes; n++) printf("%02x", u.bytes[n]);
    }`;
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a.c`, source);
    const built = await run(toolPath("clang-19") ?? "clang", ["-o", `${folder}/a`, `${folder}/a.c`]);
    assertEquals(built.code, 0, built.stderr);
    const { stdout } = await run(`${folder}/a`, []);
    assertEquals(encode(codec, value).toHex(), stdout.trim());
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  assertEquals(ipv6.alignment, 4);
});
