/**
 * The `.BTF.ext` section of object files: which instruction belongs to which function and source line, and which has
 * to be adapted to the running kernel (CO-RE).
 *
 * @module
 */

import { BTF_MAGIC, BTF_VERSION } from "../uapi/constants.gen.ts";
import { malformed } from "./_malformed.ts";
import { isLittleEndian } from "./_sections.ts";
import type { Btf } from "./btf.ts";
import type { BtfBuilder } from "./builder.ts";

/** What a CO-RE relocation asks for, by number. C name: `enum bpf_core_relo_kind`. */
export const coreReloKinds = [
  "field_byte_offset",
  "field_byte_size",
  "field_exists",
  "field_signed",
  "field_lshift_u64",
  "field_rshift_u64",
  "type_id_local",
  "type_id_target",
  "type_exists",
  "type_size",
  "enumval_exists",
  "enumval_value",
  "type_matches",
] as const;

/** What a CO-RE relocation asks for. C name: `enum bpf_core_relo_kind`. */
export type CoreReloKind = typeof coreReloKinds[number];

/** Where a function starts. C name: `struct bpf_func_info`. */
export interface BtfFuncInfo {
  /** Bytes from the start of the program's section; the kernel counts instructions instead. */
  readonly insnOff: number;
  /** The id of its func. */
  readonly typeId: number;
}

/** Where the code of a source line starts. C name: `struct bpf_line_info`. */
export interface BtfLineInfo {
  /** Bytes from the start of the program's section; the kernel counts instructions instead. */
  readonly insnOff: number;
  /** The source file's name. */
  readonly file: string;
  /** The line's text. */
  readonly text: string;
  /** The line's number, from 1. */
  readonly line: number;
  /** The column, from 1; 0 where it is not told. */
  readonly column: number;
}

/** An instruction that depends on the kernel's types. C name: `struct bpf_core_relo`. */
export interface BtfCoreRelo {
  /** Bytes from the start of the program's section. */
  readonly insnOff: number;
  /** The id of the type that is accessed first. */
  readonly typeId: number;
  /** The places of members and elements on the way, such as `"0:2:1"`. */
  readonly access: string;
  /** What is asked for. */
  readonly kind: CoreReloKind;
}

/** The records of one section of programs. */
export interface BtfExtSection<T> {
  /** The section's name, such as `"xdp"`. */
  readonly section: string;
  /** Its records, by instruction. */
  readonly records: readonly T[];
}

/** A `.BTF.ext` section. C name: `struct btf_ext_header` and what follows it. */
export interface BtfExt {
  /** Where functions start. */
  readonly funcInfo: readonly BtfExtSection<BtfFuncInfo>[];
  /** Where source lines start. */
  readonly lineInfo: readonly BtfExtSection<BtfLineInfo>[];
  /** What depends on the kernel's types. */
  readonly coreRelo: readonly BtfExtSection<BtfCoreRelo>[];
}

/** Bytes of the header without and with CO-RE relocations. */
const OLD_HEADER = 24;
const HEADER = 32;

/** Bytes of each record. */
const FUNC_INFO = 8;
const LINE_INFO = 16;
const CORE_RELO = 16;

/** Bytes of a string, and of all that are read: strings may overlap, so that a small file could hold endless text. */
const MAX_TEXT = 1 << 20;
const MAX_TEXTS = 1 << 26;

const COLUMN_BITS = 10;
const MAX_LINE = 0xffffffff >>> COLUMN_BITS;

const READ = "read .BTF.ext";

/** Reads the strings of a BTF that `.BTF.ext` names, each once. */
class Texts {
  readonly #btf: Btf;
  readonly #known = new Map<number, string>();
  #total = 0;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  at(offset: number, place: number): string {
    const known = this.#known.get(offset);
    if (known !== undefined) return known;
    if (offset >= this.#btf.stringLength) {
      throw malformed(place, `a string at ${offset} is past the ${this.#btf.stringLength} bytes of strings`, READ);
    }
    const text = this.#btf.text(offset, MAX_TEXT);
    this.#total += text.length;
    if (this.#total > MAX_TEXTS) throw malformed(place, `its strings overlap to more than ${MAX_TEXTS} bytes`, READ);
    this.#known.set(offset, text);
    return text;
  }
}

/**
 * Reads a `.BTF.ext` section.
 *
 * @param bytes The section's bytes.
 * @param btf The `.BTF` section of the same file, which has the strings and types.
 * @returns The records, with texts instead of their offsets. What newer records have beyond the known is left out.
 * @throws {SyntaxError} If it is malformed; its `offset` says where.
 */
