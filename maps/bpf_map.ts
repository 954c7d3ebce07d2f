/**
 * A map as a collection: JavaScript's `Map`, with the kernel behind it.
 *
 * @module
 */

import { mapCreate } from "../cmds/map.ts";
import type { UpdateMode } from "../cmds/map_elem.ts";
import type { CommandToken, MapToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import { deleteAll, drain, setAll } from "./_bulk.ts";
import { type PreparedElem, PreparedElems } from "./_elem.ts";
import { codecsFor, familyOf } from "./_families.ts";
import { openParts } from "./_open.ts";
import { Walk } from "./_walk.ts";
import type { MapOf } from "./families.ts";
import { MapHandle, type MapParts } from "./map_handle.ts";
import { type BpfMapOptions, createOptions } from "./map_options.ts";
import type { OpenByFd, OpenById, OpenByName, OpenByPath, OpenOptions, OpenSource } from "./open_options.ts";
import { type MapOperation, unsupported } from "./operations.ts";

/** How an element is read. */
export interface GetOptions {
  /** Takes the value's `bpf_spin_lock`. C name: BPF_F_LOCK. Since 5.1. @default {false} */
  lock?: boolean | undefined;
}

/** How an element is written. */
export interface SetOptions extends GetOptions {
  /** Whether it may be made or replaced. C names: BPF_ANY, BPF_NOEXIST, BPF_EXIST. @default {"any"} */
  mode?: UpdateMode | undefined;
}

/**
 * A map of the kernel's as a typed collection. `get` gives undefined for a missing key, `set`, `delete`, `has` and
 * iteration are as JavaScript's `Map` has them. It is closed when its `using` ends, when its token is revoked, or by the
 * garbage collector.
 *
 * Going through a map that changes meanwhile sees each element that is there throughout exactly once; one that comes or
 * goes meanwhile may be seen or not. Hashes and arrays are read in batches, of which one is held at a time.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using hits = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 1024, name: "hits" });
 * hits.set(1, 2n);
 * for (const [source, count] of hits) console.log(source, count);
 * ```
 *
 * @typeParam K A key.
 * @typeParam V A value that is read.
 * @typeParam O What user space may do with its elements.
 * @typeParam W A value that is written: descriptors go in where ids come out.
 */
export class BpfMap<K = unknown, V = unknown, O extends MapOperation = MapOperation, W = V> extends MapHandle<K, V> {
  /** Never there at run time: it tells TypeScript which operations the map's type has. */
  declare readonly supports: (operation: O) => void;

  readonly #elems: PreparedElems;
  // Those of the hot paths, without flags.
  #lookup: PreparedElem | undefined;
  #update: PreparedElem | undefined;
  #delete: PreparedElem | undefined;

  /**
   * Takes over an open map. Use {@link BpfMap.create} and {@link BpfMap.open}.
   *
   * @param parts The descriptor, the token and the codecs.
   * @throws {RangeError} Where a codec has another size than the map's keys or values; the descriptor is closed then.
   */
  constructor(parts: MapParts<K, V>) {
    super(parts);
    this.#elems = new PreparedElems(this.token, this.descriptor);
  }

  /**
   * Makes a map: BPF_MAP_CREATE. Which methods it has depends on its type; TypeScript refuses the others.
   *
   * @typeParam T The type's name.
   * @typeParam K A key.
   * @typeParam V A value.
   * @param token A token with what the type asks for.
   * @param options The type, the codecs of keys and values, how many elements at most, and more.
   * @returns The map, as a class of its type.
   * @throws {TypeError} Where a codec is missing, or a name or flag is unknown.
   * @throws {PermissionError | NotSupportedError | SyscallError} As for `mapCreate()`.
   */
  static create<const T extends MapType | number, K = never, V = never>(
    token: MapToken<T>,
    options: BpfMapOptions<T, K, V>,
  ): MapOf<T, K, V> {
    const { type } = options;
    const { key, value, element } = codecsFor(options as BpfMapOptions);
    const family = familyOf(type);
    family.check?.(options);
    using prepared = options.btf === undefined ? family.prepare?.(token, element) : undefined;
    const fd = mapCreate<T>(token, { ...createOptions<T>(options, key, element), ...prepared?.options, type });
    return BpfMap.#make({ token, fd, type, key, value }) as MapOf<T, K, V>;
  }

  /**
   * Opens a map by its pin or its descriptor, which is taken over: BPF_OBJ_GET.
   *
   * @typeParam T The type's name.
   * @typeParam K A key.
   * @typeParam V A value.
   * @param token A permission token.
   * @param source Where it is.
   * @param options The type that it has to have, and the codecs. Without one, the map's own BTF says what its keys and
   * values are; without that, they are bytes.
   * @returns The map, as a class of its type where that was named.
   * @throws {TypeError} Where it is of another type.
   * @throws {RangeError} Where a codec has another size than its keys or values.
   * @throws {SyscallError} ENOENT where there is no such map.
   */
  static open<const T extends MapType | number = number, K = never, V = never>(
    token: AnyToken,
    source: OpenByPath | OpenByFd,
    options?: OpenOptions<T, K, V>,
  ): MapOf<T, K, V>;
  /**
   * Opens a map by its id, or by its name where only one has it: BPF_MAP_GET_FD_BY_ID.
   *
   * @typeParam T The type's name.
   * @typeParam K A key.
   * @typeParam V A value.
   * @param token A token with CAP_SYS_ADMIN.
   * @param source Which map.
   * @param options The type that it has to have, and the codecs. Without one, the map's own BTF says what its keys and
   * values are; without that, they are bytes.
   * @returns The map, as a class of its type where that was named.
   * @throws {TypeError} Where it is of another type, or there are several of a name.
   * @throws {RangeError} Where a codec has another size than its keys or values.
   * @throws {SyscallError} ENOENT where there is no such map.
   */
  static open<const T extends MapType | number = number, K = never, V = never>(
    token: CommandToken<"map_get_fd_by_id">,
    source: OpenById | OpenByName,
    options?: OpenOptions<T, K, V>,
  ): MapOf<T, K, V>;
  static open<T extends MapType | number, K, V>(
    token: AnyToken,
    source: OpenSource,
    options: OpenOptions<T, K, V> = {},
  ): MapOf<T, K, V> {
    return BpfMap.#make(openParts(token, source, options)) as MapOf<T, K, V>;
  }

  static #make(parts: MapParts<unknown, unknown>): MapHandle {
    return familyOf(parts.type).make?.(parts as MapParts<never, never>) ?? new BpfMap(parts);
  }

  /**
   * Reads an element.
   *
   * @param key The key.
   * @param options Whether to lock the value.
   * @returns The value; undefined where there is none.
   * @throws {RangeError | TypeError} For a key that does not fit, a closed map, or a type that cannot be read.
   * @throws {SyscallError} Whatever else the kernel says.
   */
  get(this: BpfMap<K, V, "get", W>, key: K, options?: GetOptions): V | undefined {
    const { call, key: keyView, value } = options === undefined
      ? this.#lookup ??= this.#prepare("get", "map_lookup_elem")
      : this.#prepare("get", "map_lookup_elem", options);
    this.key.encode(keyView, 0, key);
    return call.run() ? this.value.decode(value, 0) : undefined;
  }

  /**
   * Whether there is an element.
   *
   * @param key The key.
   * @returns True where there is.
   * @throws {RangeError | TypeError | SyscallError} As {@link BpfMap.get}.
   */
  has(this: BpfMap<K, V, "get", W>, key: K): boolean {
    const { call, key: keyView } = this.#lookup ??= this.#prepare("get", "map_lookup_elem");
    this.key.encode(keyView, 0, key);
    return call.run();
  }

  /**
   * Writes an element.
   *
   * @param key The key.
   * @param value The value.
   * @param options Whether it may be made or replaced, and whether to lock the value.
   * @returns This map.
   * @throws {RangeError | TypeError} For a key or a value that does not fit; the message names the field.
   * @throws {SyscallError} E2BIG where the map is full; EEXIST and ENOENT by the mode.
   */
  set(this: BpfMap<K, V, "set", W>, key: K, value: W, options?: SetOptions): this {
    const { call, key: keyView, value: valueView } = options === undefined
      ? this.#update ??= this.#prepare("set", "map_update_elem")
      : this.#prepare("set", "map_update_elem", options);
    this.key.encode(keyView, 0, key);
    this.value.encode(valueView, 0, value as unknown as V);
    call.run();
    return this as unknown as this;
  }

  /**
   * Deletes an element.
   *
   * @param key The key.
   * @returns Whether there was one.
   * @throws {RangeError | TypeError | SyscallError} As {@link BpfMap.get}.
   */
  delete(this: BpfMap<K, V, "delete", W>, key: K): boolean {
    const { call, key: keyView } = this.#delete ??= this.#prepare("delete", "map_delete_elem");
    this.key.encode(keyView, 0, key);
    return call.run();
  }

  /**
   * Reads an element and deletes it in one step: BPF_MAP_LOOKUP_AND_DELETE_ELEM. Since Linux 5.14.
   *
   * @param key The key.
   * @param options Whether to lock the value.
   * @returns The value; undefined where there is none.
   * @throws {RangeError | TypeError | SyscallError} As {@link BpfMap.get}.
   */
  getAndDelete(this: BpfMap<K, V, "take", W>, key: K, options?: GetOptions): V | undefined {
    const { call, key: keyView, value } = this.#prepare("take", "map_lookup_and_delete_elem", options);
    this.key.encode(keyView, 0, key);
    return call.run() ? this.value.decode(value, 0) : undefined;
  }

  /** The keys. */
  keys(this: BpfMap<K, V, "iterate", W>): IterableIterator<K> {
    return this.#walk().keys();
  }

  /** The values. */
  values(this: BpfMap<K, V, "iterate", W>): IterableIterator<V> {
    return this.#walk().values();
  }

  /** Keys and values. */
  entries(this: BpfMap<K, V, "iterate", W>): IterableIterator<[K, V]> {
    return this.#walk().entries();
  }

  /** Keys and values. */
  [Symbol.iterator](this: BpfMap<K, V, "iterate", W>): IterableIterator<[K, V]> {
    return this.#walk().entries();
  }

  /**
   * Counts the elements, by going through them: the kernel keeps no count.
   *
   * @returns How many there are.
   */
  count(this: BpfMap<K, V, "iterate", W>): number {
    return this.#walk().count();
  }

  /**
   * Deletes all elements. Those that come meanwhile may stay.
   *
   * @returns How many were deleted.
   */
  clear(this: BpfMap<K, V, "delete" | "iterate", W>): number {
    this.#assert("delete");
    return deleteAll(this.token, this.descriptor, this.key, this.#walk().keys());
  }

  /**
   * Writes many elements, in batches where the kernel and the type have them.
   *
   * @param entries Keys and values.
   * @param options Whether they may be made or replaced, and whether to lock the values.
   * @returns How many were written: all.
   * @throws {Error} As {@link BpfMap.set}; the property `count` says how many were written before.
   */
  setAll(this: BpfMap<K, V, "setAll", W>, entries: Iterable<readonly [K, W]>, options: SetOptions = {}): number {
    this.#assert("setAll");
    const set = (key: K, value: W): unknown => (this as unknown as BpfMap<K, V, "set", W>).set(key, value, options);
    return setAll<K, V, W>(this.token, this.descriptor, this, entries, { ...options, set });
  }

  /**
   * Deletes many elements, in batches where the kernel and the type have them.
   *
   * @param keys The keys; those that there are not are passed over.
   * @returns How many were deleted.
   * @throws {Error} As {@link BpfMap.delete}; the property `count` says how many were deleted before.
   */
  deleteAll(this: BpfMap<K, V, "delete", W>, keys: Iterable<K>): number {
    this.#assert("delete");
    return deleteAll(this.token, this.descriptor, this.key, keys);
  }

  /**
   * Takes all elements out, each read and deleted in one step: BPF_MAP_LOOKUP_AND_DELETE_BATCH. Since Linux 5.6.
   *
   * @returns What there was.
   * @throws {Error} What the kernel says; the properties `count` and `entries` have what was taken out before.
   */
  drain(this: BpfMap<K, V, "take", W>): [K, V][] {
    this.#assert("take");
    return drain(this.token, this.descriptor, this);
  }

  #assert(operation: MapOperation): void {
    const error = unsupported(operation, this.type);
    if (error !== undefined) throw error;
    this.descriptor.as("map");
  }

  #prepare(
    operation: MapOperation,
    command: Parameters<PreparedElems["get"]>[0],
    options: SetOptions = {},
  ): PreparedElem {
    this.#assert(operation);
    return this.#elems.get(command, options.lock, options.mode);
  }

  #walk(): Walk<K, V> {
    this.#assert("iterate");
    return new Walk(this.token, this.descriptor, this);
  }
}
