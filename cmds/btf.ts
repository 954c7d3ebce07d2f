/**
 * Loading type information: BPF_BTF_LOAD.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import { BPF_F_TOKEN_FD } from "../uapi/constants.gen.ts";
import type { AnyToken } from "../tokens/token.ts";

import { callWithLogForFd, type LogOptions } from "./log.ts";

/** What `btfLoad()` takes besides the BTF. */
export interface BtfLoadOptions extends LogOptions {
  /** Flags. C name: `btf_flags`. Since 6.9. @default {0} */
  flags?: number | undefined;
}

/**
 * Loads type information for maps and programs: BPF_BTF_LOAD. Since Linux 4.18.
 *
 * @param token A token with CAP_BPF.
 * @param btf The BTF: header, types and strings.
 * @param options Flags, and where the log goes.
 * @returns The BTF object's file descriptor.
 * @throws {VerifierError} EINVAL where the kernel finds the BTF malformed, with the log.
 * @throws {SyscallError} E2BIG above 16 MiB.
 */
export function btfLoad(token: CommandToken<"btf_load">, btf: Bytes, options: BtfLoadOptions = {}): Fd {
  const anyToken: AnyToken = token;
  let flags = options.flags ?? 0;
  const attr = new Attr("btf_load").pointer("btf", btf).u32("btf_size", btf.length);
  if (anyToken.bpfToken !== undefined) {
    attr.s32("btf_token_fd", anyToken.bpfToken.fd);
    flags |= BPF_F_TOKEN_FD;
  }
  attr.u32("btf_flags", flags);
  return callWithLogForFd(anyToken, attr, options, { action: "load BTF" });
}
