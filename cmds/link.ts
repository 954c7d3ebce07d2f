/**
 * Links, which attach a program for as long as somebody holds them: BPF_LINK_CREATE, BPF_LINK_UPDATE and
 * BPF_LINK_DETACH.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import { fdNumber } from "../ffi/fd.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import { BPF_F_ID, BPF_F_REPLACE } from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call, callForFd } from "./_call.ts";
import { numberOf } from "./_types.ts";
import type { Anchor, AttachTarget } from "./prog_attach.ts";

/** What an iterator runs over. C name: `union bpf_iter_link_info`. */
export interface IterLinkInfo {
  /** The map, for the iterators over a map's elements. C name: `map.map_fd`. */
  map?: FdSource | undefined;
  /** The cgroup, by descriptor or id, and the order (`enum bpf_cgroup_iter_order`). C name: `cgroup`. Since 6.1. */
  cgroup?: { order: number; fd?: FdSource | undefined; id?: bigint | undefined } | undefined;
  /** A thread, a process or a pidfd. C name: `task`. Since 6.1. */
  task?: { tid?: number | undefined; pid?: number | undefined; pidFd?: FdSource | undefined } | undefined;
}

/** What kprobe.multi takes. C name: `bpf_attr.link_create.kprobe_multi`. Since 5.18. */
export interface KprobeMulti {
  /** BPF_F_KPROBE_MULTI_RETURN for return probes. C name: `flags`. @default {0} */
  flags?: number | undefined;
  /** The functions by name. C name: `syms`. */
  symbols?: readonly string[] | undefined;
  /** The functions by address. C name: `addrs`. */
  addresses?: readonly bigint[] | undefined;
  /** A cookie for each. C name: `cookies`. */
  cookies?: readonly bigint[] | undefined;
}

/** What uprobe.multi takes. C name: `bpf_attr.link_create.uprobe_multi`. Since 6.6. */
export interface UprobeMulti {
  /** The program or library. C name: `path`. */
  path: string;
  /** Offsets of the probes in the file. C name: `offsets`. */
  offsets: readonly bigint[];
  /** Offsets of a reference counter for each. C name: `ref_ctr_offsets`. */
  refCtrOffsets?: readonly bigint[] | undefined;
  /** A cookie for each. C name: `cookies`. */
  cookies?: readonly bigint[] | undefined;
  /** BPF_F_UPROBE_MULTI_RETURN for return probes. C name: `flags`. @default {0} */
  flags?: number | undefined;
  /** Only in this process. C name: `pid`. @default {0} */
  pid?: number | undefined;
}

/** What tracing.multi takes. C name: `bpf_attr.link_create.tracing_multi`. Since 7.2. */
export interface TracingMulti {
  /** The functions' type ids in the kernel's BTF. C name: `ids`. */
  ids: readonly number[];
  /** A cookie for each. C name: `cookies`. */
  cookies?: readonly bigint[] | undefined;
}

/** A place in an ordered list of programs. C names: `tcx`, `netkit`, `cgroup` in `bpf_attr.link_create`. */
export interface LinkPlace {
  /** Next to which, with BPF_F_BEFORE or BPF_F_AFTER in the link's flags. C names: `relative_fd`, `relative_id`. */
  anchor?: Anchor | undefined;
  /** Refuse where the list has another revision. C name: `expected_revision`. @default {0n} */
  expectedRevision?: bigint | undefined;
}

/** What `linkCreate()` takes. Its C name is `bpf_attr.link_create`; at most one of the last members applies. */
export interface LinkCreateOptions<T extends AttachType | number = AttachType | number> {
  /** The program, or for struct_ops the map. C names: `prog_fd`, `map_fd`. */
  prog: FdSource;
  /** What to attach to; none for what is found by name or by BTF. C names: `target_fd`, `target_ifindex`. */
  target?: AttachTarget | undefined;
  /** How. C name: `attach_type`. */
  attachType: T;
  /** Flags of the kind of link: XDP_FLAGS_*, BPF_F_BEFORE, … C name: `flags`. @default {0} */
  flags?: number | undefined;
  /** For freplace: the function's type id in the BTF of the target program. C name: `target_btf_id`. */
  targetBtfId?: number | undefined;
  /** For `"trace_iter"`. C names: `iter_info`, `iter_info_len`. */
  iter?: IterLinkInfo | undefined;
  /** For `"perf_event"`. C name: `perf_event.bpf_cookie`. Since 5.15. */
  perfEvent?: { cookie: bigint } | undefined;
  /** For `"trace_kprobe_multi"` and `"trace_kprobe_session"`. */
  kprobeMulti?: KprobeMulti | undefined;
  /** For programs that say by BTF what they attach to. C name: `tracing`. Since 5.19. */
  tracing?: { targetBtfId?: number | undefined; cookie?: bigint | undefined } | undefined;
  /** For `"netfilter"`. C name: `netfilter`. Since 6.4. */
  netfilter?: { pf: number; hooknum: number; priority: number; flags?: number | undefined } | undefined;
  /** For `"tcx_ingress"` and `"tcx_egress"`. Since 6.6. */
  tcx?: LinkPlace | undefined;
  /** For `"trace_uprobe_multi"` and `"trace_uprobe_session"`. */
  uprobeMulti?: UprobeMulti | undefined;
  /** For `"netkit_primary"` and `"netkit_peer"`. Since 6.7. */
  netkit?: LinkPlace | undefined;
  /** For the cgroup attach types. Since 6.16. */
  cgroup?: LinkPlace | undefined;
  /** For `"trace_fentry_multi"`, `"trace_fexit_multi"` and `"trace_fsession_multi"`. */
  tracingMulti?: TracingMulti | undefined;
}

