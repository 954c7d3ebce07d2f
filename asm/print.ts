/**
 * Instructions as text.
 *
 * @module
 */

import { type Insn, slots } from "./insn.ts";
import { type CodecOptions, decode } from "./codec.ts";
import { kernelText, sourceText } from "./_render.ts";

/** How {@linkcode printInsn} writes an instruction. */
export interface PrintInsnOptions {
  /**
   * `"kernel"` as the verifier's log and bpftool show it, which leaves out where a 64-bit load comes from; `"source"`
   * so that {@linkcode parse} gives exactly the same instruction again.
   *
   * @default {"kernel"}
   */
  readonly style?: "kernel" | "source";
  /**
   * Names what is called, in the kernel's style: shown after `call ` and before `#<imm>`; for a function of the same
   * program after `call pc`. Helpers have their own names. Undefined leaves it to the default.
   */
  readonly nameCall?: (insn: Insn) => string | undefined;
  /** Names what an LD_IMM64 loads, in the kernel's style, such as `map[id:5]`. Undefined leaves it to the default. */
  readonly nameImm?: (insn: Insn, value: bigint) => string | undefined;
  /**
   * Whether the numbers of maps and kernel variables are shown; the kernel shows `0x0` to those who may not see them.
   *
   * @default {true}
   */
  readonly allowPtrLeaks?: boolean;
}

/** How {@linkcode print} writes a program. */
export interface PrintOptions extends PrintInsnOptions, CodecOptions {
  /**
   * Whether each line starts with the number of its slot, as in `3: (95) exit`.
   *
   * @default {true}
   */
  readonly index?: boolean;
}

/**
 * Writes an instruction as the kernel does.
 *
 * @param insn The instruction
 * @param options The style, and names for what is called and loaded
 * @returns The text, such as `(b7) r0 = 0`
 * @example
 * ```ts
 * import { mov64, printInsn, r0 } from "./mod.ts";
 *
 * console.log(printInsn(mov64(r0, 0))); // (b7) r0 = 0
 * console.log(printInsn(mov64(r0, 0), { style: "source" })); // r0 = 0
 * ```
 */
export function printInsn(insn: Insn, options: PrintInsnOptions = {}): string {
  if (options.style === "source") return sourceText(insn);
  return kernelText(insn, {
    call: options.nameCall ?? (() => undefined),
    imm: options.nameImm ?? (() => undefined),
    pointers: options.allowPtrLeaks ?? true,
  });
}

/**
 * Writes a program as the verifier's log does: a line an instruction, with the number of its slot.
 *
 * @param program The instructions, or their bytes
 * @param options The style, and names for what is called and loaded
 * @returns The lines, the last without a line break
 * @throws {SyntaxError} If the bytes are not instructions; its `offset` says where
 * @example
 * ```ts
 * import { exit, mov64, print, r0 } from "./mod.ts";
 *
 * console.log(print([mov64(r0, 0), exit()]));
 * // 0: (b7) r0 = 0
 * // 1: (95) exit
 * ```
 */
export function print(program: readonly Insn[] | Uint8Array, options: PrintOptions = {}): string {
  const insns = program instanceof Uint8Array ? decode(program, options) : program;
  const lines: string[] = [];
  let slot = 0;
  for (const insn of insns) {
    const text = printInsn(insn, options);
    lines.push(options.index ?? true ? `${slot}: ${text}` : text);
    slot += slots(insn);
  }
  return lines.join("\n");
}
