/**
 * The kernel's own delegation: BPF_TOKEN_CREATE.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { FdSource } from "../ffi/fd.ts";
import { BpfToken } from "../tokens/bpf_token.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import { callForFd } from "./_call.ts";

/**
 * Makes a BPF token out of a bpffs that was mounted with `delegate_*` options for the process's user namespace:
 * BPF_TOKEN_CREATE. Since Linux 6.9.
 *
 * @example
 * ```ts
 * import { acquire, acquireDelegated, mapCreate, openPath, tokenCreate } from "@bpf/deno";
 *
 * using bpffs = openPath("/sys/fs/bpf");
 * using bpfToken = tokenCreate(acquire(), bpffs);
 * const token = acquireDelegated(bpfToken, "CAP_BPF");
 * using map = mapCreate(token, { type: "lru_hash", keySize: 4, valueSize: 8, maxEntries: 1024 });
 * console.log(map.fd);
 * ```
 *
 * @param token A permission token; the process needs CAP_BPF in its own user namespace.
 * @param bpffs The root directory of the bpffs.
 * @param options Flags, of which the kernel has none so far.
 * @returns The token, with what it allows.
 * @throws {NotSupportedError} On kernels before 6.9.
 * @throws {SyscallError} EPERM where the bpffs is of another user namespace; ENOENT where nothing is delegated;
 * EOPNOTSUPP in the initial user namespace.
 */
export function tokenCreate(
  token: CommandToken<"token_create">,
  bpffs: FdSource,
  options: { flags?: number } = {},
): BpfToken {
  const attr = new Attr("token_create").fd("bpffs_fd", bpffs).u32("flags", options.flags ?? 0);
  return new BpfToken(callForFd(token, attr, { action: "create a BPF token" }));
}
