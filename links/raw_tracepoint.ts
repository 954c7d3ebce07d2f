/**
 * Programs at raw tracepoints, and where programs say by BTF what they attach to.
 *
 * @module
 */

import { rawTracepointOpen } from "../cmds/raw_tracepoint.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { Link } from "./link.ts";

/** What attaching to one place takes besides the program. */
export interface CookieOptions {
  /** What bpf_get_attach_cookie() returns in the program. C name: `cookie`. @default {0n} */
  cookie?: bigint | undefined;
}

/**
 * Attaches a program to a raw tracepoint. Since Linux 4.17; with a cookie since 6.10.
 *
 * @param token A permission token.
 * @param prog The program, of type `raw_tracepoint` or `raw_tracepoint_writable`.
 * @param name The tracepoint, such as `"sched_process_exec"`.
 * @param options A cookie.
 * @returns The link.
 * @throws {SyscallError} ENOENT where there is no such tracepoint.
 */
export function attachRawTracepoint(
  token: AnyToken,
  prog: FdSource,
  name: string,
  options: CookieOptions = {},
): Link {
  return new Link(token, rawTracepointOpen(token, prog, { name, ...options }));
}

/**
 * Attaches a program that says by BTF what it attaches to: a raw tracepoint with typed arguments, fentry, fexit,
 * fmod_ret, LSM. Since Linux 5.5.
 *
 * @param token A permission token.
 * @param prog The program, of type `tracing` or `lsm`.
 * @returns The link.
 * @throws {SyscallError} EBUSY where what it attaches to allows no more; EPERM where the kernel refuses such programs.
 */
export function attachTracing(token: AnyToken, prog: FdSource): Link {
  return new Link(token, rawTracepointOpen(token, prog));
}
