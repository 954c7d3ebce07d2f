import { assertEquals, assertThrows } from "@std/assert";
import * as asm from "../../../asm/mod.ts";

const { r0, r1, r10, r2 } = asm;

function raw(code: number, fields: Partial<asm.Insn> = {}): asm.Insn {
  return { code, dst: 0, src: 0, off: 0, imm: 0, ...fields };
}

/** Instructions, the kernel's text, and the source where that is another. */
const TEXTS: readonly (readonly [asm.Insn, string, string?])[] = [
  [asm.mov64(r0, 0), "(b7) r0 = 0"],
  [asm.mov32(r0, r1), "(bc) w0 = w1"],
  [asm.mov64(r0, 0xffff_ffff), "(b7) r0 = -1"],
  [asm.sdiv64(r1, r2), "(3f) r1 s/= r2"],
  [asm.smod32(r1, 3), "(94) w1 s%= 3"],
  [asm.movsx64(r1, r2, 8), "(bf) r1 = (s8)r2"],
  [asm.movsx32(r1, r2, 16), "(bc) w1 = (s16)w2"],
  [asm.neg32(r1), "(84) w1 = -w1"],
  [asm.bswap(r0, 32), "(d7) r0 = bswap32 r0"],
  [asm.be(r0, 16), "(dc) r0 = be16 r0"],
  [asm.le(r0, 64), "(d4) r0 = le64 r0"],
  [asm.addrSpaceCast(r1, r2, 0, 1), "(bf) r1 = addr_space_cast(r2, 0, 1)"],
  [asm.ldx("w", r0, r1), "(61) r0 = *(u32 *)(r1 +0)"],
  [asm.ldsx("b", r0, r1, -1), "(91) r0 = *(s8 *)(r1 -1)"],
  [asm.stx("w", r10, r1, -4), "(63) *(u32 *)(r10 -4) = r1"],
  [asm.st("b", r10, -4, -7), "(72) *(u8 *)(r10 -4) = -7"],
  [asm.atomic("dw", "add", r1, r2), "(db) lock *(u64 *)(r1 +0) += r2"],
  [asm.atomic("w", "fetch_or", r1, r2), "(c3) r2 = atomic_fetch_or((u32 *)(r1 +0), r2)"],
  [asm.atomic("dw", "fetch_add", r1, r2), "(db) r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)"],
  [asm.atomic("dw", "xchg", r1, r2), "(db) r2 = atomic64_xchg((u64 *)(r1 +0), r2)"],
  [asm.atomic("w", "cmpxchg", r1, r2), "(c3) r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)"],
  [asm.atomic("b", "load_acquire", r1, r2, 3), "(d3) r1 = load_acquire((u8 *)(r2 +3))"],
  [asm.atomic("h", "store_release", r1, r2, -3), "(cb) store_release((u16 *)(r1 -3), r2)"],
  [asm.ldAbs("b", -5), "(30) r0 = *(u8 *)skb[-5]"],
  [asm.ldInd("h", r1, -5), "(48) r0 = *(u16 *)skb[r1 + -5]"],
  [asm.ja(-1), "(05) goto pc-1"],
  [asm.gotol(70000), "(06) gotol pc+70000"],
  [asm.gotox(r1), "(0d) gotox r1"],
  [asm.mayGoto(1), "(e5) may_goto pc+1"],
  [asm.jmp("jeq", r0, 0, 3), "(15) if r0 == 0x0 goto pc+3"],
  [asm.jmp("jsgt", r0, -1, 0), "(65) if r0 s> 0xffffffff goto pc+0"],
  [asm.jmp32("jset", r0, r1, -3), "(4e) if w0 & w1 goto pc-3"],
  [asm.call("map_lookup_elem"), "(85) call bpf_map_lookup_elem#1"],
  [asm.call(0), "(85) call unknown#0"],
  [asm.call(9999), "(85) call unknown#9999"],
  [asm.callSub(3), "(85) call pc+3"],
  [asm.callKfunc(77), "(85) call kernel-function#77", "call kfunc 77"],
  [asm.callKfunc(77, 2), "(85) call kernel-function#77", "call kfunc 77 fd 2"],
  [asm.exit(), "(95) exit"],
  [asm.ldImm64(r1, 0x1122334455667788n), "(18) r1 = 0x1122334455667788", "r1 = 0x1122334455667788 ll"],
  [asm.ldImm64(r1, -1), "(18) r1 = 0xffffffffffffffff", "r1 = 0xffffffffffffffff ll"],
  [asm.ldMapFd(r1, 5), "(18) r1 = 0x5", "r1 = map_fd 5 ll"],
  [asm.ldMapValue(r1, 5), "(18) r1 = 0x5", "r1 = map_value 5 ll"],
  [asm.ldMapValue(r1, 5, 8), "(18) r1 = 0x800000005", "r1 = map_value 5 + 8 ll"],
  [asm.ldMapIdx(r1, 0), "(18) r1 = 0x0", "r1 = map_idx 0 ll"],
  [asm.ldMapIdxValue(r1, 1, 8), "(18) r1 = 0x800000001", "r1 = map_idx_value 1 + 8 ll"],
  [asm.ldBtfId(r1, 77), "(18) r1 = 0x4d", "r1 = btf_id 77 ll"],
  [asm.ldBtfId(r1, 77, 5), "(18) r1 = 0x50000004d", "r1 = btf_id 77 fd 5 ll"],
  [asm.ldFunc(r1, -6), "(18) r1 = 0xfffffffa", "r1 = func pc-6 ll"],
  [raw(0x18, { dst: 1, src: 1, imm: 5, high: 6 }), "(18) r1 = 0x600000005", ".insn 0x18, 1, 1, 0, 5, 6"],
  [raw(0x95, { imm: 7 }), "(95) exit", ".insn 0x95, 0, 0, 0, 7"],
  [raw(0xb7, { off: -3 }), "(b7) r0 = 0", ".insn 0xb7, 0, 0, -3, 0"],
  [raw(0xbf, { off: -1 }), "(bf) r0 = &(void __percpu *)(r0)", ".insn 0xbf, 0, 0, -1, 0"],
  [raw(0xdb, { imm: 0x99 }), "BUG_db", ".insn 0xdb, 0, 0, 0, 153"],
  [raw(0xcb), "(cb) lock *(u16 *)(r0 +0) += r0", ".insn 0xcb, 0, 0, 0, 0"],
  [raw(0xd4, { imm: 8 }), "(d4) r0 = le8 r0", ".insn 0xd4, 0, 0, 0, 8"],
  [raw(0xe5, { src: 1, off: 1 }), "(e5) if r0 (null) 0x0 goto pc+1", ".insn 0xe5, 0, 1, 1, 0"],
];

