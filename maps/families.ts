/**
 * Which class the maps of each type are, and what their keys and values are by default: the one table of map types.
 *
 * @module
 */

import { bytes, type Codec } from "../codec.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import { type Family, registerFamilies } from "./_families.ts";
import {
  type CgroupStorageKey,
  cgroupStorageKey,
  cpuMapCodec,
  type CpuMapValue,
  devMapCodec,
  type DevMapValue,
  fdCodec,
  type InsnArrayValue,
  insnArrayValue,
  socketCodec,
} from "./fd_codecs.ts";
import { storageBtf } from "./_storage_btf.ts";
import { Arena } from "./arena.ts";
import { ArrayMap } from "./array.ts";
import { BloomFilter } from "./bloom_filter.ts";
import type { BpfMap } from "./bpf_map.ts";
import { MapOfMaps } from "./map_of_maps.ts";
import type { OperationsOf } from "./operations.ts";
import { perCpu, PerCpuMap } from "./per_cpu.ts";
import { PerfEventArray } from "./perf_buffer.ts";
import { QueueMap } from "./queue.ts";
import { RingBufferMap } from "./ring_buffer_map.ts";
import { stackOf, StackTraceMap } from "./stack_trace.ts";
import { UserRingBuffer } from "./user_ring_buffer.ts";

/**
 * What there is a codec for, or else what the map's type has by default.
 *
 * @typeParam T What the codec is of; never without one.
 * @typeParam Default What the type has.
 */
export type WithDefault<T, Default> = [T] extends [never] ? Default : T;

/** The classes of the map types that have one of their own, or values that go in otherwise than they come out. */
export interface MapClasses<K, V> {
  /** Values of all CPUs. */
  percpu_hash: PerCpuMap<WithDefault<K, unknown>, WithDefault<V, unknown>, OperationsOf<"percpu_hash">>;
  /** Values of all CPUs. */
  lru_percpu_hash: PerCpuMap<WithDefault<K, unknown>, WithDefault<V, unknown>, OperationsOf<"lru_percpu_hash">>;
  /** Values of all CPUs. */
  percpu_array: PerCpuMap<WithDefault<K, number>, WithDefault<V, unknown>, OperationsOf<"percpu_array">>;
  /** By index, and as memory. */
  array: ArrayMap<WithDefault<V, unknown>, OperationsOf<"array">>;
  /** Values of all CPUs. */
  percpu_cgroup_storage: PerCpuMap<
    WithDefault<K, CgroupStorageKey>,
    WithDefault<V, unknown>,
    OperationsOf<"percpu_cgroup_storage">
  >;
  /** By cgroup and attach type. */
  cgroup_storage: BpfMap<WithDefault<K, CgroupStorageKey>, WithDefault<V, unknown>, OperationsOf<"cgroup_storage">>;
  /** Push, pop and peek. */
  queue: QueueMap<WithDefault<V, unknown>>;
  /** Push, pop and peek. */
  stack: QueueMap<WithDefault<V, unknown>>;
  /** Add and ask. */
  bloom_filter: BloomFilter<WithDefault<V, unknown>>;
  /** Programs go in, their ids come out. */
  prog_array: BpfMap<number, number, OperationsOf<"prog_array">, FdSource>;
  /** Perf events go in. */
  perf_event_array: PerfEventArray;
  /** Cgroups go in. */
  cgroup_array: BpfMap<number, number, OperationsOf<"cgroup_array">, FdSource>;
  /** XDP sockets go in. */
  xskmap: BpfMap<number, number, OperationsOf<"xskmap">, FdSource>;
  /** Maps go in, their ids come out. */
  array_of_maps: MapOfMaps<number, OperationsOf<"array_of_maps">>;
  /** Maps go in, their ids come out. */
  hash_of_maps: MapOfMaps<WithDefault<K, unknown>, OperationsOf<"hash_of_maps">>;
  /** Interfaces, with a program each. */
  devmap: BpfMap<number, DevMapValue, OperationsOf<"devmap">>;
  /** Interfaces, with a program each. */
  devmap_hash: BpfMap<number, DevMapValue, OperationsOf<"devmap_hash">>;
  /** Queues, with a program each. */
  cpumap: BpfMap<number, CpuMapValue, OperationsOf<"cpumap">>;
  /** Sockets go in, their cookies come out. */
  sockmap: BpfMap<number, bigint, OperationsOf<"sockmap">, FdSource>;
  /** Sockets go in, their cookies come out. */
  sockhash: BpfMap<WithDefault<K, unknown>, bigint, OperationsOf<"sockhash">, FdSource>;
  /** Sockets go in, their cookies come out. */
  reuseport_sockarray: BpfMap<number, bigint, OperationsOf<"reuseport_sockarray">, FdSource>;
  /** Addresses. */
  stack_trace: StackTraceMap<WithDefault<V, bigint[]>>;
  /** By a socket's descriptor. */
  sk_storage: BpfMap<FdSource, WithDefault<V, unknown>, OperationsOf<"sk_storage">>;
  /** By a file's descriptor. */
  inode_storage: BpfMap<FdSource, WithDefault<V, unknown>, OperationsOf<"inode_storage">>;
  /** By a pidfd. */
  task_storage: BpfMap<FdSource, WithDefault<V, unknown>, OperationsOf<"task_storage">>;
  /** By a cgroup's descriptor. */
  cgrp_storage: BpfMap<FdSource, WithDefault<V, unknown>, OperationsOf<"cgrp_storage">>;
  /** One element: written to register, deleted to unregister. */
  struct_ops: BpfMap<number, WithDefault<V, unknown>, OperationsOf<"struct_ops">>;
  /** Records from programs. */
  ringbuf: RingBufferMap;
  /** Records to programs. */
  user_ringbuf: UserRingBuffer;
  /** Memory. */
  arena: Arena;
  /** Places in programs. */
  insn_array: BpfMap<number, InsnArrayValue, OperationsOf<"insn_array">>;
}

