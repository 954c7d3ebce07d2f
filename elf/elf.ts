/**
 * Reading ELF: the files of compiled objects, programs and libraries.
 *
 * @module
 */

import { inflateSync, zstdDecompressSync } from "node:zlib";
import {
  COMPRESSED,
  HEADER,
  type HeaderField,
  PN_XNUM,
  PT_LOAD,
  PT_NOTE,
  SECTION,
  type SectionField,
  SEGMENT,
  SHF_COMPRESSED,
  SHN_XINDEX,
  SHT,
} from "./_layout.ts";
import { ElfReader, malformedElf, Names } from "./_reader.ts";
import { readSymbols } from "./_symbols.ts";
import type { ElfNote, ElfRelocation, ElfSection, ElfSegment, ElfSymbol } from "./types.ts";

/** Bytes that a section may have once it is decompressed. */
const MAX_DECOMPRESSED = 1 << 30;

/**
 * An ELF file, of 32 or 64 bits and either byte order. The bytes are kept, not copied: they must not change. Tables are
 * read when they are asked for.
 *
 * @example
 * ```ts
 * import { Elf } from "@bpf/deno/elf";
 *
 * const elf = Elf.parse(await Deno.readFile("/usr/bin/env"));
 * console.log(elf.sections.map(({ name }) => name), elf.dynamicSymbols.length);
 * ```
 */
export class Elf {
  /** The file. */
  readonly bytes: Uint8Array;
  /** Whether addresses have 64 bits. C name: ELFCLASS64. */
  readonly is64: boolean;
  /** The byte order. C name: ELFDATA2LSB. */
  readonly littleEndian: boolean;
  /** What kind of file it is: 1 an object, 2 a program at a fixed address, 3 a library or other program. C name: ET_*. */
  readonly type: number;
  /** The machine, such as 62 for x86-64, 183 for arm64, 247 for BPF. C name: EM_*. */
  readonly machine: number;
  /** The machine's flags. C name: `e_flags`. */
  readonly flags: number;
  /** Where a program starts. */
  readonly entry: number;
  /** Its sections by their numbers. */
  readonly sections: readonly ElfSection[];
  /** Its segments. */
  readonly segments: readonly ElfSegment[];
  readonly #reader: ElfReader;
  #symbols: ElfSymbol[] | undefined;
  #dynamicSymbols: ElfSymbol[] | undefined;
  #byName: Map<string, ElfSection> | undefined;

  private constructor(bytes: Uint8Array) {
    const reader = new ElfReader(bytes);
    reader.check(0, reader.sizeOf(HEADER), "the header");
    const header = reader.record(HEADER, 0);
    this.#reader = reader;
    this.bytes = bytes;
    this.is64 = reader.is64;
    this.littleEndian = reader.littleEndian;
    this.type = header.type;
    this.machine = header.machine;
    this.flags = header.flags;
    this.entry = header.entry;
    this.sections = readSections(reader, header);
    this.segments = readSegments(reader, header, this.sections);
  }

  /**
   * Reads an ELF file.
   *
   * @param bytes The file.
   * @returns What it holds.
   * @throws {SyntaxError} If it is malformed; its `offset` and `section` say where.
   */
  static parse(bytes: Uint8Array): Elf {
    return new Elf(bytes);
  }

