/** Symbols of ELF files, with the versions that shared libraries give theirs. */

import { SHN_LORESERVE, SHN_XINDEX, SHT, SYMBOL, SYMBOL_INFO } from "./_layout.ts";
import { type ElfReader, malformedElf, Names } from "./_reader.ts";
import type { ElfSection, ElfSymbol, ElfSymbolBinding, ElfSymbolType, ElfVisibility } from "./types.ts";

const TYPES: Readonly<Record<number, ElfSymbolType>> = {
  0: "notype",
  1: "object",
  2: "func",
  3: "section",
  4: "file",
  5: "common",
  6: "tls",
  10: "gnu_ifunc",
};

const BINDINGS: Readonly<Record<number, ElfSymbolBinding>> = { 0: "local", 1: "global", 2: "weak", 10: "gnu_unique" };

const VISIBILITIES: readonly ElfVisibility[] = ["default", "internal", "hidden", "protected"];

/** What symbols need to know of the file. */
interface Sections {
  readonly sections: readonly ElfSection[];
}

/** The symbols of a table, in their order. */
export function readSymbols(reader: ElfReader, file: Sections, table: ElfSection): ElfSymbol[] {
  const { sections } = file;
  const size = reader.sizeOf(SYMBOL);
  if (table.entrySize !== size) {
    throw malformedElf(table.offset, `its entries have ${table.entrySize} bytes, not ${size}`, table.name);
  }
  const strings = sections[table.link]?.data;
  if (strings === undefined) {
    throw malformedElf(table.offset, `its strings are section ${table.link}, which there is not`, table.name);
  }
  const extended = sections.find((section) => section.type === SHT.symtabShndx && section.link === table.index);
  const versions = table.type === SHT.dynsym ? readVersions(reader, file, table) : undefined;
  const infoAt = SYMBOL_INFO[reader.is64 ? 1 : 0];
  const count = Math.floor(reader.tableSize(table) / size);
  const names = new Names(strings);
  const symbols: ElfSymbol[] = [];
  for (let index = 0; index < count; index++) {
    const at = table.offset + index * size;
    const fail = (reason: string): Error => malformedElf(at, `symbol ${index}: ${reason}`, table.name);
    const name = names.text(reader.field(SYMBOL, at, "name"), fail);
    const [info, other] = [reader.bytes[at + infoAt], reader.bytes[at + infoAt + 1]];
    let sectionIndex = reader.field(SYMBOL, at, "section");
    if (sectionIndex === SHN_XINDEX) {
      if (extended === undefined || 4 * index + 4 > reader.tableSize(extended)) {
        throw fail("the number of its section is missing");
      }
      sectionIndex = reader.number(extended.offset + 4 * index, 4);
      if (sectionIndex >= sections.length) throw fail(`there is no section ${sectionIndex}`);
    } else if (sectionIndex >= sections.length && sectionIndex < SHN_LORESERVE) {
      throw fail(`there is no section ${sectionIndex}`);
    }
    symbols.push({
      index,
      name,
      value: reader.field(SYMBOL, at, "value"),
      size: reader.field(SYMBOL, at, "size"),
      type: TYPES[info & 15] ?? info & 15,
      binding: BINDINGS[info >> 4] ?? info >> 4,
      visibility: VISIBILITIES[other & 3],
      sectionIndex,
      version: versions?.(index),
    });
  }
  return symbols;
}

/** Versions by the number of a symbol: those that the file defines, and those that it needs. */
function readVersions(
  reader: ElfReader,
  { sections }: Sections,
  table: ElfSection,
): ((index: number) => ElfSymbol["version"]) | undefined {
  const versym = sections.find(({ type, link }) => type === SHT.gnuVersym && link === table.index);
  if (versym === undefined) return undefined;
  const names = new Map<number, string>();
  for (const section of sections) {
    const isDefinition = section.type === SHT.gnuVerdef;
    if (!isDefinition && section.type !== SHT.gnuVerneed) continue;
    const texts = new Names(sections[section.link]?.data ?? new Uint8Array());
    // Verdef: version, flags, ndx, cnt (2 each), hash, aux, next. Verneed: version, cnt (2 each), file, aux, next.
    walk(section, isDefinition ? 20 : 16, isDefinition ? 16 : 12, (at) => {
      const aux = reader.number(at + (isDefinition ? 12 : 8), 4);
      const fail = (reason: string): Error => malformedElf(at, reason, section.name);
      const within = at - section.offset + aux;
      if (isDefinition) {
        // The first name is the version's own, the others are those that it builds on. Number 1 is the file's own name.
        if (within + 8 > reader.tableSize(section)) throw fail("the name of a version lies outside");
        const number = reader.number(at + 4, 2);
        if (number > 1) names.set(number, texts.text(reader.number(at + aux, 4), fail));
      } else {
        walk(section, 16, 12, (place) => {
          names.set(reader.number(place + 6, 2), texts.text(reader.number(place + 8, 4), fail));
        }, within);
      }
    });
  }
  return (index) => {
    if (2 * index + 2 > reader.tableSize(versym)) return undefined;
    const number = reader.number(versym.offset + 2 * index, 2);
    const name = names.get(number & 0x7fff);
    return name === undefined ? undefined : { name, isDefault: (number & 0x8000) === 0 };
  };

  /** Goes along records that tell how far the next one is; never backwards, so that it ends. */
  function walk(section: ElfSection, size: number, nextAt: number, visit: (at: number) => void, start = 0): void {
    for (let within = start;;) {
      if (within + size > reader.tableSize(section)) {
        throw malformedElf(section.offset + within, "a version lies outside", section.name);
      }
      visit(section.offset + within);
      const next = reader.number(section.offset + within + nextAt, 4);
      if (next === 0) return;
      within += next;
    }
  }
}
