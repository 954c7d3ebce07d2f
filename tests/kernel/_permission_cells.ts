/**
 * The calls by which the table of permission rules is held against the kernel. They come from the kernel's own enums,
 * never from the table; each is made without the library's permission checks.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { Attr } from "../../ffi/attr.ts";
import { kernel } from "../../ffi/kernel.ts";
import { textOf } from "../../ffi/struct_buffer.ts";
import type { PermissionRequest } from "../../tokens/check.ts";
import {
  BPF_F_MMAPABLE,
  BPF_F_NO_PREALLOC,
  BPF_F_SLEEPABLE,
  BPF_F_ZERO_SEED,
  BPF_NETFILTER,
} from "./_permission_numbers.ts";
import { attachTypes, commands, helpers, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import type { AttachType, CommandName, HelperName, MapType, ProgType } from "../../uapi/enums.gen.ts";
import type { Objects } from "./_permission_objects.ts";

/** One call, and what the token is asked about it. */
export interface Cell {
  /** What it is, unique among all. */
  readonly name: string;
  /** What the token is asked. */
  readonly request: PermissionRequest;
  /** Makes the call; answers ≥ 0 or −errno, with ":no helper" where the verifier's log says so. */
  readonly make: (objects: Objects) => string;
}

type Fields = Readonly<Record<string, number | bigint | string | Uint8Array<ArrayBuffer>>>;

/** An attr out of plain values. */
export function attrOf<C extends CommandName>(command: C, fields: Fields): Attr<C> {
  const attr = new Attr(command) as unknown as Attr<"prog_load">;
  for (const [name, value] of Object.entries(fields)) {
    const field = name as "insns";
    if (typeof value === "string") attr.string(field, value);
    else if (value instanceof Uint8Array) attr.pointer(field, value);
    else if (typeof value === "bigint") attr.u64(field, value);
    else attr.u32(field, value >>> 0);
  }
  return attr as unknown as Attr<C>;
}

/** Makes a call, and closes the descriptor that it gives. */
export function call(command: CommandName, fields: Fields): number {
  const attr = attrOf(command, fields);
  const result = kernel().bpf(attr.number, attr.bytes, attr.bytes.length);
  if (result > 2 && GIVES_FD.has(command)) kernel().close(result);
  return result;
}

const GIVES_FD: ReadonlySet<CommandName> = new Set<CommandName>([
  "map_create",
  "prog_load",
  "obj_get",
  "raw_tracepoint_open",
  "btf_load",
  "prog_get_fd_by_id",
  "map_get_fd_by_id",
  "btf_get_fd_by_id",
  "link_get_fd_by_id",
  "link_create",
  "enable_stats",
  "iter_create",
  "token_create",
]);

/** What a call answers that cannot be made on this kernel. */
export const NOTHING_TO_CALL = "nothing to call";

const answer = (result: number): string => result >= 0 ? "0" : `${result}`;

// Commands

const buffer = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(size));

