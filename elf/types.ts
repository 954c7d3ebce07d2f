/**
 * What ELF files hold, as values.
 *
 * @module
 */

/** A section. C name: `Elf64_Shdr`. */
export interface ElfSection {
  /** Its number. */
  readonly index: number;
  /** Its name, such as `".text"`. */
  readonly name: string;
  /** What it holds. C name: SHT_*. */
  readonly type: number;
  /** C name: SHF_*. */
  readonly flags: number;
  /** Where it is in memory. Exact up to 2^53. */
  readonly address: number;
  /** Where it is in the file, in bytes. */
  readonly offset: number;
  /** Bytes; in memory only where {@linkcode ElfSection.data} is empty. */
  readonly size: number;
  /** The number of another section that belongs to it. */
  readonly link: number;
  /** What the type says; for relocations the number of the section that they apply to. */
  readonly info: number;
  /** Bytes. */
  readonly alignment: number;
  /** Bytes of an entry, where it is a table. */
  readonly entrySize: number;
  /** Its bytes in the file, decompressed where they are compressed; none where it is in memory only. */
  readonly data: Uint8Array;
}

/** A segment: what is mapped when a program runs. C name: `Elf64_Phdr`. */
export interface ElfSegment {
  /** What it is for. C name: PT_*. */
  readonly type: number;
  /** C name: PF_*. */
  readonly flags: number;
  /** Where it is in the file, in bytes. */
  readonly offset: number;
  /** Where it is in memory. Exact up to 2^53. */
  readonly address: number;
  /** Bytes in the file. */
  readonly fileSize: number;
  /** Bytes in memory. */
  readonly memorySize: number;
}

/** What a symbol names; a number where that has no name here. C names: STT_*. */
export type ElfSymbolType =
  | "notype"
  | "object"
  | "func"
  | "section"
  | "file"
  | "common"
  | "tls"
  | "gnu_ifunc"
  | number;

/** How far a symbol is known; a number where that has no name here. C names: STB_*. */
export type ElfSymbolBinding = "local" | "global" | "weak" | "gnu_unique" | number;

/** Who may use a symbol. C names: STV_*. */
export type ElfVisibility = "default" | "internal" | "hidden" | "protected";

/** A symbol. C name: `Elf64_Sym`. */
export interface ElfSymbol {
  /** Its number in its table. */
  readonly index: number;
  /** Its name; empty for sections. */
  readonly name: string;
  /** Its address, or its offset in its section in files that were not linked. Exact up to 2^53. */
  readonly value: number;
  /** Bytes; 0 where they are not known. */
  readonly size: number;
  /** What it names. */
  readonly type: ElfSymbolType;
  /** How far it is known. */
  readonly binding: ElfSymbolBinding;
  /** Who may use it. */
  readonly visibility: ElfVisibility;
  /** The number of its section; 0 for what other files define, 0xfff1 for numbers, 0xfff2 for common blocks. */
  readonly sectionIndex: number;
  /** The version that a shared library gives it, such as `GLIBC_2.34`; the default one is what programs are linked to. */
  readonly version: { readonly name: string; readonly isDefault: boolean } | undefined;
}

/** A place that is adapted to a symbol. C names: `Elf64_Rel`, `Elf64_Rela`. */
export interface ElfRelocation {
  /** Bytes from the start of the section. */
  readonly offset: number;
  /** How it is adapted: the machine's numbers. C name: R_*. */
  readonly type: number;
  /** The symbol's number in the table that belongs to the relocations. */
  readonly symbol: number;
  /** What is added to the symbol; undefined where that stands in the section itself. */
  readonly addend: number | undefined;
}

/** A note. C name: `Elf64_Nhdr` and what follows it. */
export interface ElfNote {
  /** Who defines it, such as `"stapsdt"`. */
  readonly name: string;
  /** What it says, by the numbers of who defines it. */
  readonly type: number;
  /** The note itself. */
  readonly data: Uint8Array;
}
