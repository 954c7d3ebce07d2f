/**
 * Builders of loads, stores and atomic operations.
 *
 * @module
 */

import * as c from "../uapi/constants.gen.ts";
import type { AtomicOp, Insn, Reg, Size } from "./insn.ts";
import { ATOMIC, regNumber, row, SIZES } from "./_tables.ts";

/**
 * Builds a load, `dst = *(size *)(src + off)` (`BPF_LDX_MEM`). The rest of `dst` is cleared.
 *
 * @param size How much is loaded
 * @param dst The register that is set
 * @param src The register with the address
 * @param off Bytes added to the address, −32768 to 32767
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 * @example
 * ```ts
 * import { ldx, r0, r1 } from "./mod.ts";
 *
 * const insn = ldx("w", r0, r1, 4); // r0 = *(u32 *)(r1 +4)
 * ```
 */
export function ldx(size: Size, dst: Reg, src: Reg, off: number = 0): Insn {
  const { code } = row(SIZES, size, "ldx");
  return { code: c.BPF_LDX | c.BPF_MEM | code, dst: regNumber(dst), src: regNumber(src), off, imm: 0 };
}

/**
 * Builds a load that sign extends to 64 bits, `dst = *(signed size *)(src + off)` (`BPF_MEMSX`, Linux 6.6).
 *
 * @param size How much is loaded: less than `dw`
 * @param dst The register that is set
 * @param src The register with the address
 * @param off Bytes added to the address, −32768 to 32767
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 */
export function ldsx(size: Exclude<Size, "dw">, dst: Reg, src: Reg, off: number = 0): Insn {
  const { code, bits } = row<{ code: number; bits: number }>(SIZES, size, "ldsx");
  if (bits === 64) throw new RangeError('Cannot build ldsx: "dw" leaves nothing to extend');
  return { code: c.BPF_LDX | c.BPF_MEMSX | code, dst: regNumber(dst), src: regNumber(src), off, imm: 0 };
}

/**
 * Builds a store of a register, `*(size *)(dst + off) = src` (`BPF_STX_MEM`).
 *
 * @param size How much is stored
 * @param dst The register with the address
 * @param src The register whose lower bits are stored
 * @param off Bytes added to the address, −32768 to 32767
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 */
export function stx(size: Size, dst: Reg, src: Reg, off: number = 0): Insn {
  const { code } = row(SIZES, size, "stx");
  return { code: c.BPF_STX | c.BPF_MEM | code, dst: regNumber(dst), src: regNumber(src), off, imm: 0 };
}

/**
 * Builds a store of a number, `*(size *)(dst + off) = imm` (`BPF_ST_MEM`).
 *
 * @param size How much is stored; a `dw` is sign extended from 32 bits
 * @param dst The register with the address
 * @param off Bytes added to the address, −32768 to 32767
 * @param imm The number, from −2³¹ to 2³²−1 and kept as 32 bits
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 */
export function st(size: Size, dst: Reg, off: number, imm: number): Insn {
  const { code } = row(SIZES, size, "st");
  return { code: c.BPF_ST | c.BPF_MEM | code, dst: regNumber(dst), src: 0, off, imm };
}

/**
 * Builds an atomic operation on memory (`BPF_ATOMIC_OP`).
 *
 * - `add`, `or`, `and`, `xor` change `*(size *)(dst + off)` by `src`; with `fetch_` (Linux 5.12) `src` gets what was
 *   there before
 * - `xchg` (5.12) stores `src`, which gets what was there
 * - `cmpxchg` (5.12) stores `src` if `r0` was there; `r0` gets what was there
 * - `load_acquire` (6.15) sets `dst` from `*(size *)(src + off)`
 * - `store_release` (6.15) stores `src` to `*(size *)(dst + off)`
 *
 * @param size `w` or `dw`; `b` and `h` too for `load_acquire` and `store_release`
 * @param op The operation
 * @param dst The register with the address; for `load_acquire` the one that is set
 * @param src The operand; for `load_acquire` the register with the address
 * @param off Bytes added to the address, −32768 to 32767
 * @returns The instruction
 * @throws {RangeError} If there is no such operation, or not of this size
 * @example
 * ```ts
 * import { atomic, r0, r1 } from "./mod.ts";
 *
 * const insn = atomic("dw", "add", r0, r1); // lock *(u64 *)(r0 +0) += r1
 * ```
 */
export function atomic(size: Size, op: AtomicOp, dst: Reg, src: Reg, off: number = 0): Insn {
  const { imm, minBits } = row(ATOMIC, op, "atomic");
  const { code, bits } = row(SIZES, size, "atomic");
  if (bits < minBits) throw new RangeError(`Cannot build atomic ${op}: it takes "w" or "dw", not "${size}"`);
  return { code: c.BPF_STX | c.BPF_ATOMIC | code, dst: regNumber(dst), src: regNumber(src), off, imm };
}

/**
 * Builds a load from a packet at a fixed place, `r0 = *(size *)skb[imm]` (`BPF_LD_ABS`): only for socket filters and
 * traffic control, `r6` holds the context, `r1` to `r5` are lost, and the program ends where the packet is too short.
 *
 * @param size How much is loaded, as big-endian: not `dw`
 * @param imm The offset into the packet
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 */
export function ldAbs(size: Exclude<Size, "dw">, imm: number): Insn {
  return { code: c.BPF_LD | c.BPF_ABS | legacySize("ldAbs", size), dst: 0, src: 0, off: 0, imm };
}

/**
 * Builds a load from a packet at a computed place, `r0 = *(size *)skb[src + imm]` (`BPF_LD_IND`); see
 * {@linkcode ldAbs}.
 *
 * @param size How much is loaded, as big-endian: not `dw`
 * @param src The register that is added to the offset
 * @param imm The offset into the packet
 * @returns The instruction
 * @throws {RangeError} If there is no such size
 */
export function ldInd(size: Exclude<Size, "dw">, src: Reg, imm: number = 0): Insn {
  return { code: c.BPF_LD | c.BPF_IND | legacySize("ldInd", size), dst: 0, src: regNumber(src), off: 0, imm };
}

function legacySize(name: string, size: Size): number {
  const { code, bits } = row(SIZES, size, name);
  if (bits === 64) throw new RangeError(`Cannot build ${name}: it takes "b", "h" or "w", not "dw"`);
  return code;
}
