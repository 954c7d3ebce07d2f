/**
 * Programs at cgroups.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import type { FdSource } from "../ffi/fd.ts";
import { openPath } from "../ffi/kernel_file.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { AttachType } from "../uapi/enums.gen.ts";
import { type ListPlace, listPlace } from "./interface.ts";
import { Link } from "./link.ts";

/** The attach types of cgroups. */
export type CgroupAttachType = Extract<AttachType, `cgroup_${string}` | "lsm_cgroup">;

/** What `attachCgroup()` takes besides the program. */
export interface AttachCgroupOptions<T extends CgroupAttachType = CgroupAttachType> extends ListPlace {
  /** The cgroup, by the path of its directory or a descriptor of that. */
  cgroup: string | FdSource;
  /** What the program sees of the cgroup's processes. */
  attachType: T;
}

/**
 * Attaches a program to a cgroup and those below it. Several can be attached; a place among them is since 6.16. Since
 * Linux 5.7.
 *
 * @typeParam T The attach type's name.
 * @param token A token with what the attach type asks for.
 * @param prog The program.
 * @param options The cgroup, the attach type, and the place among those that are there.
 * @returns The link.
 * @throws {SyscallError} EPERM where a program of a cgroup above does not allow it; EBADF where the path is no cgroup.
 */
export function attachCgroup<const T extends CgroupAttachType>(
  token: AttachToken<"link_create", T>,
  prog: FdSource,
  options: AttachCgroupOptions<T>,
): Link {
  const { cgroup, attachType } = options;
  const { flags, place } = listPlace(options);
  const placed = flags !== 0 || place.expectedRevision !== undefined;
  using directory = typeof cgroup === "string" ? openPath(cgroup) : undefined;
  const target = { fd: directory ?? (cgroup as FdSource) };
  const fd = linkCreate(token, { prog, target, attachType, flags, ...(placed ? { cgroup: place } : {}) });
  return new Link(token as AnyToken, fd);
}
