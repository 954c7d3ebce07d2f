/**
 * Programs in the place of a function of another program, and at many functions of the kernel by their types.
 *
 * @module
 */

import { Btf } from "../btf/mod.ts";
import { btfGetFdById } from "../cmds/id.ts";
import { linkCreate } from "../cmds/link.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { rawTracepointOpen } from "../cmds/raw_tracepoint.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { Link } from "./link.ts";
import type { CookieOptions } from "./raw_tracepoint.ts";

/** What `attachFreplace()` takes besides the program. */
export interface AttachFreplaceOptions extends CookieOptions {
  /** The program whose function is replaced. By default the one that the program was loaded for. */
  target?: FdSource | undefined;
  /** The function of it, which has to be global. By default the one that the program was loaded for. */
  function?: string | undefined;
}

/** The number of a function in the types of a program. */
function functionIn(token: AnyToken, target: FdSource, name: string): number {
  const { btfId, id } = objGetInfoByFd(token, target, { kind: "prog" });
  if (btfId === 0) throw new TypeError(`Cannot use target: program ${id} has no BTF`);
  using fd = btfGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, btfId);
  const { btf } = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
  const found = Btf.parse(btf as Uint8Array).find("func", name);
  if (found === undefined) throw new TypeError(`Cannot use function: program ${id} has no function "${name}"`);
  return found;
}

/**
 * Puts a program in the place of a function of another program, for as long as the link is open: freplace. Since Linux 5.6;
 * with another target than the program was loaded for since 5.10, which frees it for that target.
 *
 * @param token A token with what attaching such a program asks for; CAP_SYS_ADMIN to find a function by name.
 * @param prog The program, of type `ext`.
 * @param options The other program and its function, where it is not what the program was loaded for.
 * @returns The link.
 * @throws {TypeError} Where the target has no such function.
 * @throws {SyscallError} EINVAL where the functions do not have the same types; EBUSY where it is replaced already.
 */
export function attachFreplace(token: AnyToken, prog: FdSource, options: AttachFreplaceOptions = {}): Link {
  const { target, function: name, cookie } = options;
  if ((target === undefined) !== (name === undefined)) {
    throw new TypeError("Cannot replace a function: give both target and function, or none");
  }
  // Kernels before 5.10 know such programs by the other command only.
  if (target === undefined && cookie === undefined) return new Link(token, rawTracepointOpen(token, prog));
  const targetBtfId = target === undefined ? undefined : functionIn(token, target, name!);
  const attachType = 0;
  const place = target === undefined ? {} : { target: { fd: target } };
  const how = cookie === undefined
    ? targetBtfId === undefined ? {} : { targetBtfId }
    : { tracing: { targetBtfId, cookie } };
  return new Link(token, linkCreate(token as never, { prog, attachType, ...place, ...how }));
}

/** What `attachTracingMulti()` takes besides the program: one of `functions` and `ids`. */
export interface AttachTracingMultiOptions {
  /** The functions by name. */
  functions?: readonly string[] | undefined;
  /** The functions by their type ids in the kernel's BTF. */
  ids?: readonly number[] | undefined;
  /** A cookie for each. */
  cookies?: readonly bigint[] | undefined;
  /** When the program runs, as it was loaded. @default {"fentry"} */
  at?: "fentry" | "fexit" | "fsession" | undefined;
}

/**
 * Attaches a program to many functions of the kernel with one link, by trampolines. Since Linux 7.2.
 *
 * @param token A permission token.
 * @param prog The program, of type `tracing`, loaded with the attach type `trace_fentry_multi`, `trace_fexit_multi` or
 * `trace_fsession_multi`.
 * @param options The functions, and a cookie for each.
 * @returns The link.
 * @throws {TypeError} Where the kernel has no such function.
 * @throws {SyscallError} EINVAL where the program was loaded for something else.
 */
export function attachTracingMulti(token: AnyToken, prog: FdSource, options: AttachTracingMultiOptions): Link {
  const { functions, ids, cookies, at = "fentry" } = options;
  if ((functions === undefined) === (ids === undefined)) {
    throw new TypeError("Cannot attach to many functions: give one of functions and ids");
  }
  if (!["fentry", "fexit", "fsession"].includes(at)) {
    throw new TypeError(`Cannot use at: "${at}" is none of fentry, fexit, fsession`);
  }
  const found = ids ?? functions!.map((name) => {
    const id = kernelBtf().find("func", name);
    if (id === undefined) throw new TypeError(`Cannot use functions: the kernel has no function "${name}"`);
    return id;
  });
  const tracingMulti = { ids: found, cookies };
  return new Link(token, linkCreate(token as never, { prog, attachType: `trace_${at}_multi` as const, tracingMulti }));
}
