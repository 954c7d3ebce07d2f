/** What the sections of an object are for, by their names and types, as libbpf sorts them. */

import type { Elf, ElfSection } from "../elf/mod.ts";
import { malformedObject } from "./_malformed.ts";
import type { MapKind } from "./spec.ts";

const SHT_PROGBITS = 1;
const SHT_NOBITS = 8;
const SHF_EXECINSTR = 4;

/** A section of variables. */
export interface DataSection {
  readonly section: ElfSection;
  readonly kind: MapKind;
}

/** The sections of an object, sorted. */
export interface ObjectSections {
  /** Those of instructions. */
  readonly code: readonly ElfSection[];
  /** Those of variables that become maps. */
  readonly data: readonly DataSection[];
  /** Those of structs of kernel functions. */
  readonly structOps: readonly ElfSection[];
  /** Maps as BTF defines them. */
  readonly maps: ElfSection | undefined;
  /** Maps as they were defined before. */
  readonly legacyMaps: ElfSection | undefined;
  /** Variables in an arena. */
  readonly arena: ElfSection | undefined;
}

/** The section of arena variables, which clang names after the address space. */
export const ARENA_SECTION = ".addr_space.1";

const STRUCT_OPS = /^\??\.struct_ops(\.link)?$/;

function isIn(name: string, base: string): boolean {
  return name === base || name.startsWith(`${base}.`);
}

function dataKind({ name, type }: ElfSection): MapKind | undefined {
  if (isIn(name, ".percpu")) return "percpu";
  if (type === SHT_NOBITS) return isIn(name, ".bss") ? "bss" : undefined;
  if (type !== SHT_PROGBITS) return undefined;
  return isIn(name, ".data") ? "data" : isIn(name, ".rodata") ? "rodata" : undefined;
}

/** Sorts the sections of an object. Empty ones hold nothing. */
export function sortSections(elf: Elf): ObjectSections {
  const filled = elf.sections.filter(({ size, type }) => size > 0 && (type === SHT_PROGBITS || type === SHT_NOBITS));
  const named = (name: string): ElfSection | undefined => filled.find((section) => section.name === name);
  const seen = new Set<string>();
  for (const section of filled) {
    const { name } = section;
    if (dataKind(section) === undefined && !STRUCT_OPS.test(name)) continue;
    if (seen.has(name)) throw malformedObject(section, 0, "there is another section of the name");
    seen.add(name);
  }
  const isCode = ({ type, flags }: ElfSection): boolean => type === SHT_PROGBITS && (flags & SHF_EXECINSTR) !== 0;
  return {
    code: filled.filter(isCode),
    data: filled.filter((section) => !isCode(section)).flatMap((section) => {
      const kind = dataKind(section);
      return kind === undefined ? [] : [{ section, kind }];
    }),
    structOps: filled.filter(({ name, type }) => type === SHT_PROGBITS && STRUCT_OPS.test(name)),
    maps: named(".maps"),
    legacyMaps: named("maps"),
    arena: named(ARENA_SECTION),
  };
}
