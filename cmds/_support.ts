/**
 * Whether the running kernel knows a command, and which type, operation or field of an attr it may not know.
 *
 * @module
 */

import { Attr, type AttrField } from "../ffi/attr.ts";
import { kernel } from "../ffi/kernel.ts";
import { parseRelease, type Release } from "../tokens/environment.ts";
import {
  BPF_F_CPU,
  BPF_F_LINK,
  BPF_F_NO_USER_CONV,
  BPF_F_RB_OVERWRITE,
  BPF_F_SEGV_ON_FAULT,
} from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { attachTypes, type CommandName, type MapType, mapTypes, progTypes } from "../uapi/enums.gen.ts";
import { attachTypeSince, mapTypeSince, progTypeSince } from "../uapi/since.gen.ts";
import { nameOrNumber } from "./_types.ts";

/**
 * For each command a field that holds a file descriptor. A kernel that knows the command says EBADF, or refuses
 * permission, where it is none; one that does not, says EINVAL.
 */
const PROBES: { readonly [C in CommandName]?: AttrField<C> } = {
  map_lookup_elem: "map_fd",
  map_update_elem: "map_fd",
  map_delete_elem: "map_fd",
  map_get_next_key: "map_fd",
  map_lookup_and_delete_elem: "map_fd",
  map_freeze: "map_fd",
  map_lookup_batch: "map_fd",
  map_lookup_and_delete_batch: "map_fd",
  map_update_batch: "map_fd",
  map_delete_batch: "map_fd",
  prog_test_run: "prog_fd",
  obj_get_info_by_fd: "bpf_fd",
  raw_tracepoint_open: "prog_fd",
  link_create: "prog_fd",
  link_update: "link_fd",
  link_detach: "link_fd",
  iter_create: "link_fd",
  prog_bind_map: "prog_fd",
  token_create: "bpffs_fd",
  prog_stream_read_by_fd: "prog_fd",
  prog_assoc_struct_ops: "prog_fd",
};

const NO_FD = 0xffffffff;

/**
 * Whether the running kernel knows a command, by asking it.
 *
 * @returns False only where the kernel was asked and does not.
 */
export function isCommandKnown<C extends CommandName>(command: C): boolean {
  const field = PROBES[command] as AttrField<C> | undefined;
  if (field === undefined) return true;
  const attr = new Attr(command).u32(field, NO_FD);
  return kernel().bpf(attr.number, attr.bytes, attr.bytes.length) !== -errnos.EINVAL;
}

/** Fields that came after their command, with the release that brought them. */
const LATER_FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  map_create: {
    excl_prog_hash: "6.18",
    map_token_fd: "6.9",
    value_type_btf_obj_fd: "6.9",
    map_extra: "5.16",
    btf_vmlinux_value_type_id: "5.6",
  },
  prog_load: {
    signature: "6.18",
    fd_array_cnt: "6.14",
    prog_token_fd: "6.9",
    core_relos: "5.17",
    fd_array: "5.14",
    attach_btf_id: "5.5",
  },
  map_lookup_and_delete_elem: { flags: "5.14" },
  btf_load: { btf_token_fd: "6.9" },
  obj_pin: { path_fd: "6.5" },
  obj_get: { path_fd: "6.5" },
  prog_attach: { expected_revision: "6.6", relative_fd: "6.6", replace_bpf_fd: "5.6" },
  prog_detach: { expected_revision: "6.6", relative_fd: "6.6" },
  prog_query: { link_ids: "6.6", prog_attach_flags: "6.0" },
  prog_test_run: { batch_size: "5.18", flags: "5.10", ctx_in: "5.2" },
  raw_tracepoint_open: { cookie: "6.10" },
  btf_get_fd_by_id: { fd_by_id_token_fd: "6.17" },
  link_create: {
    "tracing_multi.ids": "7.2",
    "cgroup.expected_revision": "6.16",
    "cgroup.relative_fd": "6.16",
    "netkit.expected_revision": "6.7",
    "uprobe_multi.path": "6.6",
    "tcx.expected_revision": "6.6",
    "netfilter.pf": "6.4",
    map_fd: "6.4",
    "tracing.cookie": "5.19",
    "kprobe_multi.cnt": "5.18",
    "perf_event.bpf_cookie": "5.15",
  },
};

/** What a kernel lacks, and the release that has it. */
export interface Lacking {
  /** What is lacking. */
  readonly feature: string;
  /** The release. */
  readonly since: string;
}

/**
 * The newest field that is set and came after the running kernel's release: what EINVAL and E2BIG are likely about.
 *
 * @returns The field and its release; undefined where the kernel should know every field that is set.
 */
export function newestUnknownField<C extends CommandName>(attr: Attr<C>, running: Release): Lacking | undefined {
  const later = LATER_FIELDS[attr.command] ?? {};
  const touched = new Set(attr.written);
  for (const [field, since] of Object.entries(later)) {
    if (touched.has(field) && running < parseRelease(since)) {
      return { feature: `field ${field} of BPF_${attr.command.toUpperCase()}`, since };
    }
  }
  return undefined;
}

/** Flags of maps that came after their type, with the release that brought them. */
const LATER_MAP_FLAGS: readonly (readonly [name: string, flag: number, since: string])[] = [
  ["BPF_F_RB_OVERWRITE", BPF_F_RB_OVERWRITE, "6.19"],
  ["BPF_F_NO_USER_CONV", BPF_F_NO_USER_CONV, "6.9"],
  ["BPF_F_SEGV_ON_FAULT", BPF_F_SEGV_ON_FAULT, "6.9"],
  ["BPF_F_LINK", BPF_F_LINK, "6.4"],
];

