/**
 * The least that a map of each type takes.
 *
 * @module
 */

import { btfLoad } from "../../cmds/btf.ts";
import { mapCreate, type MapCreateOptions } from "../../cmds/map.ts";
import type { Fd } from "../../ffi/fd.ts";
import { type MapType, mapTypes } from "../../uapi/enums.gen.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { BtfBytes, vmlinuxId } from "./_btf_bytes.ts";
import { arrayMap, constant, type RootToken } from "./_objects.ts";

type Sizes = readonly [keySize: number, valueSize: number, maxEntries: number];

/** What maps take besides descriptors that have to be made. */
const SIZES: Readonly<Record<MapType, Sizes>> = {
  hash: [4, 8, 16],
  array: [4, 8, 16],
  prog_array: [4, 4, 4],
  perf_event_array: [4, 4, 2],
  percpu_hash: [4, 12, 16],
  percpu_array: [4, 12, 16],
  stack_trace: [4, 8 * 16, 16],
  cgroup_array: [4, 4, 4],
  lru_hash: [4, 8, 16],
  lru_percpu_hash: [4, 8, 16],
  lpm_trie: [8, 8, 16],
  array_of_maps: [4, 4, 4],
  hash_of_maps: [4, 4, 4],
  devmap: [4, 4, 4],
  sockmap: [4, 4, 4],
  cpumap: [4, 4, 2],
  xskmap: [4, 4, 4],
  sockhash: [4, 4, 4],
  cgroup_storage: [16, 8, 0],
  reuseport_sockarray: [4, 8, 4],
  percpu_cgroup_storage: [16, 8, 0],
  queue: [0, 8, 4],
  stack: [0, 8, 4],
  sk_storage: [4, 8, 0],
  devmap_hash: [4, 4, 4],
  struct_ops: [4, 0, 1],
  ringbuf: [0, 0, 4096],
  inode_storage: [4, 8, 0],
  task_storage: [4, 8, 0],
  bloom_filter: [0, 8, 16],
  user_ringbuf: [0, 0, 4096],
  cgrp_storage: [4, 8, 0],
  arena: [0, 0, 4],
  insn_array: [4, 16, 4],
  rhash: [4, 8, 16],
};

/** Map types that want to know the BTF of their keys and values. */
const WITH_BTF: ReadonlySet<MapType> = new Set<MapType>([
  "sk_storage",
  "inode_storage",
  "task_storage",
  "cgrp_storage",
]);

/** Every map type that the library knows. */
export const MAP_TYPES: readonly MapType[] = Object.keys(mapTypes) as MapType[];

/** BTF with a 4-byte key and an 8-byte value: type ids 1 and 2. */
export function keyValueBtf(): Uint8Array<ArrayBuffer> {
  const btf = new BtfBytes();
  btf.int("int", 4, 1);
  btf.int("long", 8);
  return btf.bytes();
}

let sizeOfTcpOps: number | undefined;

/** Bytes of a struct_ops value for TCP congestion control. */
export function tcpOpsSize(): number {
  sizeOfTcpOps ??= new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux"))
    .sizeOf("bpf_struct_ops_tcp_congestion_ops") ?? 0;
  return sizeOfTcpOps;
}

/** Makes the least map of a type, with other options on top. */
export function minimalMap(token: RootToken, type: MapType, more: Partial<MapCreateOptions> = {}): Fd {
  const [keySize, valueSize, maxEntries] = SIZES[type];
  const options: MapCreateOptions = { type, keySize, valueSize, maxEntries, ...more };
  const make = (extra: Partial<MapCreateOptions>): Fd => mapCreate(token, { ...options, ...extra });
  if (type === "lpm_trie" || type === "rhash") {
    return make({ flags: constant("BPF_F_NO_PREALLOC") | (more.flags ?? 0) });
  }
  if (type === "arena") return make({ flags: constant("BPF_F_MMAPABLE") | (more.flags ?? 0) });
  if (type === "array_of_maps" || type === "hash_of_maps") {
    using innerMap = arrayMap(token);
    return make({ innerMap });
  }
  if (type === "struct_ops") {
    const vmlinuxValueTypeId = vmlinuxId("struct", "bpf_struct_ops_tcp_congestion_ops") ?? 0;
    // The kernel wants BTF here too, though it looks for no type in it.
    using btf = btfLoad(token, keyValueBtf());
    return make({ vmlinuxValueTypeId, valueSize: tcpOpsSize(), btf: { fd: btf, valueTypeId: 0 } });
  }
  if (WITH_BTF.has(type)) {
    using btf = btfLoad(token, keyValueBtf());
    const flags = constant("BPF_F_NO_PREALLOC") | (more.flags ?? 0);
    return make({ flags, btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 } });
  }
  return make({});
}
