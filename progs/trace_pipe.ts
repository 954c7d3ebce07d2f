/**
 * What programs print by bpf_trace_printk() (`bpf_printk` in C), from the trace_pipe of a tracefs.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { Epoll } from "../ffi/epoll.ts";
import { Fd } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import { errnos } from "../uapi/errno.gen.ts";

/** A line of a trace, as far as it has the usual form. */
export interface TraceLine {
  /** The whole line. */
  readonly line: string;
  /** What was printed; the whole line where it has another form, as the lines after the first of one print have. */
  readonly text: string;
  /** The task's name; `"<...>"` where the kernel has forgotten it. */
  readonly task?: string;
  /** The thread's id. */
  readonly pid?: number;
  /** The CPU. */
  readonly cpu?: number;
  /** Interrupts off, need for rescheduling, interrupt context, preemption depth and so on, a character each. */
  readonly flags?: string;
  /** When, in seconds since boot. */
  readonly seconds?: number;
  /** What wrote it: `"bpf_trace_printk"` for programs. */
  readonly source?: string;
}

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const CHUNK_SIZE = 16 * 1024;

//  "  <...>-1234    [001] d..21  1234.567890: bpf_trace_printk: text", with "(1234)" for the process where asked for.
const LINE = /^\s*(\S.*)-(\d+)\s+(?:\(\s*\S+\)\s+)?\[(\d+)\]\s+(\S+)\s+(\d+\.\d+): (\w+): (.*)$/s;

/**
 * Reads a line of a trace.
 *
 * @param line The line, without its line break.
 * @returns Its parts.
 */
export function parseTraceLine(line: string): TraceLine {
  const match = LINE.exec(line);
  if (match === null) return { line, text: line };
  const [, task, pid, cpu, flags, seconds, source, text] = match;
  return { line, text, task, pid: Number(pid), cpu: Number(cpu), flags, seconds: Number(seconds), source };
}

/** How a trace is read. */
export interface TracePipeOptions {
  /** Ends the iteration, at once. */
  signal?: AbortSignal | undefined;
}

/**
 * The lines of a trace as they come, without end. Each line goes to one reader only: whoever else reads the same tracefs
 * instance gets others.
 *
 * @example
 * ```ts
 * import { tracePipe } from "@bpf/deno";
 *
 * const signal = AbortSignal.timeout(10_000);
 * for await (const { task, pid, text } of tracePipe("/sys/kernel/tracing", { signal })) console.log(task, pid, text);
 * ```
 *
 * @param path A tracefs, or an instance of it, as the user mounted it; or its `trace_pipe` itself.
 * @param options What ends it.
 * @returns An async iterable, which has the file open from the first line that is asked for.
 * @throws {SyscallError} ENOENT where there is no tracefs; EACCES where the process may not read it.
 */
export async function* tracePipe(path: string, options: TracePipeOptions = {}): AsyncGenerator<TraceLine, void> {
  const { signal } = options;
  const isOver = (): boolean => signal?.aborted === true;
  if (isOver()) return;
  const file = path.endsWith("/trace_pipe") ? path : `${path.replace(/\/+$/, "")}/trace_pipe`;
  const opened = kernel().open(file, O_NONBLOCK | O_CLOEXEC, 0);
  if (opened < 0) throw new SyscallError({ command: "open", errno: -opened, action: `open ${file}` });
  using fd = Fd.own(opened);
  using epoll = new Epoll([fd]);
  const wake = (): void => epoll.wake();
  signal?.addEventListener("abort", wake);
  try {
    const decoder = new TextDecoder();
    const chunk = allocate(CHUNK_SIZE);
    let rest = "";
    while (!isOver()) {
      const count = kernel().read(fd.fd, chunk);
      // 0 where tracing was turned off meanwhile: it may be turned on again.
      if (count === -errnos.EAGAIN || count === 0) {
        await epoll.wait(count === 0 ? 100 : -1);
        continue;
      }
      if (count < 0) throw new SyscallError({ command: "read", errno: -count, action: `read ${file}` });
      const lines = (rest + decoder.decode(chunk.subarray(0, count), { stream: true })).split("\n");
      rest = lines.pop() as string;
      for (const line of lines) {
        if (isOver()) return;
        yield parseTraceLine(line);
      }
    }
  } finally {
    signal?.removeEventListener("abort", wake);
  }
}
