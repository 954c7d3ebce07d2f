/**
 * What the error numbers of bpf(2) mean for each command: bpf(2)'s ERRORS, and what the kernel's source adds to it.
 *
 * @module
 */

import type { CommandName } from "../uapi/enums.gen.ts";

type Hints = Readonly<Record<string, string>>;

const ELEMENT: Hints = {
  EPERM: "the map was frozen by BPF_MAP_FREEZE, or opened or created read-only or write-only for programs or users",
  ENOTSUPP: "maps of this type have no such operation",
  EOPNOTSUPP: "maps of this type have no such operation",
  EINVAL: "maps of this type have no such operation, or do not know one of the flags",
  EBADF: "map is no file descriptor of a map",
};

const BATCH: Hints = {
  ...ELEMENT,
  ENOTSUPP: "maps of this type have no batch operations on this kernel",
  ENOSPC: "the buffers hold fewer entries than one bucket of the map; pass larger ones",
};

const BY_ID: Hints = { ENOENT: "no object has this id (any more)", EAGAIN: "the object is being freed" };

const ATTACH: Hints = {
  EBADF: "a file descriptor is not of the kind that is asked for",
  EINVAL:
    "the program's type or expected attach type does not go with this attach type and target, a flag is unknown, or " +
    "there is no such interface",
  EBUSY: "something is attached there already that does not allow more",
  EEXIST: "something is attached there already",
  ENODEV: "there is no such network interface",
  ENOENT: "there is no such program attached, or no such target",
  ESTALE: "the expected revision is not the current one",
  EPERM: "a program that is attached there already does not allow it, or the caller lacks CAP_NET_ADMIN",
  EOPNOTSUPP: "the kernel or the device has no such attach point",
  ENOTSUPP: "the kernel has no such attach point",
  E2BIG: "64 programs are the most that one attach point takes",
};