/** A call of each command that succeeds, or gets as far as it can, for whoever may make it. */
const COMMANDS: Readonly<Record<CommandName, (objects: Objects) => Fields>> = {
  map_create: () => ({ map_type: mapTypes.array, key_size: 4, value_size: 8, max_entries: 1 }),
  map_lookup_elem: ({ hash }) => ({ map_fd: hash, key: buffer(4), value: buffer(8) }),
  map_update_elem: ({ hash }) => ({ map_fd: hash, key: buffer(4), value: buffer(8) }),
  map_delete_elem: ({ doomedHash }) => ({ map_fd: doomedHash, key: buffer(4) }),
  map_get_next_key: ({ hash }) => ({ map_fd: hash, next_key: buffer(4) }),
  prog_load: () => ({ prog_type: progTypes.socket_filter, insn_cnt: 2, insns: EXIT, license: "GPL" }),
  obj_pin: ({ hash, pinDirectory }) => ({ bpf_fd: hash, pathname: `${pinDirectory}/new` }),
  obj_get: ({ pinned }) => ({ pathname: pinned }),
  prog_attach: ({ cgroup, cgroupDevice }) => ({
    target_fd: cgroup,
    attach_bpf_fd: cgroupDevice,
    attach_type: attachTypes.cgroup_device,
  }),
  prog_detach: ({ cgroup, attachedSysctl }) => ({
    target_fd: cgroup,
    attach_bpf_fd: attachedSysctl,
    attach_type: attachTypes.cgroup_sysctl,
  }),
  prog_test_run: ({ socketFilter }) => ({ prog_fd: socketFilter, data_in: buffer(64), data_size_in: 64 }),
  prog_get_next_id: () => ({ start_id: 0 }),
  map_get_next_id: () => ({ start_id: 0 }),
  prog_get_fd_by_id: ({ progId }) => ({ prog_id: progId }),
  map_get_fd_by_id: ({ mapId }) => ({ map_id: mapId }),
  obj_get_info_by_fd: ({ hash }) => ({ bpf_fd: hash, info: buffer(104), info_len: 104 }),
  prog_query: ({ cgroup }) => ({ target_fd: cgroup, attach_type: attachTypes.cgroup_device }),
  raw_tracepoint_open: ({ rawTracepoint }) => ({ prog_fd: rawTracepoint, name: "sched_process_exec" }),
  btf_load: ({ btfBytes }) => ({ btf: btfBytes, btf_size: btfBytes.length }),
  btf_get_fd_by_id: ({ btfId }) => ({ btf_id: btfId }),
  task_fd_query: ({ pid, rawTracepointLink }) => ({ pid, fd: rawTracepointLink, buf: buffer(64), buf_len: 64 }),
  map_lookup_and_delete_elem: ({ queue }) => ({ map_fd: queue, value: buffer(8) }),
  map_freeze: ({ doomedArray }) => ({ map_fd: doomedArray }),
  btf_get_next_id: () => ({ start_id: 0 }),
  map_lookup_batch: ({ hash }) => ({
    map_fd: hash,
    keys: buffer(64),
    values: buffer(128),
    count: 16,
    out_batch: buffer(4),
  }),
  map_lookup_and_delete_batch: ({ doomedHash }) => ({
    map_fd: doomedHash,
    keys: buffer(64),
    values: buffer(128),
    count: 16,
    out_batch: buffer(4),
  }),
  map_update_batch: ({ doomedHash }) => ({ map_fd: doomedHash, keys: buffer(4), values: buffer(8), count: 1 }),
  map_delete_batch: ({ doomedHash }) => ({ map_fd: doomedHash, keys: buffer(4), count: 1 }),
  link_create: ({ cgroup, cgroupDevice }) => ({
    target_fd: cgroup,
    prog_fd: cgroupDevice,
    attach_type: attachTypes.cgroup_device,
  }),
  link_update: ({ cgroupLink, cgroupDevice }) => ({ link_fd: cgroupLink, new_prog_fd: cgroupDevice }),
  link_get_fd_by_id: ({ linkId }) => ({ link_id: linkId }),
  link_get_next_id: () => ({ start_id: 0 }),
  enable_stats: () => ({ type: 0 }),
  iter_create: ({ iterLink }) => ({ link_fd: iterLink }),
  link_detach: ({ doomedLink }) => ({ link_fd: doomedLink }),
  prog_bind_map: ({ socketFilter, hash }) => ({ prog_fd: socketFilter, map_fd: hash }),
  token_create: ({ bpffs }) => ({ bpffs_fd: bpffs }),
  prog_stream_read_by_fd: ({ socketFilter }) => ({
    prog_fd: socketFilter,
    stream_id: 1,
    stream_buf: buffer(16),
    stream_buf_len: 16,
  }),
  prog_assoc_struct_ops: ({ socketFilter, hash }) => ({ prog_fd: socketFilter, map_fd: hash }),
};

function commandCells(): Cell[] {
  return (Object.keys(commands) as CommandName[]).map((command) => ({
    name: `command ${command}`,
    request: {
      command,
      ...(command === "map_create" ? { mapType: mapTypes.array } : {}),
      ...(command === "prog_load" ? { progType: progTypes.socket_filter } : {}),
    },
    make: (objects) => answer(call(command, COMMANDS[command](objects))),
  }));
}

// Maps

/** What maps take that differ from 4-byte keys, 8-byte values and one entry. */
const MAPS: { readonly [T in MapType]?: (objects: Objects) => Fields } = {
  prog_array: () => ({ value_size: 4 }),
  perf_event_array: () => ({ value_size: 4 }),
  cgroup_array: () => ({ value_size: 4 }),
  lpm_trie: () => ({ key_size: 8, map_flags: BPF_F_NO_PREALLOC }),
  array_of_maps: ({ doomedArray }) => ({ value_size: 4, inner_map_fd: doomedArray }),
  hash_of_maps: ({ doomedArray }) => ({ value_size: 4, inner_map_fd: doomedArray }),
  devmap: () => ({ value_size: 4 }),
  devmap_hash: () => ({ value_size: 4 }),
  xskmap: () => ({ value_size: 4 }),
  cpumap: () => ({ value_size: 4 }),
  cgroup_storage: () => ({ key_size: 16, max_entries: 0 }),
  percpu_cgroup_storage: () => ({ key_size: 16, max_entries: 0 }),
  queue: () => ({ key_size: 0 }),
  stack: () => ({ key_size: 0 }),
  bloom_filter: () => ({ key_size: 0 }),
  ringbuf: () => ({ key_size: 0, value_size: 0, max_entries: 65536 }),
  user_ringbuf: () => ({ key_size: 0, value_size: 0, max_entries: 65536 }),
  arena: () => ({ key_size: 0, value_size: 0, map_flags: BPF_F_MMAPABLE }),
  struct_ops: () => ({ btf_vmlinux_value_type_id: 1 }),
  insn_array: () => ({ value_size: 16 }),
  rhash: () => ({ map_flags: BPF_F_NO_PREALLOC }),
  sk_storage: localStorage,
  inode_storage: localStorage,
  task_storage: localStorage,
  cgrp_storage: localStorage,
};

