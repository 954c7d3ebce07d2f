/**
 * Attaching programs without a link, and asking what is attached: BPF_PROG_ATTACH, BPF_PROG_DETACH and BPF_PROG_QUERY.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { FdSource } from "../ffi/fd.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { AttachToken, CommandToken } from "../tokens/requirements.ts";
import { BPF_F_ID } from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes } from "../uapi/enums.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, call, type CallContext, submit } from "./_call.ts";
import { failure } from "./_failure.ts";
import { numberOf } from "./_types.ts";

/** What a program is attached to: a file descriptor of it, or a network interface by index. */
export type AttachTarget =
  | {
    /** A cgroup, a network namespace, a sockmap or a lirc device. C name: `target_fd`. */
    fd: FdSource;
  }
  | {
    /** A network interface's index. C name: `target_ifindex`. */
    ifindex: number;
  };

/** Where among the attached programs a new one goes, with BPF_F_BEFORE or BPF_F_AFTER. Since Linux 6.6. */
export type Anchor =
  | {
    /** A program or link that is attached there. C name: `relative_fd`. */
    fd: FdSource;
  }
  | {
    /** The id of one, with BPF_F_ID. C name: `relative_id`. */
    id: number;
  };

/** What `progAttach()` takes besides the program. */
export interface ProgAttachOptions<T extends AttachType | number = AttachType | number> {
  /** What to attach to. */
  target: AttachTarget;
  /** How. C name: `attach_type`. */
  attachType: T;
  /** BPF_F_ALLOW_OVERRIDE, BPF_F_ALLOW_MULTI, BPF_F_REPLACE, BPF_F_BEFORE, … C name: `attach_flags`. @default {0} */
  flags?: number | undefined;
  /** With BPF_F_REPLACE: the program to replace. C name: `replace_bpf_fd`. */
  replace?: FdSource | undefined;
  /** With BPF_F_BEFORE or BPF_F_AFTER: next to which. */
  anchor?: Anchor | undefined;
  /** Refuse where the list of programs has another revision. C name: `expected_revision`. Since 6.6. @default {0n} */
  expectedRevision?: bigint | undefined;
}

/** What `progDetach()` takes. */
export interface ProgDetachOptions<T extends AttachType | number = AttachType | number>
  extends Omit<ProgAttachOptions<T>, "replace"> {
  /** The program to detach; none where only one can be attached. C name: `attach_bpf_fd`. */
  prog?: FdSource | undefined;
}

function writeTarget(attr: Attr<"prog_attach" | "prog_detach" | "prog_query">, target: AttachTarget): void {
  if ("ifindex" in target) attr.u32("target_ifindex", target.ifindex);
  else attr.fd("target_fd", target.fd);
}

function attachment(command: "prog_attach" | "prog_detach", options: ProgDetachOptions): Attr<"prog_attach"> {
  const { anchor } = options;
  const attr = new Attr(command) as Attr<"prog_attach">;
  writeTarget(attr, options.target);
  attr.u32("attach_type", numberOf<AttachType>(attachTypes, options.attachType, "attachType"))
    .u64("expected_revision", options.expectedRevision ?? 0n);
  let flags = options.flags ?? 0;
  if (anchor !== undefined) {
    if ("id" in anchor) {
      attr.u32("relative_id", anchor.id);
      flags |= BPF_F_ID;
    } else attr.fd("relative_fd", anchor.fd);
  }
  return attr.u32("attach_flags", flags);
}

/**
 * Attaches a program without a link: BPF_PROG_ATTACH. It stays attached after its descriptor is closed, until
 * `progDetach()`. Since Linux 4.10.
 *
 * @example
 * ```ts
 * import { acquire, asm, openPath, progAttach, progDetach, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
 * using prog = progLoad(token, { type: "cgroup_device", license: "GPL", insns: asm`
 *   r0 = 1
 *   exit
 * ` });
 * using cgroup = openPath("/sys/fs/cgroup/mine");
 * progAttach(token, prog, { target: { fd: cgroup }, attachType: "cgroup_device" });
 * progDetach(token, { target: { fd: cgroup }, attachType: "cgroup_device", prog });
 * ```
 *
 * @typeParam T The attach type's name.
 * @param token A token with what the attach type asks for.
 * @param prog The program.
 * @param options The target, the attach type, and more.
 * @throws {SyscallError} EINVAL where program and attach type do not go together; EBUSY, EEXIST, EPERM where a program
 * that is there does not allow it.
 */
export function progAttach<const T extends AttachType | number>(
  token: AttachToken<"prog_attach", T>,
  prog: FdSource,
  options: ProgAttachOptions<T>,
): void {
  const attr = attachment("prog_attach", options).fd("attach_bpf_fd", prog);
  if (options.replace !== undefined) attr.fd("replace_bpf_fd", options.replace);
  call(token as AnyToken, attr, {
    request: { attachType: options.attachType },
    action: `attach a program by ${options.attachType}`,
  });
}

/**
 * Detaches a program that was attached without a link: BPF_PROG_DETACH. Since Linux 4.10.
 *
 * @param token A permission token.
 * @param options The target, the attach type, and which program where there can be several.
 * @throws {SyscallError} ENOENT where it is not attached there.
 */
export function progDetach(token: AnyToken, options: ProgDetachOptions): void {
  const attr = attachment("prog_detach", options);
  if (options.prog !== undefined) attr.fd("attach_bpf_fd", options.prog);
  call(token, attr, {
    request: { attachType: options.attachType },
    action: `detach a program from ${options.attachType}`,
  });
}

/** What the kernel says where a program is no longer attached there, or the target is gone. */
const GONE: ReadonlySet<number> = new Set([errnos.ENOENT, errnos.ENODEV, errnos.EBADF]);

