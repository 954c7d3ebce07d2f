/**
 * Instructions to bytes and back.
 *
 * @module
 */

import { type Insn, LD_IMM64, slots } from "./insn.ts";
import { complaint, hex2 } from "./_check.ts";
import { FORMS } from "./_forms.ts";
import { describe } from "./_render.ts";

/** Bytes of one slot, `sizeof(struct bpf_insn)`. */
const SLOT = 8;

/** How {@linkcode encode} and {@linkcode decode} judge instructions. */
export interface CodecOptions {
  /**
   * Whether this is a program as the kernel has translated it (`xlated_prog_insns`): any opcode and any register is
   * taken, since the kernel uses some that programs may not.
   *
   * @default {false}
   */
  readonly translated?: boolean;
}

/**
 * Encodes instructions as the kernel takes them: 8 little-endian bytes each, 16 for LD_IMM64.
 *
 * @param insns The instructions, whose labels are resolved: see {@linkcode assemble} for others
 * @param options What is taken
 * @returns The bytes
 * @throws {RangeError} If an opcode, register, offset or immediate is out of range; the message names the instruction
 * @example
 * ```ts
 * import { encode, exit, mov64, r0 } from "./mod.ts";
 *
 * const bytes = encode([mov64(r0, 0), exit()]); // b7 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00
 * ```
 */
export function encode(insns: readonly Insn[], options: CodecOptions = {}): Uint8Array<ArrayBuffer> {
  const limits = { translated: options.translated ?? false };
  let count = 0;
  for (const insn of insns) {
    const wrong = complaint(insn, limits);
    if (wrong !== undefined) {
      throw new RangeError(`Cannot encode instruction ${count} (${describe(insn)}): ${wrong}`);
    }
    count += slots(insn);
  }
  const bytes = new Uint8Array(count * SLOT);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const insn of insns) {
    view.setUint8(at, insn.code);
    view.setUint8(at + 1, insn.dst | (insn.src << 4));
    view.setInt16(at + 2, insn.off, true);
    view.setInt32(at + 4, insn.imm, true);
    if (insn.code === LD_IMM64) view.setInt32(at + SLOT + 4, insn.high ?? 0, true);
    at += slots(insn) * SLOT;
  }
  return bytes;
}

/**
 * Decodes instructions; {@linkcode encode} gives the very same bytes again. Fields that an instruction does not use
 * are kept, though the kernel refuses most of them where they are not zero.
 *
 * @param bytes The bytes, 8 a slot
 * @param options What is taken
 * @returns The instructions: one for the two slots of an LD_IMM64
 * @throws {SyntaxError} If the length is no multiple of 8, an opcode or register does not exist, or the second slot
 * of an LD_IMM64 is missing or malformed; its `offset` says where
 * @example
 * ```ts
 * import { decode } from "./mod.ts";
 *
 * const [insn] = decode(new Uint8Array([0xb7, 0x01, 0, 0, 5, 0, 0, 0]));
 * console.log(insn); // { code: 183, dst: 1, src: 0, off: 0, imm: 5 }
 * ```
 */
export function decode(bytes: Uint8Array, options: CodecOptions = {}): Insn[] {
  const translated = options.translated ?? false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length % SLOT !== 0) {
    throw malformed(bytes.length - bytes.length % SLOT, `${bytes.length} bytes are not a multiple of 8`);
  }
  const insns: Insn[] = [];
  for (let at = 0; at < bytes.length; at += SLOT) {
    const code = bytes[at];
    const dst = bytes[at + 1] & 0x0f;
    const src = bytes[at + 1] >> 4;
    if (!translated && FORMS[code] === undefined) throw malformed(at, `there is no opcode 0x${hex2(code)}`);
    if (!translated && (dst > 10 || src > 10)) throw malformed(at + 1, `r${Math.max(dst, src)} is not a register`);
    const insn = { code, dst, src, off: view.getInt16(at + 2, true), imm: view.getInt32(at + 4, true) };
    if (code !== LD_IMM64) {
      insns.push(insn);
      continue;
    }
    at += SLOT;
    if (at >= bytes.length) throw malformed(at, "the second slot of an LD_IMM64 is missing");
    if (view.getUint32(at, true) !== 0) throw malformed(at, "the second slot of an LD_IMM64 has other fields than imm");
    insns.push({ ...insn, high: view.getInt32(at + 4, true) });
  }
  return insns;
}

/**
 * Decodes instructions, where the bytes may be none.
 *
 * @param bytes The bytes, 8 a slot
 * @param options What is taken
 * @returns The instructions; undefined where {@linkcode decode} would throw a SyntaxError
 */
export function tryDecode(bytes: Uint8Array, options: CodecOptions = {}): Insn[] | undefined {
  try {
    return decode(bytes, options);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function malformed(offset: number, reason: string): SyntaxError {
  return Object.assign(new SyntaxError(`Cannot decode instructions at byte ${offset}: ${reason}`), { offset });
}
