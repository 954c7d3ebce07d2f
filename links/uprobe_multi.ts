/**
 * Programs at many places of a program or library with one link.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_UPROBE_MULTI_RETURN } from "../uapi/constants.gen.ts";
import { findBinary, functionOffset, functionOffsetsLike, readBinary } from "./_binary.ts";
import { Link } from "./link.ts";

/** What `attachUprobeMulti()` takes besides the program: one of `offsets`, `symbols` and `pattern`. */
export interface AttachUprobeMultiOptions {
  /** The program or library: the path of its file, or a name, as for `attachUprobe()`. */
  path: string;
  /** The offsets of the probes in the file. */
  offsets?: readonly bigint[] | undefined;
  /** The functions by name. The file is read, with --allow-read for it. */
  symbols?: readonly string[] | undefined;
  /** The functions by a pattern: `*` is any characters, `?` is one. The file is read, with --allow-read for it. */
  pattern?: string | undefined;
  /** The offset of a reference counter for each; not with `pattern`. C name: `ref_ctr_offsets`. */
  refCtrOffsets?: readonly bigint[] | undefined;
  /** A cookie for each; not with `pattern`. */
  cookies?: readonly bigint[] | undefined;
  /** Whether they are return probes. @default {false} */
  returns?: boolean | undefined;
  /** Whether the program runs at entry and return of each call. Since 6.13. @default {false} */
  session?: boolean | undefined;
  /** Only in this process. By default in all. */
  pid?: number | undefined;
}

/** The places as the kernel takes them. */
function placesOf(path: string, options: AttachUprobeMultiOptions): readonly bigint[] {
  const { offsets, symbols, pattern } = options;
  if ([offsets, symbols, pattern].filter((given) => given !== undefined).length !== 1) {
    throw new TypeError("Cannot attach to many places: give one of offsets, symbols and pattern");
  }
  if (offsets !== undefined) return offsets;
  const elf = readBinary(path);
  if (symbols !== undefined) return symbols.map((symbol) => BigInt(functionOffset(elf, symbol, path)));
  if (options.cookies !== undefined || options.refCtrOffsets !== undefined) {
    throw new TypeError("Cannot use cookies or refCtrOffsets: nobody knows which functions a pattern names");
  }
  return functionOffsetsLike(elf, pattern!, path).map(BigInt);
}

/**
 * Attaches a program to many places of a program or library with one link. Since Linux 6.6.
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`, loaded with the attach type `trace_uprobe_multi` or `trace_uprobe_session`.
 * @param options The file and the places.
 * @returns The link.
 * @throws {TypeError} Where there is no such library, program or function.
 * @throws {SyntaxError} Where the file is no ELF file.
 * @throws {SyscallError} ENOENT where there is no such file; ESRCH where there is no such process.
 */
export function attachUprobeMulti(token: AnyToken, prog: FdSource, options: AttachUprobeMultiOptions): Link {
  const { returns = false, session = false, refCtrOffsets, cookies, pid } = options;
  if (returns && session) throw new TypeError("Cannot use returns: a session runs at entry and return anyway");
  const path = findBinary(options.path);
  const attachType = session ? "trace_uprobe_session" : "trace_uprobe_multi";
  const flags = returns ? BPF_F_UPROBE_MULTI_RETURN : 0;
  const uprobeMulti = { path, offsets: placesOf(path, options), refCtrOffsets, cookies, pid, flags };
  return new Link(token, linkCreate(token as never, { prog, attachType, uprobeMulti }));
}