/**
 * Detaches what a token attached, though that be revoked by now: taking back is always allowed. Kernels detach the only
 * program of a cgroup whichever is named, so it is asked first whether it is this one; where it cannot be asked, the kernel's
 * own check has to do.
 *
 * @param token The token that attached it, whose listeners are told.
 * @param options The target, the attach type, and the program.
 * @param progId The program's id; undefined where it is not to be asked.
 * @throws {SyscallError} What the kernel says, but for what says that it is not attached there.
 */
export function takeBack(
  token: AnyToken,
  options: Pick<ProgDetachOptions, "target" | "attachType"> & { prog: FdSource },
  progId: number | undefined,
): void {
  const { target, attachType, prog } = options;
  if (progId !== undefined && !mayBeAttached(token, { target, attachType }, progId)) return;
  const attr = attachment("prog_detach", { target, attachType }).fd("attach_bpf_fd", prog);
  const result = submit(token, attr);
  if (result >= 0 || GONE.has(-result)) return;
  throw failure(token, attr, -result, { action: `detach a program from ${attachType}` });
}

/** Whether a program is attached, or it cannot be told. */
function mayBeAttached(
  token: AnyToken,
  { target, attachType }: Pick<ProgDetachOptions, "target" | "attachType">,
  progId: number,
): boolean {
  const ids = allocate(4 * FIRST_CAPACITY);
  const query = new Attr("prog_query").pointer("prog_ids", ids).u32("prog_cnt", FIRST_CAPACITY)
    .u32("attach_type", numberOf<AttachType>(attachTypes, attachType, "attachType"));
  writeTarget(query as Attr<"prog_query" | "prog_attach" | "prog_detach">, target);
  const asked = submit(token, query);
  if (asked < 0) return !GONE.has(-asked);
  const view = new DataView(ids.buffer);
  for (let index = 0; index < query.getU32("prog_cnt"); index++) {
    if (view.getUint32(4 * index, LITTLE_ENDIAN) === progId) return true;
  }
  return false;
}

/** What `progQuery()` takes. Its C name is `bpf_attr.query`. */
export interface ProgQueryOptions {
  /** What to ask about. */
  target: AttachTarget;
  /** Which attach type. C name: `attach_type`. */
  attachType: AttachType | number;
  /** BPF_F_QUERY_EFFECTIVE for what is inherited too. C name: `query_flags`. @default {0} */
  flags?: number | undefined;
  /** Whether to ask for each program's own attach flags, on cgroups. Since 6.0. @default {false} */
  progAttachFlags?: boolean | undefined;
}

/** What is attached somewhere, in the order in which it runs. */
export interface ProgQueryResult {
  /** The programs' ids. C name: `prog_ids`. */
  readonly progIds: readonly number[];
  /** The links' ids, 0 for those without; empty where the kernel does not tell. C name: `link_ids`. Since 6.6. */
  readonly linkIds: readonly number[];
  /** Each program's attach flags; empty where they were not asked for. C name: `prog_attach_flags`. Since 6.0. */
  readonly progAttachFlags: readonly number[];
  /** The attach flags of all. C name: `attach_flags`. */
  readonly attachFlags: number;
  /** The list's revision; 0 where the kernel does not tell. C name: `revision`. Since 6.6. */
  readonly revision: bigint;
}

/** Attach types whose programs are in a list with links, revisions and anchors. */
const LISTED: ReadonlySet<number> = new Set([
  attachTypes.tcx_ingress,
  attachTypes.tcx_egress,
  attachTypes.netkit_primary,
  attachTypes.netkit_peer,
]);

const FIRST_CAPACITY = 64;

/**
 * Asks what is attached somewhere: BPF_PROG_QUERY. Since Linux 4.15.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param options The target and the attach type.
 * @returns The programs, and what the kernel tells of each.
 * @throws {SyscallError} EINVAL for attach types that cannot be asked about.
 */
export function progQuery(token: CommandToken<"prog_query">, options: ProgQueryOptions): ProgQueryResult {
  const number = numberOf<AttachType>(attachTypes, options.attachType, "attachType");
  const context: CallContext = {
    request: { attachType: options.attachType },
    action: `query what is attached by ${options.attachType}`,
  };
  const { progAttachFlags: wantsFlags = false } = options;
  const wantsLinks = LISTED.has(number);
  for (let capacity = FIRST_CAPACITY;; capacity *= 2) {
    const [progIds, linkIds, progFlags] = [allocate(4 * capacity), allocate(4 * capacity), allocate(4 * capacity)];
    const attr = new Attr("prog_query").u32("attach_type", number).u32("query_flags", options.flags ?? 0)
      .pointer("prog_ids", progIds).u32("prog_cnt", capacity);
    if (wantsLinks) attr.pointer("link_ids", linkIds);
    if (wantsFlags) attr.pointer("prog_attach_flags", progFlags);
    writeTarget(attr as Attr<"prog_query" | "prog_attach" | "prog_detach">, options.target);
    const result = attempt(token as AnyToken, attr, context);
    if (result === -errnos.ENOSPC) continue;
    if (result < 0) throw failure(token as AnyToken, attr, -result, context);
    const list = (bytes: Uint8Array<ArrayBuffer>): number[] => {
      const view = new DataView(bytes.buffer);
      return Array.from({ length: attr.getU32("prog_cnt") }, (_, index) => view.getUint32(4 * index, LITTLE_ENDIAN));
    };
    return {
      progIds: list(progIds),
      linkIds: wantsLinks ? list(linkIds) : [],
      progAttachFlags: wantsFlags ? list(progFlags) : [],
      attachFlags: attr.getU32("attach_flags"),
      revision: attr.getU64("revision"),
    };
  }
}
