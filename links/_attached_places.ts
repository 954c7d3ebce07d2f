/**
 * What is attached to interfaces, network namespaces and cgroups.
 *
 * @module
 */

import type { LinkInfo } from "../cmds/info.ts";
import { progQuery, type ProgQueryOptions, type ProgQueryResult } from "../cmds/prog_attach.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { fileId, listKernelDirectory, openPath } from "../ffi/kernel_file.ts";
import type { PermissionToken } from "../tokens/token.ts";
import { BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE, BPF_F_QUERY_EFFECTIVE } from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes } from "../uapi/enums.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AttachedToCgroup, AttachedToInterface, AttachedToNetns } from "./attached_types.ts";
import type { XdpMode } from "./interface.ts";
import { filtersOf, queryQdiscs, queryTc } from "./tc.ts";
import type { InterfaceState } from "./xdp_netlink.ts";

/** What asking takes. */
export type AskingToken = PermissionToken<"CAP_NET_ADMIN" | "CAP_SYS_ADMIN">;

/** What kernels say to questions about what they do not have, or that this target does not have. */
const NONE: ReadonlySet<number> = new Set([
  errnos.EINVAL,
  errnos.ENOENT,
  errnos.ENXIO,
  errnos.EACCES,
  errnos.ENODEV,
  errnos.EOPNOTSUPP,
]);

function query(token: AskingToken, options: ProgQueryOptions): ProgQueryResult | undefined {
  try {
    return progQuery(token, options);
  } catch (error) {
    if (error instanceof NotSupportedError) return undefined;
    if (error instanceof SyscallError && NONE.has(error.errno)) return undefined;
    throw error;
  }
}

/** Finds the link of each of some programs in turn: several links may hold the same program at the same place. */
function linkFinder(links: readonly LinkInfo[]): (matches: (link: LinkInfo) => boolean) => number | undefined {
  const found = new Set<number>();
  return (matches) => {
    const link = links.find((one) => !found.has(one.id) && matches(one));
    if (link !== undefined) found.add(link.id);
    return link?.id;
  };
}

const LISTS = ["tcx_ingress", "tcx_egress", "netkit_primary", "netkit_peer"] as const;

/** What is attached to an interface. */
export function attachedToInterface(
  token: AskingToken,
  { ifindex, name, xdp }: InterfaceState,
  links: readonly LinkInfo[],
): AttachedToInterface[] {
  const base = { where: "interface", ifindex, interface: name } as const;
  const found: AttachedToInterface[] = [];
  for (const [mode, progId] of Object.entries(xdp.progIds) as [XdpMode, number][]) {
    const link = links.find((one) => one.type === "xdp" && one.progId === progId && one.ifindex === ifindex);
    found.push({ ...base, hook: "xdp", mode, progId, linkId: link?.id });
  }
  for (const hook of LISTS) {
    const list = query(token, { target: { ifindex }, attachType: hook });
    list?.progIds.forEach((progId, index) => {
      found.push({ ...base, hook, progId, linkId: list.linkIds[index] || undefined });
    });
  }
  for (const direction of ["ingress", "egress"] as const) {
    for (const { priority, handle, name, progId } of queryTc(ifindex, direction)) {
      found.push({ ...base, hook: `clsact_${direction}`, priority, handle, name, progId, linkId: undefined });
    }
  }
  for (const parent of queryQdiscs(ifindex)) {
    for (const { priority, handle, name, progId } of filtersOf(ifindex, parent)) {
      found.push({ ...base, hook: "qdisc", parent, priority, handle, name, progId, linkId: undefined });
    }
  }
  return found;
}

/** What is attached to a network namespace itself. */
export function attachedToNetns(token: AskingToken, path: string, links: readonly LinkInfo[]): AttachedToNetns[] {
  using netns = openPath(path);
  const { inode } = fileId(path);
  const linkOf = linkFinder(links);
  return (["flow_dissector", "sk_lookup"] as const).flatMap((attachType) => {
    const { progIds = [] } = query(token, { target: { fd: netns }, attachType }) ?? {};
    return progIds.map((progId) => ({
      where: "netns",
      netns: inode,
      attachType,
      progId,
      linkId: linkOf((one) =>
        one.type === "netns" && one.progId === progId && one.attachType === attachType &&
        BigInt(one.netnsIno) === inode
      ),
    }));
  });
}

/** The attach types of cgroups. */
const CGROUP_TYPES = Object.keys(attachTypes).filter((name) =>
  name.startsWith("cgroup_") || name === "lsm_cgroup"
) as AttachType[];

function allowance(flags: number): AttachedToCgroup["allow"] {
  return (flags & BPF_F_ALLOW_MULTI) !== 0 ? "multi" : (flags & BPF_F_ALLOW_OVERRIDE) !== 0 ? "override" : "none";
}

/** What is attached to a cgroup; nothing where it is gone by now. */
export function attachedToCgroup(
  token: AskingToken,
  path: string,
  { links, effective }: { links: readonly LinkInfo[]; effective: boolean },
): AttachedToCgroup[] {
  using directory = openPath(path);
  const cgroupId = fileId(path).inode;
  const linkOf = linkFinder(links);
  return CGROUP_TYPES.flatMap((attachType) => {
    const flags = effective ? BPF_F_QUERY_EFFECTIVE : 0;
    // The kernel tells of LSM programs, which are at hooks of their own each, with the flags of each only.
    const progAttachFlags = attachType === "lsm_cgroup" && !effective;
    const list = query(token, { target: { fd: directory }, attachType, flags, progAttachFlags });
    const { progIds = [], attachFlags = 0 } = list ?? {};
    return progIds.map((progId, index) => {
      const own = (one: LinkInfo): boolean =>
        one.type === "cgroup" && one.progId === progId && one.attachType === attachType &&
        (effective || one.cgroupId === cgroupId);
      const linkId = linkOf(own);
      return {
        where: "cgroup",
        cgroup: path,
        cgroupId,
        attachType,
        allow: allowance(list?.progAttachFlags[index] ?? attachFlags),
        effective,
        progId,
        linkId,
      };
    });
  });
}

/** A cgroup's path, and those of all below it. */
export function* cgroupsBelow(path: string): Generator<string, void, undefined> {
  yield path;
  for (const { name, isDirectory } of listKernelDirectory(path)) {
    if (isDirectory) yield* cgroupsBelow(`${path}/${name}`);
  }
}
