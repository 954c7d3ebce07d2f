/**
 * What is attached where, whoever attached it and however: links, netlink, BPF_PROG_ATTACH and perf events together.
 *
 * @module
 */

import type { LinkInfo } from "../cmds/info.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import { pathExists, tryReadKernelText } from "../ffi/kernel_file.ts";
import type { PermissionToken } from "../tokens/token.ts";
import {
  type AskingToken,
  attachedToCgroup,
  attachedToInterface,
  attachedToNetns,
  cgroupsBelow,
} from "./_attached_places.ts";
import { attachedByProcesses } from "./_attached_processes.ts";
import type { Attached } from "./attached_types.ts";
import { Link } from "./link.ts";
import { queryInterfaces } from "./xdp_netlink.ts";

/** Where to look: exactly one of these, or `"system"`. */
export type AttachedWhere =
  | {
    /** An interface of this network namespace, by name or index. */
    interface: string | number;
  }
  | {
    /** A cgroup, by the path of its directory. */
    cgroup: string;
    /** Also those below it. @default {false} */
    tree?: boolean | undefined;
    /** What has an effect on its processes, instead of what is attached to it: what cgroups above hand down, too. @default {false} */
    effective?: boolean | undefined;
  }
  | {
    /**
     * A network namespace: a path (`/run/netns/name`), the number of a process, or `"own"` for this process's, whose
     * interfaces are looked at, too.
     */
    netns: string | number;
  }
  | {
    /** What the descriptors of all processes hold. */
    processes: true;
  }
  | {
    /** All links of the system, whatever they attach to. */
    links: true;
  }
  | "system";

const OWN_NETNS = "/proc/self/ns/net";

/** Where the cgroup v2 hierarchy is mounted. */
function cgroupRoot(): string | undefined {
  for (const line of (tryReadKernelText("/proc/self/mounts") ?? "").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2") return path.replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
  }
  return undefined;
}

const byLink = (link: LinkInfo): Attached => ({ where: "link", progId: link.progId, linkId: link.id, link });

function inInterfaces(token: AskingToken, links: readonly LinkInfo[], ifindex?: number): Attached[] {
  return queryInterfaces(ifindex).flatMap((one) => attachedToInterface(token, one, links));
}

function inCgroups(
  token: AskingToken,
  root: string,
  how: { links: readonly LinkInfo[]; tree: boolean; effective: boolean },
): Attached[] {
  const paths = how.tree ? cgroupsBelow(root) : [root];
  const found: Attached[] = [];
  for (const path of paths) {
    // Cgroups come and go meanwhile.
    if (path !== root && !pathExists(path)) continue;
    found.push(...attachedToCgroup(token, path, how));
  }
  return found;
}

/**
 * Tells what is attached where, whoever attached it: the job of `bpftool net`, `cgroup tree`, `perf` and `link`.
 *
 * Links that hold what is told are named with it; with `"system"` the others follow by themselves. Interfaces are those of
 * this process's network namespace.
 *
 * @example
 * ```ts
 * import { acquire, attached } from "@bpf/deno";
 *
 * const token = acquire("CAP_NET_ADMIN", "CAP_SYS_ADMIN");
 * for (const one of attached(token, "system")) {
 *   if (one.where === "interface") console.log(`${one.interface} ${one.hook}: program ${one.progId}`);
 * }
 * ```
 *
 * @param token A token with CAP_NET_ADMIN and CAP_SYS_ADMIN.
 * @param where Where to look.
 * @returns The programs, in the order in which they run where there is one.
 * @throws {TypeError} Where there is no such interface.
 * @throws {SyscallError} ENOENT where there is no such cgroup or network namespace; EBADF where the path is no cgroup.
 */
export function attached(token: PermissionToken<"CAP_NET_ADMIN" | "CAP_SYS_ADMIN">, where: AttachedWhere): Attached[] {
  const links = allLinks(token);
  if (where === "system") {
    const root = cgroupRoot();
    const found = [
      ...inInterfaces(token, links),
      ...attachedToNetns(token, OWN_NETNS, links),
      ...(root === undefined ? [] : inCgroups(token, root, { links, tree: true, effective: false })),
      ...attachedByProcesses(token),
    ];
    const named = new Set(found.map(({ linkId }) => linkId));
    return [...found, ...links.filter(({ id }) => !named.has(id)).map(byLink)];
  }
  if ("interface" in where) return inInterfaces(token, links, interfaceIndex(where.interface));
  if ("cgroup" in where) {
    const { cgroup, tree = false, effective = false } = where;
    return inCgroups(token, cgroup, { links, tree, effective });
  }
  if ("netns" in where) {
    const { netns } = where;
    const path = netns === "own" ? OWN_NETNS : typeof netns === "number" ? `/proc/${netns}/ns/net` : netns;
    return [
      ...(netns === "own" ? inInterfaces(token, links) : []),
      ...attachedToNetns(token, path, links),
    ];
  }
  if ("processes" in where) return attachedByProcesses(token);
  if ("links" in where) return links.map(byLink);
  throw new TypeError(
    "Cannot tell what is attached: give an interface, a cgroup, a netns, processes, links, or system",
  );
}

/** What the kernel tells of all links. */
function allLinks(token: AskingToken): LinkInfo[] {
  const links: LinkInfo[] = [];
  for (const link of Link.all(token)) links.push(link.info);
  return links;
}
