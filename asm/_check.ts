/** Checks the fields of one instruction, before any is encoded. */

import { type Insn, LD_IMM64 } from "./insn.ts";
import { FORMS } from "./_forms.ts";

/** How the fields of instructions are judged. */
export interface Limits {
  /** Whether opcodes and registers that only the kernel itself writes are taken. */
  readonly translated: boolean;
}

/** Registers that programs name, and those that four bits can hold. */
const LAST_REGISTER = 10;
const LAST_NIBBLE = 15;

const MIN_S32 = -0x8000_0000;
const MAX_U32 = 0xffff_ffff;

/**
 * Tells what is wrong with an instruction.
 *
 * @param insn The instruction
 * @param limits What is taken
 * @returns The complaint; undefined where the instruction can be encoded
 */
export function complaint(insn: Insn, { translated }: Limits): string | undefined {
  const { code, dst, src, off, imm, high, target } = insn;
  if (target !== undefined) return `label "${target}" has not been resolved`;
  const last = translated ? LAST_NIBBLE : LAST_REGISTER;
  if (!between(code, 0, 0xff)) return `opcode ${code} is not a byte`;
  if (!translated && FORMS[code] === undefined) return `there is no opcode 0x${hex2(code)}`;
  if (!between(dst, 0, last)) return `destination ${dst} is not a register from 0 to ${last}`;
  if (!between(src, 0, last)) return `source ${src} is not a register from 0 to ${last}`;
  if (!between(off, -0x8000, 0x7fff)) return `offset ${off} does not fit in 16 bits, −32768 to 32767`;
  if (!between(imm, MIN_S32, MAX_U32)) return `immediate ${imm} does not fit in 32 bits, −2^31 to 2^32−1`;
  if (high !== undefined && !between(high, MIN_S32, MAX_U32)) {
    return `upper immediate ${high} does not fit in 32 bits, −2^31 to 2^32−1`;
  }
  if (high && code !== LD_IMM64) return "only LD_IMM64 has an upper immediate";
  return undefined;
}

function between(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** A byte as two hexadecimal digits. */
export function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