export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const littleEndian = isLittleEndian(bytes, READ);
  if (bytes.length < OLD_HEADER) throw malformed(bytes.length, `a header has at least ${OLD_HEADER} bytes`, READ);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, littleEndian);
  if (bytes[2] !== BTF_VERSION) throw malformed(2, `version ${bytes[2]} is not ${BTF_VERSION}`, READ);
  if (bytes[3] !== 0) throw malformed(3, `there are no flags 0x${bytes[3].toString(16)}`, READ);
  const headerLength = u32(4);
  if (headerLength < OLD_HEADER || headerLength > bytes.length) {
    throw malformed(4, `a header of ${headerLength} bytes is not between ${OLD_HEADER} and ${bytes.length}`, READ);
  }
  const texts = new Texts(btf);
  const typeId = (at: number): number => {
    const id = u32(at);
    if (id >= btf.typeCount) throw malformed(at, `there is no type ${id}, the last is ${btf.typeCount - 1}`, READ);
    return id;
  };

  const sections = <T>(header: number, size: number, record: (at: number) => T): BtfExtSection<T>[] => {
    if (header + 8 > headerLength) return [];
    const [start, length] = [headerLength + u32(header), u32(header + 4)];
    if (length === 0) return [];
    const end = start + length;
    if (start % 4 !== 0) throw malformed(header, `records at ${start} are not aligned to 4 bytes`, READ);
    if (end > bytes.length) throw malformed(header + 4, `records end at ${end}, past the end`, READ);
    if (length < 4) throw malformed(header + 4, `${length} bytes cannot hold a record's size`, READ);
    const recordSize = u32(start);
    if (recordSize < size || recordSize % 4 !== 0) {
      throw malformed(start, `a record of ${recordSize} bytes is not a multiple of 4 from ${size} on`, READ);
    }
    const found: BtfExtSection<T>[] = [];
    for (let at = start + 4; at < end;) {
      if (at + 8 > end) throw malformed(at, "a section's name is cut off", READ);
      const section = texts.at(u32(at), at);
      const count = u32(at + 4);
      const next = at + 8 + count * recordSize;
      if (count === 0) throw malformed(at + 4, "a section has no records", READ);
      if (next > end) throw malformed(at + 4, `${count} records end at ${next}, past the end`, READ);
      const records: T[] = [];
      for (at += 8; at < next; at += recordSize) records.push(record(at));
      found.push({ section, records });
    }
    return found;
  };

  return {
    funcInfo: sections(8, FUNC_INFO, (at) => ({ insnOff: u32(at), typeId: typeId(at + 4) })),
    lineInfo: sections(16, LINE_INFO, (at) => ({
      insnOff: u32(at),
      file: texts.at(u32(at + 4), at + 4),
      text: texts.at(u32(at + 8), at + 8),
      line: u32(at + 12) >>> COLUMN_BITS,
      column: u32(at + 12) & ((1 << COLUMN_BITS) - 1),
    })),
    coreRelo: sections(24, CORE_RELO, (at) => {
      const kind = coreReloKinds[u32(at + 12)];
      if (kind === undefined) throw malformed(at + 12, `there is no relocation kind ${u32(at + 12)}`, READ);
      return { insnOff: u32(at), typeId: typeId(at + 4), access: texts.at(u32(at + 8), at + 8), kind };
    }),
  };
}

/**
 * Encodes a `.BTF.ext` section. Its texts become strings of the BTF that it goes with, so this comes before
 * {@linkcode BtfBuilder.bytes}.
 *
 * @param ext The records, whose type ids are the builder's.
 * @param builder The BTF that it goes with.
 * @returns The section's bytes, in the builder's byte order.
 * @throws {RangeError} If a number does not fit.
 */
export function encodeBtfExt(ext: BtfExt, builder: BtfBuilder): Uint8Array<ArrayBuffer> {
  const parts = [
    recordWords(ext.funcInfo, FUNC_INFO, builder, ({ insnOff, typeId }) => [insnOff, typeId]),
    recordWords(ext.lineInfo, LINE_INFO, builder, ({ insnOff, file, text, line, column }) => {
      if (line > MAX_LINE || column >= 1 << COLUMN_BITS) {
        throw new RangeError(`Cannot encode .BTF.ext: line ${line}, column ${column} does not fit in 22 and 10 bits`);
      }
      return [insnOff, builder.string(file), builder.string(text), (line << COLUMN_BITS | column) >>> 0];
    }),
    recordWords(ext.coreRelo, CORE_RELO, builder, ({ insnOff, typeId, access, kind }) => {
      const number = coreReloKinds.indexOf(kind);
      if (number < 0) throw new RangeError(`Cannot encode .BTF.ext: there is no relocation kind "${kind}"`);
      return [insnOff, typeId, builder.string(access), number];
    }),
  ];
  const header: number[] = [HEADER];
  let offset = 0;
  for (const { length } of parts) {
    header.push(offset, 4 * length);
    offset += 4 * length;
  }
  const words = header.concat(...parts);
  const littleEndian = builder.byteOrder === "little";
  const bytes = new Uint8Array(HEADER + offset);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, BTF_MAGIC, littleEndian);
  view.setUint8(2, BTF_VERSION);
  words.forEach((word, index) => {
    if (!Number.isInteger(word) || word < 0 || word > 0xffffffff) {
      throw new RangeError(`Cannot encode .BTF.ext: ${word} is not between 0 and 4294967295`);
    }
    view.setUint32(4 + 4 * index, word, littleEndian);
  });
  return bytes;
}

/** The size of a record, and the records of each section with its name and their number. */
function recordWords<T>(
  sections: readonly BtfExtSection<T>[],
  size: number,
  builder: BtfBuilder,
  words: (record: T) => number[],
): number[] {
  const all: number[] = [];
  for (const { section, records } of sections) {
    // A section without records is malformed, so it is left out.
    if (records.length === 0) continue;
    if (all.length === 0) all.push(size);
    all.push(builder.string(section), records.length);
    for (const record of records) for (const word of words(record)) all.push(word);
  }
  return all;
}
