/**
 * The kernel's own permission rules for bpf(2), as one table. The compile-time types, the verdict at run time, the
 * remedies and the documentation come from it; the tests hold it against the running kernel.
 *
 * A clause is one check that the kernel makes; a rule is a list of clause names, in the order in which the kernel
 * checks them. The first clause that fails gives the errno.
 *
 * @module
 */

import type { Capability } from "./capabilities.ts";

/** One check that the kernel makes. A clause without a condition holds always. */
export interface Clause {
  /** The capability that the kernel asks for. */
  readonly need: Capability;
  /** The first release in which CAP_SYS_ADMIN will do instead, "0" for all; absent where it never does. */
  readonly standIn?: string;
  /** The name of the error number that the kernel answers without it. */
  readonly errno: "EPERM" | "EINVAL" | "EACCES" | "E2BIG";
  /** The first release that asks for it; absent for all. */
  readonly since?: string;
  /** The first release that no longer asks for it. */
  readonly until?: string;
  /** A condition: the sysctl kernel.unprivileged_bpf_disabled is not 0. */
  readonly when?: "unprivileged_bpf_disabled";
  /** The first release in which a BPF token (BPF_TOKEN_CREATE) carries it into a user namespace. */
  readonly delegable?: string;
  /** "own" where a capability in the process's own user namespace counts. */
  readonly namespace?: "own";
  /** A program type that is exempt. */
  readonly exempt?: string;
  /** Why the kernel asks for it. */
  readonly why: string;
}

/** Every check that the rules below name. */
export const clauses = {
  bpf: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    delegable: "6.9",
    why: "the kernel keeps it from unprivileged users",
  },
  net_admin: {
    need: "CAP_NET_ADMIN",
    standIn: "0",
    errno: "EPERM",
    delegable: "6.9",
    why: "it can see or change network traffic",
  },
  perfmon: { need: "CAP_PERFMON", standIn: "0", errno: "EPERM", delegable: "6.9", why: "it can read kernel memory" },
  // Old kernels keep every command from the unprivileged, newer ones those that make objects.
  any_command_when_disabled: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    until: "5.19",
    when: "unprivileged_bpf_disabled",
    why: "the sysctl kernel.unprivileged_bpf_disabled is not 0",
  },
  create_when_disabled: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    since: "5.19",
    when: "unprivileged_bpf_disabled",
    delegable: "6.9",
    why: "the sysctl kernel.unprivileged_bpf_disabled is not 0",
  },
  // Asked first until 6.5, and since then after the kernel has found out that it knows the type.
  map_create_when_disabled_old: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    since: "5.19",
    until: "6.5",
    when: "unprivileged_bpf_disabled",
    delegable: "6.9",
    why: "the sysctl kernel.unprivileged_bpf_disabled is not 0",
  },
  map_create_when_disabled: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    since: "6.5",
    when: "unprivileged_bpf_disabled",
    delegable: "6.9",
    why: "the sysctl kernel.unprivileged_bpf_disabled is not 0",
  },
  by_id: { need: "CAP_SYS_ADMIN", errno: "EPERM", why: "it reaches objects that other users made" },
  btf_by_id: {
    need: "CAP_SYS_ADMIN",
    errno: "EPERM",
    delegable: "6.17",
    why: "it reaches objects that other users made",
  },
  other_processes: { need: "CAP_SYS_ADMIN", errno: "EPERM", why: "it looks into other processes" },
  statistics: { need: "CAP_SYS_ADMIN", errno: "EPERM", why: "it slows down every program of the system" },
  freeze: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    until: "6.5",
    why: "it takes a right from others who hold the map",
  },
  own_bpf: {
    need: "CAP_BPF",
    errno: "EPERM",
    since: "6.9",
    namespace: "own",
    why: "a BPF token delegates what its maker may do",
  },
  // capable(CAP_NET_ADMIN) alone, until bpf_net_capable() came.
  net_query: { need: "CAP_NET_ADMIN", standIn: "6.9", errno: "EPERM", why: "it tells how network traffic is filtered" },
  net_map: {
    need: "CAP_NET_ADMIN",
    standIn: "6.9",
    errno: "EPERM",
    delegable: "6.9",
    why: "it can see or change network traffic",
  },
  // BPF_PROG_ATTACH hides the EPERM of the check behind EINVAL.
  attach_cgroup_skb: {
    need: "CAP_NET_ADMIN",
    standIn: "6.9",
    errno: "EINVAL",
    delegable: "6.9",
    why: "anybody may load a cgroup_skb program, so that attaching it is what is checked",
  },
  link_cgroup_skb: {
    need: "CAP_NET_ADMIN",
    standIn: "6.9",
    errno: "EPERM",
    delegable: "6.9",
    why: "anybody may load a cgroup_skb program, so that attaching it is what is checked",
  },
  netfilter: {
    need: "CAP_NET_ADMIN",
    standIn: "0",
    errno: "EPERM",
    since: "6.4",
    delegable: "6.9",
    why: "it can see or change network traffic",
  },
  lirc: {
    need: "CAP_NET_ADMIN",
    standIn: "0",
    errno: "EPERM",
    until: "6.5",
    delegable: "6.9",
    why: "the kernel took infrared receivers for network devices",
  },
  zero_seed: { need: "CAP_SYS_ADMIN", errno: "EPERM", why: "a hash whose seed is known can be flooded" },
  offload: { need: "CAP_SYS_ADMIN", errno: "EPERM", why: "the map lives on a network device" },
  kptr: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    since: "5.19",
    delegable: "6.9",
    why: "the map's values hold references to kernel objects",
  },
  special_fields: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    since: "6.2",
    delegable: "6.9",
    why: "the map's values hold objects that the kernel manages",
  },
  large_prog: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "E2BIG",
    delegable: "6.9",
    why: "unprivileged programs have at most 4096 instructions",
  },
  functions: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EPERM",
    delegable: "6.9",
    why: "unprivileged programs have no functions and call none of the kernel's",
  },
  loops: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EINVAL",
    delegable: "6.9",
    why: "unprivileged programs do not jump back",
  },
  pointer_leaks: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EACCES",
    delegable: "6.9",
    why: "it tells where kernel memory is",
  },
  // Without CAP_PERFMON the verifier follows mispredicted branches, too, on which a loop seems never to end: "infinite
  // loop detected", or E2BIG for some shapes of loops. Loops by may_goto are not concerned.
  loops_mispredicted: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EINVAL",
    delegable: "6.9",
    why: "without it the verifier follows mispredicted branches, too, on which a loop does not end",
  },
  // A program that may not use a helper has no such helper: EINVAL.
  helper_bpf: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EINVAL",
    delegable: "6.9",
    why: "the program calls a helper that unprivileged programs do not have",
  },
  helper_perfmon: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EINVAL",
    delegable: "6.9",
    why: "the program calls a helper that can read kernel memory",
  },
  // Until 6.16 syscall programs had tracing's own list of helpers, without a further check.
  helper_perfmon_old: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EINVAL",
    until: "6.16",
    delegable: "6.9",
    exempt: "syscall",
    why: "the program calls a helper that can read kernel memory",
  },
  helper_perfmon_new: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EINVAL",
    since: "6.16",
    delegable: "6.9",
    why: "the program calls a helper that can read kernel memory",
  },
  helper_bpf_new: {
    need: "CAP_BPF",
    standIn: "0",
    errno: "EINVAL",
    since: "6.16",
    delegable: "6.9",
    why: "the program calls a helper that unprivileged programs do not have",
  },
  // Syscall programs have the socket casts from tracing's list.
  helper_socket_cast: {
    need: "CAP_PERFMON",
    standIn: "0",
    errno: "EINVAL",
    delegable: "6.9",
    exempt: "syscall",
    why: "the program calls a helper that reaches kernel sockets",
  },
  helper_write_user: {
    need: "CAP_SYS_ADMIN",
    errno: "EINVAL",
    why: "the program calls a helper that writes to the memory of processes",
  },
} as const;

