/**
 * What a program's instructions say about the permissions that it needs.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { ProgFeature } from "../tokens/rules.ts";
import {
  BPF_CALL,
  BPF_EXIT,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_MAXINSNS,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
} from "../uapi/constants.gen.ts";

/** BPF_DW is not in the kernel's list of shared constants under this name: an 8-byte access. */
const BPF_DW = 0x18;
const INSN_SIZE = 8;
const LD_IMM64 = BPF_LD | BPF_DW | BPF_IMM;
const CLASS_MASK = 0x07;
const OP_MASK = 0xf0;

/** What a program calls and does, as far as its instructions tell. */
export interface ScannedProgram {
  /** The ids of the helpers that it calls. */
  readonly helpers: ReadonlySet<number>;
  /** What it does that asks for permissions. */
  readonly features: readonly ProgFeature[];
}

/** Looks at a program's instructions. */
export function scanProgram(insns: Bytes): ScannedProgram {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.length);
  const helpers = new Set<number>();
  const features = new Set<ProgFeature>();
  let jumpsBack = false;
  for (let at = 0; at < insns.length; at += INSN_SIZE) {
    const code = insns[at];
    const source = insns[at + 1] >> 4;
    if (code === (BPF_JMP | BPF_CALL)) {
      if (source === 0) helpers.add(view.getInt32(at + 4, LITTLE_ENDIAN));
      else if (source === BPF_PSEUDO_CALL) features.add("subprograms");
      else if (source === BPF_PSEUDO_KFUNC_CALL) features.add("kfuncs");
    } else if (code === LD_IMM64) {
      if (source === BPF_PSEUDO_FUNC) features.add("callbacks");
      at += INSN_SIZE;
    } else if (jumpOffset(view, at) !== undefined && jumpOffset(view, at)! < 0) jumpsBack = true;
  }
  // Larger programs need CAP_BPF anyway, which loops are about.
  if (jumpsBack && insns.length <= BPF_MAXINSNS * INSN_SIZE && hasLoop(view, false)) {
    features.add(hasLoop(view, true) ? "loops" : "may_goto");
  }
  return { helpers, features: [...features] };
}

/** How far the instruction at a byte jumps, in instructions after the next one; undefined where it does not jump. */
function jumpOffset(view: DataView, at: number): number | undefined {
  const code = view.getUint8(at);
  const [kind, op] = [code & CLASS_MASK, code & OP_MASK];
  if (kind !== BPF_JMP && kind !== BPF_JMP32) return undefined;
  if (kind === BPF_JMP && (op === BPF_CALL || op === BPF_EXIT)) return undefined;
  const long = kind === BPF_JMP32 && op === BPF_JA;
  return long ? view.getInt32(at + 4, LITTLE_ENDIAN) : view.getInt16(at + 2, LITTLE_ENDIAN);
}

/**
 * Whether some path through a program comes back to an instruction that it has passed.
 *
 * @param ignoreMayGoto Whether paths through a `may_goto` do not count: those end by themselves.
 */
function hasLoop(view: DataView, ignoreMayGoto: boolean): boolean {
  const count = Math.floor(view.byteLength / INSN_SIZE);
  const [UNSEEN, OPEN, DONE] = [0, 1, 2];
  const state = new Uint8Array(count);
  const next = (index: number): number[] => {
    const at = index * INSN_SIZE;
    const code = view.getUint8(at);
    if (code === (BPF_JMP | BPF_EXIT)) return [];
    if (code === LD_IMM64) return [index + 2];
    const offset = jumpOffset(view, at);
    if (offset === undefined) return [index + 1];
    return (code & OP_MASK) === BPF_JA ? [index + 1 + offset] : [index + 1, index + 1 + offset];
  };
  const stack: { index: number; edges: number[] }[] = [];
  const starts = [0];
  const visit = (index: number): void => {
    if (ignoreMayGoto && view.getUint8(index * INSN_SIZE) === (BPF_JMP | BPF_JCOND)) {
      // What comes after it is looked at as if the program began there.
      state[index] = DONE;
      starts.push(...next(index));
    } else {
      state[index] = OPEN;
      stack.push({ index, edges: next(index) });
    }
  };
  while (true) {
    const top = stack.at(-1);
    const target = (top?.edges ?? starts).pop();
    if (target !== undefined) {
      if (target < 0 || target >= count) continue;
      if (state[target] === OPEN) return true;
      if (state[target] === UNSEEN) visit(target);
    } else if (top === undefined) return false;
    else {
      state[top.index] = DONE;
      stack.pop();
    }
  }
}
