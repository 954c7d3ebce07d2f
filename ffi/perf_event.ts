/**
 * Perf events: perf_event_open(2), with its refusals explained.
 *
 * @module
 */

import { NotSupportedError, PermissionError, SyscallError } from "../errors.ts";
import { PERF_FLAG_FD_CLOEXEC } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { structLayouts } from "../uapi/structs.gen.ts";
import { Fd, fdNumber, type FdSource } from "./fd.ts";
import { kernel } from "./kernel.ts";
import { tryReadKernelText } from "./kernel_file.ts";
import type { StructBuffer } from "./struct_buffer.ts";

/** A `struct perf_event_attr`, as `structBuffer("perf_event_attr")` makes it. */
export type PerfEventAttr = StructBuffer<keyof (typeof structLayouts)["perf_event_attr"]["fields"] & string>;

/** What is counted or sampled. */
export interface PerfEventTarget {
  /** The process; 0 for the own one, −1 for all. @default {-1} */
  pid?: number | undefined;
  /** The CPU; −1 for all, where a process is named. @default {-1} */
  cpu?: number | undefined;
  /** The leader of the group that it joins. */
  group?: FdSource | undefined;
  /** PERF_FLAG_*; close-on-exec is added. @default {0} */
  flags?: number | undefined;
}

const PARANOID = "/proc/sys/kernel/perf_event_paranoid";

/**
 * Opens a perf event.
 *
 * @param attr What to count; its `size` is set here.
 * @param target Of whom.
 * @returns The event's owner.
 * @throws {PermissionError} EACCES and EPERM, with what kernel.perf_event_paranoid says.
 * @throws {NotSupportedError} ENOENT, EOPNOTSUPP and ENODEV: the machine has no such event.
 * @throws {SyscallError} Any other error.
 */
export function openPerfEvent(attr: PerfEventAttr, target: PerfEventTarget = {}): Fd {
  const { pid = -1, cpu = -1, group, flags = 0 } = target;
  attr.u32("size", attr.bytes.length);
  const groupFd = group === undefined ? -1 : fdNumber(group, "group");
  const result = kernel().perfEventOpen(attr.bytes, pid, cpu, groupFd, flags | PERF_FLAG_FD_CLOEXEC);
  if (result >= 0) return Fd.own(result);
  const errno = -result;
  const cause = new SyscallError({ command: "perf_event_open", errno, action: "open a perf event" });
  if (errno === errnos.EACCES || errno === errnos.EPERM) {
    const paranoid = tryReadKernelText(PARANOID) ?? "unknown";
    throw new PermissionError({
      command: "perf_event_open",
      action: "open a perf event",
      missing: ["CAP_PERFMON"],
      errno,
      reason: `kernel.perf_event_paranoid is ${paranoid}, which keeps such events from the unprivileged`,
      remedy: "Grant CAP_PERFMON, or lower it: sudo sysctl kernel.perf_event_paranoid=-1",
      cause,
    });
  }
  if (errno === errnos.ENOENT || errno === errnos.EOPNOTSUPP || errno === errnos.ENODEV) {
    throw new NotSupportedError("this perf event", { reason: "the machine has no such event", cause });
  }
  throw cause;
}
