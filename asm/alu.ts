/**
 * Builders of arithmetic: moves, sums, shifts, sign extension and byte swaps.
 *
 * @module
 */

import * as c from "../uapi/constants.gen.ts";
import type { AluOp, Insn, Reg } from "./insn.ts";
import { ALU, regNumber, row } from "./_tables.ts";

/**
 * Builds an arithmetic instruction of one operation and one width.
 *
 * @param dst The register that is changed
 * @param src What it is changed by: a register, or a 32-bit number
 * @returns The instruction
 */
export type AluBuilder = (dst: Reg, src: Reg | number) => Insn;

function alu(aluClass: number, op: AluOp, dst: Reg, src: Reg | number): Insn {
  const { code, off } = row(ALU, op, "arithmetic");
  return typeof src === "number"
    ? { code: aluClass | code | c.BPF_K, dst: regNumber(dst), src: 0, off, imm: src }
    : { code: aluClass | code | c.BPF_X, dst: regNumber(dst), src: regNumber(src), off, imm: 0 };
}

/**
 * Builds 64-bit arithmetic (`BPF_ALU64_REG` and `BPF_ALU64_IMM`). Numbers are sign extended.
 *
 * @param op The operation; `sdiv` and `smod` need Linux 6.6
 * @param dst The register that is changed
 * @param src A register, or a number from −2³¹ to 2³²−1 that is kept as 32 bits
 * @returns The instruction
 * @throws {RangeError} If there is no such operation
 * @example
 * ```ts
 * import { alu64, r1, r2 } from "./mod.ts";
 *
 * const items = [alu64("add", r1, 8), alu64("xor", r1, r2)]; // r1 += 8, r1 ^= r2
 * ```
 */
export function alu64(op: AluOp, dst: Reg, src: Reg | number): Insn {
  return alu(c.BPF_ALU64, op, dst, src);
}

/**
 * Builds 32-bit arithmetic (`BPF_ALU32_REG` and `BPF_ALU32_IMM`), which zeroes the upper half of the register.
 *
 * @param op The operation; `sdiv` and `smod` need Linux 6.6
 * @param dst The register that is changed
 * @param src A register, or a number from −2³¹ to 2³²−1 that is kept as 32 bits
 * @returns The instruction
 * @throws {RangeError} If there is no such operation
 */
export function alu32(op: AluOp, dst: Reg, src: Reg | number): Insn {
  return alu(c.BPF_ALU, op, dst, src);
}

function builder(width: typeof alu64, op: AluOp): AluBuilder {
  return (dst, src) => width(op, dst, src);
}

/** `dst = src`, 64 bits. */
export const mov64: AluBuilder = builder(alu64, "mov");
/** `dst = src`, 32 bits. */
export const mov32: AluBuilder = builder(alu32, "mov");
/** `dst += src`, 64 bits. */
export const add64: AluBuilder = builder(alu64, "add");
/** `dst += src`, 32 bits. */
export const add32: AluBuilder = builder(alu32, "add");
/** `dst -= src`, 64 bits. */
export const sub64: AluBuilder = builder(alu64, "sub");
/** `dst -= src`, 32 bits. */
export const sub32: AluBuilder = builder(alu32, "sub");
/** `dst *= src`, 64 bits. */
export const mul64: AluBuilder = builder(alu64, "mul");
/** `dst *= src`, 32 bits. */
export const mul32: AluBuilder = builder(alu32, "mul");
/** `dst /= src`, 64 bits, unsigned; division by zero gives 0. */
export const div64: AluBuilder = builder(alu64, "div");
/** `dst /= src`, 32 bits, unsigned; division by zero gives 0. */
export const div32: AluBuilder = builder(alu32, "div");
/** `dst s/= src`, 64 bits, signed (Linux 6.6). */
export const sdiv64: AluBuilder = builder(alu64, "sdiv");
/** `dst s/= src`, 32 bits, signed (Linux 6.6). */
export const sdiv32: AluBuilder = builder(alu32, "sdiv");
/** `dst %= src`, 64 bits, unsigned; modulo zero leaves `dst`. */
export const mod64: AluBuilder = builder(alu64, "mod");
/** `dst %= src`, 32 bits, unsigned; modulo zero leaves `dst`. */
export const mod32: AluBuilder = builder(alu32, "mod");
/** `dst s%= src`, 64 bits, signed (Linux 6.6). */
export const smod64: AluBuilder = builder(alu64, "smod");
/** `dst s%= src`, 32 bits, signed (Linux 6.6). */
export const smod32: AluBuilder = builder(alu32, "smod");
/** `dst |= src`, 64 bits. */
export const or64: AluBuilder = builder(alu64, "or");
/** `dst |= src`, 32 bits. */
export const or32: AluBuilder = builder(alu32, "or");
/** `dst &= src`, 64 bits. */
export const and64: AluBuilder = builder(alu64, "and");
/** `dst &= src`, 32 bits. */
export const and32: AluBuilder = builder(alu32, "and");
/** `dst ^= src`, 64 bits. */
export const xor64: AluBuilder = builder(alu64, "xor");
/** `dst ^= src`, 32 bits. */
export const xor32: AluBuilder = builder(alu32, "xor");
/** `dst <<= src`, 64 bits. */
export const lsh64: AluBuilder = builder(alu64, "lsh");
/** `dst <<= src`, 32 bits. */
export const lsh32: AluBuilder = builder(alu32, "lsh");
/** `dst >>= src`, 64 bits, filling with zeros. */
export const rsh64: AluBuilder = builder(alu64, "rsh");
/** `dst >>= src`, 32 bits, filling with zeros. */
export const rsh32: AluBuilder = builder(alu32, "rsh");
/** `dst s>>= src`, 64 bits, filling with the sign. */
export const arsh64: AluBuilder = builder(alu64, "arsh");
/** `dst s>>= src`, 32 bits, filling with the sign. */
export const arsh32: AluBuilder = builder(alu32, "arsh");

