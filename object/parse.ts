/**
 * Reading compiled objects: from the bytes of a file to its description. It needs no permission and calls nothing.
 *
 * @module
 */

import { Btf, type BtfCoreRelo, type BtfExt, parseBtfExt } from "../btf/mod.ts";
import { Elf, type ElfSection } from "../elf/mod.ts";
import { BtfEditor } from "./_btf_editor.ts";
import { fixupDatasecs } from "./_btf_fixup.ts";
import { kconfigMap, readDataMaps, structOpsMaps } from "./_data_maps.ts";
import { type ExtRecords, NO_RECORDS, readExtRecords } from "./_ext_records.ts";
import { collectExterns, fixupExterns } from "./_externs.ts";
import { FunctionReader, type Places } from "./_functions.ts";
import { readLegacyMaps } from "./_legacy_maps.ts";
import { emptyRecord, malformedObject } from "./_malformed.ts";
import { MapDefReader, type PlacedMap, readSlots } from "./_map_defs.ts";
import { type ObjectSections, sortSections } from "./_sections_of.ts";
import { sectionMeaning } from "./sections.ts";
import type { ExternSpec, FunctionSpec, MapSpec, ObjectSpec, ProgramSpec } from "./spec.ts";

/** How an object is read. */
export interface ParseOptions {
  /**
   * The object's name, which starts the names of its maps of variables in the kernel: 8 characters of it are used. For
   * libbpf it is the file's name up to the first dot.
   *
   * @default {"object"}
   */
  name?: string | undefined;
  /**
   * Whether maps may be defined by `struct bpf_map_def` in a section `maps`, as before BTF. libbpf 1.0 and later refuse
   * that.
   *
   * @default {false}
   */
  legacyMaps?: boolean | undefined;
  /** The folder of a bpffs in which maps are pinned by name. @default {"/sys/fs/bpf"} */
  pinFolder?: string | undefined;
}

/** An object as it was read: its description, and what loading needs besides. */
export interface ParsedObject {
  /** The description. */
  readonly spec: ObjectSpec;
  /** The records of functions and lines. */
  readonly records: ExtRecords;
}

const EM_BPF = 247;
const ET_REL = 1;
const SHT_SYMTAB = 2;
const DEFAULT_PIN_FOLDER = "/sys/fs/bpf";
const TEXT = ".text";

/** Reads an object. */
export function parseObject(bytes: Uint8Array, options: ParseOptions = {}): ParsedObject {
  const elf = Elf.parse(bytes);
  const header = elf.sections[0];
  if (elf.type !== ET_REL || !elf.is64 || (elf.machine !== EM_BPF && elf.machine !== 0) || header === undefined) {
    const offset = elf.type !== ET_REL ? 16 : elf.is64 ? 18 : 4;
    const what = `type ${elf.type}, machine ${elf.machine}, ${elf.is64 ? 64 : 32} bits`;
    throw Object.assign(
      new SyntaxError(`Cannot read object at byte ${offset}: ${what} is no object that clang compiled for BPF`),
      { offset, section: undefined },
    );
  }
  if (!elf.sections.some(({ type }) => type === SHT_SYMTAB)) {
    throw malformedObject(header, 0, "it has no symbols: strip -g takes only what is not needed");
  }
  const name = options.name ?? "object";
  const sections = sortSections(elf);
  const { btf, externs, bySymbol } = readTypes(elf);
  const { ext, records } = readExt(elf, btf);
  const placed = readMaps(elf, sections, btf, options.legacyMaps ?? false);
  const data = readDataMaps(sections.data, name, btf);
  const kconfig = kconfigMap(name, btf, externs);
  const maps = emptyRecord<MapSpec>();
  const add = (map: MapSpec): void => {
    if (map.name in maps) throw malformedObject(header, 0, `two maps are called ${map.name}`);
    maps[map.name] = map;
  };
  for (const { spec } of placed.flatMap(({ maps }) => maps)) add(spec);
  for (const { spec } of data) add(spec);
  if (kconfig !== undefined) add(kconfig);
  for (const map of structOpsMaps(elf, sections.structOps, btf)) add(map);
  const arena = arenaData(sections.arena, Object.values(maps));
  for (const map of Object.values(maps)) map.eventType = eventTypeOf(btf, map);

  const byPlace = new Map<string, string>();
  for (const { section, maps } of placed) {
    for (const { spec, offset } of maps) byPlace.set(`${section.index}:${offset}`, spec.name);
  }
  const dataBySection = new Map(data.map(({ spec, sectionIndex }) => [sectionIndex, { map: spec.name, offset: 0 }]));
  if (arena !== undefined) dataBySection.set(arena.sectionIndex, { map: arena.map.name, offset: 0 });
  const places: Places = {
    mapAt: (section, offset) => byPlace.get(`${section}:${offset}`),
    isMaps: (index) => placed.some(({ section }) => section.index === index),
    dataOf: (index) => dataBySection.get(index),
    externOf: (symbol) => bySymbol.get(symbol),
    isKfunc: (extern) => externs[extern].kind === "kfunc",
  };
  const functions = new FunctionReader(elf, sections.code).read(places, coreRelosBySection(ext), btf);
  const spec: ObjectSpec = {
    name,
    license: textOf(elf, "license"),
    kernelVersion: versionOf(elf),
    byteOrder: elf.littleEndian ? "little" : "big",
    programs: programsOf(functions),
    ...{ maps, externs, functions, btf },
    pinFolder: options.pinFolder ?? DEFAULT_PIN_FOLDER,
  };
  return { spec, records };
}