for (const [insn, kernel, source] of TEXTS) {
  const written = source ?? kernel.replace(/^\(..\) /, "");
  Deno.test(`printInsn() writes ${kernel} and ${written}`, () => {
    assertEquals(asm.printInsn(insn), kernel);
    assertEquals(asm.printInsn(insn, { style: "source" }), written);
  });
  Deno.test(`parse() reads ${written}`, () => assertEquals(asm.encode(asm.parse(written)), asm.encode([insn])));
}

/** Opcodes that programs may not use, as disasm.c prints them. */
const UNKNOWN: readonly (readonly [number, string])[] = [
  [0xc2, "(c2) nospec"],
  [0x22, "BUG_st_22"],
  [0x21, "BUG_ldx_21"],
  [0x00, "BUG_ld_00"],
  [0x23, "BUG_23"],
  [0xe4, "(e4) w0 (null) 0"],
  [0x99, "(99) r0 = *((null) *)(r0 +0)"],
  [0x96, "(96) if w0 exit 0x0 goto pc+0"],
  [0x0e, "(0e) if w0 jmp w0 goto pc+0"],
  [0x86, "(86) call unknown#0"],
  [0xf5, "(f5) if r0 (null) 0x0 goto pc+0"],
];

for (const [code, text] of UNKNOWN) {
  Deno.test(`printInsn() writes opcode ${code} as ${text}`, () => assertEquals(asm.printInsn(raw(code)), text));
}

Deno.test("printInsn() has a text for every opcode", () => {
  for (let code = 0; code < 256; code++) asm.printInsn(raw(code));
});

Deno.test("print() numbers slots, of instructions and of bytes", () => {
  const insns = [asm.ldImm64(r1, 1), asm.mov64(r0, 0), asm.exit()];
  const text = "0: (18) r1 = 0x1\n2: (b7) r0 = 0\n3: (95) exit";
  assertEquals(asm.print(insns), text);
  assertEquals(asm.print(asm.encode(insns)), text);
  assertEquals(asm.print(insns, { index: false, style: "source" }), "r1 = 0x1 ll\nr0 = 0\nexit");
});

Deno.test("print() refuses bytes that are no instructions", () => {
  assertThrows(() => asm.print(new Uint8Array(3)), SyntaxError, "3 bytes are not a multiple of 8");
});

Deno.test("printInsn() takes names for what is called and loaded", () => {
  const options: asm.PrintInsnOptions = {
    nameCall: ({ src }) => src === 1 ? "+2#first" : src === 2 ? "bpf_rcu_read_lock" : undefined,
    nameImm: ({ src }, value) => src === 1 ? `map[id:${value}]` : undefined,
  };
  const texts = [asm.callSub(2), asm.callKfunc(77), asm.call("loop"), asm.call(999), asm.ldMapFd(r1, 5)];
  assertEquals(texts.map((insn) => asm.printInsn(insn, options)), [
    "(85) call pc+2#first",
    "(85) call bpf_rcu_read_lock#77",
    "(85) call bpf_loop#181",
    "(85) call unknown#999",
    "(18) r1 = map[id:5]",
  ]);
  assertEquals(asm.printInsn(asm.ldImm64(r1, 5), options), "(18) r1 = 0x5");
});

Deno.test("printInsn() hides pointers but not numbers where it is told to", () => {
  const insns = [asm.ldMapFd(r1, 5), asm.ldBtfId(r1, 5), asm.ldImm64(r1, 5), asm.ldFunc(r1, 5)];
  const texts = insns.map((insn) => asm.printInsn(insn, { allowPtrLeaks: false }));
  assertEquals(texts, ["(18) r1 = 0x0", "(18) r1 = 0x0", "(18) r1 = 0x5", "(18) r1 = 0x5"]);
});

Deno.test("printInsn() shows labels that have not been resolved", () => {
  const insns = [asm.ja("a"), asm.callSub("f"), asm.ldFunc(r1, "f"), asm.jmp("jeq", r0, r1, "a")];
  assertEquals(insns.map((insn) => asm.printInsn(insn, { style: "source" })), [
    "goto a",
    "call f",
    "r1 = func f ll",
    "if r0 == r1 goto a",
  ]);
});