/** The name of a clause. */
export type ClauseName = keyof typeof clauses;

/** The kernel's permission rules: which clauses each kind of call has to pass. */
export const rules = {
  /** Asked for every command, before anything else. */
  anyCommand: ["any_command_when_disabled"],

  /** What each command asks for by itself; commands that are absent ask for nothing. */
  commands: {
    map_create: ["map_create_when_disabled_old"],
    prog_load: ["create_when_disabled"],
    map_freeze: ["freeze"],
    btf_load: ["bpf"],
    prog_query: ["net_query"],
    prog_get_next_id: ["by_id"],
    map_get_next_id: ["by_id"],
    btf_get_next_id: ["by_id"],
    link_get_next_id: ["by_id"],
    prog_get_fd_by_id: ["by_id"],
    map_get_fd_by_id: ["by_id"],
    btf_get_fd_by_id: ["btf_by_id"],
    link_get_fd_by_id: ["by_id"],
    task_fd_query: ["other_processes"],
    enable_stats: ["statistics"],
    token_create: ["own_bpf"],
  },

  /** What creating a map asks for, unless it is of a type that the kernel does not know. */
  knownMapType: ["map_create_when_disabled"],

  /** What creating a map of each type asks for. */
  mapTypes: {
    hash: [],
    array: [],
    prog_array: [],
    perf_event_array: [],
    percpu_hash: [],
    percpu_array: [],
    stack_trace: ["bpf"],
    cgroup_array: [],
    lru_hash: ["bpf"],
    lru_percpu_hash: ["bpf"],
    lpm_trie: ["bpf"],
    array_of_maps: [],
    hash_of_maps: [],
    devmap: ["net_map"],
    sockmap: ["net_map"],
    cpumap: ["bpf"],
    xskmap: ["net_map"],
    sockhash: ["net_map"],
    cgroup_storage: [],
    reuseport_sockarray: ["bpf"],
    percpu_cgroup_storage: [],
    queue: ["bpf"],
    stack: ["bpf"],
    sk_storage: ["bpf"],
    devmap_hash: ["net_map"],
    struct_ops: ["bpf"],
    ringbuf: [],
    inode_storage: ["bpf"],
    task_storage: ["bpf"],
    bloom_filter: ["bpf"],
    user_ringbuf: [],
    cgrp_storage: ["bpf"],
    arena: ["bpf"],
    insn_array: ["bpf"],
    rhash: [],
  },

  /** What further properties of a map ask for. */
  mapFeatures: {
    /** BPF_F_ZERO_SEED. */
    zero_seed: ["zero_seed"],
    /** A map on a network device: `map_ifindex`. */
    offload: ["offload"],
    /** A kptr in the value, by BTF. */
    kptr: ["kptr"],
    /** A spin lock, timer, list or another special field in the value, by BTF. */
    special_fields: ["special_fields"],
  },

  /** What loading a program of each type asks for. */
  progTypes: {
    socket_filter: [],
    kprobe: ["bpf", "perfmon"],
    sched_cls: ["bpf", "net_admin"],
    sched_act: ["bpf", "net_admin"],
    tracepoint: ["bpf", "perfmon"],
    xdp: ["bpf", "net_admin"],
    perf_event: ["bpf", "perfmon"],
    cgroup_skb: [],
    cgroup_sock: ["bpf", "net_admin"],
    lwt_in: ["bpf", "net_admin"],
    lwt_out: ["bpf", "net_admin"],
    lwt_xmit: ["bpf", "net_admin"],
    sock_ops: ["bpf", "net_admin"],
    sk_skb: ["bpf", "net_admin"],
    cgroup_device: ["bpf", "net_admin"],
    sk_msg: ["bpf", "net_admin"],
    raw_tracepoint: ["bpf", "perfmon"],
    cgroup_sock_addr: ["bpf", "net_admin"],
    lwt_seg6local: ["bpf", "net_admin"],
    lirc_mode2: ["bpf", "lirc"],
    sk_reuseport: ["bpf"],
    flow_dissector: ["bpf", "net_admin"],
    cgroup_sysctl: ["bpf", "net_admin"],
    raw_tracepoint_writable: ["bpf", "perfmon"],
    cgroup_sockopt: ["bpf", "net_admin"],
    tracing: ["bpf", "perfmon"],
    struct_ops: ["bpf", "perfmon"],
    ext: ["bpf", "net_admin", "perfmon"],
    lsm: ["bpf", "perfmon"],
    sk_lookup: ["bpf"],
    syscall: ["bpf"],
    netfilter: ["bpf", "netfilter"],
  },

  /** What loading a program of a type that the table does not know asks for, before the kernel calls it unknown. */
  otherProgType: ["bpf"],

  /** What further properties of a program ask for, in the order in which the kernel finds them. */
  progFeatures: {
    /** Calls to functions of the program's own: BPF_PSEUDO_CALL. */
    subprograms: ["functions"],
    /** Functions of its own passed to helpers: BPF_PSEUDO_FUNC. */
    callbacks: ["functions"],
    /** Calls to kernel functions: BPF_PSEUDO_KFUNC_CALL. */
    kfuncs: ["functions"],
    /** An arena map. */
    arena: ["bpf", "perfmon"],
    /** Jumps back: bounded loops. */
    loops: ["loops", "loops_mispredicted"],
    /** Jumps back behind a `may_goto`. */
    may_goto: ["loops"],
    /** An address that leaves the program: returned, stored in a map, compared with a number. */
    pointer_leaks: ["pointer_leaks"],
  },

  /** More than 4096 instructions (BPF_MAXINSNS). */
  largeProg: ["large_prog"],

  /** What attaching by each attach type asks for; attach types that are absent ask for nothing. */
  attachTypes: {
    prog_attach: { cgroup_inet_ingress: ["attach_cgroup_skb"], cgroup_inet_egress: ["attach_cgroup_skb"] },
    link_create: { cgroup_inet_ingress: ["link_cgroup_skb"], cgroup_inet_egress: ["link_cgroup_skb"] },
  },
} as const;

/** A property of a map that asks for more than its type does. */
export type MapFeature = keyof typeof rules.mapFeatures;
/** A property of a program that asks for more than its type does. */
export type ProgFeature = keyof typeof rules.progFeatures;
