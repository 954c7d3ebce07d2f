/**
 * Maps as BTF defines them: a variable in `.maps` whose type is a struct, and whose members' types say what the map is
 * like. C names: `__uint`, `__ulong`, `__type`, `__array`.
 */

import type { Btf, BtfMember } from "../btf/mod.ts";
import type { Elf, ElfSection } from "../elf/mod.ts";
import { type MapType, mapTypes } from "../uapi/enums.gen.ts";
import { BPF_F_NUMA_NODE } from "../uapi/constants.gen.ts";
import { malformedObject } from "./_malformed.ts";
import type { MapDefinition, MapSpec, SlotSpec } from "./spec.ts";

/** Bytes of a pointer in an object, whatever the machine's. */
const POINTER = 8;
/** Bytes of what stands in the values of maps of maps and program arrays. */
const DESCRIPTOR = 4;
const PIN_BY_NAME = 1;
/** Attributes that a map may have: more than there are. */
const MAX_ATTRIBUTES = 64;

const MAPS_OF_MAPS: ReadonlySet<MapType | number> = new Set<MapType | number>(["array_of_maps", "hash_of_maps"]);

/** A map's definition while it is read. */
interface Draft extends MapDefinition {
  pinByName: boolean;
  inner: MapDefinition | undefined;
  /** Where its first value stands in the variable, in bytes; undefined where it has none. */
  valuesAt: number | undefined;
}

/** A map, and where its variable stands in the section. */
export interface PlacedMap {
  readonly spec: MapSpec;
  /** Bytes from the section's start. */
  readonly offset: number;
  /** Bytes of its variable. */
  readonly size: number;
  readonly valuesAt: number | undefined;
}

const typesByNumber = new Map<number, MapType>(
  Object.entries(mapTypes).map(([name, number]) => [number, name as MapType]),
);

/** A map type by name, where it has one. */
export function mapTypeName(number: number): MapType | number {
  return typesByNumber.get(number) ?? number;
}

/** A definition without anything. */
export function emptyDefinition(): MapDefinition {
  return {
    ...{ type: 0, keySize: 0, valueSize: 0, maxEntries: 0, flags: 0, extra: 0n, numaNode: undefined, ifindex: 0 },
    ...{ keyTypeId: 0, valueTypeId: 0 },
  };
}

/** The spec of a map of C's. */
export function mapSpec(name: string, definition: MapDefinition, more: Partial<MapSpec> = {}): MapSpec {
  return {
    ...definition,
    name,
    ...{
      kind: "map",
      kernelName: kernelName(name),
      pinByName: false,
      pinPath: undefined,
      autocreate: true,
      autoattach: true,
    },
    ...{ inner: undefined, slots: [], data: undefined, structOps: undefined, eventType: undefined, reuse: undefined },
    ...more,
  } as MapSpec;
}

/** A name as the kernel takes it. */
export function kernelName(name: string): string {
  return name.slice(0, 15).replaceAll(/[^A-Za-z0-9_.]/g, "_");
}

/** Reads the definitions of one section. */
export class MapDefReader {
  readonly #btf: Btf;
  readonly #section: ElfSection;

  constructor(btf: Btf, section: ElfSection) {
    this.#btf = btf;
    this.#section = section;
  }