/** The hints, by command and by the error number's name. */
const HINTS: { readonly [C in CommandName]?: Hints } = {
  map_create: {
    EINVAL: "a size, a flag or a BTF type does not suit the map's type, or the kernel lacks the type",
    E2BIG: "key or value are larger than the map's type takes, or all of it than memory can be",
    ENOMEM: "the map is larger than the kernel has memory for",
    ENOTSUPP: "the map's type does not take this key, value or flag",
    EBADF: "innerMap, btf or another file descriptor is not of the kind that is asked for",
    EACCES: "btf is the kernel's own BTF, which has no user types",
  },
  map_lookup_elem: { ...ELEMENT, ENOENT: "the map has no such key" },
  map_update_elem: {
    ...ELEMENT,
    E2BIG: "the map is full, or the array's index is not below max_entries",
    EEXIST: "the key exists, and the flags say noexist",
    ENOENT: "the key does not exist, and the flags say exist",
    ENOMEM: "the kernel has no memory for another element",
    EBUSY: "a program on this CPU was changing the same bucket",
  },
  map_delete_elem: { ...ELEMENT, ENOENT: "the map has no such key", EINVAL: "elements of this map cannot be deleted" },
  map_get_next_key: { ...ELEMENT, ENOENT: "the key was the last one" },
  map_lookup_and_delete_elem: { ...ELEMENT, ENOENT: "the map has no such key, or is empty" },
  map_lookup_batch: BATCH,
  map_lookup_and_delete_batch: BATCH,
  map_update_batch: { ...BATCH, E2BIG: "the map is full" },
  map_delete_batch: { ...BATCH, ENOENT: "the map has no such key" },
  map_freeze: {
    EPERM: "the map is frozen already, or was opened read-only",
    EBUSY: "the map is frozen already, or mapped writable into a process",
    ENOTSUPP: "maps of this type, or with such values, cannot be frozen",
    EINVAL: "maps of this type cannot be frozen",
  },
  prog_load: {
    EINVAL: "the program or one of the options is invalid; the verifier's log tells",
    EACCES: "the verifier refused the program; its log tells why",
    E2BIG: "the program has too many instructions, or too many paths through it",
    EBADF: "a file descriptor in the program or the options is not of the kind that is asked for",
    ENOSPC: "the log does not fit its buffer",
    ENOTSUPP: "the kernel has no support for something in the program",
    ENOENT: "the kernel has no such BTF type, function or kernel symbol",
  },
  btf_load: {
    EINVAL: "the BTF is malformed, or newer than the kernel; the log tells",
    E2BIG: "the BTF is larger than 16 MiB",
    ENOSPC: "the log does not fit its buffer",
  },
  obj_pin: {
    EINVAL: "the file descriptor is of no map, program or link",
    EPERM: "the path is not on a bpffs (mount -t bpf bpf DIRECTORY), or a name in it contains a dot",
    EEXIST: "the path exists already",
    ENOENT: "the directory does not exist",
    EACCES: "the directory may not be written",
  },
  obj_get: {
    EPERM: "a name in the path contains a dot, which a bpffs does not allow",
    EACCES: "the path is not on a bpffs, or its permissions refuse it",
    ENOENT: "nothing is pinned at this path",
    EINVAL: "pinned programs and links cannot be opened read-only or write-only",
  },
  obj_get_info_by_fd: { EBADFD: "the file descriptor is closed", EINVAL: "it is no map, program, BTF object or link" },
  prog_attach: ATTACH,
  prog_detach: ATTACH,
  prog_query: ATTACH,
  link_create: { ...ATTACH, ENOTSUPP: "the kernel has no such link", EAGAIN: "the target is going away" },
  link_update: {
    EPERM: "the link's program is not the expected one",
    EINVAL: "links of this kind cannot be updated, or the program does not suit it",
    ENOLINK: "what the link was attached to is gone",
    EOPNOTSUPP: "links of this kind cannot be updated",
  },
  link_detach: { EOPNOTSUPP: "links of this kind cannot be detached; close them" },
  raw_tracepoint_open: {
    ENOENT: "there is no such tracepoint",
    EINVAL: "the program is no tracing program, or is attached already",
  },
  prog_test_run: {
    ENOTSUPP: "programs of this type cannot be run this way",
    EINVAL: "data, ctx or an option does not suit the program's type",
    ENOSPC: "dataOut or ctxOut is too small",
  },
  prog_get_next_id: { ENOENT: "there is no further id" },
  map_get_next_id: { ENOENT: "there is no further id" },
  btf_get_next_id: { ENOENT: "there is no further id" },
  link_get_next_id: { ENOENT: "there is no further id" },
  prog_get_fd_by_id: BY_ID,
  map_get_fd_by_id: BY_ID,
  btf_get_fd_by_id: BY_ID,
  link_get_fd_by_id: BY_ID,
  task_fd_query: {
    ENOENT: "there is no such process",
    EBADF: "the process has no such file descriptor",
    ENOTSUPP: "the file descriptor is neither a perf event nor a raw tracepoint",
    ENOSPC: "the name does not fit its buffer",
  },
  iter_create: { EINVAL: "the link is no iterator", EBADF: "link is no file descriptor of a link" },
  enable_stats: { EINVAL: "the kernel has no such statistics", EBUSY: "too many users have them enabled" },
  prog_bind_map: { EBADF: "prog or map is not of the kind that is asked for" },
  token_create: {
    EPERM: "the bpffs belongs to another user namespace, or the process lacks CAP_BPF in its own",
    EOPNOTSUPP: "the process is in the initial user namespace, which needs no token",
    ENOENT: "the bpffs was mounted without delegate_* options",
    EINVAL: "bpffs is no file descriptor of the root of a bpffs",
  },
  prog_stream_read_by_fd: { ENOENT: "the program has no such stream", EINVAL: "the program has no such stream" },
  prog_assoc_struct_ops: {
    EINVAL: "the map is no struct_ops map, or the program is a struct_ops program itself",
    EBUSY: "the program has a struct_ops map already",
  },
};

/** What an error number most likely means for a command; undefined where there is nothing to add. */
export function hintFor(command: CommandName, code: string): string | undefined {
  return HINTS[command]?.[code];
}
