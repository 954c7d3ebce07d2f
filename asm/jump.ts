/**
 * Builders of jumps, calls and exit.
 *
 * @module
 */

import * as c from "../uapi/constants.gen.ts";
import { type HelperName, helpers } from "../uapi/enums.gen.ts";
import type { Insn, JmpOp, Reg, Target } from "./insn.ts";
import { JMP, regNumber, row } from "./_tables.ts";

function toward(insn: Insn, target: Target, field: "off" | "imm"): Insn {
  return typeof target === "string" ? { ...insn, target } : { ...insn, [field]: target };
}

function compare(jmpClass: number, op: JmpOp, dst: Reg, src: Reg | number, target: Target): Insn {
  const code = jmpClass | row(JMP, op, "a jump").code;
  return toward(
    typeof src === "number"
      ? { code: code | c.BPF_K, dst: regNumber(dst), src: 0, off: 0, imm: src }
      : { code: code | c.BPF_X, dst: regNumber(dst), src: regNumber(src), off: 0, imm: 0 },
    target,
    "off",
  );
}

/**
 * Builds a jump on a 64-bit comparison (`BPF_JMP_REG` and `BPF_JMP_IMM`).
 *
 * @param op The condition
 * @param dst The left side
 * @param src The right side: a register, or a number that is kept as 32 bits and sign extended
 * @param target Where to jump to, at most 32767 slots away
 * @returns The instruction
 * @throws {RangeError} If there is no such condition
 * @example
 * ```ts
 * import { assemble, exit, jmp, label, mov64, r0, r1 } from "./mod.ts";
 *
 * const bytes = assemble([
 *   mov64(r0, 0),
 *   jmp("jeq", r1, 0, "out"), // if r1 == 0x0 goto pc+1
 *   mov64(r0, 1),
 *   label("out"),
 *   exit(),
 * ]);
 * ```
 */
export function jmp(op: JmpOp, dst: Reg, src: Reg | number, target: Target): Insn {
  return compare(c.BPF_JMP, op, dst, src, target);
}

/**
 * Builds a jump on a comparison of the lower 32 bits (`BPF_JMP32_REG` and `BPF_JMP32_IMM`, Linux 5.1).
 *
 * @param op The condition
 * @param dst The left side
 * @param src The right side: a register, or a 32-bit number
 * @param target Where to jump to, at most 32767 slots away
 * @returns The instruction
 * @throws {RangeError} If there is no such condition
 */
export function jmp32(op: JmpOp, dst: Reg, src: Reg | number, target: Target): Insn {
  return compare(c.BPF_JMP32, op, dst, src, target);
}

/**
 * Builds a jump, `goto target` (`BPF_JMP_A`).
 *
 * @param target Where to jump to, at most 32767 slots away
 * @returns The instruction
 */
export function ja(target: Target): Insn {
  return toward({ code: c.BPF_JMP | c.BPF_JA, dst: 0, src: 0, off: 0, imm: 0 }, target, "off");
}

/**
 * Builds a jump of any length, `gotol target` (`BPF_JMP32_A`, Linux 6.6).
 *
 * @param target Where to jump to
 * @returns The instruction
 */
export function gotol(target: Target): Insn {
  return toward({ code: c.BPF_JMP32 | c.BPF_JA, dst: 0, src: 0, off: 0, imm: 0 }, target, "imm");
}

/**
 * Builds a jump that the kernel takes once a loop has run for too long, `may_goto target` (`BPF_JCOND`, Linux 6.9).
 *
 * @param target Where to jump to, at most 32767 slots away
 * @returns The instruction
 */
export function mayGoto(target: Target): Insn {
  return toward({ code: c.BPF_JMP | c.BPF_JCOND, dst: 0, src: c.BPF_MAY_GOTO, off: 0, imm: 0 }, target, "off");
}

/**
 * Builds a jump to an address from an instruction array map, `gotox dst` (Linux 6.19).
 *
 * @param dst The register with the address
 * @returns The instruction
 */
export function gotox(dst: Reg): Insn {
  return { code: c.BPF_JMP | c.BPF_JA | c.BPF_X, dst: regNumber(dst), src: 0, off: 0, imm: 0 };
}

/**
 * Builds the end of the program or function, which hands back `r0`.
 *
 * @returns The instruction
 */
export function exit(): Insn {
  return { code: c.BPF_JMP | c.BPF_EXIT, dst: 0, src: 0, off: 0, imm: 0 };
}

function callInsn(src: number, off: number, imm: number): Insn {
  return { code: c.BPF_JMP | c.BPF_CALL, dst: 0, src, off, imm };
}

/**
 * Builds a call of one of the kernel's helper functions (`BPF_EMIT_CALL`).
 *
 * @param helper Its name, with or without `bpf_`, or its number (for one that this library does not know)
 * @returns The instruction
 * @throws {RangeError} If no helper has this name
 * @example
 * ```ts
 * import { call } from "./mod.ts";
 *
 * const items = [call("map_lookup_elem"), call("bpf_map_lookup_elem"), call(1)]; // thrice the same
 * ```
 */
export function call(helper: HelperName | `bpf_${HelperName}` | number): Insn {
  if (typeof helper === "number") return callInsn(0, 0, helper);
  const id = helperNumber(helper);
  if (id === undefined) throw new RangeError(`Cannot build call: "${helper}" is no helper function`);
  return callInsn(0, 0, id);
}

/**
 * Looks up the number of a helper function.
 *
 * @param name Its name, with or without `bpf_`
 * @returns Its number; undefined where no helper has this name
 */
export function helperNumber(name: string): number | undefined {
  const plain = name.startsWith("bpf_") ? name.slice(4) : name;
  return Object.hasOwn(helpers, plain) ? helpers[plain as HelperName] : undefined;
}

/**
 * Builds a call of a function in the same program (`BPF_CALL_REL`, Linux 4.16).
 *
 * @param target The function's label, or the distance to its first slot
 * @returns The instruction
 */
export function callSub(target: Target): Insn {
  return toward(callInsn(c.BPF_PSEUDO_CALL, 0, 0), target, "imm");
}

/**
 * Builds a call of a kernel function that is no helper (`BPF_CALL_KFUNC`, Linux 5.13).
 *
 * @param btfId The BTF type id of the function
 * @param fdIndex Where the BTF is in the program's array of fds: 0 is the kernel itself, others are modules
 * @returns The instruction
 */
export function callKfunc(btfId: number, fdIndex: number = 0): Insn {
  return callInsn(c.BPF_PSEUDO_KFUNC_CALL, fdIndex, btfId);
}
