/**
 * Builders of LD_IMM64: 64-bit numbers, and the addresses of maps, values, kernel variables and functions.
 *
 * @module
 */

import * as c from "../uapi/constants.gen.ts";
import { type Insn, LD_IMM64, type Reg, type Target } from "./insn.ts";
import { regNumber } from "./_tables.ts";

/** A map by its file descriptor: a number, or an object that has one. */
export type MapFd = number | { readonly fd: number };

function build(dst: Reg, src: number, imm: number, high: number): Insn {
  return { code: LD_IMM64, dst: regNumber(dst), src, off: 0, imm, high };
}

function fdOf(map: MapFd): number {
  return typeof map === "number" ? map : map.fd;
}

/**
 * Builds a load of a 64-bit number (`BPF_LD_IMM64`), which takes two slots.
 *
 * @param dst The register that is set
 * @param value The number, from −2⁶³ to 2⁶⁴−1
 * @returns The instruction
 * @throws {RangeError} If the number is not an integer of 64 bits
 */
export function ldImm64(dst: Reg, value: number | bigint): Insn {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError(`Cannot build ldImm64: ${value} is not an exact integer`);
  }
  const wide = BigInt(value);
  if (wide < -(1n << 63n) || wide >= 1n << 64n) {
    throw new RangeError(`Cannot build ldImm64: ${value} does not fit in 64 bits`);
  }
  return build(dst, 0, Number(BigInt.asIntN(32, wide)), Number(BigInt.asIntN(32, wide >> 32n)));
}

/**
 * Builds a load of a map's address (`BPF_LD_MAP_FD`).
 *
 * @param dst The register that is set
 * @param map The map
 * @returns The instruction
 * @example
 * ```ts
 * import { ldMapFd, r1 } from "./mod.ts";
 *
 * const map = { fd: 5 };
 * const insn = ldMapFd(r1, map); // r1 = map_fd 5 ll
 * ```
 */
export function ldMapFd(dst: Reg, map: MapFd): Insn {
  return build(dst, c.BPF_PSEUDO_MAP_FD, fdOf(map), 0);
}

/**
 * Builds a load of an address inside the value of a one-entry array map (Linux 5.2).
 *
 * @param dst The register that is set
 * @param map The map
 * @param offset Bytes into the value
 * @returns The instruction
 */
export function ldMapValue(dst: Reg, map: MapFd, offset: number = 0): Insn {
  return build(dst, c.BPF_PSEUDO_MAP_VALUE, fdOf(map), offset);
}

/**
 * Builds a load of a map's address, by the map's place in the program's array of fds (Linux 5.14).
 *
 * @param dst The register that is set
 * @param index The place in `fd_array`
 * @returns The instruction
 */
export function ldMapIdx(dst: Reg, index: number): Insn {
  return build(dst, c.BPF_PSEUDO_MAP_IDX, index, 0);
}

/**
 * Builds a load of an address inside a map's value, by the map's place in the program's array of fds (Linux 5.14).
 *
 * @param dst The register that is set
 * @param index The place in `fd_array`
 * @param offset Bytes into the value
 * @returns The instruction
 */
export function ldMapIdxValue(dst: Reg, index: number, offset: number = 0): Insn {
  return build(dst, c.BPF_PSEUDO_MAP_IDX_VALUE, index, offset);
}

/**
 * Builds a load of a kernel variable's address (Linux 5.10).
 *
 * @param dst The register that is set
 * @param btfId The BTF type id of the variable
 * @param btfFd The fd of a module's BTF; 0 is the kernel itself
 * @returns The instruction
 */
export function ldBtfId(dst: Reg, btfId: number, btfFd: number = 0): Insn {
  return build(dst, c.BPF_PSEUDO_BTF_ID, btfId, btfFd);
}

/**
 * Builds a load of the address of a function in the same program, for helpers that call back (Linux 5.13).
 *
 * @param dst The register that is set
 * @param target The function's label, or the distance to its first slot from the slot after this one
 * @returns The instruction
 */
export function ldFunc(dst: Reg, target: Target): Insn {
  const insn = build(dst, c.BPF_PSEUDO_FUNC, typeof target === "number" ? target : 0, 0);
  return typeof target === "string" ? { ...insn, target } : insn;
}