/**
 * Builds `dst = -dst`, 64 bits.
 *
 * @param dst The register
 * @returns The instruction
 */
export function neg64(dst: Reg): Insn {
  return { code: c.BPF_ALU64 | c.BPF_NEG, dst: regNumber(dst), src: 0, off: 0, imm: 0 };
}

/**
 * Builds `dst = -dst`, 32 bits.
 *
 * @param dst The register
 * @returns The instruction
 */
export function neg32(dst: Reg): Insn {
  return { code: c.BPF_ALU | c.BPF_NEG, dst: regNumber(dst), src: 0, off: 0, imm: 0 };
}

/**
 * Builds a move that sign extends to 64 bits: `dst = (s8)src` (Linux 6.6).
 *
 * @param dst The register that is set
 * @param src The register whose lower bits are taken
 * @param bits How many
 * @returns The instruction
 * @throws {RangeError} If `bits` is another number
 */
export function movsx64(dst: Reg, src: Reg, bits: 8 | 16 | 32): Insn {
  return { ...mov64(dst, src), off: oneOf("movsx64", bits, [8, 16, 32]) };
}

/**
 * Builds a move that sign extends to 32 bits: `dst = (s8)src` (Linux 6.6).
 *
 * @param dst The register that is set
 * @param src The register whose lower bits are taken
 * @param bits How many
 * @returns The instruction
 * @throws {RangeError} If `bits` is another number
 */
export function movsx32(dst: Reg, src: Reg, bits: 8 | 16): Insn {
  return { ...mov32(dst, src), off: oneOf("movsx32", bits, [8, 16]) };
}

/**
 * Builds `dst = addr_space_cast(src, dstSpace, srcSpace)`, which makes a pointer into an arena the kernel's or the
 * program's own (Linux 6.9).
 *
 * @param dst The register that is set
 * @param src The register that holds the pointer
 * @param dstSpace The address space to cast to: 0 the kernel's, 1 the arena's
 * @param srcSpace The address space that the pointer is of
 * @returns The instruction
 * @throws {RangeError} If an address space does not fit in 16 bits
 */
export function addrSpaceCast(dst: Reg, src: Reg, dstSpace: number, srcSpace: number): Insn {
  for (const space of [dstSpace, srcSpace]) {
    if (!Number.isInteger(space) || space < 0 || space > 0xffff) {
      throw new RangeError(`Cannot build addr_space_cast: ${space} is not an address space from 0 to 65535`);
    }
  }
  return { ...mov64(dst, src), off: c.BPF_ADDR_SPACE_CAST, imm: (dstSpace << 16) | srcSpace };
}

/**
 * Builds `dst = le16 dst` and its like: the lower bits as little-endian, the rest cleared (`BPF_TO_LE`).
 *
 * @param dst The register
 * @param bits How many bits are taken
 * @returns The instruction
 * @throws {RangeError} If `bits` is another number
 */
export function le(dst: Reg, bits: 16 | 32 | 64): Insn {
  return end("le", c.BPF_ALU | c.BPF_TO_LE, dst, bits);
}

/**
 * Builds `dst = be16 dst` and its like: the lower bits as big-endian, the rest cleared (`BPF_TO_BE`).
 *
 * @param dst The register
 * @param bits How many bits are taken
 * @returns The instruction
 * @throws {RangeError} If `bits` is another number
 */
export function be(dst: Reg, bits: 16 | 32 | 64): Insn {
  return end("be", c.BPF_ALU | c.BPF_TO_BE, dst, bits);
}

/**
 * Builds `dst = bswap16 dst` and its like: the lower bytes in the other order, the rest cleared (Linux 6.6).
 *
 * @param dst The register
 * @param bits How many bits are taken
 * @returns The instruction
 * @throws {RangeError} If `bits` is another number
 */
export function bswap(dst: Reg, bits: 16 | 32 | 64): Insn {
  return end("bswap", c.BPF_ALU64, dst, bits);
}

function end(name: string, code: number, dst: Reg, bits: number): Insn {
  return { code: code | c.BPF_END, dst: regNumber(dst), src: 0, off: 0, imm: oneOf(name, bits, [16, 32, 64]) };
}

function oneOf(name: string, bits: number, allowed: readonly number[]): number {
  if (!allowed.includes(bits)) throw new RangeError(`Cannot build ${name}: ${bits} bits is none of ${allowed}`);
  return bits;
}
