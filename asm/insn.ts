/**
 * What an instruction is: its fields, its registers, and the names of its operations.
 *
 * @module
 */

import { BPF_DW, BPF_IMM, BPF_LD } from "../uapi/constants.gen.ts";

/**
 * One eBPF instruction: `struct bpf_insn`, or both of them where it is the two-slot 64-bit load (LD_IMM64).
 *
 * Numbers are kept as they are given; {@linkcode encode} checks them.
 */
export interface Insn {
  /** The opcode byte: class, operation or size and mode, and source bit. */
  readonly code: number;
  /** The destination register, 0 to 10. */
  readonly dst: number;
  /** The source register, 0 to 10, or the kind of a pseudo source (`BPF_PSEUDO_*`). */
  readonly src: number;
  /** The signed 16-bit offset, in bytes for memory and in 8-byte slots for jumps. */
  readonly off: number;
  /** The 32-bit immediate; the lower half where this is an LD_IMM64. */
  readonly imm: number;
  /**
   * The immediate of LD_IMM64's second slot: the upper half of its 64 bits, or the offset into a map's value.
   *
   * @default {0}
   */
  readonly high?: number;
  /** The label that a jump, call or function address goes to, which {@linkcode assemble} turns into a distance. */
  readonly target?: string;
}

/** A place in a program that jumps, calls and function addresses can name. */
export interface Label {
  /** The label's name. */
  readonly label: string;
}

/** What a program is assembled from: an instruction, or a label for the one that follows. */
export type Item = Insn | Label;

/** A register by name: `r0` holds results, `r1` to `r5` arguments, `r6` to `r9` survive calls, `r10` is the frame. */
export type Reg = "r0" | "r1" | "r2" | "r3" | "r4" | "r5" | "r6" | "r7" | "r8" | "r9" | "r10";

/** An arithmetic operation of two operands, as {@linkcode alu64} and {@linkcode alu32} take it. */
export type AluOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "sdiv"
  | "or"
  | "and"
  | "lsh"
  | "rsh"
  | "mod"
  | "smod"
  | "xor"
  | "mov"
  | "arsh";

/** A condition that {@linkcode jmp} and {@linkcode jmp32} jump on; an `s` compares as signed. */
export type JmpOp = "jeq" | "jne" | "jgt" | "jge" | "jlt" | "jle" | "jset" | "jsgt" | "jsge" | "jslt" | "jsle";

/** How much a load or store moves: `b` 1, `h` 2, `w` 4 and `dw` 8 bytes. */
export type Size = "b" | "h" | "w" | "dw";

/** An atomic operation, as {@linkcode atomic} takes it. */
export type AtomicOp =
  | "add"
  | "or"
  | "and"
  | "xor"
  | "fetch_add"
  | "fetch_or"
  | "fetch_and"
  | "fetch_xor"
  | "xchg"
  | "cmpxchg"
  | "load_acquire"
  | "store_release";

/** Where a jump goes: a label, or a distance in 8-byte slots from the next instruction. */
export type Target = string | number;

/** Register 0: the result of a call, and of the program. */
export const r0 = "r0" as const;
/** Register 1: the first argument; at entry the program's context. */
export const r1 = "r1" as const;
/** Register 2: the second argument. */
export const r2 = "r2" as const;
/** Register 3: the third argument. */
export const r3 = "r3" as const;
/** Register 4: the fourth argument. */
export const r4 = "r4" as const;
/** Register 5: the fifth argument. */
export const r5 = "r5" as const;
/** Register 6: kept across calls. */
export const r6 = "r6" as const;
/** Register 7: kept across calls. */
export const r7 = "r7" as const;
/** Register 8: kept across calls. */
export const r8 = "r8" as const;
/** Register 9: kept across calls. */
export const r9 = "r9" as const;
/** Register 10: the end of the 512-byte stack frame, which can only be read. */
export const r10 = "r10" as const;

/** The opcode of LD_IMM64, the one instruction of two slots. */
export const LD_IMM64: number = BPF_LD | BPF_DW | BPF_IMM;

/**
 * Makes a label, for the instruction that follows it.
 *
 * @param name The name that jumps use
 * @returns The label, an item for {@linkcode assemble}
 */
export function label(name: string): Label {
  return { label: name };
}

/**
 * Tells how many 8-byte slots an instruction takes: two for LD_IMM64, one for every other.
 *
 * @param insn The instruction
 * @returns 1 or 2
 */
export function slots(insn: Insn): number {
  return insn.code === LD_IMM64 ? 2 : 1;
}

/**
 * Puts the two halves of an LD_IMM64's immediate together.
 *
 * @param insn The instruction
 * @returns The 64 bits as an unsigned number
 */
export function imm64(insn: Insn): bigint {
  return BigInt.asUintN(32, BigInt(insn.high ?? 0)) << 32n | BigInt.asUintN(32, BigInt(insn.imm));
}
