/** Reading fields of ELF files: of 32 or 64 bits, of either byte order, and never outside of the file. */

import { SHF_COMPRESSED, SHT } from "./_layout.ts";
import type { ElfSection } from "./types.ts";

/**
 * The error of a malformed ELF file.
 *
 * @param offset Where, in bytes from the file's start.
 * @param reason What is wrong.
 * @param section The section that it is in.
 * @returns A SyntaxError with `offset` and `section`.
 */
export function malformedElf(
  offset: number,
  reason: string,
  section?: string,
): SyntaxError & { offset: number; section: string | undefined } {
  const place = section === undefined ? "" : ` (section ${section})`;
  return Object.assign(new SyntaxError(`Cannot read ELF at byte ${offset}${place}: ${reason}`), { offset, section });
}

/** Where a field stands in a record of 32-bit and of 64-bit files, and its bytes there. */
export type Field = readonly [at32: number, size32: 2 | 4, at64: number, size64: 2 | 4 | 8];

/** A record's fields by name, and its bytes. */
export interface RecordShape<F extends string> {
  /** Its bytes in 32-bit and in 64-bit files. */
  readonly size: readonly [size32: number, size64: number];
  /** Its fields. */
  readonly fields: Readonly<Record<F, Field>>;
}

/** The bytes of an ELF file, read by its own class and byte order. */
export class ElfReader {
  /** The file. */
  readonly bytes: Uint8Array;
  /** Whether addresses have 64 bits. C name: ELFCLASS64. */
  readonly is64: boolean;
  /** The byte order. C name: ELFDATA2LSB. */
  readonly littleEndian: boolean;
  readonly #view: DataView;

  /**
   * Reads by what the first bytes of a file say.
   *
   * @param bytes The file.
   */
  constructor(bytes: Uint8Array) {
    if (bytes.length < 16 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
      throw malformedElf(0, 'it does not begin with "\\x7fELF"');
    }
    const [format, order, version] = [bytes[4], bytes[5], bytes[6]];
    if (format !== 1 && format !== 2) throw malformedElf(4, `class ${format} is neither 32 nor 64 bits`);
    if (order !== 1 && order !== 2) throw malformedElf(5, `data encoding ${order} is neither little nor big endian`);
    if (version !== 1) throw malformedElf(6, `version ${version} is not 1`);
    this.bytes = bytes;
    this.is64 = format === 2;
    this.littleEndian = order === 1;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Throws where a range is not in the file. */
  check(at: number, length: number, what: string, section?: string): void {
    if (at + length <= this.bytes.length) return;
    throw malformedElf(at, `${what} ends at byte ${at + length}, the file at ${this.bytes.length}`, section);
  }

  /** A number of 2, 4 or 8 bytes, which are in the file. Those of 8 bytes are exact up to 2^53. */
  number(at: number, size: 2 | 4 | 8): number {
    const view = this.#view;
    if (size === 2) return view.getUint16(at, this.littleEndian);
    if (size === 4) return view.getUint32(at, this.littleEndian);
    const [first, second] = [view.getUint32(at, this.littleEndian), view.getUint32(at + 4, this.littleEndian)];
    return this.littleEndian ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }

  /** A signed number of 4 or 8 bytes, which are in the file. */
  signed(at: number, size: 4 | 8): number {
    return size === 4
      ? this.#view.getInt32(at, this.littleEndian)
      : Number(this.#view.getBigInt64(at, this.littleEndian));
  }

  /** The bytes of a record. */
  sizeOf(shape: RecordShape<string>): number {
    return shape.size[this.is64 ? 1 : 0];
  }

  /** A field of a record that is in the file. */
  field<F extends string>(shape: RecordShape<F>, at: number, name: F): number {
    const [at32, size32, at64, size64] = shape.fields[name];
    return this.is64 ? this.number(at + at64, size64) : this.number(at + at32, size32);
  }

  /** All fields of a record that is in the file. */
  record<F extends string>(shape: RecordShape<F>, at: number): Record<F, number> {
    const names = Object.keys(shape.fields) as F[];
    return Object.fromEntries(names.map((name) => [name, this.field(shape, at, name)])) as Record<F, number>;
  }

  /** The bytes of a table in the file: none where it is in memory only. */
  tableSize({ name, type, flags, offset, size }: ElfSection): number {
    if (type === SHT.nobits) return 0;
    if ((flags & SHF_COMPRESSED) === 0) return size;
    throw malformedElf(offset, "it is a table that is compressed", name);
  }
}

/** Characters of names that are taken for each byte of strings, and at least. */
const NAMES_PER_BYTE = 16;
const MIN_NAMES = 1 << 16;

/** The names of a table. They may share their ends, so that a small file could hold endless ones: these have an end. */
export class Names {
  readonly #strings: Uint8Array;
  readonly #decoder = new TextDecoder();
  #left: number;

  /**
   * Reads names.
   *
   * @param strings The table of strings.
   */
  constructor(strings: Uint8Array) {
    this.#strings = strings;
    this.#left = Math.max(strings.length * NAMES_PER_BYTE, MIN_NAMES);
  }

  /** The text from a place up to its NUL. */
  text(at: number, fail: (reason: string) => Error): string {
    const strings = this.#strings;
    if (at >= strings.length) throw fail(`name ${at} is not among the ${strings.length} bytes of strings`);
    const end = strings.indexOf(0, at);
    if (end < 0) throw fail(`name ${at} has no end`);
    this.#left -= end - at;
    if (this.#left < 0) throw fail("names are far longer than all strings");
    return end === at ? "" : this.#decoder.decode(strings.subarray(at, end));
  }
}
