/**
 * What `Program.load()` takes, as users name it.
 *
 * @module
 */

import { assemble, type Item } from "../asm/mod.ts";
import type { Btf, BtfBuilder, BtfCoreRelo, BtfFuncInfo, BtfLineInfo } from "../btf/mod.ts";
import type { ProgBtf, ProgLoadOptions } from "../cmds/prog.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import {
  BPF_F_ANY_ALIGNMENT,
  BPF_F_SLEEPABLE,
  BPF_F_STRICT_ALIGNMENT,
  BPF_F_TEST_REG_INVARIANTS,
  BPF_F_TEST_RND_HI32,
  BPF_F_TEST_STATE_FREQ,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
} from "../uapi/constants.gen.ts";
import type { ProgType } from "../uapi/enums.gen.ts";

/**
 * A flag of a program: BPF_F_* in lower case.
 *
 * - `sleepable`: it may call helpers that sleep, since 5.10
 * - `xdp_has_frags`: it knows packets of several buffers, since 5.18
 * - `xdp_dev_bound_only`: it is bound to the device of `ifindex`, though the CPU runs it, since 6.3
 * - `strict_alignment`, `any_alignment`: accesses have to be aligned, or need not be
 * - `test_rnd_hi32`, `test_state_freq`, `test_reg_invariants`: the verifier's own tests
 */
export type ProgFlag =
  | "strict_alignment"
  | "any_alignment"
  | "test_rnd_hi32"
  | "test_state_freq"
  | "sleepable"
  | "xdp_has_frags"
  | "xdp_dev_bound_only"
  | "test_reg_invariants";

/** The numbers of the flags of programs. C names: BPF_F_*. */
export const progFlags: Readonly<Record<ProgFlag, number>> = {
  strict_alignment: BPF_F_STRICT_ALIGNMENT,
  any_alignment: BPF_F_ANY_ALIGNMENT,
  test_rnd_hi32: BPF_F_TEST_RND_HI32,
  test_state_freq: BPF_F_TEST_STATE_FREQ,
  sleepable: BPF_F_SLEEPABLE,
  xdp_has_frags: BPF_F_XDP_HAS_FRAGS,
  xdp_dev_bound_only: BPF_F_XDP_DEV_BOUND_ONLY,
  test_reg_invariants: BPF_F_TEST_REG_INVARIANTS,
};

/** Type information that is loaded for the call. Places are bytes from the program's first instruction. */
export interface ProgramBtf {
  /** The types: bytes, what {@linkcode Btf} read, or what a {@linkcode BtfBuilder} has so far. */
  types: Bytes | Btf | BtfBuilder;
  /** Where functions start, by instruction: all of them, the first at 0. C name: `func_info`. Since 5.0. */
  funcInfo?: readonly BtfFuncInfo[] | undefined;
  /** Where source lines start, by instruction; it needs `funcInfo`. C name: `line_info`. Since 5.0. */
  lineInfo?: readonly BtfLineInfo[] | undefined;
  /** What the kernel shall adapt to its own types; it needs `funcInfo`. C name: `core_relos`. Since 5.17. */
  coreRelos?: readonly BtfCoreRelo[] | undefined;
}

/** What a program attaches to, by name. */
export interface ProgramTarget {
  /**
   * The name: of a function, for `trace_raw_tp` of a tracepoint, for `trace_iter` of an iterator (`"task"`), for LSM
   * programs of a hook (`"file_open"`), for struct_ops programs of the struct (`"tcp_congestion_ops"`).
   */
  name: string;
  /** The kernel module that has it. C name: `attach_btf_obj_fd`. Since 5.11. */
  module?: string | undefined;
  /** The program whose function it is. C name: `attach_prog_fd`. Since 5.5. */
  prog?: FdSource | undefined;
  /** For struct_ops programs: the member that the program is. */
  member?: string | undefined;
}

/** What `Program.load()` takes. */
export interface ProgramOptions<T extends ProgType | number = ProgType | number>
  extends Omit<ProgLoadOptions<T>, "insns" | "btf" | "attachTo" | "flags"> {
  /** The instructions: bytes, as `asm` and `encode()` make them, or what the assembler's functions make. */
  insns: Bytes | readonly Item[];
  /** Flags, by name; a number is taken as it is. C name: `prog_flags`. @default {[]} */
  flags?: readonly ProgFlag[] | number | undefined;
  /** Its type information, to be loaded, or loaded already. */
  btf?: ProgramBtf | ProgBtf | undefined;
  /** What it attaches to, by name; with `attachBtfId` the program or module that the id is of. */
  attachTo?: string | ProgramTarget | FdSource | undefined;
}

/**
 * The flags of a program as the kernel takes them.
 *
 * @param flags What the user named.
 * @returns BPF_F_* flags.
 * @throws {TypeError} For a flag that there is not.
 */
export function progFlagBits(flags: readonly ProgFlag[] | number = []): number {
  return flagBits(progFlags, flags);
}

/**
 * Flags by name as one number.
 *
 * @param table Their numbers.
 * @param flags Their names, or the number itself.
 * @returns The number.
 * @throws {TypeError} For a flag that is not in the table.
 */
export function flagBits<F extends string>(table: Readonly<Record<F, number>>, flags: readonly F[] | number): number {
  if (typeof flags === "number") return flags;
  return flags.reduce((bits, flag) => {
    if (!Object.hasOwn(table, flag)) {
      throw new TypeError(`Cannot use flags: "${flag}" is none of ${Object.keys(table).join(", ")}`);
    }
    return bits | table[flag];
  }, 0);
}

/**
 * A program's instructions as the kernel takes them.
 *
 * @param insns Bytes, or instructions with labels.
 * @returns The bytes.
 * @throws {TypeError} Where it is neither.
 * @throws {RangeError | SyntaxError} Where an instruction cannot be encoded, or a label is missing.
 */
export function insnBytes(insns: Bytes | readonly Item[]): Bytes {
  if (insns instanceof Uint8Array) return insns;
  if (!Array.isArray(insns)) {
    throw new TypeError("Cannot use insns: it is neither a Uint8Array nor a list of instructions");
  }
  return assemble(insns as readonly Item[]);
}
