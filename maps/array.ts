/**
 * Arrays, by index or as typed arrays over the kernel's memory.
 *
 * @module
 */

import { PermissionError } from "../errors.ts";
import { mapShape } from "../cmds/map_shape.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import { BPF_F_MMAPABLE } from "../uapi/constants.gen.ts";
import { BpfMap } from "./bpf_map.ts";
import type { MapOperation } from "./operations.ts";

/** The typed arrays that a map's memory can be seen as. */
export type MemoryView =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** The constructor of a typed array. */
export interface MemoryViewConstructor<A extends MemoryView> {
  /** Bytes of an element. */
  readonly BYTES_PER_ELEMENT: number;
  /** Makes a view of a part of a buffer. */
  new (buffer: ArrayBuffer, byteOffset: number, length: number): A;
}

/**
 * Refuses to map what was not made for it, or what its token may only read: mapped memory can be written.
 *
 * @param type The map's type.
 * @param flags BPF_F_* flags that it was made with.
 * @param readOnly Whether the token was restricted to reading.
 */
export function checkMappable(type: string | number, flags: number, readOnly: boolean): void {
  if ((flags & BPF_F_MMAPABLE) === 0) {
    throw new TypeError(`Cannot map a map of type ${type}: it was not made with the flag mmapable`);
  }
  if (readOnly) {
    throw new PermissionError({
      command: "mmap",
      action: `map a map of type ${type}`,
      missing: [],
      reason: "the token was restricted to reading, and mapped memory can be written",
      remedy: "Use get(), or the token that it was derived from",
    });
  }
}

/**
 * An array.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using counters = BpfMap.create(token, { type: "array", value: u64, maxEntries: 256, flags: ["mmapable"] });
 * const memory = counters.view(BigUint64Array);
 * memory[3]++;
 * console.log(counters.get(3), memory.length);
 * ```
 *
 * @typeParam V A value.
 * @typeParam O What user space may do with its elements.
 */
export class ArrayMap<V, O extends MapOperation = MapOperation> extends BpfMap<number, V, O> {
  #memory: Mapping | undefined;

  /** How many elements it has. C name: `max_entries`. */
  get length(): number {
    return this.maxEntries;
  }

  /** How many elements it has: all of an array's are always there. */
  get size(): number {
    return this.maxEntries;
  }

  /**
   * The array's memory, shared with the programs that use it: reading and writing it takes no system call. It reads as
   * empty once the map is closed. Since Linux 5.5.
   *
   * An element takes a multiple of 8 bytes there, whatever the size of its value.
   *
   * @typeParam A The typed array.
   * @param type The kind of typed array, such as `BigUint64Array`.
   * @returns The whole array as one typed array.
   * @throws {TypeError} Where the map was not made with the flag `mmapable`.
   * @throws {PermissionError} Where the token was restricted to reading.
   * @throws {SyscallError} EPERM where the map was frozen, EACCES where user space may not write it: memory that cannot be
   * written is not handed out, since the first write to it would end the process.
   */
  view<A extends MemoryView>(type: MemoryViewConstructor<A>): A {
    const { flags, maxEntries, elementSize } = mapShape(this.token, this.descriptor);
    checkMappable(this.type, flags, this.token.readOnly);
    const size = maxEntries * Math.ceil(elementSize / 8) * 8;
    this.#memory ??= this.token.adopt(
      new Mapping(this.descriptor, { length: Math.ceil(size / pageSize()) * pageSize(), writable: true }),
    );
    return new type(this.#memory.buffer, 0, Math.floor(size / type.BYTES_PER_ELEMENT));
  }

  /**
   * Closes the map, and takes its memory back: views of it read as empty.
   *
   * @param reason What a later use is told.
   */
  override close(reason?: string): void {
    this.#memory?.close();
    super.close(reason);
  }
}
