/**
 * The names of sections that hold programs, and what each says: SEC() as libbpf knows it.
 *
 * @module
 */

import type { ProgFlag } from "../progs/mod.ts";
import type { AttachType, ProgType } from "../uapi/enums.gen.ts";

/** How the programs of a section are attached by `BpfObject.attach()`. */
export type AttachMethod =
  | "kprobe"
  | "kretprobe"
  | "kprobe_multi"
  | "kretprobe_multi"
  | "kprobe_session"
  | "uprobe"
  | "uretprobe"
  | "uprobe_multi"
  | "uretprobe_multi"
  | "uprobe_session"
  | "ksyscall"
  | "kretsyscall"
  | "usdt"
  | "tracepoint"
  | "raw_tracepoint"
  | "tracing"
  | "tracing_multi"
  | "iter"
  | "xdp"
  | "tc"
  | "tcx"
  | "netkit"
  | "cgroup"
  | "netns"
  | "netfilter"
  | "sockmap"
  | "socket"
  | "reuseport"
  | "perf_event"
  | "lirc";

/** What the name of a section says. C name: `struct bpf_sec_def`. */
export interface SectionDef {
  /** The name; with a `+` at its end it may be followed by `/` and a target. */
  readonly name: string;
  /** The type of its programs. */
  readonly type: ProgType;
  /** What they are loaded for. */
  readonly expectedAttachType?: AttachType;
  /** What they are loaded with. */
  readonly flags?: readonly ProgFlag[];
  /** Whether they are loaded for a target that is found in BTF by its name. C name: SEC_ATTACH_BTF. */
  readonly attachBtf?: true;
  /** Whether kernels that know no expected attach type load them without. C name: SEC_EXP_ATTACH_OPT. */
  readonly optional?: true;
  /** How they are attached; nothing for those that are put into maps, called or run. */
  readonly attach?: AttachMethod;
}

