/**
 * Programs at raw tracepoints, and where programs say by BTF what they attach to.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
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

/** What `attachTracing()` takes besides the program. */
export interface AttachTracingOptions extends CookieOptions {
  /** With a cookie: the attach type that the program was loaded with. C name: `attach_type`. */
  attachType?: TracingAttachType | undefined;
}

/** The attach types of programs that say by BTF what they attach to. */
export type TracingAttachType =
  | "trace_raw_tp"
  | "trace_fentry"
  | "trace_fexit"
  | "modify_return"
  | "trace_fsession"
  | "lsm_mac";

/**
 * Attaches a program that says by BTF what it attaches to: a raw tracepoint with typed arguments, fentry, fexit,
 * fmod_ret, LSM, freplace. Since Linux 5.5; with a cookie since 5.19, of raw tracepoints since 6.10.
 *
 * @param token A permission token.
 * @param prog The program, of type `tracing`, `lsm` or `ext`.
 * @param options A cookie, with the program's attach type.
 * @returns The link.
 * @throws {TypeError} For a cookie without the attach type.
 * @throws {SyscallError} EBUSY where what it attaches to allows no more; EPERM where the kernel refuses such programs.
 */
export function attachTracing(token: AnyToken, prog: FdSource, options: AttachTracingOptions = {}): Link {
  const { cookie, attachType } = options;
  if (cookie === undefined) return new Link(token, rawTracepointOpen(token, prog));
  if (attachType === undefined) throw new TypeError("Cannot use cookie: name the attach type that the program has");
  return new Link(token, linkCreate(token as never, { prog, attachType, tracing: { cookie } }));
}
