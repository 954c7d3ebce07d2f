/**
 * Which map types the running kernel has.
 *
 * @module
 */

import { BtfBuilder } from "../btf/mod.ts";
import { btfLoad } from "../cmds/btf.ts";
import { mapCreate, type MapCreateOptions } from "../cmds/map.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import type { Capability } from "../tokens/capabilities.ts";
import { BPF_F_MMAPABLE, BPF_F_NO_PREALLOC } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import { attempt, cached, yesOrNo } from "./_answer.ts";

type Sizes = Omit<MapCreateOptions, "type">;

/** What most maps take. */
const COMMON: Sizes = { keySize: 4, valueSize: 4, maxEntries: 1 };
const PAGE = 4096;

/** Types that want to know the BTF of their keys and values. */
const WITH_BTF: Sizes = { ...COMMON, maxEntries: 0, flags: BPF_F_NO_PREALLOC };
const CGROUP: Sizes = { keySize: 16, valueSize: 4, maxEntries: 0 };
const QUEUE: Sizes = { keySize: 0, valueSize: 4, maxEntries: 1 };
const RING: Sizes = { keySize: 0, valueSize: 0, maxEntries: PAGE };

/** What the other types take. */
const SIZES: { readonly [T in MapType]?: Sizes } = {
  stack_trace: { ...COMMON, valueSize: 8 },
  lpm_trie: { keySize: 8, valueSize: 4, maxEntries: 1, flags: BPF_F_NO_PREALLOC },
  rhash: { ...COMMON, flags: BPF_F_NO_PREALLOC },
  cgroup_storage: CGROUP,
  percpu_cgroup_storage: CGROUP,
  queue: QUEUE,
  stack: QUEUE,
  bloom_filter: QUEUE,
  ringbuf: RING,
  user_ringbuf: RING,
  arena: { keySize: 0, valueSize: 0, maxEntries: 1, flags: BPF_F_MMAPABLE },
  insn_array: { ...COMMON, valueSize: 16 },
  sk_storage: WITH_BTF,
  inode_storage: WITH_BTF,
  task_storage: WITH_BTF,
  cgrp_storage: WITH_BTF,
  // There is no such struct: a kernel that has the type looks for it, and says so.
  struct_ops: { ...COMMON, vmlinuxValueTypeId: 1 },
};

function probe(token: PermissionToken<Capability>, type: MapType): boolean | undefined {
  const sizes = SIZES[type] ?? COMMON;
  const tried = attempt(() => {
    using btf = sizes === WITH_BTF ? btfLoad(token, keyValueBtf()) : undefined;
    using innerMap = type === "array_of_maps" || type === "hash_of_maps"
      ? mapCreate(token, { ...COMMON, type: "array" })
      : undefined;
    const extra: Partial<MapCreateOptions> = {
      ...(btf === undefined ? {} : { btf: { fd: btf, keyTypeId: 1, valueTypeId: 1 } }),
      ...(innerMap === undefined ? {} : { innerMap }),
    };
    return mapCreate(token, { ...sizes, ...extra, type } as MapCreateOptions);
  });
  return type === "struct_ops" && tried.errno === errnos.ENOTSUPP ? true : yesOrNo(tried);
}

function keyValueBtf(): Uint8Array<ArrayBuffer> {
  const builder = new BtfBuilder();
  builder.int("int", 4, "signed");
  return builder.bytes();
}

/**
 * Whether the running kernel has a map type. It is found out by making the least map of the type.
 *
 * @example
 * ```ts
 * import { acquire, hasMapType } from "@bpf/deno";
 *
 * console.log(hasMapType(acquire("CAP_BPF", "CAP_NET_ADMIN"), "arena"));
 * ```
 *
 * @param token A token with what the type asks for.
 * @param type The type.
 * @returns Undefined where it could not be told: the token or the kernel refuses, or there is no memory. Other answers
 * are kept for as long as the process lives.
 */
export function hasMapType(token: AnyToken, type: MapType): boolean | undefined {
  return cached(`map type ${type}`, () => probe(token as PermissionToken<Capability>, type));
}