  /**
   * Reads an ELF file, where the bytes may be none.
   *
   * @param bytes The file.
   * @returns What it holds; undefined where {@linkcode Elf.parse} would throw a SyntaxError.
   */
  static tryParse(bytes: Uint8Array): Elf | undefined {
    try {
      return Elf.parse(bytes);
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /** The symbols of the file; none where they were stripped. C name: `.symtab`. */
  get symbols(): readonly ElfSymbol[] {
    return this.#symbols ??= this.#readSymbols(SHT.symtab);
  }

  /** The symbols that the dynamic linker sees. C name: `.dynsym`. */
  get dynamicSymbols(): readonly ElfSymbol[] {
    return this.#dynamicSymbols ??= this.#readSymbols(SHT.dynsym);
  }

  /**
   * Finds a section by name.
   *
   * @param name The name.
   * @returns The first one of the name; undefined where there is none.
   */
  section(name: string): ElfSection | undefined {
    if (this.#byName === undefined) {
      this.#byName = new Map();
      for (const section of this.sections) if (!this.#byName.has(section.name)) this.#byName.set(section.name, section);
    }
    return this.#byName.get(name);
  }

  /**
   * The relocations that apply to a section.
   *
   * @param section The section.
   * @returns The relocations, in their order. Their symbols are of {@linkcode Elf.symbols} in files that were not linked.
   * @throws {SyntaxError} If they lie outside of the section, or name symbols that there are not.
   */
  relocations(section: ElfSection): ElfRelocation[] {
    return this.sections.flatMap((table) =>
      (table.type === SHT.rel || table.type === SHT.rela) && table.info === section.index
        ? this.#readRelocations(table, section)
        : []
    );
  }

  /**
   * The notes of the file, by its sections, or by its segments where it has no sections.
   *
   * @returns The notes.
   * @throws {SyntaxError} If one lies outside.
   */
  notes(): ElfNote[] {
    const places = this.sections.length > 0
      ? this.sections.filter(({ type }) => type === SHT.note).map((section) => {
        const { name, offset, alignment } = section;
        return { name, offset, alignment, size: this.#reader.tableSize(section) };
      })
      : this.segments.filter(({ type }) => type === PT_NOTE)
        .map(({ offset, fileSize }) => ({ name: "PT_NOTE", offset, size: fileSize, alignment: 4 }));
    return places.flatMap((place) => this.#readNotes(place));
  }

  /**
   * Where in the file an address of a program or library is.
   *
   * @param address The address, as symbols have it.
   * @returns Bytes from the file's start; undefined where the file has nothing there.
   */
  fileOffset(address: number): number | undefined {
    const segment = this.segments.find((one) =>
      one.type === PT_LOAD && address >= one.address && address < one.address + one.fileSize
    );
    return segment === undefined ? undefined : address - segment.address + segment.offset;
  }

  #readSymbols(type: number): ElfSymbol[] {
    const table = this.sections.find((section) => section.type === type);
    return table === undefined ? [] : readSymbols(this.#reader, this, table);
  }

  #readRelocations(table: ElfSection, section: ElfSection): ElfRelocation[] {
    const reader = this.#reader;
    const word = reader.is64 ? 8 : 4;
    const hasAddend = table.type === SHT.rela;
    const size = word * (hasAddend ? 3 : 2);
    if (table.entrySize !== size) {
      throw malformedElf(table.offset, `its entries have ${table.entrySize} bytes, not ${size}`, table.name);
    }
    const symbolCount = this.sections[table.link]?.type === SHT.dynsym
      ? this.dynamicSymbols.length
      : this.symbols.length;
    const relocations: ElfRelocation[] = [];
    const tableSize = reader.tableSize(table);
    // A section of memory only has no bytes to adapt, and a compressed one is adapted after.
    const end = (section.flags & SHF_COMPRESSED) === 0 ? section.size : section.data.length;
    for (let within = 0; within + size <= tableSize; within += size) {
      const at = table.offset + within;
      const offset = reader.number(at, word);
      // ELF64_R_INFO is one number of 64 bits, ELF32_R_INFO has 24 bits for the symbol.
      const info = at + word;
      const [type, symbol] = reader.is64
        ? [
          reader.number(info + (reader.littleEndian ? 0 : 4), 4),
          reader.number(info + (reader.littleEndian ? 4 : 0), 4),
        ]
        : [reader.number(info, 4) & 0xff, reader.number(info, 4) >>> 8];
      if (this.type === 1 && offset >= end) {
        throw malformedElf(
          at,
          `a relocation is at ${offset} of the ${end} bytes of ${section.name}`,
          table.name,
        );
      }
      if (symbol >= symbolCount && symbol !== 0) throw malformedElf(at, `there is no symbol ${symbol}`, table.name);
      relocations.push({ offset, type, symbol, addend: hasAddend ? reader.signed(info + word, word) : undefined });
    }
    return relocations;
  }

  #readNotes(place: { name: string; offset: number; size: number; alignment: number }): ElfNote[] {
    const reader = this.#reader;
    const align = (length: number): number =>
      place.alignment === 8 ? Math.ceil(length / 8) * 8 : Math.ceil(length / 4) * 4;
    const notes: ElfNote[] = [];
    const end = place.offset + place.size;
    for (let at = place.offset; at + 12 <= end;) {
      const [nameSize, dataSize, type] = [0, 4, 8].map((field) => reader.number(at + field, 4));
      const nameAt = at + 12;
      const dataAt = at + align(12 + nameSize);
      if (nameAt + nameSize > end || dataAt + dataSize > end) throw malformedElf(at, "a note lies outside", place.name);
      const name = new TextDecoder().decode(this.bytes.subarray(nameAt, nameAt + nameSize)).replace(/\0[^]*$/, "");
      notes.push({ name, type, data: this.bytes.subarray(dataAt, dataAt + dataSize) });
      at = dataAt + align(dataSize);
    }
    return notes;
  }
}

/** A section, whose bytes are decompressed when they are asked for. */
class Section implements ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly alignment: number;
  readonly entrySize: number;
  readonly #reader: ElfReader;
  #data: Uint8Array | undefined;

  constructor(reader: ElfReader, index: number, name: string, header: Record<SectionField, number>) {
    this.#reader = reader;
    this.index = index;
    this.name = name;
    this.type = header.type;
    this.flags = header.flags;
    this.address = header.address;
    this.offset = header.offset;
    this.size = header.size;
    this.link = header.link;
    this.info = header.info;
    this.alignment = header.alignment;
    this.entrySize = header.entrySize;
  }

  get data(): Uint8Array {
    return this.#data ??= this.#read();
  }

  #read(): Uint8Array {
    const { type, offset, size, name } = this;
    if (type === SHT.nobits || type === 0) return new Uint8Array();
    const bytes = this.#reader.bytes.subarray(offset, offset + size);
    if ((this.flags & SHF_COMPRESSED) === 0) return bytes;
    const headerSize = this.#reader.sizeOf(COMPRESSED);
    if (size < headerSize) throw malformedElf(offset, "it is compressed, and too short to say how", name);
    const header = this.#reader.record(COMPRESSED, offset);
    const inflate = header.type === 1 ? inflateSync : header.type === 2 ? zstdDecompressSync : undefined;
    if (inflate === undefined) throw malformedElf(offset, `compression ${header.type} is neither zlib nor zstd`, name);
    if (header.size > MAX_DECOMPRESSED) throw malformedElf(offset, `it claims ${header.size} bytes decompressed`, name);
    let inflated: Uint8Array;
    try {
      inflated = inflate(bytes.subarray(headerSize), { maxOutputLength: Math.max(header.size, 1) });
    } catch (error) {
      throw malformedElf(offset, `it cannot be decompressed: ${(error as Error).message}`, name);
    }
    if (inflated.length === header.size) return new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length);
    throw malformedElf(offset, `it has ${inflated.length} bytes decompressed, not ${header.size}`, name);
  }
}