/** The class of a map of some type; a type that is not known has every method, and refuses when it runs. */
export type MapOf<T extends MapType | number, K, V> = T extends keyof MapClasses<K, V> ? MapClasses<K, V>[T]
  : BpfMap<WithDefault<K, unknown>, WithDefault<V, unknown>, OperationsOf<T>>;

const NOTHING: Codec<unknown> = bytes(0);

const perCpuValues: Pick<Family, "value" | "make"> = {
  value: (element) => perCpu(element),
  make: (parts) => new PerCpuMap(parts),
};

const maps: Family = {
  check: ({ type, innerMap }) => {
    if (innerMap === undefined) {
      throw new TypeError(
        `Cannot create a map of type ${type}: innerMap is missing, a map like those that it will hold`,
      );
    }
  },
  defaultValue: () => fdCodec("map"),
  make: (parts) => new MapOfMaps(parts),
};

const sockets: Family = { defaultValue: (size) => socketCodec(size) };

const queues: Family = { defaultKey: () => NOTHING, make: (parts) => new QueueMap(parts) };

/** Nothing to read or write by key. */
const memory: Family = { defaultKey: () => NOTHING, defaultValue: () => NOTHING };

function storage(key: string): Family {
  return { defaultKey: () => fdCodec(key), prepare: storageBtf };
}

registerFamilies({
  array: { make: (parts) => new ArrayMap(parts) },
  percpu_hash: perCpuValues,
  lru_percpu_hash: perCpuValues,
  percpu_array: perCpuValues,
  prog_array: { defaultValue: () => fdCodec("program") },
  perf_event_array: {
    defaultValue: () => fdCodec("perf event"),
    make: (parts) => new PerfEventArray(parts),
  },
  cgroup_array: { defaultValue: () => fdCodec("cgroup") },
  xskmap: { defaultValue: () => fdCodec("XDP socket") },
  array_of_maps: maps,
  hash_of_maps: maps,
  devmap: { defaultValue: (size) => devMapCodec(size) },
  devmap_hash: { defaultValue: (size) => devMapCodec(size) },
  cpumap: { defaultValue: (size) => cpuMapCodec(size) },
  sockmap: sockets,
  sockhash: sockets,
  reuseport_sockarray: sockets,
  stack_trace: {
    defaultValue: (size) => stackOf(size === undefined ? undefined : Math.floor(size / 8)),
    make: (parts) => new StackTraceMap(parts),
  },
  queue: queues,
  stack: queues,
  bloom_filter: {
    defaultKey: () => NOTHING,
    make: (parts) => new BloomFilter(parts),
  },
  sk_storage: storage("socket"),
  inode_storage: storage("file"),
  task_storage: storage("pidfd"),
  cgrp_storage: storage("cgroup"),
  cgroup_storage: { defaultKey: () => cgroupStorageKey },
  percpu_cgroup_storage: { ...perCpuValues, defaultKey: () => cgroupStorageKey },
  ringbuf: { ...memory, make: (parts) => new RingBufferMap(parts) },
  user_ringbuf: { ...memory, make: (parts) => new UserRingBuffer(parts) },
  arena: { ...memory, make: (parts) => new Arena(parts) },
  insn_array: { defaultValue: () => insnArrayValue },
});