  /** All maps of the section, in the order of their variables. */
  read(): PlacedMap[] {
    const id = this.#btf.find("datasec", this.#section.name);
    const datasec = id === undefined ? undefined : this.#btf.type(id);
    if (datasec?.kind !== "datasec") throw this.#fail(0, "its maps have no BTF");
    return datasec.vars.map(({ typeId, offset, size }) => {
      const variable = this.#btf.type(typeId);
      if (variable.kind !== "var" || variable.name === "") throw this.#fail(offset, `type ${typeId} is no variable`);
      if (variable.linkage === "extern") throw this.#fail(offset, `map ${variable.name} is extern`);
      if (offset + size > this.#section.size) {
        throw this.#fail(offset, `map ${variable.name} ends at ${offset + size} of ${this.#section.size} bytes`);
      }
      const { pinByName, inner, valuesAt, ...definition } = this.#definition(
        variable.name,
        variable.typeId,
        offset,
        false,
      );
      return { spec: mapSpec(variable.name, definition, { pinByName, inner }), offset, size, valuesAt };
    });
  }

  #fail(offset: number, reason: string): SyntaxError {
    return malformedObject(this.#section, offset, reason);
  }

  /** A definition by its struct. */
  #definition(name: string, typeId: number, at: number, isInner: boolean): Draft {
    const struct = this.#btf.composite(typeId);
    const fail = (reason: string): SyntaxError => this.#fail(at, `map ${name}: ${reason}`);
    if (struct !== undefined && struct.members.length > MAX_ATTRIBUTES) {
      throw fail(`it has ${struct.members.length} attributes, more than there are`);
    }
    if (struct?.kind !== "struct") throw fail(`it is a ${this.#btf.kindOf(this.#btf.resolve(typeId))}, and no struct`);
    const draft: Draft = { ...emptyDefinition(), pinByName: false, inner: undefined, valuesAt: undefined };
    struct.members.forEach((member, index) => {
      if (isInner && (member.name === "pinning" || member.name === "values")) {
        throw fail(`maps inside of it have no ${member.name}`);
      }
      if (member.name === "values" && index !== struct.members.length - 1) throw fail("values is not its last member");
      this.#member(name, member, draft, at, fail);
    });
    return draft;
  }

  #member(name: string, member: BtfMember, draft: Draft, at: number, fail: (reason: string) => SyntaxError): void {
    const int = (): number => this.#int(member, fail);
    switch (member.name) {
      case "type":
        draft.type = mapTypeName(int());
        return;
      case "max_entries":
        draft.maxEntries = int();
        return;
      case "map_flags":
        draft.flags = int();
        return;
      case "map_extra":
        draft.extra = this.#long(member, fail);
        return;
      case "numa_node":
        draft.numaNode = int();
        draft.flags |= BPF_F_NUMA_NODE;
        return;
      case "key_size":
        draft.keySize = agreed(draft.keySize, int(), "key_size", fail);
        return;
      case "value_size":
        draft.valueSize = agreed(draft.valueSize, int(), "value_size", fail);
        return;
      case "key":
        draft.keyTypeId = this.#pointee(member, fail);
        draft.keySize = agreed(draft.keySize, this.#btf.sizeOf(draft.keyTypeId), "key", fail);
        return;
      case "value":
        draft.valueTypeId = this.#pointee(member, fail);
        draft.valueSize = agreed(draft.valueSize, this.#btf.sizeOf(draft.valueTypeId), "value", fail);
        return;
      case "pinning": {
        const pinning = int();
        if (pinning !== 0 && pinning !== PIN_BY_NAME) throw fail(`there is no pinning ${pinning}`);
        draft.pinByName = pinning === PIN_BY_NAME;
        return;
      }
      case "values":
        this.#values(name, member, draft, at, fail);
        return;
      default:
        throw fail(`there is no attribute "${member.name}"`);
    }
  }

  /** What a map of maps holds, or that a program array holds programs. */
  #values(name: string, member: BtfMember, draft: Draft, at: number, fail: (reason: string) => SyntaxError): void {
    const holdsMaps = MAPS_OF_MAPS.has(draft.type);
    if (!holdsMaps && draft.type !== "prog_array") throw fail(`values is for maps of maps and prog_array`);
    draft.valueSize = agreed(draft.valueSize, DESCRIPTOR, "values", fail);
    const array = this.#btf.type(this.#btf.resolve(member.typeId));
    if (array.kind !== "array" || array.nrElems !== 0) throw fail("values is no array without a length");
    const pointer = this.#btf.type(this.#btf.resolve(array.typeId));
    if (pointer.kind !== "ptr") throw fail("values does not hold pointers");
    const target = this.#btf.resolve(pointer.typeId);
    draft.valuesAt = member.bitsOffset / 8;
    if (!holdsMaps) {
      if (this.#btf.kindOf(target) !== "func_proto") throw fail("values does not hold functions");
      return;
    }
    const { pinByName: _pin, inner: _inner, valuesAt: _at, ...inner } = this.#definition(
      `${name}.inner`,
      target,
      at,
      true,
    );
    draft.inner = inner;
  }

  /** A number, which stands as the length of an array that a pointer points to. */
  #int(member: BtfMember, fail: (reason: string) => SyntaxError): number {
    const pointer = this.#btf.type(this.#btf.resolve(member.typeId));
    const array = pointer.kind === "ptr" ? this.#btf.type(this.#btf.resolve(pointer.typeId)) : undefined;
    if (array?.kind !== "array") throw fail(`${member.name} is no number as __uint makes it`);
    return array.nrElems;
  }

  /** A number of 64 bits, which stands as the only value of an enum. */
  #long(member: BtfMember, fail: (reason: string) => SyntaxError): bigint {
    const type = this.#btf.type(this.#btf.resolve(member.typeId));
    if (type.kind !== "enum" && type.kind !== "enum64") return BigInt(this.#int(member, fail));
    if (type.values.length !== 1) throw fail(`${member.name} is an enum of ${type.values.length} values, not of one`);
    const { val } = type.values[0];
    return BigInt.asUintN(type.kind === "enum" && !type.signed ? 32 : 64, BigInt(val));
  }

  #pointee(member: BtfMember, fail: (reason: string) => SyntaxError): number {
    const pointer = this.#btf.type(this.#btf.resolve(member.typeId));
    if (pointer.kind !== "ptr") throw fail(`${member.name} is no type as __type makes it`);
    return pointer.typeId;
  }
}

