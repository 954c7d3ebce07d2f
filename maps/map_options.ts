/**
 * What a map is made of: types, sizes and flags as users name them, and what each type has by default.
 *
 * @module
 */

import type { MapCreateOptions } from "../cmds/map.ts";
import { type Codec, u32 } from "../codec.ts";
import { pageSize } from "../ffi/mapping.ts";
import {
  BPF_F_CLONE,
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NO_USER_CONV,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RB_OVERWRITE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_SEGV_ON_FAULT,
  BPF_F_STACK_BUILD_ID,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
} from "../uapi/constants.gen.ts";
import type { MapType } from "../uapi/enums.gen.ts";

/**
 * A flag of a map: BPF_F_* in lower case. Those that come with a number or a descriptor are set by it.
 *
 * - `no_prealloc`: memory is taken when elements are made
 * - `no_common_lru`: each CPU has a list of its own of what was used last
 * - `rdonly`, `wronly`: user space may only read, or only write
 * - `rdonly_prog`, `wronly_prog`: programs may only read, or only write
 * - `stack_build_id`: stack traces hold build ids and offsets instead of addresses
 * - `zero_seed`: the hash is not seeded, for tests
 * - `clone`: sockets that are cloned take their storage along
 * - `mmapable`: its memory can be mapped
 * - `preserve_elems`: perf events stay when the descriptor that put them there is closed
 * - `inner_map`: arrays inside of other maps may have other lengths than the first
 * - `segv_on_fault`: user space gets SIGSEGV where an arena has no page
 * - `no_user_conv`: an arena's addresses are not converted for user space
 * - `rb_overwrite`: new records of a ring buffer take the place of old ones, since 6.19
 */
export type MapFlag =
  | "no_prealloc"
  | "no_common_lru"
  | "rdonly"
  | "wronly"
  | "stack_build_id"
  | "zero_seed"
  | "rdonly_prog"
  | "wronly_prog"
  | "clone"
  | "mmapable"
  | "preserve_elems"
  | "inner_map"
  | "segv_on_fault"
  | "no_user_conv"
  | "rb_overwrite";

/** The numbers of the flags of maps. C names: BPF_F_*. */
export const mapFlags: Readonly<Record<MapFlag, number>> = {
  no_prealloc: BPF_F_NO_PREALLOC,
  no_common_lru: BPF_F_NO_COMMON_LRU,
  rdonly: BPF_F_RDONLY,
  wronly: BPF_F_WRONLY,
  stack_build_id: BPF_F_STACK_BUILD_ID,
  zero_seed: BPF_F_ZERO_SEED,
  rdonly_prog: BPF_F_RDONLY_PROG,
  wronly_prog: BPF_F_WRONLY_PROG,
  clone: BPF_F_CLONE,
  mmapable: BPF_F_MMAPABLE,
  preserve_elems: BPF_F_PRESERVE_ELEMS,
  inner_map: BPF_F_INNER_MAP,
  segv_on_fault: BPF_F_SEGV_ON_FAULT,
  no_user_conv: BPF_F_NO_USER_CONV,
  rb_overwrite: BPF_F_RB_OVERWRITE,
};

/** What `BpfMap.create()` takes. */
export interface BpfMapOptions<T extends MapType | number = MapType | number, K = unknown, V = unknown>
  extends Omit<MapCreateOptions<T>, "keySize" | "valueSize" | "flags"> {
  /** The codec of keys. Indexed types have `u32`, those that are asked by a descriptor need none. C name: `key_size`. */
  key?: Codec<K> | undefined;
  /** The codec of values, of one CPU for per-CPU maps. C name: `value_size`. */
  value?: Codec<V> | undefined;
  /** Flags, by name; a number is taken as it is. C name: `map_flags`. @default {[]} */
  flags?: readonly MapFlag[] | number | undefined;
}

/** Flags that a type cannot be made without. */
const REQUIRED_FLAGS: { readonly [T in MapType]?: number } = {
  lpm_trie: BPF_F_NO_PREALLOC,
  sk_storage: BPF_F_NO_PREALLOC,
  inode_storage: BPF_F_NO_PREALLOC,
  task_storage: BPF_F_NO_PREALLOC,
  cgrp_storage: BPF_F_NO_PREALLOC,
  arena: BPF_F_MMAPABLE,
  rhash: BPF_F_NO_PREALLOC,
};