type LinkAttr = Attr<"link_create">;

function writeIter(attr: LinkAttr, { map, cgroup, task }: IterLinkInfo): void {
  const info = structBuffer("bpf_iter_link_info");
  if (map !== undefined) info.fd("map.map_fd", map);
  if (cgroup !== undefined) {
    info.u32("cgroup.order", cgroup.order).u64("cgroup.cgroup_id", cgroup.id ?? 0n);
    if (cgroup.fd !== undefined) info.fd("cgroup.cgroup_fd", cgroup.fd);
  }
  if (task !== undefined) {
    info.u32("task.tid", task.tid ?? 0).u32("task.pid", task.pid ?? 0);
    if (task.pidFd !== undefined) info.fd("task.pid_fd", task.pidFd);
  }
  // Kernels before 6.1 know a map's descriptor only, and take no more bytes than that.
  const length = map !== undefined ? 4 : info.bytes.length;
  attr.pointer("iter_info", info.bytes).u32("iter_info_len", length);
}

function sameLength(count: number, list: readonly unknown[] | undefined, argument: string): void {
  if (list === undefined || list.length === count) return;
  throw new RangeError(`Cannot use ${argument}: it has ${list.length} elements, and there are ${count} probes`);
}

function writeKprobeMulti(attr: LinkAttr, { flags = 0, symbols, addresses, cookies }: KprobeMulti): void {
  const targets = symbols ?? addresses;
  if (targets === undefined || (symbols !== undefined && addresses !== undefined)) {
    throw new TypeError("Cannot use kprobeMulti: give either symbols or addresses");
  }
  sameLength(targets.length, cookies, "kprobeMulti.cookies");
  attr.u32("kprobe_multi.flags", flags).u32("kprobe_multi.cnt", targets.length);
  if (symbols !== undefined) attr.strings("kprobe_multi.syms", symbols);
  if (addresses !== undefined) attr.integers("kprobe_multi.addrs", addresses, 8);
  if (cookies !== undefined) attr.integers("kprobe_multi.cookies", cookies, 8);
}

function writeUprobeMulti(attr: LinkAttr, probes: UprobeMulti): void {
  const { path, offsets, refCtrOffsets, cookies, flags = 0, pid = 0 } = probes;
  sameLength(offsets.length, refCtrOffsets, "uprobeMulti.refCtrOffsets");
  sameLength(offsets.length, cookies, "uprobeMulti.cookies");
  attr.string("uprobe_multi.path", path).integers("uprobe_multi.offsets", offsets, 8)
    .u32("uprobe_multi.cnt", offsets.length).u32("uprobe_multi.flags", flags).u32("uprobe_multi.pid", pid);
  if (refCtrOffsets !== undefined) attr.integers("uprobe_multi.ref_ctr_offsets", refCtrOffsets, 8);
  if (cookies !== undefined) attr.integers("uprobe_multi.cookies", cookies, 8);
}

function writePlace(attr: LinkAttr, member: "tcx" | "netkit" | "cgroup", place: LinkPlace): number {
  attr.u64(`${member}.expected_revision`, place.expectedRevision ?? 0n);
  if (place.anchor === undefined) return 0;
  if ("id" in place.anchor) {
    attr.u32(`${member}.relative_id`, place.anchor.id);
    return BPF_F_ID;
  }
  attr.fd(`${member}.relative_fd`, place.anchor.fd);
  return 0;
}

