/**
 * Programs at functions of the kernel, one by one.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { syscallFunction } from "./_kernel_functions.ts";
import { attachProbe, type ProbeOptions } from "./_probe.ts";
import type { Attachment } from "./link.ts";

/** What `attachKprobe()` takes besides the program. */
export interface AttachKprobeOptions extends ProbeOptions {
  /** Bytes from the function's start; 0 for a return probe. @default {0} */
  offset?: number | undefined;
}

/**
 * Attaches a program to a function of the kernel. Since Linux 4.17, by tracefs before; with a cookie since 5.15.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`.
 * @param target The function, such as `"do_unlinkat"`, or its address.
 * @param options Where in it, a cookie, and how the probe is made.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {NotSupportedError} Where the kernel was built without kprobes.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 * @throws {SyscallError} EINVAL, ENOENT where there is no such function, or it cannot be probed.
 */
export function attachKprobe(
  token: AnyToken,
  prog: FdSource,
  target: string | bigint,
  options: AttachKprobeOptions = {},
): Attachment {
  return attachProbe(token, prog, { kind: "kprobe", target, offset: options.offset ?? 0 }, options);
}

/**
 * Attaches a program to a system call: to the function that the kernel has for it on this machine, such as
 * `__x64_sys_openat`. Since Linux 4.17, by tracefs before; with a cookie since 5.15.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachKsyscall, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using prog = progLoad(token, { type: "kprobe", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using link = attachKsyscall(token, prog, "openat");
 * console.log(link.closed);
 * ```
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`. Its context has the registers of the function, whose first argument points at
 * those of the system call.
 * @param name The system call, such as `"openat"`.
 * @param options Whether where it returns, a cookie, and how the probe is made.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {TypeError} Where the kernel has no such system call.
 * @throws {NotSupportedError} Where the kernel was built without kprobes.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 */
export function attachKsyscall(
  token: AnyToken,
  prog: FdSource,
  name: string,
  options: ProbeOptions = {},
): Attachment {
  return attachProbe(token, prog, { kind: "kprobe", target: syscallFunction(name), offset: 0 }, options);
}
