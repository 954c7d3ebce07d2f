/**
 * Programs attached without a link, by BPF_PROG_ATTACH: where the kernel has no link for it, or by choice.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { type AttachTarget, progAttach, takeBack } from "../cmds/prog_attach.ts";
import { SyscallError } from "../errors.ts";
import { Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import { kernel } from "../ffi/kernel.ts";
import { openPath } from "../ffi/kernel_file.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE, BPF_F_PREORDER, BPF_F_REPLACE } from "../uapi/constants.gen.ts";
import type { AttachType } from "../uapi/enums.gen.ts";
import { type ListPlace, listPlace } from "./interface.ts";
import { UnlinkedAttachment } from "./link.ts";

/** What a program is attached to without a link: exactly one of these. */
export interface UnlinkedTarget {
  /** A cgroup, by the path of its directory or a descriptor of that. */
  cgroup?: string | FdSource | undefined;
  /** This process's own network namespace: BPF_PROG_ATTACH takes no other. */
  netns?: "own" | undefined;
  /** The sockets that are put in a map from then on, of type `sockmap` or `sockhash`: they keep it until they are taken out. */
  map?: FdSource | undefined;
  /** An infrared device, by the path of its file (`/dev/lirc0`) or a descriptor of that, open for writing. */
  lirc?: string | FdSource | undefined;
  /** A network interface, by name or index: tcx and netkit. Since 6.6. */
  interface?: string | number | undefined;
}

/** What `attachUnlinked()` takes besides the program. */
export interface AttachUnlinkedOptions<T extends AttachType = AttachType> extends UnlinkedTarget, ListPlace {
  /** How. C name: `attach_type`. */
  attachType: T;
  /**
   * On cgroups: whether cgroups below may attach a program of their own, which runs instead (`"override"`) or besides
   * (`"multi"`). C names: BPF_F_ALLOW_OVERRIDE, BPF_F_ALLOW_MULTI. By default they may not.
   */
  allow?: "override" | "multi" | undefined;
  /** On cgroups with `allow: "multi"`: a program there, whose place it takes. C name: BPF_F_REPLACE. Since 5.6. */
  replace?: FdSource | undefined;
  /** On cgroups: whether it runs before those of the cgroups below. C name: BPF_F_PREORDER. Since 6.15. @default {false} */
  preorder?: boolean | undefined;
}

/** An open target, and whether it was opened for the call. */
interface OpenTarget {
  readonly target: AttachTarget;
  readonly owned: Fd | undefined;
}

/** The kernel takes the caller's network namespace, and wants no descriptor of it. */
const OWN_NETNS: AttachTarget = { fd: 0 };

const F_DUPFD_CLOEXEC = 1030;

/** A descriptor for the same, which outlives the caller's. */
function duplicate(source: FdSource, argument: string): Fd {
  if (source instanceof Fd) return source.dup();
  const copy = kernel().fcntl(fdNumber(source, argument), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw new SyscallError({ command: "fcntl", errno: -copy, action: "duplicate a file descriptor" });
  return Fd.own(copy);
}

function openTarget({ cgroup, netns, map, lirc, interface: name }: UnlinkedTarget): OpenTarget {
  const given = { cgroup, netns, map, lirc, interface: name };
  const names = Object.entries(given).filter(([, value]) => value !== undefined).map(([key]) => key);
  if (names.length !== 1) {
    throw new TypeError(`Cannot attach a program: give one of ${Object.keys(given).join(", ")}, not ${names.length}`);
  }
  if (name !== undefined) return { target: { ifindex: interfaceIndex(name) }, owned: undefined };
  if (netns !== undefined) {
    if (netns !== "own") throw new TypeError(`Cannot use netns: "${netns}" is not "own"; attachNetns() takes any`);
    return { target: OWN_NETNS, owned: undefined };
  }
  const place = cgroup ?? map ?? lirc;
  // Since 6.6 the kernel takes infrared devices only where they are open for writing.
  const writable = lirc !== undefined;
  const owned = typeof place === "string" ? openPath(place, { writable }) : duplicate(place as FdSource, names[0]);
  return { target: { fd: owned }, owned };
}

function attachFlags({ allow, replace, preorder }: AttachUnlinkedOptions): number {
  if (allow !== undefined && allow !== "override" && allow !== "multi") {
    throw new TypeError(`Cannot use allow: "${allow}" is none of override, multi`);
  }
  if (replace !== undefined && allow !== "multi") {
    throw new TypeError('Cannot use replace: only where allow is "multi" there are several programs to choose from');
  }
  return (allow === "override" ? BPF_F_ALLOW_OVERRIDE : allow === "multi" ? BPF_F_ALLOW_MULTI : 0) |
    (replace === undefined ? 0 : BPF_F_REPLACE) | (preorder ? BPF_F_PREORDER : 0);
}

/**
 * Attaches a program without a link: BPF_PROG_ATTACH. It stays when the process ends; disposing of what is returned detaches
 * it, unless another program has taken its place. Since Linux 4.10; what can be attached to depends on the release.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachUnlinked, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
 * using prog = progLoad(token, { type: "cgroup_device", license: "GPL", insns: asm`
 *   r0 = 1
 *   exit
 * ` });
 * using attachment = attachUnlinked(token, prog, {
 *   cgroup: "/sys/fs/cgroup/mine",
 *   attachType: "cgroup_device",
 *   allow: "multi",
 * });
 * console.log(attachment.closed);
 * ```
 *
 * @typeParam T The attach type's name.
 * @param token A token with what the attach type asks for.
 * @param prog The program.
 * @param options The target, the attach type, and how it stands to other programs there.
 * @returns What detaches it.
 * @throws {TypeError} For no target, or several.
 * @throws {SyscallError} EINVAL where program, target and attach type do not go together; EBUSY, EEXIST, EPERM where a
 * program that is there does not allow it.
 */
export function attachUnlinked<const T extends AttachType>(
  token: AttachToken<"prog_attach", T>,
  prog: FdSource,
  options: AttachUnlinkedOptions<T>,
): UnlinkedAttachment {
  const { attachType, replace } = options;
  const any = token as AnyToken;
  any.assert({ command: "prog_attach", attachType }, `attach a program by ${attachType}`);
  const { flags, place } = listPlace(options);
  const { id } = objGetInfoByFd(any, prog, { kind: "prog" });
  const allFlags = flags | attachFlags(options);
  const { target, owned } = openTarget(options);
  let kept: Fd | undefined;
  const close = (): void => {
    owned?.close();
    kept?.close();
  };
  let held: Fd;
  try {
    kept = held = duplicate(prog, "prog");
    progAttach(any as never, kept, {
      target,
      attachType,
      flags: allFlags,
      replace,
      anchor: place.anchor,
      ...(place.expectedRevision === undefined ? {} : { expectedRevision: place.expectedRevision }),
    });
  } catch (error) {
    close();
    throw error;
  }
  return any.adopt(
    new UnlinkedAttachment(() => {
      try {
        // Where there is nothing to ask, the kernel itself takes only the program that is named.
        takeBack(any, { target, attachType, prog: held }, target === OWN_NETNS ? undefined : id);
      } finally {
        close();
      }
    }),
  );
}
