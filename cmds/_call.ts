/**
 * How every bpf(2) call travels: the token is asked, the kernel is called, listeners are told, errors are explained.
 *
 * @module
 */

import { Fd } from "../ffi/fd.ts";
import type { Attr } from "../ffi/attr.ts";
import { kernel } from "../ffi/kernel.ts";
import { raiseMemlock } from "../ffi/memlock.ts";
import type { PermissionRequest } from "../tokens/check.ts";
import { parseRelease } from "../tokens/environment.ts";
import type { AnyToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { CommandName } from "../uapi/enums.gen.ts";
import { failure } from "./_failure.ts";
import { formatCall } from "./format_call.ts";

/** What a call is about, besides its attr. */
export interface CallContext {
  /** What the token's rules ask about; the command is added. */
  readonly request?: Omit<PermissionRequest, "command"> | undefined;
  /** What is being done: it follows "Cannot" in messages. */
  readonly action: string;
  /** The type of the map that it works on, by number. */
  readonly mapType?: number | undefined;
}

/** The commands that answer a new file descriptor. */
const MAKES_FD: ReadonlySet<CommandName> = new Set<CommandName>([
  "map_create",
  "prog_load",
  "btf_load",
  "obj_get",
  "prog_get_fd_by_id",
  "map_get_fd_by_id",
  "btf_get_fd_by_id",
  "link_get_fd_by_id",
  "raw_tracepoint_open",
  "link_create",
  "iter_create",
  "enable_stats",
  "token_create",
]);

/** From this release on memory is charged to the cgroup instead of RLIMIT_MEMLOCK. */
const CGROUP_ACCOUNTING = parseRelease("5.11");

/**
 * Asks the token and calls the kernel once.
 *
 * @returns What the kernel answered: ≥ 0, or −errno.
 * @throws {PermissionError} Where the token does not allow it; the kernel is not called then.
 */
export function attempt<C extends CommandName>(token: AnyToken, attr: Attr<C>, context: CallContext): number {
  if (context.request === undefined) token.assertCommand(attr.command, context.action);
  else token.assert({ ...context.request, command: attr.command }, context.action);
  return submit(token, attr);
}

/**
 * Asks the token, calls the kernel, and throws what went wrong.
 *
 * @returns What the kernel answered, ≥ 0.
 * @throws {PermissionError | NotSupportedError | SyscallError}
 */
export function call<C extends CommandName>(token: AnyToken, attr: Attr<C>, context: CallContext): number {
  const result = attempt(token, attr, context);
  if (result < 0) throw failure(token, attr, -result, context);
  return result;
}

/**
 * Like {@link call}, for commands that return a new file descriptor: it belongs to the token from then on.
 *
 * @returns The descriptor's owner.
 */
export function callForFd<C extends CommandName>(token: AnyToken, attr: Attr<C>, context: CallContext): Fd {
  return token.adopt(Fd.own(call(token, attr, context)));
}

/**
 * Calls the kernel and tells the token's listeners, without asking the token.
 *
 * @returns What the kernel answered: ≥ 0, or −errno.
 */
export function submit<C extends CommandName>(token: AnyToken, attr: Attr<C>): number {
  let result = kernel().bpf(attr.number, attr.bytes, attr.bytes.length);
  if (result === -errnos.EPERM && chargesMemlock(token, attr.command) && raiseMemlock()) {
    result = kernel().bpf(attr.number, attr.bytes, attr.bytes.length);
  }
  if (!token.audited) return result;
  try {
    report(token, attr, result);
  } catch (error) {
    // A listener threw: nobody will ever own the descriptor.
    if (result >= 0 && MAKES_FD.has(attr.command)) kernel().close(result);
    throw error;
  }
  return result;
}

/** Tells the token's listeners of a call. */
export function report<C extends CommandName>(token: AnyToken, attr: Attr<C>, result: number): void {
  token.report({
    command: attr.command,
    result,
    get text(): string {
      return formatCall(attr, result);
    },
  });
}

/** Whether EPERM may come from RLIMIT_MEMLOCK. */
export function chargesMemlock(token: AnyToken, command: CommandName): boolean {
  return (command === "map_create" || command === "prog_load") && token.environment.release < CGROUP_ACCOUNTING;
}
