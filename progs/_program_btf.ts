/**
 * A program's type information as BPF_PROG_LOAD takes it: the BTF is loaded, and records become bytes whose texts are
 * strings of that BTF.
 *
 * @module
 */

import { Btf, BtfBuilder, coreReloKinds } from "../btf/mod.ts";
import { btfLoad } from "../cmds/btf.ts";
import type { ProgBtf, RecordArray } from "../cmds/prog.ts";
import type { Fd } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { PermissionToken } from "../tokens/token.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { ProgramBtf } from "./load_options.ts";

/** Offsets in `struct btf_header`. */
const STRINGS_START = 16;
const STRINGS_LENGTH = 20;
const HEADER_LENGTH = 4;

const INSN_SIZE = 8;
const COLUMN_BITS = 10;
const MAX_LINE = 0xffffffff >>> COLUMN_BITS;

const encoder = new TextEncoder();

/** BTF whose strings grow at their end, so that no id and no offset changes. */
class GrowingStrings {
  readonly #bytes: Uint8Array;
  readonly #offsets = new Map<string, number>([["", 0]]);
  readonly #added: Uint8Array[] = [];
  #length: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#length = this.#u32(STRINGS_LENGTH);
  }

  #u32(at: number): number {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length).getUint32(at, LITTLE_ENDIAN);
  }

  offset(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const at = this.#length;
    const bytes = encoder.encode(`${text}\0`);
    this.#added.push(bytes);
    this.#length += bytes.length;
    this.#offsets.set(text, at);
    return at;
  }

  bytes(): Bytes {
    // What follows the strings, which is nothing in BTF as the kernel takes it, is cut off.
    const end = this.#u32(HEADER_LENGTH) + this.#u32(STRINGS_START) + this.#u32(STRINGS_LENGTH);
    const whole = allocate(end + this.#length - this.#u32(STRINGS_LENGTH));
    whole.set(this.#bytes.subarray(0, end));
    let at = end;
    for (const bytes of this.#added) {
      whole.set(bytes, at);
      at += bytes.length;
    }
    new DataView(whole.buffer).setUint32(STRINGS_LENGTH, this.#length, LITTLE_ENDIAN);
    return whole;
  }
}

/** The bytes of BTF, whatever form it comes in; those that a user gives are read first, to say what is wrong. */
function typeBytes(types: Bytes | Btf | BtfBuilder): Uint8Array {
  if (types instanceof BtfBuilder) return types.bytes();
  if (!(types instanceof Uint8Array || types instanceof Btf)) throw new TypeError("Cannot use btf.types: it is no BTF");
  const btf = types instanceof Btf ? types : Btf.parse(types);
  if ((btf.byteOrder === "little") !== LITTLE_ENDIAN) {
    throw new TypeError(`Cannot use btf.types: it is ${btf.byteOrder}-endian, which this machine is not`);
  }
  return btf.bytes;
}

function insnNumber(insnOff: number, argument: string): number {
  if (!Number.isInteger(insnOff) || insnOff < 0 || insnOff % INSN_SIZE !== 0) {
    throw new RangeError(`Cannot use ${argument}: insnOff ${insnOff} is no multiple of ${INSN_SIZE} bytes`);
  }
  return insnOff / INSN_SIZE;
}

function lineAndColumn(line: number, column: number): number {
  if (!(line >= 0 && line <= MAX_LINE && column >= 0 && column < 1 << COLUMN_BITS)) {
    throw new RangeError(`Cannot use lineInfo: line ${line}, column ${column} does not fit in 22 and 10 bits`);
  }
  return (line << COLUMN_BITS | column) >>> 0;
}

/** Records of some numbers each. */
function records(rows: readonly (readonly number[])[]): RecordArray | undefined {
  if (rows.length === 0) return undefined;
  const size = 4 * rows[0].length;
  const bytes = allocate(size * rows.length);
  const view = new DataView(bytes.buffer);
  rows.flat().forEach((word, index) => view.setUint32(4 * index, word, LITTLE_ENDIAN));
  return { records: bytes, size };
}

/** Loads a program's BTF; the descriptor that it gives is needed until the program is loaded. */
export function loadProgramBtf(token: AnyToken, btf: ProgramBtf | ProgBtf): ProgBtf & { owned?: Fd } {
  if ("fd" in btf) return btf;
  const { types, funcInfo = [], lineInfo = [], coreRelos = [] } = btf;
  const given = typeBytes(types);
  if (funcInfo.length === 0 && lineInfo.length + coreRelos.length > 0) {
    throw new TypeError("Cannot use btf: lineInfo and coreRelos need funcInfo, without which the kernel ignores them");
  }
  const text = lineInfo.length + coreRelos.length === 0 ? undefined : new GrowingStrings(given);
  const offset = (string: string): number => (text as GrowingStrings).offset(string);
  const arrays = {
    funcInfo: records(funcInfo.map(({ insnOff, typeId }) => [insnNumber(insnOff, "funcInfo"), typeId])),
    lineInfo: records(lineInfo.map(({ insnOff, file, text, line, column }) => [
      insnNumber(insnOff, "lineInfo"),
      offset(file),
      offset(text),
      lineAndColumn(line, column),
    ])),
    coreRelos: records(coreRelos.map(({ insnOff, typeId, access, kind }) => {
      insnNumber(insnOff, "coreRelos");
      const number = coreReloKinds.indexOf(kind);
      if (number < 0) throw new TypeError(`Cannot use coreRelos: "${kind}" is none of ${coreReloKinds.join(", ")}`);
      // The kernel counts these in bytes.
      return [insnOff, typeId, offset(access), number];
    })),
  };
  const fd = btfLoad(token as PermissionToken<"CAP_BPF">, text?.bytes() ?? new Uint8Array(given));
  return { fd, owned: fd, ...arrays };
}
