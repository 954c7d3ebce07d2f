/** The records of ELF files: elf(5). Each field as its place and bytes in 32-bit files, then in 64-bit files. */

import type { RecordShape } from "./_reader.ts";

/** The fields of HEADER. */
export type HeaderField =
  | "type"
  | "machine"
  | "entry"
  | "segmentsAt"
  | "sectionsAt"
  | "flags"
  | "segmentSize"
  | "segmentCount"
  | "sectionSize"
  | "sectionCount"
  | "namesIndex";

/** C name: `Elf32_Ehdr`, `Elf64_Ehdr`. */
export const HEADER: RecordShape<HeaderField> = {
  size: [52, 64],
  fields: {
    type: [16, 2, 16, 2],
    machine: [18, 2, 18, 2],
    entry: [24, 4, 24, 8],
    segmentsAt: [28, 4, 32, 8],
    sectionsAt: [32, 4, 40, 8],
    flags: [36, 4, 48, 4],
    segmentSize: [42, 2, 54, 2],
    segmentCount: [44, 2, 56, 2],
    sectionSize: [46, 2, 58, 2],
    sectionCount: [48, 2, 60, 2],
    namesIndex: [50, 2, 62, 2],
  },
};

/** The fields of SECTION. */
export type SectionField =
  | "name"
  | "type"
  | "flags"
  | "address"
  | "offset"
  | "size"
  | "link"
  | "info"
  | "alignment"
  | "entrySize";

/** C name: `Elf32_Shdr`, `Elf64_Shdr`. */
export const SECTION: RecordShape<SectionField> = {
  size: [40, 64],
  fields: {
    name: [0, 4, 0, 4],
    type: [4, 4, 4, 4],
    flags: [8, 4, 8, 8],
    address: [12, 4, 16, 8],
    offset: [16, 4, 24, 8],
    size: [20, 4, 32, 8],
    link: [24, 4, 40, 4],
    info: [28, 4, 44, 4],
    alignment: [32, 4, 48, 8],
    entrySize: [36, 4, 56, 8],
  },
};

/** The fields of SEGMENT. */
export type SegmentField = "type" | "offset" | "address" | "fileSize" | "memorySize" | "flags";

/** C name: `Elf32_Phdr`, `Elf64_Phdr`. */
export const SEGMENT: RecordShape<SegmentField> = {
  size: [32, 56],
  fields: {
    type: [0, 4, 0, 4],
    offset: [4, 4, 8, 8],
    address: [8, 4, 16, 8],
    fileSize: [16, 4, 32, 8],
    memorySize: [20, 4, 40, 8],
    flags: [24, 4, 4, 4],
  },
};

/** The fields of SYMBOL. */
export type SymbolField = "name" | "value" | "size" | "section";

/** C name: `Elf32_Sym`, `Elf64_Sym`; `st_info` and `st_other` are single bytes beside these. */
export const SYMBOL: RecordShape<SymbolField> = {
  size: [16, 24],
  fields: {
    name: [0, 4, 0, 4],
    value: [4, 4, 8, 8],
    size: [8, 4, 16, 8],
    section: [14, 2, 6, 2],
  },
};

/** Where `st_info` stands in 32-bit and in 64-bit files; `st_other` follows it. */
export const SYMBOL_INFO: readonly [number, number] = [12, 4];

/** The fields of COMPRESSED. */
export type CompressedField = "type" | "size";

/** C name: `Elf32_Chdr`, `Elf64_Chdr`. */
export const COMPRESSED: RecordShape<CompressedField> = {
  size: [12, 24],
  fields: { type: [0, 4, 0, 4], size: [4, 4, 8, 8] },
};

/** Kinds of sections. C names: SHT_*. */
export const SHT = {
  symtab: 2,
  rela: 4,
  note: 7,
  nobits: 8,
  rel: 9,
  dynsym: 11,
  symtabShndx: 18,
  gnuVerdef: 0x6ffffffd,
  gnuVerneed: 0x6ffffffe,
  gnuVersym: 0x6fffffff,
} as const;

/** C name: SHF_COMPRESSED. */
export const SHF_COMPRESSED = 0x800;
/** C name: SHN_LORESERVE: section numbers from here on mean something else. */
export const SHN_LORESERVE = 0xff00;
/** C name: SHN_XINDEX: the number stands elsewhere. */
export const SHN_XINDEX = 0xffff;
/** C name: PN_XNUM. */
export const PN_XNUM = 0xffff;
/** C name: PT_LOAD. */
export const PT_LOAD = 1;
/** C name: PT_NOTE. */
export const PT_NOTE = 4;