/** Flags of lookups and updates that came after the command. */
function unknownElemFlag<C extends CommandName>(attr: Attr<C>, running: Release): Lacking | undefined {
  const isSet = (attr.getU32("flags" as AttrField<C>) & BPF_F_CPU) !== 0;
  return isSet && running < parseRelease("7.0")
    ? { feature: "flag BPF_F_CPU of map elements", since: "7.0" }
    : undefined;
}

/**
 * The newest flag of a map or an element that came after the running kernel's release: what EINVAL is likely about.
 *
 * @returns The flag and its release; undefined where the kernel should know every flag that is set.
 */
export function unknownFlag<C extends CommandName>(attr: Attr<C>, running: Release): Lacking | undefined {
  if (attr.command === "map_lookup_elem" || attr.command === "map_update_elem") return unknownElemFlag(attr, running);
  if (attr.command !== "map_create") return undefined;
  const flags = attr.getU32("map_flags" as AttrField<C>);
  for (const [name, flag, since] of LATER_MAP_FLAGS) {
    if ((flags & flag) !== 0 && running < parseRelease(since)) {
      return { feature: `flag ${name} of BPF_MAP_CREATE`, since };
    }
  }
  return undefined;
}

/** A field that holds a type. */
interface TypeField {
  readonly field: string;
  /** What the type is of. */
  readonly what: string;
  readonly numbers: Readonly<Record<string, number>>;
  readonly since: Readonly<Record<string, string>>;
}

const MAP_TYPE: TypeField = { field: "map_type", what: "map type", numbers: mapTypes, since: mapTypeSince };
const PROG_TYPE: TypeField = { field: "prog_type", what: "program type", numbers: progTypes, since: progTypeSince };
const ATTACH_TYPE: Omit<TypeField, "field"> = { what: "attach type", numbers: attachTypes, since: attachTypeSince };

/** The fields that say what is made, or where it is attached. */
const TYPE_FIELDS: { readonly [C in CommandName]?: readonly TypeField[] } = {
  map_create: [MAP_TYPE],
  prog_load: [PROG_TYPE, { ...ATTACH_TYPE, field: "expected_attach_type" }],
  link_create: [{ ...ATTACH_TYPE, field: "attach_type" }],
  prog_attach: [{ ...ATTACH_TYPE, field: "attach_type" }],
  prog_detach: [{ ...ATTACH_TYPE, field: "attach_type" }],
  prog_query: [{ ...ATTACH_TYPE, field: "attach_type" }],
};

/** The attach types of sockmaps. */
const SOCKMAP: readonly string[] = [
  "sk_skb_stream_parser",
  "sk_skb_stream_verdict",
  "sk_skb_verdict",
  "sk_msg_verdict",
];

/** Attach types that a command took only after one could attach by them otherwise. */
const LATER_ATTACH_TYPES: { readonly [C in CommandName]?: Readonly<Record<string, string>> } = {
  prog_query: Object.fromEntries(SOCKMAP.map((type) => [type, "5.18"])),
  link_create: Object.fromEntries(SOCKMAP.map((type) => [type, "6.10"])),
};

/**
 * The type in an attr that came after the running kernel's release: what EINVAL is likely about.
 *
 * @returns The type and its release; undefined where the kernel should know it.
 */
export function unknownType<C extends CommandName>(attr: Attr<C>, running: Release): Lacking | undefined {
  const number = (field: string): number => attr.getU32(field as AttrField<C>);
  for (const { field, what, numbers, since } of TYPE_FIELDS[attr.command] ?? []) {
    // A struct_ops program has the place of its member there.
    if (field === "expected_attach_type" && number("prog_type") === progTypes.struct_ops) continue;
    const name = nameOrNumber<string>(numbers, number(field));
    if (typeof name === "number") continue;
    if (running < parseRelease(since[name])) return { feature: `${what} ${name}`, since: since[name] };
    const taken = what === ATTACH_TYPE.what ? LATER_ATTACH_TYPES[attr.command]?.[name] : undefined;
    if (taken !== undefined && running < parseRelease(taken)) {
      return { feature: `BPF_${attr.command.toUpperCase()} for ${what} ${name}`, since: taken };
    }
  }
  return undefined;
}

type Operations = { readonly [T in MapType]?: string };

const HASHES: readonly MapType[] = ["hash", "percpu_hash", "lru_hash", "lru_percpu_hash"];
const GENERIC_BATCHES: Operations = { percpu_array: "5.13", array_of_maps: "5.19" };
const GENERIC_DELETING_BATCHES: Operations = { lpm_trie: "5.13", hash_of_maps: "5.19" };

/** Commands on maps that some map types got later than others. */
const LATER_OPERATIONS: { readonly [C in CommandName]?: Operations } = {
  map_lookup_and_delete_elem: Object.fromEntries(HASHES.map((type) => [type, "5.14"])),
  map_lookup_batch: { ...GENERIC_BATCHES, ...GENERIC_DELETING_BATCHES },
  map_update_batch: { ...GENERIC_BATCHES, ...GENERIC_DELETING_BATCHES },
  map_delete_batch: GENERIC_DELETING_BATCHES,
  map_lookup_and_delete_batch: { hash_of_maps: "5.19" },
};

/**
 * The operation that maps of a type got after the running kernel's release: what ENOTSUPP is about.
 *
 * @returns The operation and its release; undefined where the kernel should have it, or none has.
 */
export function unknownOperation(command: CommandName, mapType: number, running: Release): Lacking | undefined {
  const type = nameOrNumber<MapType>(mapTypes, mapType);
  const since = typeof type === "string" ? LATER_OPERATIONS[command]?.[type] : undefined;
  if (since === undefined || running >= parseRelease(since)) return undefined;
  return { feature: `BPF_${command.toUpperCase()} on maps of type ${type}`, since };
}
