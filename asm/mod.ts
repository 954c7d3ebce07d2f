/**
 * eBPF instructions: build, assemble, encode, decode, parse and print. It needs no permission and calls nothing.
 *
 * A program is written with functions and {@linkcode assemble}, or as text with {@linkcode asm}; both give the bytes
 * that BPF_PROG_LOAD takes. {@linkcode decode} and {@linkcode print} show what bytes say, as the kernel would.
 *
 * @example
 * ```ts
 * import { asm, assemble, call, exit, print } from "./mod.ts";
 *
 * const built = assemble([call("ktime_get_ns"), exit()]);
 * const written = asm`
 *   call ktime_get_ns
 *   exit
 * `;
 * console.log(print(written));
 * // 0: (85) call bpf_ktime_get_ns#5
 * // 1: (95) exit
 * ```
 *
 * @module
 */

export { imm64, label, LD_IMM64, r0, r1, r10, r2, r3, r4, r5, r6, r7, r8, r9, slots } from "./insn.ts";
export type { AluOp, AtomicOp, Insn, Item, JmpOp, Label, Reg, Size, Target } from "./insn.ts";
export { addrSpaceCast, alu32, alu64, be, bswap, le, movsx32, movsx64, neg32, neg64 } from "./alu.ts";
export { add32, add64, and32, and64, arsh32, arsh64, div32, div64, lsh32, lsh64, mod32, mod64 } from "./alu.ts";
export { mov32, mov64, mul32, mul64, or32, or64, rsh32, rsh64, sdiv32, sdiv64, smod32, smod64 } from "./alu.ts";
export { sub32, sub64, xor32, xor64 } from "./alu.ts";
export type { AluBuilder } from "./alu.ts";
export { atomic, ldAbs, ldInd, ldsx, ldx, st, stx } from "./mem.ts";
export { call, callKfunc, callSub, exit, gotol, gotox, helperNumber, ja, jmp, jmp32, mayGoto } from "./jump.ts";
export { ldBtfId, ldFunc, ldImm64, ldMapFd, ldMapIdx, ldMapIdxValue, ldMapValue } from "./imm64.ts";
export type { MapFd } from "./imm64.ts";
export { assemble, resolve } from "./assemble.ts";
export { decode, encode, tryDecode } from "./codec.ts";
export type { CodecOptions } from "./codec.ts";
export { print, printInsn } from "./print.ts";
export type { PrintInsnOptions, PrintOptions } from "./print.ts";
export { asm, parse, tryParse } from "./parse.ts";
export type { AsmValue } from "./parse.ts";
export { type HelperName, helpers } from "../uapi/enums.gen.ts";
