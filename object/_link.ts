/**
 * Puts a program together with the functions that it calls: their code is appended in the order in which it is first
 * called, as libbpf does, and calls, function and line records are adjusted to where it is then.
 */

import type { RecordArray } from "../cmds/prog.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { BPF_PSEUDO_FUNC } from "../uapi/constants.gen.ts";
import type { ExtRecords, RawRecords } from "./_ext_records.ts";
import { SLOT } from "./_functions.ts";
import type { FunctionSpec, Relocation } from "./spec.ts";

/** Slots that a program may have: BPF_COMPLEXITY_LIMIT_INSNS. */
const MAX_SLOTS = 1_000_000;
/** Slots that all programs of an object may have together: each has copies of the functions that it calls. */
const MAX_TOTAL = 1 << 24;

/** What an instruction of a linked program has yet to be given; `insn` counts from the program's first slot. */
export type OpenRelocation = Exclude<Relocation, { kind: "call" | "func" }>;

/** Where a function stands in a linked program. */
export interface LinkedFunction {
  /** Its number. */
  readonly function: number;
  /** Its first slot in the program. */
  readonly start: number;
}

/** A program with all that it calls. */
export interface LinkedProgram {
  /** Its instructions. */
  readonly insns: Bytes;
  /** What they have yet to be given. */
  readonly open: readonly OpenRelocation[];
  /** Its functions, in their order. */
  readonly functions: readonly LinkedFunction[];
  /** Where functions start, for the kernel. */
  readonly funcInfo: RecordArray | undefined;
  /** Where lines start, for the kernel. */
  readonly lineInfo: RecordArray | undefined;
}

/** Links the programs of an object. */
export class Linker {
  readonly #functions: readonly FunctionSpec[];
  readonly #code: (number: number) => Uint8Array;
  readonly #records: ExtRecords;
  #total = 0;

  /**
   * Makes a linker.
   *
   * @param functions The functions of the object.
   * @param code The instructions of a function, adapted to the kernel.
   * @param records The records of functions and lines.
   */
  constructor(functions: readonly FunctionSpec[], code: (number: number) => Uint8Array, records: ExtRecords) {
    this.#functions = functions;
    this.#code = code;
    this.#records = records;
  }

  /**
   * Links a program.
   *
   * @param number The number of its function.
   * @returns The program.
   * @throws {RangeError} Where it is larger than any kernel takes, or all that were linked are too large together.
   */
  link(number: number): LinkedProgram {
    const { placed, order, length } = this.#place(number);
    this.#total += length;
    if (this.#total > MAX_TOTAL) {
      throw new RangeError(
        `Cannot link ${this.#functions[number].name}: all programs come to more than ${MAX_TOTAL} instructions`,
      );
    }
    const insns = allocate(length * SLOT);
    const view = new DataView(insns.buffer);
    const open: OpenRelocation[] = [];
    for (const { function: index, start } of order) {
      insns.set(this.#code(index), start * SLOT);
      for (const relocation of this.#functions[index].relocations) {
        const insn = start + relocation.insn;
        if (!isOpen(relocation)) {
          if (relocation.kind === "func") insns[insn * SLOT + 1] = insns[insn * SLOT + 1] & 0x0f | BPF_PSEUDO_FUNC << 4;
          view.setInt32(insn * SLOT + 4, placed.get(relocation.target)! - insn - 1, LITTLE_ENDIAN);
        } else open.push({ ...relocation, insn });
      }
    }
    const funcInfo = this.#recordsOf(this.#records.funcInfo, order, true);
    // The kernel takes lines only of functions that it knows.
    const lineInfo = funcInfo === undefined ? undefined : this.#recordsOf(this.#records.lineInfo, order, false);
    return { insns, open, functions: order, funcInfo, lineInfo };
  }

  /** Where each function that the program reaches comes to stand: depth first, each once. */
  #place(first: number): { placed: Map<number, number>; order: LinkedFunction[]; length: number } {
    const placed = new Map<number, number>();
    const order: LinkedFunction[] = [];
    let length = 0;
    const append = (number: number): void => {
      placed.set(number, length);
      order.push({ function: number, start: length });
      length += this.#functions[number].insns.length / SLOT;
      if (length <= MAX_SLOTS) return;
      throw new RangeError(
        `Cannot link ${this.#functions[first].name}: ${length} instructions are more than the limit of ${MAX_SLOTS}`,
      );
    };
    // Calls may go deeper than JavaScript's: the functions that are under way are kept on a stack of their own.
    const visit = (root: number): void => {
      append(root);
      const stack = [{ number: root, next: 0 }];
      while (stack.length > 0) {
        const top = stack[stack.length - 1];
        const relocation = this.#functions[top.number].relocations[top.next++];
        if (relocation === undefined) stack.pop();
        else if ((relocation.kind === "call" || relocation.kind === "func") && !placed.has(relocation.target)) {
          append(relocation.target);
          stack.push({ number: relocation.target, next: 0 });
        }
      }
    };
    visit(first);
    const { exceptionCallback } = this.#functions[first];
    if (exceptionCallback !== undefined && !placed.has(exceptionCallback)) visit(exceptionCallback);
    return { placed, order, length };
  }

  /** The records of some functions, one after the other; undefined where the program itself has none. */
  #recordsOf(
    bySection: ReadonlyMap<string, RawRecords>,
    order: readonly LinkedFunction[],
    needsAll: boolean,
  ): RecordArray | undefined {
    const parts: { bytes: Uint8Array; shift: number }[] = [];
    let size = 0;
    for (const { function: index, start } of order) {
      const { section, start: from, insns } = this.#functions[index];
      const records = bySection.get(section);
      const found = records === undefined ? undefined : recordsIn(records, from, from + insns.length / SLOT);
      const fits = size === 0 || records?.size === size;
      if (records === undefined || found === undefined || found.length === 0 || !fits) {
        // Functions without a record of their own leave the kernel in the dark about all.
        if (needsAll) return undefined;
        continue;
      }
      size = records.size;
      parts.push({ bytes: found, shift: start - from });
    }
    if (parts.length === 0) return undefined;
    const records = allocate(parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
    const view = new DataView(records.buffer);
    let at = 0;
    for (const { bytes, shift } of parts) {
      records.set(bytes, at);
      for (const end = at + bytes.length; at < end; at += size) {
        view.setUint32(at, view.getUint32(at, LITTLE_ENDIAN) / SLOT + shift, LITTLE_ENDIAN);
      }
    }
    return { records, size };
  }
}

/** The records from one slot of a section to another: they are in the order of their instructions. */
function recordsIn({ size, bytes }: RawRecords, from: number, to: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = bytes.length / size;
  const slot = (index: number): number => view.getUint32(index * size, LITTLE_ENDIAN) / SLOT;
  const firstFrom = (wanted: number): number => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (slot(middle) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return bytes.subarray(firstFrom(from) * size, firstFrom(to) * size);
}

function isOpen(relocation: Relocation): relocation is OpenRelocation {
  return relocation.kind !== "call" && relocation.kind !== "func";
}
