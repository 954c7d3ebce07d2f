/**
 * Programs at functions: kprobes in the kernel, uprobes in programs and libraries, one by one or many with one link.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN } from "../uapi/constants.gen.ts";
import { readProbeType } from "./_tracefs.ts";
import { type Attachment, Link } from "./link.ts";
import { attachOpened } from "./perf_event.ts";
import type { CookieOptions } from "./raw_tracepoint.ts";

/** What a probe of either kind takes. */
export interface ProbeOptions extends CookieOptions {
  /** Whether it is where the function returns. @default {false} */
  returns?: boolean | undefined;
}

/** What `attachKprobe()` takes besides the program. */
export interface AttachKprobeOptions extends ProbeOptions {
  /** Bytes from the function's start; 0 for a return probe. @default {0} */
  offset?: number | undefined;
}

/** What is probed. */
interface Probed {
  readonly kind: "kprobe" | "uprobe";
  /** The function, or the file. */
  readonly target: string;
  readonly offset: number | bigint;
}

/** Opens an event of the dynamic type of a probe, and attaches a program to it. */
function attachProbe(
  token: AnyToken,
  prog: FdSource,
  { kind, target, offset }: Probed,
  options: ProbeOptions & { pid?: number | undefined },
): Attachment {
  const { type, returnBit } = readProbeType(kind);
  const attr = structBuffer("perf_event_attr").u32("type", type)
    .u64("config", options.returns ? 1n << BigInt(returnBit) : 0n)
    .string(kind === "kprobe" ? "kprobe_func" : "uprobe_path", target).u64("probe_offset", offset);
  try {
    return attachOpened(token, prog, attr, options);
  } catch (error) {
    // That there is no such event says of a probe that there is no such place.
    const cause = error instanceof NotSupportedError ? error.cause : undefined;
    if (!(cause instanceof SyscallError)) throw error;
    const hint = kind === "kprobe" ? "there is no such function, or it cannot be probed" : "there is no such file";
    const { command, errno } = cause;
    throw new SyscallError({ command, errno, action: `attach to ${target}`, hint, cause: error });
  }
}

/**
 * Attaches a program to a function of the kernel. Since Linux 4.17; with a cookie since 5.15.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`.
 * @param name The function, such as `"do_unlinkat"`.
 * @param options Where in it, and a cookie.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {NotSupportedError} Where the kernel was built without kprobes.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 * @throws {SyscallError} EINVAL where there is no such function, or it cannot be probed.
 */
export function attachKprobe(
  token: AnyToken,
  prog: FdSource,
  name: string,
  options: AttachKprobeOptions = {},
): Attachment {
  return attachProbe(token, prog, { kind: "kprobe", target: name, offset: options.offset ?? 0 }, options);
}

/** What `attachUprobe()` takes besides the program. */
export interface AttachUprobeOptions extends ProbeOptions {
  /** The program or library: the path of its file. */
  path: string;
  /** The offset of the probe in the file, in bytes. C name: `probe_offset`. */
  offset: number | bigint;
  /** Only in this process. By default in all. */
  pid?: number | undefined;
}

/**
 * Attaches a program to a place in a program or library. Since Linux 4.17; with a cookie since 5.15.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`.
 * @param options The file and the offset, whether it is a return probe, the process, and a cookie.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {NotSupportedError} Where the kernel was built without uprobes.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 * @throws {SyscallError} ENOENT where there is no such file; EINVAL for an offset that is no instruction.
 */
export function attachUprobe(token: AnyToken, prog: FdSource, options: AttachUprobeOptions): Attachment {
  const { path, offset } = options;
  return attachProbe(token, prog, { kind: "uprobe", target: path, offset }, options);
}

/** What `attachKprobeMulti()` takes besides the program. */
export interface AttachKprobeMultiOptions {
  /** The functions by name; give this or `addresses`. */
  symbols?: readonly string[] | undefined;
  /** The functions by address. */
  addresses?: readonly bigint[] | undefined;
  /** A cookie for each. */
  cookies?: readonly bigint[] | undefined;
  /** Whether they are return probes. @default {false} */
  returns?: boolean | undefined;
  /** Whether the program runs at entry and return of each call. Since 6.10. @default {false} */
  session?: boolean | undefined;
}

/**
 * Attaches a program to many functions of the kernel with one link. Since Linux 5.18.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`, loaded with the attach type `trace_kprobe_multi` or `trace_kprobe_session`.
 * @param options The functions.
 * @returns The link.
 * @throws {SyscallError} ESRCH where a function is unknown; EOPNOTSUPP where the kernel was built without fprobe.
 */
export function attachKprobeMulti(token: AnyToken, prog: FdSource, options: AttachKprobeMultiOptions): Link {
  const { symbols, addresses, cookies, returns = false, session = false } = options;
  const attachType = session ? "trace_kprobe_session" : "trace_kprobe_multi";
  const kprobeMulti = { symbols, addresses, cookies, flags: returns ? BPF_F_KPROBE_MULTI_RETURN : 0 };
  return new Link(token, linkCreate(token as never, { prog, attachType, kprobeMulti }));
}

/** What `attachUprobeMulti()` takes besides the program. */
export interface AttachUprobeMultiOptions {
  /** The program or library: the path of its file. */
  path: string;
  /** The offsets of the probes in the file. */
  offsets: readonly bigint[];
  /** The offset of a reference counter for each. C name: `ref_ctr_offsets`. */
  refCtrOffsets?: readonly bigint[] | undefined;
  /** A cookie for each. */
  cookies?: readonly bigint[] | undefined;
  /** Whether they are return probes. @default {false} */
  returns?: boolean | undefined;
  /** Whether the program runs at entry and return of each call. Since 6.13. @default {false} */
  session?: boolean | undefined;
  /** Only in this process. By default in all. */
  pid?: number | undefined;
}

/**
 * Attaches a program to many places of a program or library with one link. Since Linux 6.6.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`, loaded with the attach type `trace_uprobe_multi` or `trace_uprobe_session`.
 * @param options The file and the offsets.
 * @returns The link.
 * @throws {SyscallError} ENOENT where there is no such file; ESRCH where there is no such process.
 */
export function attachUprobeMulti(token: AnyToken, prog: FdSource, options: AttachUprobeMultiOptions): Link {
  const { returns = false, session = false, ...rest } = options;
  const attachType = session ? "trace_uprobe_session" : "trace_uprobe_multi";
  const uprobeMulti = { ...rest, flags: returns ? BPF_F_UPROBE_MULTI_RETURN : 0 };
  return new Link(token, linkCreate(token as never, { prog, attachType, uprobeMulti }));
}