/** The types, with what the compiler left open filled in, and the externs. */
function readTypes(elf: Elf): {
  btf: Btf | undefined;
  externs: readonly ExternSpec[];
  bySymbol: ReadonlyMap<number, number>;
} {
  const section = elf.section(".BTF");
  const symbols = elf.sections.find(({ type }) => type === SHT_SYMTAB) ?? elf.sections[0];
  const externsOf = (btf: Btf | undefined) =>
    collectExterns(elf, btf, (symbol, reason) => malformedObject(symbols, 24 * symbol.index, reason));
  if (section === undefined || section.data.length === 0) return { btf: undefined, ...externsOf(undefined) };
  const raw = within(section, () => Btf.parse(section.data));
  if ((raw.byteOrder === "little") !== elf.littleEndian) {
    throw malformedObject(section, 0, `its BTF is ${raw.byteOrder}-endian, and the file is not`);
  }
  const { externs, bySymbol } = within(section, () => externsOf(raw));
  const editor = new BtfEditor(section.data);
  fixupExterns(editor, externs);
  fixupDatasecs(elf, editor);
  return { btf: within(section, () => Btf.parse(editor.bytes())), externs, bySymbol };
}

function readExt(elf: Elf, btf: Btf | undefined): { ext: BtfExt; records: ExtRecords } {
  const section = elf.section(".BTF.ext");
  if (btf === undefined || section === undefined || section.data.length === 0) {
    return { ext: { funcInfo: [], lineInfo: [], coreRelo: [] }, records: NO_RECORDS };
  }
  const ext = within(section, () => parseBtfExt(section.data, btf));
  return { ext, records: readExtRecords(section.data, elf.littleEndian, (offset) => btf.text(offset)) };
}

/** Adds the section, and its place in the file, to what a reader of one section says. */
function within<T>(section: ElfSection, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyntaxError) || "section" in error) throw error;
    const { offset = 0 } = error as { offset?: number };
    throw Object.assign(malformedObject(section, offset, error.message), { cause: error });
  }
}