/** Types that are made without a number of elements, with what the kernel wants to hear instead. */
const DEFAULT_ENTRIES: { readonly [T in MapType]?: number } = {
  struct_ops: 1,
  sk_storage: 0,
  inode_storage: 0,
  task_storage: 0,
  cgrp_storage: 0,
  cgroup_storage: 0,
  percpu_cgroup_storage: 0,
};

/** Types whose size is that of memory, in bytes. */
const RINGS: ReadonlySet<MapType | number> = new Set<MapType | number>(["ringbuf", "user_ringbuf"]);

/** The codec of the keys of types that are indexed. */
const INDEXED: ReadonlySet<MapType> = new Set<MapType>([
  "array",
  "percpu_array",
  "prog_array",
  "perf_event_array",
  "cgroup_array",
  "stack_trace",
  "array_of_maps",
  "devmap",
  "sockmap",
  "cpumap",
  "xskmap",
  "reuseport_sockarray",
  "devmap_hash",
  "struct_ops",
  "insn_array",
]);

/**
 * The codec that the keys of a type have where none is given.
 *
 * @param type The type.
 * @returns `u32` for indexed types.
 */
export function defaultKey(type: MapType | number): Codec<number> | undefined {
  return typeof type === "string" && INDEXED.has(type) ? u32 : undefined;
}

/**
 * The flags of a map as the kernel takes them.
 *
 * @param type The type, which may need some.
 * @param flags What the user named.
 * @returns BPF_F_* flags.
 * @throws {TypeError} For a flag that there is not.
 */
export function flagBits(type: MapType | number, flags: readonly MapFlag[] | number = []): number {
  const required = typeof type === "string" ? REQUIRED_FLAGS[type] ?? 0 : 0;
  if (typeof flags === "number") return flags | required;
  return flags.reduce((bits, flag) => {
    if (!Object.hasOwn(mapFlags, flag)) {
      throw new TypeError(`Cannot use flags: "${flag}" is none of ${Object.keys(mapFlags).join(", ")}`);
    }
    return bits | mapFlags[flag];
  }, required);
}

/** How many elements a map is to have: what no kernel takes is named before one says EINVAL to it. */
function entriesOf(type: MapType | number, given: number | undefined): number {
  const entries = given ?? (typeof type === "string" ? DEFAULT_ENTRIES[type] : 0);
  if (entries === undefined) throw new TypeError(`Cannot create a map of type ${type}: maxEntries is missing`);
  if (RINGS.has(type) && (entries % pageSize() !== 0 || !Number.isInteger(Math.log2(entries)))) {
    throw new RangeError(
      `Cannot create a map of type ${type}: maxEntries ${entries} is no power of two and multiple of ${pageSize()}`,
    );
  }
  return entries;
}

/**
 * What BPF_MAP_CREATE takes for what a user asked for.
 *
 * @param options What the user asked for.
 * @param key The codec of keys; undefined for types without.
 * @param value The codec of values; undefined for types without.
 * @returns The options of `mapCreate()`.
 * @throws {TypeError} Where the number of elements is missing.
 * @throws {RangeError} For a ring buffer's size that is none, or keys of an indexed type that are no `u32`.
 */
export function createOptions<T extends MapType | number>(
  options: BpfMapOptions<T>,
  key: Codec<unknown> | undefined,
  value: Codec<unknown> | undefined,
): MapCreateOptions<T> {
  const { key: _key, value: _value, flags, ...rest } = options;
  const type: MapType | number = options.type;
  if (key !== undefined && key.size !== 4 && typeof type === "string" && INDEXED.has(type)) {
    throw new RangeError(
      `Cannot create a map of type ${type}: key ${key.name} has ${key.size} bytes, and indexes have 4`,
    );
  }
  return {
    ...rest,
    keySize: key?.size ?? 0,
    valueSize: value?.size ?? 0,
    maxEntries: entriesOf(type, options.maxEntries),
    flags: flagBits(options.type, flags) | (options.numaNode === undefined ? 0 : BPF_F_NUMA_NODE),
  };
}
