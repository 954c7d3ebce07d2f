/**
 * Programs at many functions of the kernel with one link.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import { NotSupportedError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_KPROBE_MULTI_RETURN } from "../uapi/constants.gen.ts";
import { functionsLike } from "./_kernel_functions.ts";
import { Link } from "./link.ts";

/** What `attachKprobeMulti()` takes besides the program: one of `symbols`, `addresses` and `pattern`. */
export interface AttachKprobeMultiOptions {
  /** The functions by name. */
  symbols?: readonly string[] | undefined;
  /** The functions by address. */
  addresses?: readonly bigint[] | undefined;
  /** The functions by a pattern: `*` is any characters, `?` is one. */
  pattern?: string | undefined;
  /** A cookie for each; not with `pattern`. */
  cookies?: readonly bigint[] | undefined;
  /** Whether they are return probes. @default {false} */
  returns?: boolean | undefined;
  /** Whether the program runs at entry and return of each call. Since 6.10. @default {false} */
  session?: boolean | undefined;
  /** Where tracefs is mounted, for `pattern`. By default where it usually is. @default {"/sys/kernel/tracing"} */
  tracefs?: string | undefined;
}

/** The functions as the kernel takes them. */
function targets(
  { symbols, addresses, pattern, cookies, tracefs }: AttachKprobeMultiOptions,
): { symbols?: readonly string[] | undefined; addresses?: readonly bigint[] | undefined } {
  if ([symbols, addresses, pattern].filter((given) => given !== undefined).length !== 1) {
    throw new TypeError("Cannot attach to many functions: give one of symbols, addresses and pattern");
  }
  if (pattern === undefined) return { symbols, addresses };
  if (cookies !== undefined) {
    throw new TypeError("Cannot use cookies: nobody knows which functions a pattern names, nor their order");
  }
  const found = functionsLike(pattern, tracefs);
  if (("symbols" in found ? found.symbols : found.addresses).length === 0) {
    throw new TypeError(`Cannot use pattern: the kernel has no function "${pattern}" that can be probed`);
  }
  return "symbols" in found ? { symbols: found.symbols } : { addresses: found.addresses };
}

/** Whether the kernel has the file of fprobe's, or it cannot be told. */
function builtWithoutFprobe(): boolean {
  const symbols = tryReadKernelText("/proc/kallsyms");
  return symbols !== undefined && symbols !== "" && !/ [tT] register_fprobe_ips$/m.test(symbols);
}

/**
 * Attaches a program to many functions of the kernel with one link. Since Linux 5.18.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`, loaded with the attach type `trace_kprobe_multi` or `trace_kprobe_session`.
 * @param options The functions.
 * @returns The link.
 * @throws {TypeError} Where a pattern names nothing.
 * @throws {NotSupportedError} On kernels before 5.18, or that were built without CONFIG_FPROBE.
 * @throws {SyscallError} ESRCH, EINVAL where a function is unknown or cannot be probed.
 */
export function attachKprobeMulti(token: AnyToken, prog: FdSource, options: AttachKprobeMultiOptions): Link {
  const { cookies, returns = false, session = false } = options;
  if (returns && session) throw new TypeError("Cannot use returns: a session runs at entry and return anyway");
  const attachType = session ? "trace_kprobe_session" : "trace_kprobe_multi";
  const flags = returns ? BPF_F_KPROBE_MULTI_RETURN : 0;
  try {
    const kprobeMulti = { ...targets(options), cookies, flags };
    return new Link(token, linkCreate(token as never, { prog, attachType, kprobeMulti }));
  } catch (error) {
    const refused = (error as { code?: unknown }).code === "EOPNOTSUPP";
    if (!refused || !builtWithoutFprobe()) throw error;
    const reason = "the kernel was built without CONFIG_FPROBE";
    throw new NotSupportedError("kprobes of many functions", { reason, cause: error });
  }
}
