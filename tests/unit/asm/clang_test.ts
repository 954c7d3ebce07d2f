import { assertEquals } from "@std/assert";
import * as asm from "../../../asm/mod.ts";
import { kernelTest } from "../../_kernel_test.ts";
import { hasTool, run } from "../../_tools.ts";

const { r0, r1, r10, r2, r3, r9 } = asm;

/** A line of clang's assembly, and the instruction that a builder makes for it. */
type Row = readonly [string, asm.Insn];

const BOTH = [["r", asm.alu64], ["w", asm.alu32]] as const;

const ALU: readonly (readonly [string, asm.AluOp])[] = [
  ["+=", "add"],
  ["-=", "sub"],
  ["*=", "mul"],
  ["/=", "div"],
  ["s/=", "sdiv"],
  ["|=", "or"],
  ["&=", "and"],
  ["<<=", "lsh"],
  [">>=", "rsh"],
  ["%=", "mod"],
  ["s%=", "smod"],
  ["^=", "xor"],
  ["=", "mov"],
  ["s>>=", "arsh"],
];

const alu: readonly Row[] = BOTH.flatMap(([r, build]) =>
  ALU.flatMap(([symbol, op]): Row[] => [
    [`${r}1 ${symbol} ${r}9`, build(op, r1, r9)],
    [`${r}0 ${symbol} 7`, build(op, r0, 7)],
    [`${r}9 ${symbol} -7`, build(op, r9, -7)],
    [`${r}3 ${symbol} 0x7fffffff`, build(op, r3, 0x7fffffff)],
    [`${r}3 ${symbol} -0x80000000`, build(op, r3, -0x80000000)],
  ])
);

const unary: readonly Row[] = [
  ["r3 = -r3", asm.neg64(r3)],
  ["w3 = -w3", asm.neg32(r3)],
  ["r1 = (s8)r2", asm.movsx64(r1, r2, 8)],
  ["r1 = (s16)r2", asm.movsx64(r1, r2, 16)],
  ["r1 = (s32)r2", asm.movsx64(r1, r2, 32)],
  ["w1 = (s8)w2", asm.movsx32(r1, r2, 8)],
  ["w1 = (s16)w2", asm.movsx32(r1, r2, 16)],
  ["r1 = addr_space_cast(r2, 0, 1)", asm.addrSpaceCast(r1, r2, 0, 1)],
  ["r1 = addr_space_cast(r2, 1, 0)", asm.addrSpaceCast(r1, r2, 1, 0)],
  ...([16, 32, 64] as const).flatMap((bits): Row[] => [
    [`r2 = le${bits} r2`, asm.le(r2, bits)],
    [`r2 = be${bits} r2`, asm.be(r2, bits)],
    [`r2 = bswap${bits} r2`, asm.bswap(r2, bits)],
  ]),
];

const SIZES: readonly (readonly [number, asm.Size])[] = [[8, "b"], [16, "h"], [32, "w"], [64, "dw"]];

const memory: readonly Row[] = SIZES.flatMap(([bits, size]): Row[] => [
  [`r1 = *(u${bits} *)(r10 - 8)`, asm.ldx(size, r1, r10, -8)],
  [`r9 = *(u${bits} *)(r2 + 32767)`, asm.ldx(size, r9, r2, 32767)],
  [`*(u${bits} *)(r10 - 32768) = r1`, asm.stx(size, r10, r1, -32768)],
  [`*(u${bits} *)(r10 - 8) = -5`, asm.st(size, r10, -8, -5)],
  [`*(u${bits} *)(r10 + 0) = 0x7fffffff`, asm.st(size, r10, 0, 0x7fffffff)],
  ...(size === "dw" ? [] : [
    [`r1 = *(s${bits} *)(r10 - 8)`, asm.ldsx(size, r1, r10, -8)],
    [`r0 = *(u${bits} *)skb[12]`, asm.ldAbs(size, 12)],
    [`r0 = *(u${bits} *)skb[r2]`, asm.ldInd(size, r2)],
  ] satisfies Row[]),
]);

const atomics: readonly Row[] = (["+=", "|=", "&=", "^="] as const).flatMap((symbol, index): Row[] => {
  const op = (["add", "or", "and", "xor"] as const)[index];
  return [
    [`lock *(u64 *)(r1 + 8) ${symbol} r2`, asm.atomic("dw", op, r1, r2, 8)],
    [`lock *(u32 *)(r1 - 8) ${symbol} w2`, asm.atomic("w", op, r1, r2, -8)],
    [`r2 = atomic_fetch_${op}((u64 *)(r1 + 8), r2)`, asm.atomic("dw", `fetch_${op}`, r1, r2, 8)],
    [`w2 = atomic_fetch_${op}((u32 *)(r1 - 8), w2)`, asm.atomic("w", `fetch_${op}`, r1, r2, -8)],
  ];
});

/** Written in another way by clang than by the kernel, and so not understood by `parse`. */
const foreign: readonly Row[] = [
  ["r2 = xchg_64(r1 + 8, r2)", asm.atomic("dw", "xchg", r1, r2, 8)],
  ["w2 = xchg32_32(r1 + 8, w2)", asm.atomic("w", "xchg", r1, r2, 8)],
  ["r0 = cmpxchg_64(r1 + 8, r0, r2)", asm.atomic("dw", "cmpxchg", r1, r2, 8)],
  ["w0 = cmpxchg32_32(r1 + 8, w0, w2)", asm.atomic("w", "cmpxchg", r1, r2, 8)],
];