type Header = Record<HeaderField, number>;

/** The sections by their numbers; where there are too many for the header, the first one tells how many. */
function readSections(reader: ElfReader, header: Header): ElfSection[] {
  const { sectionsAt, sectionSize } = header;
  if (sectionsAt === 0) return [];
  const size = reader.sizeOf(SECTION);
  if (sectionSize !== size) throw malformedElf(0, `sections have headers of ${sectionSize} bytes, not ${size}`);
  reader.check(sectionsAt, size, "the first section's header");
  const count = header.sectionCount === 0 ? reader.field(SECTION, sectionsAt, "size") : header.sectionCount;
  const namesIndex = header.namesIndex === SHN_XINDEX ? reader.field(SECTION, sectionsAt, "link") : header.namesIndex;
  reader.check(sectionsAt, count * size, `the table of ${count} sections`);
  const namesAt = sectionsAt + namesIndex * size;
  let names: Names | undefined;
  if (namesIndex !== 0) {
    if (namesIndex >= count) throw malformedElf(0, `names are in section ${namesIndex} of ${count}`);
    const [offset, length] = [reader.field(SECTION, namesAt, "offset"), reader.field(SECTION, namesAt, "size")];
    reader.check(offset, length, "the table of names");
    names = new Names(reader.bytes.subarray(offset, offset + length));
  }
  const sections: ElfSection[] = [];
  for (let index = 0; index < count; index++) {
    const at = sectionsAt + index * size;
    const fields = reader.record(SECTION, at);
    // Section 0 is none: its fields are used for what has no room in the header.
    if (index === 0) {
      sections.push(new Section(reader, 0, "", { ...fields, type: 0, size: 0, offset: 0 }));
      continue;
    }
    const fail = (reason: string): Error => malformedElf(at, `section ${index}: ${reason}`);
    const name = names?.text(fields.name, fail) ?? "";
    if (fields.type !== SHT.nobits && fields.type !== 0) reader.check(fields.offset, fields.size, "it", name);
    sections.push(new Section(reader, index, name, fields));
  }
  return sections;
}

function readSegments(reader: ElfReader, header: Header, sections: readonly ElfSection[]): ElfSegment[] {
  const { segmentsAt, segmentSize } = header;
  if (segmentsAt === 0 || header.segmentCount === 0) return [];
  const size = reader.sizeOf(SEGMENT);
  if (segmentSize !== size) throw malformedElf(0, `segments have headers of ${segmentSize} bytes, not ${size}`);
  const count = header.segmentCount === PN_XNUM ? sections[0]?.info ?? 0 : header.segmentCount;
  reader.check(segmentsAt, count * size, `the table of ${count} segments`);
  return Array.from({ length: count }, (_, index) => {
    const segment = reader.record(SEGMENT, segmentsAt + index * size);
    if (segment.type !== 0) reader.check(segment.offset, segment.fileSize, `segment ${index}`);
    return segment;
  });
}
