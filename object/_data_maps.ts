/** Sections of variables as maps: one array of one element each. */

import type { Btf } from "../btf/mod.ts";
import type { Elf } from "../elf/mod.ts";
import { BPF_F_LINK, BPF_F_MMAPABLE, BPF_F_RDONLY_PROG } from "../uapi/constants.gen.ts";
import { emptyDefinition, kernelName, mapSpec } from "./_map_defs.ts";
import { emptyRecord, malformedObject } from "./_malformed.ts";
import type { DataSection } from "./_sections_of.ts";
import type { ExternSpec, MapKind, MapSpec } from "./spec.ts";

/** The largest value that the kernel takes: KMALLOC_MAX_SIZE is near 4 MiB, arrays may have 2 GiB. */
const MAX_SECTION = 0x7fff_ffff;
/** Bytes of variables that start as zero: what the file does not have to hold may be any number. */
const MAX_ZEROES = 1 << 28;
const MAX_NAME = 15;
/** Characters that the part after the dot has at least, as libbpf counts: ".rodata". */
const LEAST_SUFFIX = 7;

/** A section's name in the kernel: the start of the object's name before it, unless it has a name of its own. */
function dataMapName(objectName: string, section: string): string {
  const suffixLength = Math.min(Math.max(LEAST_SUFFIX, section.length), MAX_NAME);
  const prefix = section.indexOf(".", 1) >= 0 ? "" : objectName.slice(0, MAX_NAME - suffixLength);
  return kernelName(prefix + section.slice(0, suffixLength));
}

/** Whether a section has a variable that user space may know of. */
function hasGlobals(btf: Btf | undefined, id: number): boolean {
  const type = btf === undefined || id === 0 ? undefined : btf.type(id);
  return type?.kind === "datasec" && type.vars.some(({ typeId }) => {
    const variable = btf!.type(typeId);
    return variable.kind === "var" && variable.linkage !== "static";
  });
}

function dataSpec(
  objectName: string,
  btf: Btf | undefined,
  { name, kind, data }: { name: string; kind: MapKind; data: Uint8Array<ArrayBuffer> },
): MapSpec {
  const valueTypeId = btf?.find("datasec", name) ?? 0;
  const readOnly = kind === "rodata" || kind === "kconfig" ? BPF_F_RDONLY_PROG : 0;
  const mapped = kind !== "percpu" && hasGlobals(btf, valueTypeId) ? BPF_F_MMAPABLE : 0;
  const definition = {
    ...emptyDefinition(),
    ...{ type: kind === "percpu" ? "percpu_array" as const : "array" as const, keySize: 4, valueSize: data.length },
    ...{ maxEntries: 1, flags: readOnly | mapped, valueTypeId },
  };
  return mapSpec(name, definition, { kind, kernelName: dataMapName(objectName, name), data });
}

/** The maps of an object's sections of variables. */
export function readDataMaps(
  sections: readonly DataSection[],
  objectName: string,
  btf: Btf | undefined,
): { spec: MapSpec; sectionIndex: number }[] {
  let zeroes = 0;
  return sections.map(({ section, kind }) => {
    if (section.size > MAX_SECTION) {
      throw malformedObject(section, 0, `${section.size} bytes are more than a map can have`);
    }
    let data: Uint8Array<ArrayBuffer>;
    if (section.data.length > 0) data = new Uint8Array(section.data);
    else {
      zeroes += section.size;
      if (zeroes > MAX_ZEROES) {
        throw malformedObject(section, 0, `variables of ${zeroes} bytes are more than ${MAX_ZEROES}`);
      }
      data = new Uint8Array(section.size);
    }
    return { spec: dataSpec(objectName, btf, { name: section.name, kind, data }), sectionIndex: section.index };
  });
}

/** The map of the kernel's configuration, where the object asks for some of it. */
export function kconfigMap(
  objectName: string,
  btf: Btf | undefined,
  externs: readonly ExternSpec[],
): MapSpec | undefined {
  const ends = externs.filter(({ kind }) => kind === "kconfig").map(({ offset, size }) => offset + size);
  if (ends.length === 0) return undefined;
  const data = new Uint8Array(Math.max(...ends));
  return dataSpec(objectName, btf, { name: ".kconfig", kind: "kconfig", data });
}

/** The structs of kernel functions, one map each; which programs they have, relocations tell. */
export function structOpsMaps(
  elf: Elf,
  sections: readonly Elf["sections"][number][],
  btf: Btf | undefined,
): MapSpec[] {
  return sections.flatMap((section) => {
    const id = btf?.find("datasec", section.name);
    const datasec = id === undefined ? undefined : btf!.type(id);
    if (btf === undefined || datasec?.kind !== "datasec") throw malformedObject(section, 0, "its structs have no BTF");
    const relocations = elf.relocations(section).toSorted((a, b) => a.offset - b.offset);
    return datasec.vars.map(({ typeId, offset }) => {
      const variable = btf.type(typeId);
      const struct = variable.kind === "var" ? btf.composite(variable.typeId) : undefined;
      const fail = (reason: string): SyntaxError => malformedObject(section, offset, reason);
      if (variable.kind !== "var" || struct?.kind !== "struct" || struct.name === "") {
        throw fail(`type ${typeId} is no variable of a named struct`);
      }
      if (offset + struct.size > section.data.length) throw fail(`${variable.name} ends past the section`);
      const programs = emptyRecord<string>();
      const byPlace = new Map(struct.members.map((member) => [member.bitsOffset, member]));
      for (let index = firstFrom(relocations, offset); relocations[index]?.offset < offset + struct.size; index++) {
        const relocation = relocations[index];
        const within = relocation.offset - offset;
        const member = byPlace.get(8 * within);
        const symbol = elf.symbols[relocation.symbol];
        if (member === undefined || member.name === "") throw fail(`${variable.name} has no member at ${within}`);
        if (symbol?.type !== "func") throw fail(`${variable.name}.${member.name} is no program of the object`);
        programs[member.name] = symbol.name;
      }
      const link = section.name.endsWith(".link");
      const definition = {
        ...emptyDefinition(),
        ...{ type: "struct_ops" as const, keySize: 4, valueSize: struct.size, maxEntries: 1 },
        flags: link ? BPF_F_LINK : 0,
      };
      return mapSpec(variable.name, definition, {
        kind: "struct_ops",
        autocreate: !section.name.startsWith("?"),
        data: new Uint8Array(section.data.subarray(offset, offset + struct.size)),
        structOps: { struct: struct.name, typeId: btf.resolve(variable.typeId), link, programs },
      });
    });
  });
}

/** The first of some things, by place, that is at a place or after it. */
function firstFrom(sorted: readonly { readonly offset: number }[], offset: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle].offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