const JMP: readonly (readonly [string, asm.JmpOp])[] = [
  ["==", "jeq"],
  ["!=", "jne"],
  [">", "jgt"],
  [">=", "jge"],
  ["<", "jlt"],
  ["<=", "jle"],
  ["&", "jset"],
  ["s>", "jsgt"],
  ["s>=", "jsge"],
  ["s<", "jslt"],
  ["s<=", "jsle"],
];

const jumps: readonly Row[] = [
  ...([["r", asm.jmp], ["w", asm.jmp32]] as const).flatMap(([r, build]) =>
    JMP.flatMap(([symbol, op]): Row[] => [
      [`if ${r}1 ${symbol} ${r}2 goto +5`, build(op, r1, r2, 5)],
      [`if ${r}9 ${symbol} 7 goto -5`, build(op, r9, 7, -5)],
      [`if ${r}9 ${symbol} -7 goto +32767`, build(op, r9, -7, 32767)],
    ])
  ),
  ["goto +5", asm.ja(5)],
  ["goto -32768", asm.ja(-32768)],
  ["gotol +30000", asm.gotol(30000)],
  ["gotol -30000", asm.gotol(-30000)],
  ["may_goto +3", asm.mayGoto(3)],
  ["call 1", asm.call("map_lookup_elem")],
  ["exit", asm.exit()],
];

const wide: readonly Row[] = [0n, 1n, -1n, 0x7fffffffn, 0x80000000n, 0x123456789abcdef0n, -(1n << 63n)].map((n) => [
  `r3 = ${n} ll`,
  asm.ldImm64(r3, n),
]);

/** A function of a program in labels, and the same in text. */
const LABELS = `
  r0 = 0
  if r1 == 0 goto out
  r2 = 81985529216486895 ll
again:
  r0 += 1
  if w0 != 5 goto again
  goto out
  gotol again
out:
  exit
`;

const labels: readonly asm.Item[] = [
  asm.mov64(r0, 0),
  asm.jmp("jeq", r1, 0, "out"),
  asm.ldImm64(r2, 0x123456789abcdefn),
  asm.label("again"),
  asm.add64(r0, 1),
  asm.jmp32("jne", r0, 5, "again"),
  asm.ja("out"),
  asm.gotol("again"),
  asm.label("out"),
  asm.exit(),
];

/** The contents of the section .text of a 64-bit little-endian ELF file. */
function textSection(elf: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(elf.buffer);
  const headers = Number(view.getBigUint64(40, true));
  const header = (index: number): { name: number; start: number; size: number } => ({
    name: view.getUint32(headers + index * 64, true),
    start: Number(view.getBigUint64(headers + index * 64 + 24, true)),
    size: Number(view.getBigUint64(headers + index * 64 + 32, true)),
  });
  const names = header(view.getUint16(62, true)).start;
  const ascii = new TextDecoder();
  for (let index = 1; index < view.getUint16(60, true); index++) {
    const { name, start, size } = header(index);
    if (ascii.decode(elf.subarray(names + name, names + name + 6)) === ".text\0") return elf.slice(start, start + size);
  }
  throw new Error("clang left no .text");
}

async function clang(source: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a.s`, source);
    const { code, stderr } = await run(CLANG, ["-target", "bpf", "-mcpu=v4", "-c", "a.s", "-o", "a.o"], {
      cwd: folder,
    });
    if (code !== 0) throw new Error(`clang refuses the assembly:\n${stderr}`);
    return textSection(await Deno.readFile(`${folder}/a.o`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CLANG = hasTool("clang-19") ? "clang-19" : "clang";

function clangTest(name: string, fn: () => Promise<void>): void {
  kernelTest(name, { root: false, tools: [CLANG] }, fn);
}

const GROUPS: Readonly<Record<string, readonly Row[]>> = {
  arithmetic: alu,
  "moves, casts and byte orders": unary,
  "loads and stores": memory,
  "atomic operations": [...atomics, ...foreign],
  "jumps, calls and exit": jumps,
  "64-bit numbers": wide,
};

for (const [name, rows] of Object.entries(GROUPS)) {
  clangTest(`encode() gives clang's bytes for ${name}`, async () => {
    const bytes = await clang(rows.map(([text]) => `${text}\n`).join(""));
    const built = asm.decode(bytes);
    assertEquals(
      rows.map(([text], index) => [text, asm.encode([built[index]])]),
      rows.map(([text, insn]) => [text, asm.encode([insn])]),
    );
    assertEquals(asm.encode(rows.map(([, insn]) => insn)), bytes);
  });
}

for (const [name, rows] of Object.entries(GROUPS)) {
  Deno.test(`parse() reads clang's text of ${name}`, () => {
    for (const [text, insn] of rows) {
      if (!foreign.some(([other]) => other === text)) {
        assertEquals(asm.encode(asm.parse(text)), asm.encode([insn]), text);
      }
    }
  });
}

clangTest("assemble() and parse() give clang's bytes for labels", async () => {
  const bytes = await clang(LABELS);
  assertEquals(asm.assemble(labels), bytes);
  assertEquals(asm.encode(asm.parse(LABELS)), bytes);
});
