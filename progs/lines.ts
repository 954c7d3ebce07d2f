/**
 * Where functions and source lines start in a program's instructions.
 *
 * @module
 */

import type { Btf } from "../btf/mod.ts";
import type { ProgInfo } from "../cmds/info.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";

/** Where a function starts. */
export interface FunctionAt {
  /** The instruction's number, counted in slots of 8 bytes. */
  readonly insn: number;
  /** The id of its func in the program's BTF. */
  readonly typeId: number;
  /** Its name. */
  readonly name: string;
}

/** Where a source line starts. */
export interface LineAt {
  /** The instruction's number, counted in slots of 8 bytes. */
  readonly insn: number;
  /** The file's name. */
  readonly file: string;
  /** The line's text, as it stands in the file. */
  readonly text: string;
  /** Its number, from 1. */
  readonly line: number;
  /** The column, from 1; 0 where it is not told. */
  readonly column: number;
}

const COLUMN_BITS = 10;
const MAX_TEXT = 1 << 20;

function* rows(bytes: Uint8Array | undefined, size: number): Generator<(index: number) => number> {
  if (bytes === undefined || size === 0) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + size <= bytes.length; at += size) {
    yield (index) => view.getUint32(at + 4 * index, LITTLE_ENDIAN);
  }
}

/**
 * Where a program's functions start, after the verifier's changes.
 *
 * @param info What the kernel tells, with `funcInfo`.
 * @param btf The program's BTF.
 * @returns The functions, by instruction.
 */
export function functionsOf(info: ProgInfo, btf: Btf): FunctionAt[] {
  return [...rows(info.funcInfo, info.funcInfoRecSize)].map((word) => ({
    insn: word(0),
    typeId: word(1),
    name: btf.nameOf(word(1)),
  }));
}

/**
 * Where a program's source lines start, after the verifier's changes.
 *
 * @param info What the kernel tells, with `lineInfo`.
 * @param btf The program's BTF.
 * @returns The lines, by instruction.
 */
export function linesOf(info: ProgInfo, btf: Btf): LineAt[] {
  return [...rows(info.lineInfo, info.lineInfoRecSize)].map((word) => ({
    insn: word(0),
    file: btf.text(word(1), MAX_TEXT),
    text: btf.text(word(2), MAX_TEXT),
    line: word(3) >>> COLUMN_BITS,
    column: word(3) & ((1 << COLUMN_BITS) - 1),
  }));
}
