/**
 * The variables of an object: read and written by name, typed by BTF, before and after it is loaded.
 *
 * @module
 */

import { type Btf, codecFrom } from "../btf/mod.ts";
import type { Codec } from "../codec.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { MapSpec } from "./spec.ts";

/** One variable. */
export interface VariableSpec {
  /** Its name. */
  readonly name: string;
  /** The id of its type in the object's BTF. */
  readonly typeId: number;
  /** Where it is in its section, in bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Whether it is known in its file only. */
  readonly static: boolean;
}

/** Where the variables of a loaded object are. */
export interface VariableMemory {
  /** The memory itself, where it is mapped: what is written there is there. */
  readonly live: Bytes | undefined;
  /** Reads all of it, where it is not mapped. */
  read(): Bytes;
  /** Writes all of it, where it is not mapped; undefined where nobody may. */
  readonly write: ((bytes: Bytes) => void) | undefined;
}

/**
 * The variables of a section.
 *
 * @param btf The object's types.
 * @param map The map that holds the section.
 * @returns The variables by their places; none where BTF does not tell.
 */
export function variablesOf(btf: Btf | undefined, map: MapSpec): VariableSpec[] {
  if (btf === undefined) return [];
  if (map.structOps !== undefined) {
    return btf.members(map.structOps.typeId).flatMap(({ name, typeId, bitsOffset, bitfieldSize }) => {
      const size = btf.sizeOf(typeId);
      return name === "" || bitfieldSize > 0 || size === undefined
        ? []
        : [{ name, typeId, offset: bitsOffset / 8, size, static: false }];
    });
  }
  const id = map.type === "arena" ? btf.find("datasec", ".addr_space.1") : map.valueTypeId;
  const datasec = id === undefined || id === 0 ? undefined : btf.type(id);
  if (datasec?.kind !== "datasec") return [];
  return datasec.vars.flatMap(({ typeId, offset, size }) => {
    const type = btf.type(typeId);
    if (type.kind !== "var" || type.name === "") return [];
    return [{ name: type.name, typeId: type.typeId, offset, size, static: type.linkage === "static" }];
  });
}

/**
 * The variables of one section of an object: `.rodata`, `.data`, `.bss` and those with names of their own. Before the
 * object is loaded they are the first values, which may be set; afterwards those of `.rodata` are fixed, and the others
 * are the memory that programs use: reading and writing it takes no system call where the kernel maps it (since 5.5).
 *
 * @typeParam T The variables by name.
 */
export class Variables<T extends object = Record<string, unknown>> {
  /** The section's name. */
  readonly section: string;
  readonly #btf: Btf | undefined;
  readonly #map: MapSpec;
  readonly #variables = new Map<string, VariableSpec>();
  readonly #codecs = new Map<string, Codec<unknown>>();
  #memory: VariableMemory | undefined;

  /**
   * Looks at the variables of a section. Use `BpfObject.variables()`.
   *
   * @param btf The object's types.
   * @param map The map that holds the section.
   */
  constructor(btf: Btf | undefined, map: MapSpec) {
    this.section = map.name;
    this.#btf = btf;
    this.#map = map;
    // Of several of a name, as static ones of functions may have, the one that others can name, or the first.
    for (const variable of variablesOf(btf, map)) {
      const known = this.#variables.get(variable.name);
      if (known === undefined || (known.static && !variable.static)) this.#variables.set(variable.name, variable);
    }
  }

  /** The variables, by their places. */
  get variables(): readonly VariableSpec[] {
    return [...this.#variables.values()];
  }

  /** The section's bytes: a view where they are in memory, else a copy. */
  get bytes(): Bytes {
    return this.#memory === undefined ? this.#map.data! : this.#memory.live ?? this.#memory.read();
  }

  /**
   * Reads all variables.
   *
   * @returns Their values by name.
   */
  get(): T;
  /**
   * Reads a variable.
   *
   * @typeParam N Its name.
   * @param name Its name.
   * @returns Its value.
   * @throws {TypeError} Where there is no such variable.
   */
  get<N extends keyof T & string>(name: N): T[N];
  get(name?: string): unknown {
    const bytes = this.bytes;
    if (name !== undefined) return this.#decode(bytes, this.#find(name));
    const values: Record<string, unknown> = {};
    for (const variable of this.#variables.values()) {
      const value = this.#tryCodec(variable) === undefined ? undefined : this.#decode(bytes, variable);
      Object.defineProperty(values, variable.name, { value, enumerable: true, configurable: true, writable: true });
    }
    return values;
  }

  /**
   * Writes variables; the others stay as they are.
   *
   * @param values Values by name.
   * @throws {TypeError} Where there is no such variable, a value is of another type, or the object is loaded and they are
   * constant.
   * @throws {RangeError} Where a value does not fit.
   */
  set(values: Partial<T>): void {
    const memory = this.#memory;
    if (memory !== undefined && memory.live === undefined && memory.write === undefined) {
      throw new TypeError(`Cannot set variables of ${this.section}: they are constant once the object is loaded`);
    }
    const bytes = this.bytes;
    // All are tried on a copy first, so that none is written where one cannot be.
    const copy = new Uint8Array(bytes);
    const written: VariableSpec[] = [];
    for (const [name, value] of Object.entries(values)) {
      const variable = this.#find(name);
      this.#codec(variable).encode(new DataView(copy.buffer, variable.offset, variable.size), 0, value);
      written.push(variable);
    }
    if (memory?.live === undefined && memory?.write !== undefined) return memory.write(copy);
    for (const { offset, size } of written) bytes.set(copy.subarray(offset, offset + size), offset);
  }

  /** Says where the variables are once the object is loaded, or that it is not any more. */
  moveTo(memory: VariableMemory | undefined): void {
    this.#memory = memory;
  }

  #find(name: string): VariableSpec {
    const variable = this.#variables.get(name);
    if (variable !== undefined) return variable;
    const known = [...this.#variables.keys()].join(", ");
    throw new TypeError(`Cannot use variable ${name}: ${this.section} has ${known === "" ? "none" : `only ${known}`}`);
  }

  #decode(bytes: Bytes, variable: VariableSpec): unknown {
    const { offset, size } = variable;
    if (offset + size > bytes.length) {
      throw new RangeError(`Cannot read ${variable.name}: it ends at ${offset + size} of ${bytes.length} bytes`);
    }
    return this.#codec(variable).decode(new DataView(bytes.buffer, bytes.byteOffset + offset, size), 0);
  }

  #codec(variable: VariableSpec): Codec<unknown> {
    const codec = this.#tryCodec(variable);
    if (codec !== undefined) return codec;
    throw new TypeError(`Cannot use variable ${variable.name}: its type has no values`);
  }

  #tryCodec({ name, typeId, offset, size }: VariableSpec): Codec<unknown> | undefined {
    const known = this.#codecs.get(name);
    if (known !== undefined) return known;
    try {
      const codec = codecFrom(this.#btf!, typeId);
      if (codec.size > size || offset + size > (this.#map.data?.length ?? 0)) return undefined;
      this.#codecs.set(name, codec);
      return codec;
    } catch (error) {
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError) return undefined;
      throw error;
    }
  }
}
