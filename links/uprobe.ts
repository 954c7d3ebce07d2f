/**
 * Programs at places in programs and libraries, one by one.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { findBinary, functionOffset, readBinary } from "./_binary.ts";
import { attachProbe, type ProbeOptions } from "./_probe.ts";
import type { Attachment } from "./link.ts";

/** What `attachUprobe()` takes besides the program: `symbol`, `offset`, or both. */
export interface AttachUprobeOptions extends ProbeOptions {
  /**
   * The program or library: the path of its file, or a name. `libc.so.6` is looked for in LD_LIBRARY_PATH and where
   * libraries are, `bash` in PATH and where programs are, with --allow-read for it (and --allow-env).
   */
  path: string;
  /** The function, as `"malloc"` or with its version, `"memcpy@GLIBC_2.14"`. The file is read, with --allow-read for it. */
  symbol?: string | undefined;
  /** Bytes from the function's start; without one from the file's start. C name: `probe_offset`. @default {0} */
  offset?: number | bigint | undefined;
  /** The offset in the file of a counter that is raised while the probe is there; at most 32 bits. Since 4.20. */
  refCtrOffset?: number | bigint | undefined;
  /** Only in this process; 0 for the own one. By default in all. */
  pid?: number | undefined;
}

/**
 * Attaches a program to a place in a program or library. Since Linux 4.17, by tracefs before; with a cookie since 5.15.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachUprobe, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using prog = progLoad(token, { type: "kprobe", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using link = attachUprobe(token, prog, { path: "libc.so.6", symbol: "getaddrinfo" });
 * console.log(link.closed);
 * ```
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`.
 * @param options The file and the place in it, whether it is a return probe, the process, a cookie, and how the probe is
 * made.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {TypeError} Where there is no such library, program or function, or several of its name.
 * @throws {SyntaxError} Where the file is no ELF file.
 * @throws {NotSupportedError} Where the kernel was built without uprobes.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 * @throws {SyscallError} ENOENT where there is no such file; EINVAL for an offset that is no instruction.
 */
export function attachUprobe(token: AnyToken, prog: FdSource, options: AttachUprobeOptions): Attachment {
  const { symbol, refCtrOffset } = options;
  if (symbol === undefined && options.offset === undefined) {
    throw new TypeError("Cannot attach to a program: give a symbol or an offset");
  }
  const target = findBinary(options.path);
  const start = symbol === undefined ? 0n : BigInt(functionOffset(readBinary(target), symbol, target));
  const offset = start + BigInt(options.offset ?? 0);
  return attachProbe(token, prog, { kind: "uprobe", target, offset, refCtrOffset: refCtrOffset ?? 0 }, options);
}
