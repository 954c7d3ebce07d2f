/**
 * Which attach types the running kernel has.
 *
 * @module
 */

import { linkCreate, type LinkCreateOptions } from "../cmds/link.ts";
import { progAttach } from "../cmds/prog_attach.ts";
import { progLoad } from "../cmds/prog.ts";
import { NotSupportedError } from "../errors.ts";
import type { Capability } from "../tokens/capabilities.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { type AttachType, attachTypes, type ProgType } from "../uapi/enums.gen.ts";
import { attempt, cached, yesOrNo } from "./_answer.ts";
import { kernelBtf } from "./kernel_btf.ts";
import { hasProgType, returning, tryLoad } from "./prog_types.ts";

/** Loading a program holds these against its type. */
const LOADED: { readonly [T in AttachType]?: ProgType } = {
  cgroup_inet_ingress: "cgroup_skb",
  cgroup_inet_egress: "cgroup_skb",
  cgroup_inet_sock_create: "cgroup_sock",
  cgroup_inet_sock_release: "cgroup_sock",
  cgroup_inet4_post_bind: "cgroup_sock",
  cgroup_inet6_post_bind: "cgroup_sock",
  cgroup_inet4_bind: "cgroup_sock_addr",
  cgroup_inet6_bind: "cgroup_sock_addr",
  cgroup_inet4_connect: "cgroup_sock_addr",
  cgroup_inet6_connect: "cgroup_sock_addr",
  cgroup_inet4_getpeername: "cgroup_sock_addr",
  cgroup_inet6_getpeername: "cgroup_sock_addr",
  cgroup_inet4_getsockname: "cgroup_sock_addr",
  cgroup_inet6_getsockname: "cgroup_sock_addr",
  cgroup_udp4_sendmsg: "cgroup_sock_addr",
  cgroup_udp6_sendmsg: "cgroup_sock_addr",
  cgroup_udp4_recvmsg: "cgroup_sock_addr",
  cgroup_udp6_recvmsg: "cgroup_sock_addr",
  cgroup_unix_connect: "cgroup_sock_addr",
  cgroup_unix_sendmsg: "cgroup_sock_addr",
  cgroup_unix_recvmsg: "cgroup_sock_addr",
  cgroup_unix_getpeername: "cgroup_sock_addr",
  cgroup_unix_getsockname: "cgroup_sock_addr",
  cgroup_getsockopt: "cgroup_sockopt",
  cgroup_setsockopt: "cgroup_sockopt",
  sk_lookup: "sk_lookup",
  sk_reuseport_select: "sk_reuseport",
  sk_reuseport_select_or_migrate: "sk_reuseport",
  netfilter: "netfilter",
};

/** The kernel looks these up before it looks for the program, so that it says EBADF for one that there is not. */
const ATTACHED: { readonly [T in AttachType]?: ProgType } = {
  cgroup_sock_ops: "sock_ops",
  cgroup_device: "cgroup_device",
  cgroup_sysctl: "cgroup_sysctl",
  sk_skb_stream_parser: "sk_skb",
  sk_skb_stream_verdict: "sk_skb",
  sk_skb_verdict: "sk_skb",
  sk_msg_verdict: "sk_msg",
  lirc_mode2: "lirc_mode2",
  flow_dissector: "flow_dissector",
  tcx_ingress: "sched_cls",
  tcx_egress: "sched_cls",
  netkit_primary: "sched_cls",
  netkit_peer: "sched_cls",
};

/** Traces a function or a hook: the program says so when it is loaded. */
const TRACED: { readonly [T in AttachType]?: readonly [type: ProgType, kind: "func" | "typedef", target: string] } = {
  trace_raw_tp: ["tracing", "typedef", "btf_trace_sys_enter"],
  trace_iter: ["tracing", "func", "bpf_iter_task"],
  trace_fentry: ["tracing", "func", "bpf_fentry_test1"],
  trace_fexit: ["tracing", "func", "bpf_fentry_test1"],
  trace_fsession: ["tracing", "func", "bpf_fentry_test1"],
  modify_return: ["tracing", "func", "bpf_modify_return_test"],
  lsm_mac: ["lsm", "func", "bpf_lsm_file_open"],
  lsm_cgroup: ["lsm", "func", "bpf_lsm_socket_bind"],
};

/** Neither a descriptor of this process, nor a path, nor a symbol. */
const NO_FD = 0x7fff_ffff;
const NO_PATH = "/proc/self/no such file";
const NO_SYMBOL = "no_such_symbol_of_any_kernel";

type Link = Omit<LinkCreateOptions, "prog" | "attachType">;

