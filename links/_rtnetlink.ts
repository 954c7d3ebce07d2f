/**
 * What messages about interfaces, traffic and routes have in common.
 *
 * @module
 */

import { PermissionError } from "../errors.ts";
import { Fd, type FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";

/** Asks the token for what changing routes takes: a kernel rule that bpf(2) has no part in. */
export function assertNetAdmin(token: AnyToken, action: string): void {
  token.assert({ command: "prog_attach" }, action);
  if (token.capabilities.includes("CAP_NET_ADMIN")) return;
  throw new PermissionError({
    command: "netlink",
    action,
    missing: ["CAP_NET_ADMIN"],
    errno: errnos.EPERM,
    reason: "it can see or change network traffic",
    remedy: "Acquire CAP_NET_ADMIN",
  });
}

/** A number of an attribute, of one byte or four. */
export function numberIn(attributes: ReadonlyMap<number, Bytes>, type: number): number | undefined {
  const bytes = attributes.get(type);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return bytes.length === 4 ? view.getUint32(0, LITTLE_ENDIAN) : view.getUint8(0);
}

/** A descriptor of the caller's program that outlives theirs. */
export function keep(prog: FdSource, argument = "prog"): Fd {
  if (prog instanceof Fd) return prog.dup();
  const { descriptor } = prog as { descriptor?: unknown };
  if (descriptor instanceof Fd) return descriptor.dup();
  throw new TypeError(`Cannot use ${argument}: netlink takes a program or its Fd, of which a duplicate is kept`);
}

/** Tries something where another error is to be told. */
export function ignoring(work: () => void): void {
  try {
    work();
  } catch {
    // The error that led here says more.
  }
}