/** Writes the members that the options name; answers the flags that they imply. */
function writeMembers(attr: LinkAttr, options: LinkCreateOptions): number {
  const { iter, perfEvent, kprobeMulti, tracing, netfilter, uprobeMulti, tracingMulti } = options;
  const members = [iter, perfEvent, kprobeMulti, tracing, netfilter, uprobeMulti, tracingMulti, options.tcx];
  const given = [...members, options.netkit, options.cgroup, options.targetBtfId].filter((member) =>
    member !== undefined
  );
  if (given.length > 1) throw new TypeError("Cannot create a link: its options overlap in memory; give at most one");
  if (options.targetBtfId !== undefined) attr.u32("target_btf_id", options.targetBtfId);
  if (iter !== undefined) writeIter(attr, iter);
  if (perfEvent !== undefined) attr.u64("perf_event.bpf_cookie", perfEvent.cookie);
  if (kprobeMulti !== undefined) writeKprobeMulti(attr, kprobeMulti);
  if (tracing !== undefined) {
    attr.u32("tracing.target_btf_id", tracing.targetBtfId ?? 0).u64("tracing.cookie", tracing.cookie ?? 0n);
  }
  if (netfilter !== undefined) {
    attr.u32("netfilter.pf", netfilter.pf).u32("netfilter.hooknum", netfilter.hooknum)
      .s32("netfilter.priority", netfilter.priority).u32("netfilter.flags", netfilter.flags ?? 0);
  }
  if (uprobeMulti !== undefined) writeUprobeMulti(attr, uprobeMulti);
  if (tracingMulti !== undefined) {
    sameLength(tracingMulti.ids.length, tracingMulti.cookies, "tracingMulti.cookies");
    attr.integers("tracing_multi.ids", tracingMulti.ids, 4).u32("tracing_multi.cnt", tracingMulti.ids.length);
    if (tracingMulti.cookies !== undefined) attr.integers("tracing_multi.cookies", tracingMulti.cookies, 8);
  }
  let flags = 0;
  for (const member of ["tcx", "netkit", "cgroup"] as const) {
    const place = options[member];
    if (place !== undefined) flags |= writePlace(attr, member, place);
  }
  return flags;
}

/**
 * Attaches a program as a link: BPF_LINK_CREATE. It is detached when the last descriptor of the link is closed and it is
 * pinned nowhere. Since Linux 5.7; which kinds of links there are depends on the release.
 *
 * @example
 * ```ts
 * import { acquire, asm, linkCreate, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
 * using prog = progLoad(token, { type: "xdp", license: "GPL", insns: asm`
 *   r0 = 2
 *   exit
 * ` });
 * using link = linkCreate(token, { prog, target: { ifindex: 2 }, attachType: "xdp" });
 * console.log(link.fd);
 * ```
 *
 * @typeParam T The attach type's name.
 * @param token A token with what the attach type asks for.
 * @param options The program, the target, the attach type, and what the kind of link takes.
 * @returns The link's file descriptor.
 * @throws {SyscallError} EINVAL where program, target and attach type do not go together; EBUSY, EEXIST where something
 * is attached that does not allow it; ENODEV, ENOENT where there is no such target.
 */
export function linkCreate<const T extends AttachType | number>(
  token: AttachToken<"link_create", T>,
  options: LinkCreateOptions<T>,
): Fd {
  const { prog, target, attachType } = options;
  const attr = new Attr("link_create").fd("prog_fd", prog)
    .u32("attach_type", numberOf<AttachType>(attachTypes, attachType, "attachType"));
  if (target !== undefined) {
    if ("ifindex" in target) attr.u32("target_ifindex", target.ifindex);
    else attr.fd("target_fd", target.fd);
  }
  attr.u32("flags", (options.flags ?? 0) | writeMembers(attr, options));
  return callForFd(token as AnyToken, attr, {
    request: { attachType },
    action: `create a link by ${attachType}`,
  });
}

/** What `linkUpdate()` takes besides the link. Its C name is `bpf_attr.link_update`. */
export interface LinkUpdateOptions {
  /** The new program, or for struct_ops the new map. C names: `new_prog_fd`, `new_map_fd`. */
  prog: FdSource;
  /** Refuse where the link has another program than this. C names: `old_prog_fd`, `old_map_fd`. */
  expected?: FdSource | undefined;
  /** Flags; BPF_F_REPLACE is added for `expected`. C name: `flags`. @default {0} */
  flags?: number | undefined;
}

/**
 * Puts another program in a link, without a moment in which none is attached: BPF_LINK_UPDATE. Since Linux 5.7.
 *
 * @param token A permission token.
 * @param link The link.
 * @param options The new program, and the one that is expected to be there.
 * @throws {SyscallError} EPERM where the link has another program than the expected one; EINVAL, EOPNOTSUPP for links
 * that cannot be updated; ENOLINK where the target is gone.
 */
export function linkUpdate(token: AnyToken, link: FdSource, options: LinkUpdateOptions): void {
  const { prog, expected, flags = 0 } = options;
  const attr = new Attr("link_update").fd("link_fd", link).u32("new_prog_fd", fdNumber(prog, "prog"));
  if (expected === undefined) attr.u32("flags", flags);
  else attr.fd("old_prog_fd", expected).u32("flags", flags | BPF_F_REPLACE);
  call(token, attr, { action: "update a link" });
}

/**
 * Detaches a link's program while the link lives on: BPF_LINK_DETACH. Since Linux 5.9.
 *
 * @param token A permission token.
 * @param link The link.
 * @throws {SyscallError} EOPNOTSUPP for links that are detached by closing them only.
 */
export function linkDetach(token: AnyToken, link: FdSource): void {
  call(token, new Attr("link_detach").fd("link_fd", link), { action: "detach a link" });
}
