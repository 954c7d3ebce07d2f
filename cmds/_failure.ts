/**
 * The error for a bpf(2) call that the kernel refused: which class, and what it most likely means.
 *
 * @module
 */

import { errnoName, NotSupportedError, PermissionError, SyscallError } from "../errors.ts";
import type { Attr } from "../ffi/attr.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import { memlockLimit } from "../ffi/memlock.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { CommandName } from "../uapi/enums.gen.ts";
import { commandSince } from "../uapi/since.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { type CallContext, chargesMemlock } from "./_call.ts";
import { commonLog } from "./_common_log.ts";
import { hintFor } from "./_hints.ts";
import {
  isCommandKnown,
  type Lacking,
  newestUnknownField,
  unknownFlag,
  unknownOperation,
  unknownType,
} from "./_support.ts";

/** Commands whose EPERM can only be a want of privilege; that of the others has reasons of its own. */
const PRIVILEGED: ReadonlySet<CommandName> = new Set<CommandName>([
  "map_create",
  "prog_load",
  "btf_load",
  "prog_query",
  "prog_get_next_id",
  "map_get_next_id",
  "btf_get_next_id",
  "link_get_next_id",
  "prog_get_fd_by_id",
  "map_get_fd_by_id",
  "btf_get_fd_by_id",
  "link_get_fd_by_id",
  "task_fd_query",
  "enable_stats",
]);

/**
 * The error for a call that failed.
 *
 * @param errno The positive error number.
 */
export function failure<C extends CommandName>(
  token: AnyToken,
  attr: Attr<C>,
  errno: number,
  context: CallContext,
): Error {
  const { command } = attr;
  const { action } = context;
  const plain = new SyscallError({ command, errno, action, hint: hintFor(command, errnoName(errno)) });
  if (errno === errnos.EPERM && PRIVILEGED.has(command)) return explainRefusal(token, command, action, plain);
  if (errno === errnos.EINVAL && !isCommandKnown(command)) {
    return new NotSupportedError(`BPF_${command.toUpperCase()}`, { since: commandSince[command], cause: plain });
  }
  const { release } = token.environment;
  let lacking: Lacking | undefined;
  if (errno === errnos.EINVAL || errno === errnos.E2BIG) {
    lacking = unknownType(attr, release) ?? newestUnknownField(attr, release) ?? unknownFlag(attr, release);
  }
  if (errno === errnos.ENOTSUPP && context.mapType !== undefined) {
    lacking = unknownOperation(command, context.mapType, release);
  }
  if (lacking !== undefined) return new NotSupportedError(lacking.feature, { since: lacking.since, cause: plain });
  if (errno === errnos.ENOSYS) {
    return new NotSupportedError("bpf(2)", { reason: "the kernel was built without CONFIG_BPF_SYSCALL", cause: plain });
  }
  const said = commonLog(attr);
  return said === "" ? plain : new SyscallError({ command, errno, action, hint: `the kernel says: ${said}` });
}

/** EPERM in spite of the token: something besides capabilities refused. */
function explainRefusal(token: AnyToken, command: CommandName, action: string, cause: SyscallError): PermissionError {
  const { reason, remedy } = suspects(token, command);
  return new PermissionError({ command, action, missing: [], errno: errnos.EPERM, reason, remedy, cause });
}

/** What refuses calls besides capabilities, most telling first. */
function suspects(token: AnyToken, command: CommandName): { reason: string; remedy: string } {
  const status = tryReadKernelText("/proc/thread-self/status") ?? "";
  const lockdown = /\[(\w+)\]/.exec(tryReadKernelText("/sys/kernel/security/lockdown") ?? "")?.[1];
  const modules = tryReadKernelText("/sys/kernel/security/lsm");
  const found: { reason: string; remedy: string }[] = [];
  if (!token.environment.initialUserNamespace) {
    found.push({
      reason: "the process is in a user namespace, and its BPF token does not cover the call",
      remedy: "Mount the bpffs with delegate_* options that cover it, or run in the initial user namespace",
    });
  }
  const limit = chargesMemlock(token, command) ? memlockLimit() : undefined;
  if (limit !== undefined) {
    found.push({
      reason: `this kernel charges maps and programs to RLIMIT_MEMLOCK, which is ${limit.soft} bytes here`,
      remedy: "Raise it: ulimit -l unlimited, or run with CAP_SYS_RESOURCE",
    });
  }
  if (/^Seccomp:\s*[12]$/m.test(status)) {
    found.push({
      reason: "a seccomp filter is installed, and may refuse bpf(2)",
      remedy: "Allow bpf(2) in the container's or service's seccomp profile",
    });
  }
  if (lockdown !== undefined && lockdown !== "none") {
    found.push({
      reason: `kernel lockdown is in "${lockdown}" mode, and may refuse what reads or changes the kernel`,
      remedy: "Boot without lockdown=, or without Secure Boot",
    });
  }
  found.push({
    reason: `a security module may refuse it (active: ${modules ?? "unknown"})`,
    remedy: "Look for denials in dmesg and in the audit log",
  });
  return {
    reason: `the kernel refused it in spite of the token: ${found.map(({ reason }) => reason).join("; or ")}`,
    remedy: found.map(({ remedy }) => remedy).join("; or "),
  };
}
