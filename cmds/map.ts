/**
 * Creating and freezing maps: BPF_MAP_CREATE and BPF_MAP_FREEZE.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { MapFeature } from "../tokens/rules.ts";
import type { CommandToken, MapToken } from "../tokens/requirements.ts";
import { BPF_F_TOKEN_FD, BPF_F_VTYPE_BTF_OBJ_FD } from "../uapi/constants.gen.ts";
import { type MapType, mapTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call, callForFd } from "./_call.ts";
import { numberOf } from "./_types.ts";

/** The BTF types of a map's keys and values. */
export interface MapBtf {
  /** The BTF object, as `btfLoad()` returns it. C name: `btf_fd`. */
  fd: FdSource;
  /** The type id of the key; 0 for none. C name: `btf_key_type_id`. @default {0} */
  keyTypeId?: number | undefined;
  /** The type id of the value; 0 for struct_ops, which has to have a BTF object all the same. C name: `btf_value_type_id`. */
  valueTypeId: number;
}

/** What `mapCreate()` takes. Its C name is the anonymous first struct of `union bpf_attr`. */
export interface MapCreateOptions<T extends MapType | number = MapType | number> {
  /** The type, by name or by number. C name: `map_type`. */
  type: T;
  /** Bytes of a key; 0 for types without keys. C name: `key_size`. @default {0} */
  keySize?: number | undefined;
  /** Bytes of a value; 0 for types without values. C name: `value_size`. @default {0} */
  valueSize?: number | undefined;
  /** Elements at most; bytes of a ring buffer, pages of an arena. C name: `max_entries`. @default {0} */
  maxEntries?: number | undefined;
  /** BPF_F_* flags. C name: `map_flags`. @default {0} */
  flags?: number | undefined;
  /** Letters, digits, `_` and `.`, at most 15. C name: `map_name`. @default {""} */
  name?: string | undefined;
  /** For maps of maps: a map like those it will hold. C name: `inner_map_fd`. */
  innerMap?: FdSource | undefined;
  /** With BPF_F_NUMA_NODE: the node for its memory. C name: `numa_node`. */
  numaNode?: number | undefined;
  /** The interface index of the device that holds it (offload). C name: `map_ifindex`. */
  ifindex?: number | undefined;
  /** The BTF types of keys and values. */
  btf?: MapBtf | undefined;
  /** What its values hold by BTF that the permission rules ask about. The kernel finds out by itself. */
  features?: readonly MapFeature[] | undefined;
  /** For struct_ops: the type id of its value in the kernel's BTF. C name: `btf_vmlinux_value_type_id`. */
  vmlinuxValueTypeId?: number | undefined;
  /** For struct_ops: the module's BTF object that has the value's type. C name: `value_type_btf_obj_fd`. Since 6.9. */
  valueTypeBtf?: FdSource | undefined;
  /** Hash functions of a bloom filter, or the address of an arena. C name: `map_extra`. Since 5.16. */
  extra?: number | bigint | undefined;
  /** The SHA-256 of the only program that may use it. C name: `excl_prog_hash`. Since 6.18. */
  exclusiveProgHash?: Bytes | undefined;
}

const NAME = /^[A-Za-z0-9_.]*$/;
const MAX_NAME = 15;

/** Refuses a name that the kernel would refuse. */
export function checkObjectName(name: string): void {
  if (name.length > MAX_NAME) {
    throw new RangeError(`Cannot use name: ${name.length} characters are more than the limit of ${MAX_NAME}`);
  }
  if (!NAME.test(name)) throw new TypeError(`Cannot use name "${name}": only letters, digits, "_" and "." are allowed`);
}

/**
 * Creates a map: BPF_MAP_CREATE. Since Linux 3.18; fields that came later say so.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1024, name: "hits" });
 * console.log(map.fd);
 * ```
 *
 * @typeParam T The type's name.
 * @param token A token with what the type asks for.
 * @param options The type, the sizes, and more.
 * @returns The map's file descriptor.
 * @throws {PermissionError} Where the token or the kernel does not allow it.
 * @throws {RangeError | TypeError} For a size, a name or a descriptor that cannot be right.
 * @throws {NotSupportedError} For a field that the kernel is too old for.
 * @throws {SyscallError} EINVAL, E2BIG, ENOMEM, EBADF: see bpf(2).
 */
export function mapCreate<const T extends MapType | number>(token: MapToken<T>, options: MapCreateOptions<T>): Fd {
  const { type, btf, name = "" } = options;
  checkObjectName(name);
  const anyToken: AnyToken = token;
  let flags = options.flags ?? 0;
  const attr = new Attr("map_create")
    .u32("map_type", numberOf<MapType>(mapTypes, type, "type"))
    .u32("key_size", options.keySize ?? 0)
    .u32("value_size", options.valueSize ?? 0)
    .u32("max_entries", options.maxEntries ?? 0)
    .u32("numa_node", options.numaNode ?? 0)
    .chars("map_name", name)
    .u32("map_ifindex", options.ifindex ?? 0)
    .u32("btf_vmlinux_value_type_id", options.vmlinuxValueTypeId ?? 0)
    .u64("map_extra", options.extra ?? 0);
  if (options.innerMap !== undefined) attr.fd("inner_map_fd", options.innerMap);
  if (btf !== undefined) {
    attr.fd("btf_fd", btf.fd).u32("btf_key_type_id", btf.keyTypeId ?? 0).u32("btf_value_type_id", btf.valueTypeId);
  }
  if (options.valueTypeBtf !== undefined) {
    attr.fd("value_type_btf_obj_fd", options.valueTypeBtf);
    flags |= BPF_F_VTYPE_BTF_OBJ_FD;
  }
  if (anyToken.bpfToken !== undefined) {
    attr.fd("map_token_fd", anyToken.bpfToken);
    flags |= BPF_F_TOKEN_FD;
  }
  if (options.exclusiveProgHash !== undefined) {
    attr.pointer("excl_prog_hash", options.exclusiveProgHash).u32(
      "excl_prog_hash_size",
      options.exclusiveProgHash.length,
    );
  }
  attr.u32("map_flags", flags);
  const features = [...options.features ?? [], ...(options.ifindex ? ["offload" as const] : [])];
  return callForFd(anyToken, attr, {
    request: { mapType: type, mapFlags: flags, mapFeatures: features },
    action: `create a map of type ${type}`,
  });
}

/**
 * Forbids user space to change a map from now on: BPF_MAP_FREEZE. Programs still can. Since Linux 5.2.
 *
 * @param token A permission token.
 * @param map The map.
 * @throws {SyscallError} EPERM (EBUSY before 6.5) where it is frozen already; EBUSY where it is mapped writable; ENOTSUPP
 * for types that cannot be.
 */
export function mapFreeze(token: CommandToken<"map_freeze">, map: FdSource): void {
  call(token, new Attr("map_freeze").fd("map_fd", map), { action: "freeze a map" });
}
