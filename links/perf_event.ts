/**
 * Programs at perf events: counters and clocks, tracepoints, kprobes and uprobes.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { openPerfEvent, type PerfEventAttr } from "../ffi/perf_event.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AnyToken } from "../tokens/token.ts";
import { PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF, PERF_TYPE_TRACEPOINT } from "../uapi/constants.gen.ts";
import { readTracepointId } from "./_tracefs.ts";
import { Attachment, Link } from "./link.ts";
import type { CookieOptions } from "./raw_tracepoint.ts";

/** How a program is held at a perf event. */
export interface PerfEventOptions extends CookieOptions {
  /**
   * Whether by a link (since 5.15), or by the event itself with PERF_EVENT_IOC_SET_BPF, which knows no cookies. By default
   * by a link where the kernel has them.
   */
  by?: "link" | "event" | undefined;
}

/**
 * Attaches a program to a perf event that is open. A link holds it where the kernel has one (since 5.15); before, the
 * event itself does, by PERF_EVENT_IOC_SET_BPF, and there are no cookies.
 *
 * @param token A permission token.
 * @param prog The program: of type `perf_event`, `tracepoint` or `kprobe`, as the event is.
 * @param event The event. The caller may close it afterwards.
 * @param options A cookie, and what holds the program.
 * @returns The link; on older kernels an attachment.
 * @throws {NotSupportedError} For a cookie on a kernel without links for perf events.
 * @throws {TypeError} For a cookie where the event is to hold the program.
 * @throws {SyscallError} EINVAL where the program does not suit the event; EEXIST where the event has one.
 */
export function attachPerfEvent(
  token: AnyToken,
  prog: FdSource,
  event: FdSource,
  options: PerfEventOptions = {},
): Attachment {
  return holdByEvent(token, prog, event, options);
}

/** The same, with what remains to be done once it is closed. */
export function holdByEvent(
  token: AnyToken,
  prog: FdSource,
  event: FdSource,
  { cookie, by }: PerfEventOptions,
  afterwards?: () => void,
): Attachment {
  if (by === "event") {
    if (cookie !== undefined) throw new TypeError("Cannot use cookie: only links hold one, and by says event");
    return attachByIoctl(token, prog, event, afterwards);
  }
  let fd: Fd;
  try {
    fd = linkCreate(token as never, {
      prog,
      target: { fd: event },
      attachType: "perf_event",
      ...(cookie === undefined ? {} : { perfEvent: { cookie } }),
    });
  } catch (error) {
    if (!(error instanceof NotSupportedError) || cookie !== undefined || by === "link") throw error;
    return attachByIoctl(token, prog, event, afterwards);
  }
  try {
    enable(event);
    return new Link(token, fd, afterwards);
  } catch (error) {
    fd.close();
    throw error;
  }
}

function ioctl(event: FdSource, request: number, argument: number, action: string): void {
  const result = kernel().ioctl(fdNumber(event, "event"), request, argument);
  if (result < 0) throw new SyscallError({ command: "ioctl", errno: -result, action });
}

function enable(event: FdSource): void {
  ioctl(event, PERF_EVENT_IOC_ENABLE, 0, "enable a perf event");
}

/** What kernels before 5.15 have: the program stays for as long as the event. */
function attachByIoctl(token: AnyToken, prog: FdSource, event: FdSource, afterwards?: () => void): Attachment {
  token.assert({ command: "prog_load" }, "attach to a perf event");
  const own = duplicate(event);
  try {
    ioctl(own, PERF_EVENT_IOC_SET_BPF, fdNumber(prog, "prog"), "attach to a perf event");
    enable(own);
    return new Attachment(token, token.adopt(own), afterwards);
  } catch (error) {
    own.close();
    throw error;
  }
}

const F_DUPFD_CLOEXEC = 1030;

function duplicate(event: FdSource): Fd {
  if (event instanceof Fd) return event.dup();
  const copy = kernel().fcntl(fdNumber(event, "event"), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw new SyscallError({ command: "fcntl", errno: -copy, action: "duplicate a file descriptor" });
  return Fd.own(copy);
}

/** Opens an event for every process on one CPU, and attaches a program to it. */
export function attachOpened(
  token: AnyToken,
  prog: FdSource,
  attr: PerfEventAttr,
  options: PerfEventOptions & { pid?: number | undefined; cpu?: number | undefined },
  afterwards?: () => void,
): Attachment {
  const { pid = -1 } = options;
  // Probes and tracepoints fire on all CPUs, whichever the event is of.
  using event = openPerfEvent(attr, { pid, cpu: options.cpu ?? (pid === -1 ? 0 : -1) });
  return holdByEvent(token, prog, event, options, afterwards);
}

/** What an event of a tracepoint's number is opened with. */
export function tracepointAttr(id: number): PerfEventAttr {
  return structBuffer("perf_event_attr").u32("type", PERF_TYPE_TRACEPOINT).u64("config", id)
    .u64("sample_period", 1).u32("wakeup_events", 1);
}

/** What `attachTracepoint()` takes besides the program. */
export interface AttachTracepointOptions extends PerfEventOptions {
  /** Where tracefs is mounted. By default where it usually is. @default {"/sys/kernel/tracing"} */
  tracefs?: string | undefined;
}

/**
 * Attaches a program to a tracepoint. Since Linux 4.7; with a cookie since 5.15.
 *
 * @param token A permission token.
 * @param prog The program, of type `tracepoint`.
 * @param name The tracepoint as its category and name, such as `"sched:sched_process_exec"`.
 * @param options A cookie, and where tracefs is mounted.
 * @returns The link; on kernels before 5.15 an attachment.
 * @throws {TypeError} For a name without a category, or one that there is not.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 */
export function attachTracepoint(
  token: AnyToken,
  prog: FdSource,
  name: string,
  options: AttachTracepointOptions = {},
): Attachment {
  return attachOpened(token, prog, tracepointAttr(readTracepointId(name, options.tracefs)), options);
}
