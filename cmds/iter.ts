/**
 * Reading what iterator programs write: BPF_ITER_CREATE.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { callForFd } from "./_call.ts";

/**
 * Starts a run of an iterator program: BPF_ITER_CREATE. Reading the descriptor runs the program over its objects. Since
 * Linux 5.8.
 *
 * @param token A permission token.
 * @param link The iterator's link, as `linkCreate()` makes it with attach type `"trace_iter"`.
 * @param options Flags, of which the kernel has none so far.
 * @returns A file descriptor to read the output from.
 * @throws {SyscallError} EINVAL where the link is no iterator.
 */
export function iterCreate(token: AnyToken, link: FdSource, options: { flags?: number } = {}): Fd {
  const attr = new Attr("iter_create").fd("link_fd", link).u32("flags", options.flags ?? 0);
  return callForFd(token, attr, { action: "create an iterator" });
}
