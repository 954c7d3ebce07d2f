/**
 * What is attached, as values.
 *
 * @module
 */

import type { LinkInfo } from "../cmds/info.ts";
import type { TaskFdQueryResult } from "../cmds/task.ts";
import type { AttachType } from "../uapi/enums.gen.ts";
import type { XdpMode } from "./interface.ts";

/** What every program that is attached has. */
export interface AttachedBase {
  /** The program's id; 0 for links that hold none, such as those of struct_ops. */
  readonly progId: number;
  /** The id of the link that holds it; undefined where none does, or the kernel does not tell which. */
  readonly linkId: number | undefined;
}

/** A program at an interface. */
export interface AttachedToInterface extends AttachedBase {
  /** Where it is. */
  readonly where: "interface";
  /** The interface's index. */
  readonly ifindex: number;
  /** The interface's name. */
  readonly interface: string;
  /** At which place of the interface. */
  readonly hook:
    | "xdp"
    | "tcx_ingress"
    | "tcx_egress"
    | "netkit_primary"
    | "netkit_peer"
    | "clsact_ingress"
    | "clsact_egress"
    | "qdisc";
  /** How an XDP program runs. */
  readonly mode?: XdpMode;
  /** The filter's priority, at clsact and other qdiscs. */
  readonly priority?: number;
  /** The filter's handle. */
  readonly handle?: number;
  /** The filter's name. */
  readonly name?: string;
  /** The handle of the qdisc that a filter of `"qdisc"` hangs at. */
  readonly parent?: number;
}

/** A program at a network namespace. */
export interface AttachedToNetns extends AttachedBase {
  /** Where it is. */
  readonly where: "netns";
  /** The inode number of the namespace. */
  readonly netns: bigint;
  /** What it does there. */
  readonly attachType: "flow_dissector" | "sk_lookup";
}

/** A program at a cgroup. */
export interface AttachedToCgroup extends AttachedBase {
  /** Where it is. */
  readonly where: "cgroup";
  /** The path of the cgroup. */
  readonly cgroup: string;
  /** The cgroup's id, which is the inode number of its directory. */
  readonly cgroupId: bigint;
  /** What it sees of the cgroup's processes. */
  readonly attachType: AttachType;
  /** What cgroups below may do: nothing, attach in its place, attach besides. */
  readonly allow: "none" | "override" | "multi";
  /** Whether it is attached here, or, where effective programs were asked for, here or above. */
  readonly effective: boolean;
}

/** A program that a process's file descriptor holds: of a perf event or a raw tracepoint. */
export interface AttachedByProcess extends AttachedBase, Omit<TaskFdQueryResult, "progId"> {
  /** Where it is. */
  readonly where: "process";
  /** The process. */
  readonly pid: number;
  /** Its file descriptor. */
  readonly fd: number;
}

/** A program that a link attaches to something that is none of the above, or not to be seen from here. */
export interface AttachedByLink extends AttachedBase {
  /** Where it is. */
  readonly where: "link";
  /** What the kernel tells of the link, by its type. */
  readonly link: LinkInfo;
}

/** A program that is attached, and where. */
export type Attached = AttachedToInterface | AttachedToNetns | AttachedToCgroup | AttachedByProcess | AttachedByLink;
