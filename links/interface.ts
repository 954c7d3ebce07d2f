/**
 * Programs at network interfaces: XDP, and traffic control by tcx.
 *
 * @module
 */

import { linkCreate, type LinkPlace } from "../cmds/link.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import { BPF_F_AFTER, BPF_F_BEFORE, BPF_F_LINK } from "../uapi/constants.gen.ts";
import { Link } from "./link.ts";

/** How an XDP program runs: on any interface, in the driver, or in the hardware. */
export type XdpMode = "generic" | "native" | "offload";

/** Bits of the kernel's XDP_FLAGS_*: linux/if_link.h. */
const XDP_MODES: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2, offload: 1 << 3 };

/**
 * A mode as the kernel takes it.
 *
 * @param mode The mode; none leaves it to the kernel.
 * @returns XDP_FLAGS_*.
 * @throws {TypeError} For a mode that there is not.
 */
export function xdpModeFlags(mode: XdpMode | undefined): number {
  if (mode === undefined) return 0;
  if (!Object.hasOwn(XDP_MODES, mode)) {
    throw new TypeError(`Cannot use mode: "${mode}" is none of ${Object.keys(XDP_MODES).join(", ")}`);
  }
  return XDP_MODES[mode];
}

/** What an error of attaching means where the hardware was to run the program. */
export function withoutOffload(error: unknown, mode: XdpMode | undefined): unknown {
  const code = error instanceof SyscallError ? error.code : undefined;
  if (mode !== "offload" || (code !== "EOPNOTSUPP" && code !== "EINVAL")) return error;
  const reason = "the interface's device does not run programs, or the program was not loaded for it";
  return new NotSupportedError("XDP in hardware", { reason, cause: error });
}

/** What `attachXdp()` takes besides the program. */
export interface AttachXdpOptions {
  /** The interface, by name or by index. */
  interface: string | number;
  /** How it runs; without it in the driver where that can, else generically. C names: XDP_FLAGS_SKB_MODE, … */
  mode?: XdpMode | undefined;
}

/**
 * Attaches an XDP program to an interface. One interface takes one. Since Linux 5.9.
 *
 * @param token A token with CAP_NET_ADMIN, and CAP_BPF or CAP_SYS_ADMIN where bpf(2) is not for everybody.
 * @param prog The program, of type `xdp`.
 * @param options The interface, and how it runs there.
 * @returns The link.
 * @throws {RangeError | TypeError} Where there is no such interface or mode.
 * @throws {NotSupportedError} For `"offload"` at a device that runs no programs.
 * @throws {SyscallError} EBUSY where a program is attached there; EOPNOTSUPP where the driver does not know the mode.
 */
export function attachXdp(token: AttachToken<"link_create", "xdp">, prog: FdSource, options: AttachXdpOptions): Link {
  const flags = xdpModeFlags(options.mode);
  const target = { ifindex: interfaceIndex(options.interface) };
  try {
    return new Link(token, linkCreate(token, { prog, target, attachType: "xdp", flags }));
  } catch (error) {
    throw withoutOffload(error, options.mode);
  }
}

/** What a program is put next to: a link, or a program, by itself or by its id. */
export type ListAnchor = Link | { prog: FdSource } | { progId: number } | { linkId: number };

/** Where in a list of programs one is put. */
export interface ListPlace {
  /** Before this one; `"first"` for before all. C name: BPF_F_BEFORE. */
  before?: ListAnchor | "first" | undefined;
  /** After this one; `"last"` for after all. C name: BPF_F_AFTER. */
  after?: ListAnchor | "last" | undefined;
  /** Refuse where the list has another revision. C name: `expected_revision`. */
  revision?: bigint | undefined;
}

/** An anchor as the kernel takes it, and whether it is of a link. */
function anchorOf(anchor: ListAnchor): { anchor: LinkPlace["anchor"]; flags: number } {
  if (anchor instanceof Link) return { anchor: { fd: anchor }, flags: BPF_F_LINK };
  if ("linkId" in anchor) return { anchor: { id: anchor.linkId }, flags: BPF_F_LINK };
  return { anchor: "progId" in anchor ? { id: anchor.progId } : { fd: anchor.prog }, flags: 0 };
}

/**
 * A place as the kernel takes it.
 *
 * @param place Before or after what.
 * @returns The flags and the anchor.
 * @throws {TypeError} For both at once.
 */
export function listPlace({ before, after, revision }: ListPlace): { flags: number; place: LinkPlace } {
  if (before !== undefined && after !== undefined) throw new TypeError("Cannot use before and after: give one of them");
  const beside = before ?? after;
  const side = before !== undefined ? BPF_F_BEFORE : after !== undefined ? BPF_F_AFTER : 0;
  const { anchor, flags } = beside === undefined || typeof beside === "string"
    ? { anchor: undefined, flags: 0 }
    : anchorOf(beside);
  return { flags: side | flags, place: { anchor, expectedRevision: revision } };
}

/** What `attachTcx()` takes besides the program. */
export interface AttachTcxOptions extends ListPlace {
  /** The interface, by name or by index. */
  interface: string | number;
  /** Packets that come in, or that go out. */
  direction: "ingress" | "egress";
}

/**
 * Attaches a program to an interface's traffic. One interface takes up to 64, in an order. Since Linux 6.6.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program, of type `sched_cls`.
 * @param options The interface, the direction, and the place among those that are there; without one the last.
 * @returns The link.
 * @throws {RangeError | TypeError} Where there is no such interface.
 * @throws {SyscallError} ESTALE where the revision is another one; ENOENT where the anchor is not attached there.
 */
export function attachTcx(
  token: AttachToken<"link_create", "tcx_ingress">,
  prog: FdSource,
  options: AttachTcxOptions,
): Link {
  const attachType = options.direction === "egress" ? "tcx_egress" : "tcx_ingress";
  const target = { ifindex: interfaceIndex(options.interface) };
  const { flags, place } = listPlace(options);
  return new Link(token, linkCreate(token, { prog, target, attachType, flags, tcx: place }));
}