function localStorage({ btf }: Objects): Fields {
  return { max_entries: 0, map_flags: BPF_F_NO_PREALLOC, btf_fd: btf, btf_key_type_id: 1, btf_value_type_id: 2 };
}

function mapFields(mapType: number, more: Fields): Fields {
  return { map_type: mapType, key_size: 4, value_size: 8, max_entries: 1, ...more };
}

function mapCells(): Cell[] {
  const command = "map_create";
  const cell = (what: string, type: MapType, request: object, more: (objects: Objects) => Fields): Cell => ({
    name: `${command} ${what}`,
    request: { command, mapType: type, ...request },
    make: (objects) => answer(call(command, mapFields(mapTypes[type], more(objects)))),
  });
  const types = (Object.keys(mapTypes) as MapType[]).map((type) => cell(type, type, {}, MAPS[type] ?? (() => ({}))));
  const unknown: Cell[] = [0, 36, 99].map((mapType) => ({
    name: `${command} ${mapType}`,
    request: { command, mapType },
    make: () => answer(call(command, mapFields(mapType, {}))),
  }));
  return [
    ...types,
    ...unknown,
    ...(["hash", "percpu_hash", "lru_hash"] as const).map((type) =>
      cell(`${type} zero_seed`, type, { mapFlags: BPF_F_ZERO_SEED }, () => ({ map_flags: BPF_F_ZERO_SEED }))
    ),
    cell("hash offload", "hash", { mapFeatures: ["offload"] }, () => ({ map_ifindex: 1 })),
    cell("hash plain BTF", "hash", {}, ({ btf }) => ({ btf_fd: btf, btf_key_type_id: 1, btf_value_type_id: 2 })),
    ...(["spin_lock", "timer"] as const).map((kind) =>
      cell(`array ${kind}`, "array", { mapFeatures: ["special_fields"] }, ({ btf, specialTypes }) => ({
        value_size: specialTypes[kind].size,
        btf_fd: btf,
        btf_key_type_id: 1,
        btf_value_type_id: specialTypes[kind].id,
      }))
    ),
  ];
}

// Programs

const EXIT = asm`
  r0 = 0
  exit
`;

/** What programs of some types take besides instructions, for the kernel to accept them. */
const PROGS: { readonly [T in ProgType]?: (objects: Objects) => Fields } = {
  cgroup_sock_addr: () => ({ expected_attach_type: attachTypes.cgroup_inet4_connect }),
  cgroup_sockopt: () => ({ expected_attach_type: attachTypes.cgroup_getsockopt }),
  cgroup_sock: () => ({ expected_attach_type: attachTypes.cgroup_inet_sock_create }),
  sk_lookup: () => ({ expected_attach_type: attachTypes.sk_lookup }),
  netfilter: () => ({ expected_attach_type: BPF_NETFILTER }),
  syscall: () => ({ prog_flags: BPF_F_SLEEPABLE }),
  tracing: ({ execTypeId }) => ({ expected_attach_type: attachTypes.trace_raw_tp, attach_btf_id: execTypeId }),
};

function load(type: number, insns: Uint8Array<ArrayBuffer>, more: Fields = {}): number {
  const fields = { prog_type: type, insns, insn_cnt: insns.length / 8, license: "GPL", ...more };
  return call("prog_load", fields);
}

/** Instructions as `asm` reads them, by what they show. */
const FEATURES = {
  subprograms: asm`
      call one
      r0 = 0
      exit
    one:
      r0 = 1
      exit
  `,
  loops: asm`
      r1 = 0
    again:
      r1 += 1
      if r1 < 10 goto again
      r0 = 0
      exit
  `,
  "loops with the test in front": asm`
      r6 = 0
    again:
      if r6 > 9 goto end
      call ktime_get_ns
      r6 += 1
      goto again
    end:
      r0 = 0
      exit
  `,
  may_goto: asm`
    again:
      may_goto end
      call ktime_get_ns
      goto again
    end:
      r0 = 0
      exit
  `,
  pointer_leaks: asm`
      r0 = r10
      exit
  `,
  "pointer_leaks by comparison": asm`
      r0 = 0
      if r10 == 5 goto end
      r0 = 1
    end:
      exit
  `,
} as const;