/** A size that may be told twice, in the same way. */
function agreed(known: number, size: number | undefined, what: string, fail: (reason: string) => SyntaxError): number {
  if (size === undefined) throw fail(`the type of ${what} has no size`);
  if (known !== 0 && known !== size) throw fail(`${what} has ${size} bytes, and ${known} were told before`);
  return size;
}

/** What stands in the slots of maps from the start, by the relocations of their section. */
export function readSlots(elf: Elf, section: ElfSection, maps: readonly PlacedMap[]): Map<string, SlotSpec[]> {
  const bySlot = new Map<string, SlotSpec[]>();
  const sorted = maps.toSorted((a, b) => a.offset - b.offset);
  const byOffset = new Map(maps.map((one) => [one.offset, one.spec.name]));
  for (const { offset, symbol } of elf.relocations(section)) {
    const before = lastBefore(sorted, offset);
    const map = before !== undefined && offset < before.offset + before.size ? before : undefined;
    const target = elf.symbols[symbol];
    const fail = (reason: string): SyntaxError => malformedObject(section, offset, reason);
    if (map?.valuesAt === undefined) throw fail("a relocation is in no map's values");
    const within = offset - map.offset - map.valuesAt;
    if (within < 0 || within % POINTER !== 0) throw fail(`map ${map.spec.name}: a relocation is in no slot`);
    const isMap = map.spec.type !== "prog_array";
    const name = isMap
      ? target?.sectionIndex === section.index ? byOffset.get(target.value) : undefined
      : target?.type === "func"
      ? target.name
      : undefined;
    if (name === undefined) {
      throw fail(`map ${map.spec.name}: slot ${within / POINTER} is no ${isMap ? "map" : "program"} of the object`);
    }
    const slots = bySlot.get(map.spec.name) ?? [];
    bySlot.set(map.spec.name, slots);
    slots.push({ index: within / POINTER, name });
  }
  return bySlot;
}

/** The last of some things, by place, that begins at a place or before it. */
export function lastBefore<T extends { readonly offset: number }>(sorted: readonly T[], offset: number): T | undefined {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle].offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : sorted[low - 1];
}
