/**
 * Attaching to raw tracepoints: BPF_RAW_TRACEPOINT_OPEN.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { callForFd } from "./_call.ts";

/** What `rawTracepointOpen()` takes besides the program. Its C name is `bpf_attr.raw_tracepoint`. */
export interface RawTracepointOptions {
  /** The tracepoint, such as `"sys_enter"`; none for programs that say by BTF what they attach to. C name: `name`. */
  name?: string | undefined;
  /** What bpf_get_attach_cookie() returns in the program. C name: `cookie`. Since 6.10. @default {0n} */
  cookie?: bigint | undefined;
}

/**
 * Attaches a raw tracepoint program, or a program that says by BTF what it attaches to (fentry, fexit, tp_btf, LSM), as
 * a link: BPF_RAW_TRACEPOINT_OPEN. It is detached when the last descriptor of the link is closed. Since Linux 4.17.
 *
 * @example
 * ```ts
 * import { acquire, asm, progLoad, rawTracepointOpen } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using link = rawTracepointOpen(token, prog, { name: "sched_process_exec" });
 * console.log(link.fd);
 * ```
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options The tracepoint and a cookie.
 * @returns The link's file descriptor.
 * @throws {SyscallError} ENOENT where there is no such tracepoint; EINVAL where the program is of another type.
 */
export function rawTracepointOpen(token: AnyToken, prog: FdSource, options: RawTracepointOptions = {}): Fd {
  const { name, cookie = 0n } = options;
  const attr = new Attr("raw_tracepoint_open").fd("prog_fd", prog).u64("cookie", cookie);
  if (name !== undefined) attr.string("name", name);
  return callForFd(token, attr, { action: name === undefined ? "attach a program" : `attach to tracepoint ${name}` });
}