function readMaps(
  elf: Elf,
  sections: ObjectSections,
  btf: Btf | undefined,
  legacy: boolean,
): { section: ElfSection; maps: PlacedMap[] }[] {
  const found: { section: ElfSection; maps: PlacedMap[] }[] = [];
  const { maps, legacyMaps } = sections;
  if (legacyMaps !== undefined) {
    if (!legacy) {
      throw malformedObject(
        legacyMaps,
        0,
        "its maps are defined as before BTF, which libbpf 1.0 refuses too: pass { legacyMaps: true } to read them",
      );
    }
    found.push({ section: legacyMaps, maps: readLegacyMaps(elf, legacyMaps, btf) });
  }
  if (maps === undefined) return found;
  if (btf === undefined) throw malformedObject(maps, 0, "its maps have no BTF: compile with -g");
  const placed = within(maps, () => new MapDefReader(btf, maps).read());
  const slots = readSlots(elf, maps, placed);
  const filled = placed.map((one) => ({ ...one, spec: { ...one.spec, slots: slots.get(one.spec.name) ?? [] } }));
  found.push({ section: maps, maps: filled });
  return found;
}

/** The arena that has the variables of the object's arena section. */
function arenaData(
  section: ElfSection | undefined,
  maps: readonly MapSpec[],
): { map: MapSpec; sectionIndex: number } | undefined {
  if (section === undefined) return undefined;
  const arenas = maps.filter(({ type }) => type === "arena");
  if (arenas.length !== 1) {
    throw malformedObject(section, 0, `its variables are in an arena, and the object has ${arenas.length}, not one`);
  }
  const data = section.data.length > 0 ? new Uint8Array(section.data) : new Uint8Array(Math.min(section.size, 1 << 28));
  arenas[0].data = data;
  return { map: arenas[0], sectionIndex: section.index };
}

/** The struct of an event buffer's records, by the name of the map: `events` has `struct event`. */
function eventTypeOf(btf: Btf | undefined, { name, type, kind }: MapSpec): string | undefined {
  if (btf === undefined || kind !== "map" || (type !== "ringbuf" && type !== "perf_event_array")) return undefined;
  const one = name.replace(/s$/, "");
  const names = [name, one, `${name}_t`, `${one}_t`, "event", "event_t"];
  return names.find((each) => {
    const id = btf.find("struct", each) ?? btf.find("typedef", each);
    return id !== undefined && btf.composite(id) !== undefined;
  });
}

function coreRelosBySection(ext: BtfExt): Map<string, BtfCoreRelo[]> {
  const found = new Map<string, BtfCoreRelo[]>();
  for (const { section, records } of ext.coreRelo) {
    const known = found.get(section);
    if (known === undefined) found.set(section, [...records]);
    else for (const record of records) known.push(record);
  }
  return found;
}

/** The functions that are loaded as programs: those outside of `.text`, unless there is no other. */
function programsOf(functions: readonly FunctionSpec[]): Record<string, ProgramSpec> {
  const programs = emptyRecord<ProgramSpec>();
  functions.forEach((one, index) => {
    if (one.section === TEXT && functions.length > 1) return;
    if (one.local && one.section !== TEXT) return;
    programs[one.name] = programOf(one, index);
  });
  return programs;
}

function programOf({ name, section: given }: FunctionSpec, index: number): ProgramSpec {
  const isOptional = given.startsWith("?");
  const section = isOptional ? given.slice(1) : given;
  const meaning = sectionMeaning(section);
  const target = meaning?.target;
  const [first, second] = target?.split(":", 2) ?? [];
  const attachTo = meaning?.def.attachBtf !== true || first === undefined
    ? undefined
    : second === undefined
    ? { name: first }
    : { name: second, module: first };
  return {
    ...{ name, section, def: meaning?.def, type: meaning?.def.type },
    expectedAttachType: meaning?.def.expectedAttachType,
    flags: meaning?.def.flags ?? [],
    ...{ target, attachTo, autoload: !isOptional, autoattach: true, ifindex: 0, logLevel: 0, function: index },
  };
}

function textOf(elf: Elf, name: string): string {
  const data = elf.section(name)?.data ?? new Uint8Array();
  const end = data.indexOf(0);
  return new TextDecoder().decode(end < 0 ? data : data.subarray(0, end)).slice(0, 127);
}

function versionOf(elf: Elf): number {
  const data = elf.section("version")?.data;
  if (data === undefined || data.length !== 4) return 0;
  return new DataView(data.buffer, data.byteOffset, 4).getUint32(0, elf.littleEndian);
}
