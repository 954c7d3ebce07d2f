/**
 * ELF files: sections, symbols, relocations, notes. Pure: it needs no permission.
 *
 * @module
 */

export { Elf } from "./elf.ts";
export {
  type ElfNote,
  type ElfRelocation,
  type ElfSection,
  type ElfSegment,
  type ElfSymbol,
  type ElfSymbolBinding,
  type ElfSymbolType,
  type ElfVisibility,
} from "./types.ts";
