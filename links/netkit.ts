/**
 * Programs at netkit devices: pairs of interfaces that pass packets between network namespaces by program.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import type { FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import { type ListPlace, listPlace } from "./interface.ts";
import { Link } from "./link.ts";

/** What `attachNetkit()` takes besides the program. */
export interface AttachNetkitOptions extends ListPlace {
  /** The primary device of the pair, by name or index: programs of the peer are attached by it, too. */
  interface: string | number;
  /** Whether the program sees what the primary device sends, or what its peer sends. */
  side: "primary" | "peer";
}

/**
 * Attaches a program to a netkit device. One side takes up to 64, in an order. Since Linux 6.7.
 *
 * @param token A permission token: loading the program took CAP_NET_ADMIN.
 * @param prog The program, of type `sched_cls`: it returns NETKIT_PASS (0), NETKIT_DROP (2), NETKIT_REDIRECT (7), or
 * NETKIT_NEXT (-1) for the next program.
 * @param options The device, the side, and the place among those that are there; without one the last.
 * @returns The link.
 * @throws {TypeError} For a side that there is not, or where there is no such interface.
 * @throws {SyscallError} ENXIO where the interface is no netkit device; EACCES where it is the peer; ESTALE where the
 * revision is another one.
 */
export function attachNetkit(
  token: AttachToken<"link_create", "netkit_primary">,
  prog: FdSource,
  options: AttachNetkitOptions,
): Link {
  const { side } = options;
  if (side !== "primary" && side !== "peer") throw new TypeError(`Cannot use side: "${side}" is none of primary, peer`);
  const target = { ifindex: interfaceIndex(options.interface) };
  const { flags, place } = listPlace(options);
  const attachType = side === "peer" ? "netkit_peer" : "netkit_primary";
  return new Link(token, linkCreate(token, { prog, target, attachType, flags, netkit: place }));
}
