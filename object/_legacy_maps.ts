/** Maps as objects defined them before BTF: structs of numbers in the section `maps`. C name: `struct bpf_map_def`. */

import type { Btf } from "../btf/mod.ts";
import type { Elf, ElfSection } from "../elf/mod.ts";
import { emptyDefinition, mapSpec, mapTypeName, type PlacedMap } from "./_map_defs.ts";
import { malformedObject } from "./_malformed.ts";
import type { MapDefinition } from "./spec.ts";

/** Bytes of type, key_size, value_size, max_entries and map_flags. */
const LEAST = 16;
const KNOWN = 20;

/** The types of a map's key and value, which BPF_ANNOTATE_KV_PAIR leaves in a struct of its own. */
function annotated(btf: Btf | undefined, name: string): Pick<MapDefinition, "keyTypeId" | "valueTypeId"> {
  const id = btf?.find("struct", `____btf_map_${name}`);
  const [key, value] = id === undefined || btf === undefined ? [] : btf.members(id);
  return key?.name === "key" && value?.name === "value"
    ? { keyTypeId: key.typeId, valueTypeId: value.typeId }
    : { keyTypeId: 0, valueTypeId: 0 };
}

/**
 * Reads the maps of a section `maps`.
 *
 * @param elf The file.
 * @param section The section.
 * @param btf The types, which may tell of keys and values.
 * @returns The maps, by their place.
 */
export function readLegacyMaps(elf: Elf, section: ElfSection, btf: Btf | undefined): PlacedMap[] {
  const symbols = elf.symbols.filter(({ sectionIndex, name, type }) =>
    sectionIndex === section.index && name !== "" && type !== "section"
  ).sort((a, b) => a.value - b.value);
  if (symbols.length === 0) throw malformedObject(section, 0, "it has no symbols, which name the maps");
  const size = section.size / symbols.length;
  if (!Number.isInteger(size) || size < LEAST || size % 4 !== 0) {
    throw malformedObject(section, 0, `${section.size} bytes are not divided evenly among ${symbols.length} maps`);
  }
  const { data } = section;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return symbols.map(({ name, value: offset }) => {
    if (offset % size !== 0 || offset + size > data.length) {
      throw malformedObject(section, offset, `map ${name} is not at a multiple of ${size} bytes`);
    }
    const word = (index: number): number => 4 * index < size ? view.getUint32(offset + 4 * index, elf.littleEndian) : 0;
    for (let index = KNOWN / 4; 4 * index < size; index++) {
      if (word(index) !== 0) {
        throw malformedObject(
          section,
          offset + 4 * index,
          `map ${name} has a field beyond map_flags, which is not known`,
        );
      }
    }
    const definition = {
      ...emptyDefinition(),
      ...{ type: mapTypeName(word(0)), keySize: word(1), valueSize: word(2), maxEntries: word(3), flags: word(4) },
      ...annotated(btf, name),
    };
    return { spec: mapSpec(name, definition), offset, size, valuesAt: undefined };
  });
}
