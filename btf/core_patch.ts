/**
 * Instructions adapted to a kernel: what CO-RE relocations come to is written into them.
 *
 * @module
 */

import {
  BPF_ALU,
  BPF_ALU64,
  BPF_B,
  BPF_CALL,
  BPF_DW,
  BPF_H,
  BPF_IMM,
  BPF_JMP,
  BPF_LD,
  BPF_LDX,
  BPF_ST,
  BPF_STX,
  BPF_W,
  BPF_X,
} from "../uapi/constants.gen.ts";
import type { CoreResult } from "./core.ts";

/** Bytes of an instruction. */
const INSN = 8;

/**
 * The number of the helper that poisoned instructions call, which there is not: the verifier says `invalid func
 * unknown#195896080` where it meets one, and nothing where it does not. As libbpf has it: 0xbad2310, "bad relo".
 */
export const POISON_CALL = 195896080;

/** Sizes in bytes of BPF_B, BPF_H, BPF_W and BPF_DW. */
const SIZE_BYTES: Readonly<Record<number, number>> = { [BPF_B]: 1, [BPF_H]: 2, [BPF_W]: 4, [BPF_DW]: 8 };
const SIZE_MASK = 0x18;
const CLASS_MASK = 0x07;

function poison(view: DataView, at: number): void {
  view.setUint8(at, BPF_JMP | BPF_CALL);
  view.setUint8(at + 1, 0);
  view.setInt16(at + 2, 0, true);
  view.setInt32(at + 4, POISON_CALL, true);
}

/**
 * Writes what a relocation comes to into an instruction: into the number of an ALU instruction, both halves of a 64-bit
 * load, or offset and size of a load or store. An instruction that asks for what the kernel has not is poisoned. C name:
 * `bpf_core_patch_insn`.
 *
 * @param insns The instructions, little-endian; changed in place.
 * @param index Which one, counted in instructions of 8 bytes.
 * @param result What the relocation comes to.
 * @returns Whether it was poisoned.
 * @throws {SyntaxError} If the instruction is none that can be adapted, or holds another number than it was compiled with.
 */
export function patchCoreInsn(insns: Uint8Array, index: number, result: CoreResult): boolean {
  const at = index * INSN;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.length);
  const fail = (reason: string): SyntaxError =>
    new SyntaxError(`Cannot adapt instruction ${index} to the kernel: ${result.text}: ${reason}`);
  if (!Number.isInteger(index) || index < 0 || at + INSN > insns.length) {
    throw fail(`there are ${Math.floor(insns.length / INSN)} instructions`);
  }
  const code = view.getUint8(at);
  const isWide = code === (BPF_LD | BPF_IMM | BPF_DW);
  if (isWide && at + 2 * INSN > insns.length) throw fail("a 64-bit load lacks its second half");
  const { value, original, exact } = result;
  if (value === undefined) {
    if (isWide) poison(view, at + INSN);
    poison(view, at);
    return true;
  }
  const expect = (held: bigint): void => {
    if (exact && held !== original) throw fail(`it holds ${held}, but was compiled with ${original}`);
  };
  switch (code & CLASS_MASK) {
    case BPF_ALU:
    case BPF_ALU64:
      if ((code & BPF_X) !== 0) throw fail("it takes no number, but a register");
      expect(BigInt.asUintN(64, BigInt(view.getInt32(at + 4, true))));
      view.setInt32(at + 4, Number(BigInt.asIntN(32, value)), true);
      return false;
    case BPF_LDX:
    case BPF_ST:
    case BPF_STX: {
      expect(BigInt.asUintN(64, BigInt(view.getInt16(at + 2, true))));
      if (value > 0x7fffn) throw fail(`offset ${value} is more than 32767`);
      if (result.sizeMatters) {
        poison(view, at);
        return true;
      }
      const { access } = result;
      if (access === undefined || access.original === access.size) {
        view.setInt16(at + 2, Number(value), true);
        return false;
      }
      if (SIZE_BYTES[code & SIZE_MASK] !== access.original) {
        throw fail(`it accesses ${SIZE_BYTES[code & SIZE_MASK]} bytes, the field has ${access.original}`);
      }
      const size = Object.keys(SIZE_BYTES).find((bits) => SIZE_BYTES[Number(bits)] === access.size);
      if (size === undefined) throw fail(`${access.size} bytes cannot be accessed at once`);
      view.setUint8(at, (code & ~SIZE_MASK) | Number(size));
      view.setInt16(at + 2, Number(value), true);
      return false;
    }
    case BPF_LD: {
      if (
        !isWide || view.getUint8(at + 1) >> 4 !== 0 || view.getInt16(at + 2, true) !== 0 ||
        view.getInt32(at + INSN, true) !== 0
      ) {
        throw fail("it is no 64-bit load of a number");
      }
      const [low, high] = [view.getUint32(at + 4, true), view.getUint32(at + INSN + 4, true)];
      expect(BigInt(low) | BigInt(high) << 32n);
      view.setUint32(at + 4, Number(BigInt.asUintN(32, value)), true);
      view.setUint32(at + INSN + 4, Number(BigInt.asUintN(32, value >> 32n)), true);
      return false;
    }
    default:
      throw fail(`its code 0x${code.toString(16)} takes no number`);
  }
}