function large(): Uint8Array<ArrayBuffer> {
  const insns = buffer(8 * 4097);
  for (let at = 0; at < insns.length; at += 8) insns[at] = 0xb7;
  insns[insns.length - 8] = 0x95;
  return insns;
}

function progCells(): Cell[] {
  const command = "prog_load";
  const types = (Object.keys(progTypes) as ProgType[]).map((type): Cell => ({
    name: `${command} ${type}`,
    request: { command, progType: type, insnCount: 2 },
    make: (objects) => answer(load(progTypes[type], EXIT, PROGS[type]?.(objects))),
  }));
  const unknown = [0, 33, 99].map((progType): Cell => ({
    name: `${command} ${progType}`,
    request: { command, progType, insnCount: 2 },
    make: () => answer(load(progType, EXIT)),
  }));
  const some: readonly ProgType[] = ["socket_filter", "cgroup_skb", "xdp", "sk_reuseport", "raw_tracepoint"];
  const features = some.flatMap((type) =>
    Object.entries(FEATURES).map(([feature, insns]): Cell => ({
      name: `${command} ${type} ${feature}`,
      request: { command, progType: type, progFeatures: [feature.split(" ")[0] as "loops"] },
      make: () => answer(load(progTypes[type], insns)),
    }))
  );
  const larges = some.map((type): Cell => ({
    name: `${command} ${type} of 4097 instructions`,
    request: { command, progType: type, insnCount: 4097 },
    make: () => answer(load(progTypes[type], large())),
  }));
  return [...types, ...unknown, ...features, ...larges];
}

const HELPER_TYPES: readonly ProgType[] = [
  "socket_filter",
  "cgroup_skb",
  "xdp",
  "cgroup_sock",
  "syscall",
  "netfilter",
  "raw_tracepoint",
];

const NO_HELPER = /unknown func|cannot use helper|invalid func/;

function helperCells(): Cell[] {
  const command = "prog_load";
  return HELPER_TYPES.flatMap((type) =>
    (Object.keys(helpers) as HelperName[]).map((helper): Cell => ({
      name: `${command} ${type} calls ${helper}`,
      request: { command, progType: type, helpers: [helper] },
      make: (objects) => {
        const log = buffer(4096);
        // Numbers for arguments: an address in a place where the helper takes anything would be a leak, and so would what it returns.
        const insns = asm`
          r1 = 0
          r2 = 0
          r3 = 0
          r4 = 0
          r5 = 0
          call ${helpers[helper]}
          r0 = 0
          exit
        `;
        const more = { ...PROGS[type]?.(objects), log_buf: log, log_size: log.length, log_level: 1 };
        const result = load(progTypes[type], insns, more);
        return NO_HELPER.test(textOf(log)) ? `${result}:no helper` : answer(result);
      },
    }))
  );
}

// Attach types

function attachCells(): Cell[] {
  const cell = (command: "prog_attach" | "link_create", attachType: AttachType): Cell => ({
    name: `${command} ${attachType}`,
    request: { command, attachType },
    make: (objects) => {
      const prog = objects.attachable[attachType];
      if (prog === undefined) return NOTHING_TO_CALL;
      const target = objects.targets[attachType] ?? objects.cgroup;
      const field = command === "link_create" ? "prog_fd" : "attach_bpf_fd";
      const flags = command === "prog_attach" && objects.targets[attachType] === undefined ? { attach_flags: 2 } : {};
      const member = attachType === "netfilter" ? { "netfilter.pf": 2, "netfilter.hooknum": 1 } : {};
      const priority = attachType === "netfilter" ? { "netfilter.priority": 7 } : {};
      return answer(call(command, {
        [field]: prog,
        target_fd: target,
        attach_type: attachTypes[attachType],
        ...flags,
        ...(command === "link_create" ? { ...member, ...priority } : {}),
      }));
    },
  });
  const all = Object.keys(attachTypes) as AttachType[];
  return [...all.map((type) => cell("prog_attach", type)), ...all.map((type) => cell("link_create", type))];
}

/** Every call. */
export function allCells(): Cell[] {
  return [...commandCells(), ...mapCells(), ...progCells(), ...helperCells(), ...attachCells()];
}
