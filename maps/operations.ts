/**
 * What user space may do with the elements of each map type. From this one table come the types that refuse the rest
 * when a script is checked, and the errors that refuse it when it runs.
 *
 * @module
 */

import { type MapType, mapTypes } from "../uapi/enums.gen.ts";

/**
 * What user space may do with a map's elements: read one, write one, delete one, go through all, take one out, and
 * change many at once.
 */
export type MapOperation = "get" | "set" | "delete" | "iterate" | "take" | "setAll";

/** The operations of each map type. Types without elements of their own have none. */
export const mapOperations = {
  hash: ["get", "set", "delete", "iterate", "take", "setAll"],
  array: ["get", "set", "iterate", "setAll"],
  prog_array: ["get", "set", "delete", "iterate"],
  perf_event_array: ["set", "delete"],
  percpu_hash: ["get", "set", "delete", "iterate", "take", "setAll"],
  percpu_array: ["get", "set", "iterate", "setAll"],
  stack_trace: ["get", "delete", "iterate"],
  cgroup_array: ["set", "delete"],
  lru_hash: ["get", "set", "delete", "iterate", "take", "setAll"],
  lru_percpu_hash: ["get", "set", "delete", "iterate", "take", "setAll"],
  lpm_trie: ["get", "set", "delete", "iterate", "setAll"],
  array_of_maps: ["get", "set", "delete", "iterate"],
  hash_of_maps: ["get", "set", "delete", "iterate"],
  devmap: ["get", "set", "delete", "iterate"],
  sockmap: ["get", "set", "delete", "iterate"],
  cpumap: ["get", "set", "delete", "iterate"],
  xskmap: ["set", "delete"],
  sockhash: ["get", "set", "delete", "iterate"],
  cgroup_storage: ["get", "set", "iterate"],
  reuseport_sockarray: ["get", "set", "delete", "iterate"],
  percpu_cgroup_storage: ["get", "set", "iterate"],
  queue: [],
  stack: [],
  sk_storage: ["get", "set", "delete"],
  devmap_hash: ["get", "set", "delete", "iterate"],
  struct_ops: ["get", "set", "delete", "iterate"],
  ringbuf: [],
  inode_storage: ["get", "set", "delete"],
  task_storage: ["get", "set", "delete"],
  bloom_filter: [],
  user_ringbuf: [],
  cgrp_storage: ["get", "set", "delete"],
  arena: [],
  insn_array: ["get", "set", "iterate"],
  rhash: ["get", "set", "delete", "iterate", "take", "setAll"],
} as const;

const table: Readonly<Record<MapType, readonly MapOperation[]>> = mapOperations;

/** The operations of a map type. */
export type OperationsOf<T extends MapType | number> = T extends MapType ? (typeof mapOperations)[T][number]
  : MapOperation;

/** Why a type lacks an operation, and what to do instead. */
const WHY: Readonly<Record<MapOperation, Readonly<Record<string, string>>>> = {
  get: {
    perf_event_array: "the kernel does not tell which perf events it holds",
    cgroup_array: "the kernel does not tell which cgroups it holds",
    xskmap: "the kernel does not tell which sockets it holds",
  },
  set: { stack_trace: "only programs write it, by bpf_get_stackid()" },
  delete: {
    array: "its elements are always there; set one to zero",
    percpu_array: "its elements are always there; set one to zero",
    insn_array: "its elements are always there",
    cgroup_storage: "elements live as long as the cgroup's attachment",
    percpu_cgroup_storage: "elements live as long as the cgroup's attachment",
  },
  iterate: {},
  take: {
    array: "its elements are always there",
    percpu_array: "its elements are always there",
    lpm_trie: "the kernel cannot read and delete in one step there; use get() and delete()",
  },
  setAll: {},
};

const INSTEAD: Readonly<Record<string, string>> = {
  queue: "use push(), pop() and peek()",
  stack: "use push(), pop() and peek()",
  bloom_filter: "use add() and mayHave()",
  ringbuf: "use events() or drain()",
  user_ringbuf: "use reserve() and write()",
  arena: "its elements are bytes: use memory",
  sk_storage: "the kernel does not tell its keys; ask by a socket's descriptor",
  inode_storage: "the kernel does not tell its keys; ask by a file's descriptor",
  task_storage: "the kernel does not tell its keys; ask by a pidfd",
  cgrp_storage: "the kernel does not tell its keys; ask by a cgroup's descriptor",
};

/** What each operation is, after "Cannot". */
const ACTIONS: Readonly<Record<MapOperation, string>> = {
  get: "read an element of",
  set: "write an element of",
  delete: "delete an element of",
  iterate: "go through",
  take: "take an element out of",
  setAll: "write elements of",
};

/**
 * The error for an operation that a map type does not have.
 *
 * @param operation The operation.
 * @param type The map's type.
 * @returns The error, or undefined where the type has it or is unknown.
 */
export function unsupported(operation: MapOperation, type: MapType | number): TypeError | undefined {
  if (typeof type === "number" || table[type].includes(operation)) {
    return undefined;
  }
  const why = WHY[operation][type] ?? INSTEAD[type] ?? "maps of this type have no such operation";
  return new TypeError(`Cannot ${ACTIONS[operation]} a map of type ${type}: ${why}`);
}

const names = new Map<number, MapType>((Object.keys(mapTypes) as MapType[]).map((name) => [mapTypes[name], name]));

/**
 * The name of a map type.
 *
 * @param type Its number.
 * @returns Its name; the number where this library knows none.
 */
export function typeName(type: number): MapType | number {
  return names.get(type) ?? type;
}