/** Links to what there is not: kernels that have the attach type look for it. */
const LINKED: { readonly [T in AttachType]?: Link } = {
  perf_event: { target: { fd: NO_FD } },
  trace_kprobe_multi: { kprobeMulti: { symbols: [NO_SYMBOL] } },
  trace_kprobe_session: { kprobeMulti: { symbols: [NO_SYMBOL] } },
  trace_uprobe_multi: { uprobeMulti: { path: NO_PATH, offsets: [1n] } },
  trace_uprobe_session: { uprobeMulti: { path: NO_PATH, offsets: [1n] } },
};

/** What the kernel says where it looked for a target. */
const LOOKED: ReadonlySet<number | undefined> = new Set([errnos.EBADF, errnos.ENOENT, errnos.ESRCH]);

/** Whether the kernel's own enum has it; undefined where the kernel has no BTF. */
function isNamed(type: AttachType): boolean | undefined {
  try {
    const btf = kernelBtf();
    const id = btf.find("enum", "bpf_attach_type");
    const found = id === undefined ? undefined : btf.type(id);
    if (found?.kind !== "enum") return undefined;
    return found.values.some(({ name }) => name === `BPF_${type.toUpperCase()}`);
  } catch (error) {
    if (error instanceof NotSupportedError) return undefined;
    throw error;
  }
}

function targetOf(kind: "func" | "typedef", name: string): number | undefined {
  try {
    return kernelBtf().find(kind, name);
  } catch (error) {
    if (error instanceof NotSupportedError) return undefined;
    throw error;
  }
}

function probeTraced(token: AnyToken, type: AttachType): boolean | undefined {
  const [progType, kind, target] = TRACED[type] as NonNullable<(typeof TRACED)[AttachType]>;
  const attachBtfId = targetOf(kind, target);
  if (attachBtfId === undefined) return undefined;
  const tried = tryLoad(token, progType, { expectedAttachType: type, attachBtfId });
  // Of the return value the verifier complains only where it knows how the program is attached.
  if (/At program exit|R0 /.test(tried.log)) return true;
  // An older kernel may look at the target as if it were another kind of attaching.
  return tried.errno === errnos.EINVAL ? false : yesOrNo(tried);
}

function probeLinked(token: AnyToken, type: AttachType): boolean | undefined {
  const privileged = token as PermissionToken<Capability>;
  const tried = attempt(() => {
    using prog = progLoad(privileged, {
      type: "kprobe",
      insns: returning(0),
      license: "GPL",
      expectedAttachType: type === "perf_event" ? 0 : type,
    });
    return linkCreate(privileged, { ...LINKED[type], prog, attachType: type } as LinkCreateOptions);
  });
  return LOOKED.has(tried.errno) ? true : yesOrNo(tried);
}

function probe(token: AnyToken, type: AttachType): boolean | undefined {
  const loaded = LOADED[type];
  if (loaded !== undefined) {
    const tried = tryLoad(token, loaded, { expectedAttachType: type });
    // With a log the verifier has got to the instructions, after the attach type.
    return tried.log !== "" ? true : yesOrNo(tried);
  }
  const attached = ATTACHED[type];
  if (attached !== undefined) {
    const isThere = hasProgType(token, attached);
    if (isThere !== true) return isThere;
    const target = /^(tcx|netkit)_/.test(type) ? { ifindex: NO_FD } : { fd: NO_FD };
    const tried = attempt(() => progAttach(token as PermissionToken<Capability>, NO_FD, { target, attachType: type }));
    return tried.errno === errnos.EBADF ? true : yesOrNo(tried);
  }
  if (type in TRACED) return probeTraced(token, type);
  if (type in LINKED) return probeLinked(token, type);
  return isNamed(type);
}

/**
 * Whether the running kernel has an attach type. Those that loading or attaching is refused for are tried; for the
 * others (`xdp`, `xdp_devmap`, `xdp_cpumap`, `struct_ops`, `trace_*_multi`) the kernel's own BTF is asked, which tells
 * that it knows the type.
 *
 * @example
 * ```ts
 * import { acquire, hasAttachType } from "@bpf/deno";
 *
 * console.log(hasAttachType(acquire("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"), "tcx_ingress"));
 * ```
 *
 * @param token A token with what the program type and the attach type ask for.
 * @param type The attach type.
 * @returns Undefined where it could not be told. Other answers are kept for as long as the process lives.
 * @throws {TypeError} For an attach type that this library does not know.
 */
export function hasAttachType(token: AnyToken, type: AttachType): boolean | undefined {
  if (!Object.hasOwn(attachTypes, type)) throw new TypeError(`Cannot use attachType: "${type}" is unknown`);
  return cached(`attach type ${type}`, () => isNamed(type) === false ? false : probe(token, type));
}