/** All section names that libbpf 1.8 knows. */
export const sectionDefs = [
  { name: "socket", type: "socket_filter", attach: "socket" },
  {
    name: "sk_reuseport/migrate",
    type: "sk_reuseport",
    expectedAttachType: "sk_reuseport_select_or_migrate",
    attach: "reuseport",
  },
  { name: "sk_reuseport", type: "sk_reuseport", expectedAttachType: "sk_reuseport_select", attach: "reuseport" },
  { name: "kprobe+", type: "kprobe", attach: "kprobe" },
  { name: "kretprobe+", type: "kprobe", attach: "kretprobe" },
  { name: "uprobe+", type: "kprobe", attach: "uprobe" },
  { name: "uprobe.s+", type: "kprobe", flags: ["sleepable"], attach: "uprobe" },
  { name: "uretprobe+", type: "kprobe", attach: "uretprobe" },
  { name: "uretprobe.s+", type: "kprobe", flags: ["sleepable"], attach: "uretprobe" },
  { name: "kprobe.multi+", type: "kprobe", expectedAttachType: "trace_kprobe_multi", attach: "kprobe_multi" },
  { name: "kretprobe.multi+", type: "kprobe", expectedAttachType: "trace_kprobe_multi", attach: "kretprobe_multi" },
  { name: "kprobe.session+", type: "kprobe", expectedAttachType: "trace_kprobe_session", attach: "kprobe_session" },
  { name: "uprobe.multi+", type: "kprobe", expectedAttachType: "trace_uprobe_multi", attach: "uprobe_multi" },
  {
    name: "uprobe.multi.s+",
    type: "kprobe",
    expectedAttachType: "trace_uprobe_multi",
    flags: ["sleepable"],
    attach: "uprobe_multi",
  },
  { name: "uretprobe.multi+", type: "kprobe", expectedAttachType: "trace_uprobe_multi", attach: "uretprobe_multi" },
  {
    name: "uretprobe.multi.s+",
    type: "kprobe",
    expectedAttachType: "trace_uprobe_multi",
    flags: ["sleepable"],
    attach: "uretprobe_multi",
  },
  { name: "uprobe.session+", type: "kprobe", expectedAttachType: "trace_uprobe_session", attach: "uprobe_session" },
  {
    name: "uprobe.session.s+",
    type: "kprobe",
    expectedAttachType: "trace_uprobe_session",
    flags: ["sleepable"],
    attach: "uprobe_session",
  },
  { name: "ksyscall+", type: "kprobe", attach: "ksyscall" },
  { name: "kretsyscall+", type: "kprobe", attach: "kretsyscall" },
  { name: "usdt+", type: "kprobe", attach: "usdt" },
  { name: "usdt.s+", type: "kprobe", flags: ["sleepable"], attach: "usdt" },
  { name: "tc/ingress", type: "sched_cls", expectedAttachType: "tcx_ingress", attach: "tcx" },
  { name: "tc/egress", type: "sched_cls", expectedAttachType: "tcx_egress", attach: "tcx" },
  { name: "tcx/ingress", type: "sched_cls", expectedAttachType: "tcx_ingress", attach: "tcx" },
  { name: "tcx/egress", type: "sched_cls", expectedAttachType: "tcx_egress", attach: "tcx" },
  { name: "tc", type: "sched_cls", attach: "tc" },
  { name: "classifier", type: "sched_cls", attach: "tc" },
  { name: "action", type: "sched_act" },
  { name: "netkit/primary", type: "sched_cls", expectedAttachType: "netkit_primary", attach: "netkit" },
  { name: "netkit/peer", type: "sched_cls", expectedAttachType: "netkit_peer", attach: "netkit" },
  { name: "tracepoint+", type: "tracepoint", attach: "tracepoint" },
  { name: "tracepoint.s+", type: "tracepoint", flags: ["sleepable"], attach: "tracepoint" },
  { name: "tp+", type: "tracepoint", attach: "tracepoint" },
  { name: "tp.s+", type: "tracepoint", flags: ["sleepable"], attach: "tracepoint" },
  { name: "raw_tracepoint+", type: "raw_tracepoint", attach: "raw_tracepoint" },
  { name: "raw_tracepoint.s+", type: "raw_tracepoint", flags: ["sleepable"], attach: "raw_tracepoint" },
  { name: "raw_tracepoint.w+", type: "raw_tracepoint_writable", attach: "raw_tracepoint" },
  { name: "raw_tp+", type: "raw_tracepoint", attach: "raw_tracepoint" },
  { name: "raw_tp.s+", type: "raw_tracepoint", flags: ["sleepable"], attach: "raw_tracepoint" },
  { name: "raw_tp.w+", type: "raw_tracepoint_writable", attach: "raw_tracepoint" },
  { name: "tp_btf+", type: "tracing", expectedAttachType: "trace_raw_tp", attachBtf: true, attach: "tracing" },
  {
    name: "tp_btf.s+",
    type: "tracing",
    expectedAttachType: "trace_raw_tp",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "fentry+", type: "tracing", expectedAttachType: "trace_fentry", attachBtf: true, attach: "tracing" },
  {
    name: "fentry.s+",
    type: "tracing",
    expectedAttachType: "trace_fentry",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "fmod_ret+", type: "tracing", expectedAttachType: "modify_return", attachBtf: true, attach: "tracing" },
  {
    name: "fmod_ret.s+",
    type: "tracing",
    expectedAttachType: "modify_return",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "fexit+", type: "tracing", expectedAttachType: "trace_fexit", attachBtf: true, attach: "tracing" },
  {
    name: "fexit.s+",
    type: "tracing",
    expectedAttachType: "trace_fexit",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "fsession+", type: "tracing", expectedAttachType: "trace_fsession", attachBtf: true, attach: "tracing" },
  {
    name: "fsession.s+",
    type: "tracing",
    expectedAttachType: "trace_fsession",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "fentry.multi+", type: "tracing", expectedAttachType: "trace_fentry_multi", attach: "tracing_multi" },
  {
    name: "fentry.multi.s+",
    type: "tracing",
    expectedAttachType: "trace_fentry_multi",
    flags: ["sleepable"],
    attach: "tracing_multi",
  },
  { name: "fexit.multi+", type: "tracing", expectedAttachType: "trace_fexit_multi", attach: "tracing_multi" },
  {
    name: "fexit.multi.s+",
    type: "tracing",
    expectedAttachType: "trace_fexit_multi",
    flags: ["sleepable"],
    attach: "tracing_multi",
  },
  { name: "fsession.multi+", type: "tracing", expectedAttachType: "trace_fsession_multi", attach: "tracing_multi" },
  {
    name: "fsession.multi.s+",
    type: "tracing",
    expectedAttachType: "trace_fsession_multi",
    flags: ["sleepable"],
    attach: "tracing_multi",
  },
  { name: "freplace+", type: "ext", attachBtf: true, attach: "tracing" },
  { name: "lsm+", type: "lsm", expectedAttachType: "lsm_mac", attachBtf: true, attach: "tracing" },
  {
    name: "lsm.s+",
    type: "lsm",
    expectedAttachType: "lsm_mac",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "tracing",
  },
  { name: "lsm_cgroup+", type: "lsm", expectedAttachType: "lsm_cgroup", attachBtf: true, attach: "cgroup" },
  { name: "iter+", type: "tracing", expectedAttachType: "trace_iter", attachBtf: true, attach: "iter" },
  {
    name: "iter.s+",
    type: "tracing",
    expectedAttachType: "trace_iter",
    flags: ["sleepable"],
    attachBtf: true,
    attach: "iter",
  },
  { name: "syscall", type: "syscall", flags: ["sleepable"] },
  { name: "xdp.frags/devmap", type: "xdp", expectedAttachType: "xdp_devmap", flags: ["xdp_has_frags"] },
  { name: "xdp/devmap", type: "xdp", expectedAttachType: "xdp_devmap" },
  { name: "xdp.frags/cpumap", type: "xdp", expectedAttachType: "xdp_cpumap", flags: ["xdp_has_frags"] },
  { name: "xdp/cpumap", type: "xdp", expectedAttachType: "xdp_cpumap" },
  { name: "xdp.frags", type: "xdp", expectedAttachType: "xdp", flags: ["xdp_has_frags"], attach: "xdp" },
  { name: "xdp", type: "xdp", expectedAttachType: "xdp", optional: true, attach: "xdp" },
  { name: "perf_event", type: "perf_event", attach: "perf_event" },
  { name: "lwt_in", type: "lwt_in" },
  { name: "lwt_out", type: "lwt_out" },
  { name: "lwt_xmit", type: "lwt_xmit" },
  { name: "lwt_seg6local", type: "lwt_seg6local" },
  { name: "sockops", type: "sock_ops", expectedAttachType: "cgroup_sock_ops", optional: true, attach: "cgroup" },
  {
    name: "sk_skb/stream_parser",
    type: "sk_skb",
    expectedAttachType: "sk_skb_stream_parser",
    optional: true,
    attach: "sockmap",
  },
  {
    name: "sk_skb/stream_verdict",
    type: "sk_skb",
    expectedAttachType: "sk_skb_stream_verdict",
    optional: true,
    attach: "sockmap",
  },
  { name: "sk_skb/verdict", type: "sk_skb", expectedAttachType: "sk_skb_verdict", optional: true, attach: "sockmap" },
  { name: "sk_skb", type: "sk_skb", attach: "sockmap" },
  { name: "sk_msg", type: "sk_msg", expectedAttachType: "sk_msg_verdict", optional: true, attach: "sockmap" },
  { name: "lirc_mode2", type: "lirc_mode2", expectedAttachType: "lirc_mode2", optional: true, attach: "lirc" },
  {
    name: "flow_dissector",
    type: "flow_dissector",
    expectedAttachType: "flow_dissector",
    optional: true,
    attach: "netns",
  },
  {
    name: "cgroup_skb/ingress",
    type: "cgroup_skb",
    expectedAttachType: "cgroup_inet_ingress",
    optional: true,
    attach: "cgroup",
  },
  {
    name: "cgroup_skb/egress",
    type: "cgroup_skb",
    expectedAttachType: "cgroup_inet_egress",
    optional: true,
    attach: "cgroup",
  },
  { name: "cgroup/skb", type: "cgroup_skb", attach: "cgroup" },
  { name: "cgroup/sock_create", type: "cgroup_sock", expectedAttachType: "cgroup_inet_sock_create", attach: "cgroup" },
  {
    name: "cgroup/sock_release",
    type: "cgroup_sock",
    expectedAttachType: "cgroup_inet_sock_release",
    attach: "cgroup",
  },
  {
    name: "cgroup/sock",
    type: "cgroup_sock",
    expectedAttachType: "cgroup_inet_sock_create",
    optional: true,
    attach: "cgroup",
  },
  { name: "cgroup/post_bind4", type: "cgroup_sock", expectedAttachType: "cgroup_inet4_post_bind", attach: "cgroup" },
  { name: "cgroup/post_bind6", type: "cgroup_sock", expectedAttachType: "cgroup_inet6_post_bind", attach: "cgroup" },
  { name: "cgroup/bind4", type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet4_bind", attach: "cgroup" },
  { name: "cgroup/bind6", type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet6_bind", attach: "cgroup" },
  { name: "cgroup/connect4", type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet4_connect", attach: "cgroup" },
  { name: "cgroup/connect6", type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet6_connect", attach: "cgroup" },
  {
    name: "cgroup/connect_unix",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_unix_connect",
    attach: "cgroup",
  },
  { name: "cgroup/sendmsg4", type: "cgroup_sock_addr", expectedAttachType: "cgroup_udp4_sendmsg", attach: "cgroup" },
  { name: "cgroup/sendmsg6", type: "cgroup_sock_addr", expectedAttachType: "cgroup_udp6_sendmsg", attach: "cgroup" },
  {
    name: "cgroup/sendmsg_unix",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_unix_sendmsg",
    attach: "cgroup",
  },
  { name: "cgroup/recvmsg4", type: "cgroup_sock_addr", expectedAttachType: "cgroup_udp4_recvmsg", attach: "cgroup" },
  { name: "cgroup/recvmsg6", type: "cgroup_sock_addr", expectedAttachType: "cgroup_udp6_recvmsg", attach: "cgroup" },
  {
    name: "cgroup/recvmsg_unix",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_unix_recvmsg",
    attach: "cgroup",
  },
  {
    name: "cgroup/getpeername4",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_inet4_getpeername",
    attach: "cgroup",
  },
  {
    name: "cgroup/getpeername6",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_inet6_getpeername",
    attach: "cgroup",
  },
  {
    name: "cgroup/getpeername_unix",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_unix_getpeername",
    attach: "cgroup",
  },
  {
    name: "cgroup/getsockname4",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_inet4_getsockname",
    attach: "cgroup",
  },
  {
    name: "cgroup/getsockname6",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_inet6_getsockname",
    attach: "cgroup",
  },
  {
    name: "cgroup/getsockname_unix",
    type: "cgroup_sock_addr",
    expectedAttachType: "cgroup_unix_getsockname",
    attach: "cgroup",
  },
  { name: "cgroup/sysctl", type: "cgroup_sysctl", expectedAttachType: "cgroup_sysctl", attach: "cgroup" },
  { name: "cgroup/getsockopt", type: "cgroup_sockopt", expectedAttachType: "cgroup_getsockopt", attach: "cgroup" },
  { name: "cgroup/setsockopt", type: "cgroup_sockopt", expectedAttachType: "cgroup_setsockopt", attach: "cgroup" },
  { name: "cgroup/dev", type: "cgroup_device", expectedAttachType: "cgroup_device", optional: true, attach: "cgroup" },
  { name: "struct_ops+", type: "struct_ops" },
  { name: "struct_ops.s+", type: "struct_ops", flags: ["sleepable"] },
  { name: "sk_lookup", type: "sk_lookup", expectedAttachType: "sk_lookup", attach: "netns" },
  { name: "netfilter", type: "netfilter", expectedAttachType: "netfilter", attach: "netfilter" },
] as const;

/** The name of a section, without what follows the slash, as libbpf writes it: with a `+` where a target may follow. */
export type SectionDefName = typeof sectionDefs[number]["name"];

const exact = new Map<string, SectionDef>();
const prefixes = new Map<string, SectionDef>();
for (const def of sectionDefs as readonly SectionDef[]) {
  if (def.name.endsWith("+")) prefixes.set(def.name.slice(0, -1), def);
  else exact.set(def.name, def);
}

/** What a section's name says of its programs. */
export interface SectionMeaning {
  /** Its row in {@linkcode sectionDefs}. */
  readonly def: SectionDef;
  /** What follows the first slash; undefined where nothing does. */
  readonly target: string | undefined;
}

/**
 * Looks up a section's name.
 *
 * @param name The name, without the `?` of programs that are not loaded by themselves.
 * @returns What it says; undefined for a name that libbpf does not know.
 */
export function sectionMeaning(name: string): SectionMeaning | undefined {
  const known = exact.get(name);
  if (known !== undefined) return { def: known, target: undefined };
  const slash = name.indexOf("/");
  const def = prefixes.get(slash < 0 ? name : name.slice(0, slash));
  return def === undefined ? undefined : { def, target: slash < 0 ? undefined : name.slice(slash + 1) };
}
