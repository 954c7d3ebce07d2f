/**
 * What hides behind another process's perf event: BPF_TASK_FD_QUERY.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import { allocate } from "../ffi/memory.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, type CallContext } from "./_call.ts";
import { failure } from "./_failure.ts";
import { nameOrNumber } from "./_types.ts";
import {
  BPF_FD_TYPE_KPROBE,
  BPF_FD_TYPE_KRETPROBE,
  BPF_FD_TYPE_RAW_TRACEPOINT,
  BPF_FD_TYPE_TRACEPOINT,
  BPF_FD_TYPE_UPROBE,
  BPF_FD_TYPE_URETPROBE,
} from "../uapi/constants.gen.ts";

const FD_TYPES = {
  raw_tracepoint: BPF_FD_TYPE_RAW_TRACEPOINT,
  tracepoint: BPF_FD_TYPE_TRACEPOINT,
  kprobe: BPF_FD_TYPE_KPROBE,
  kretprobe: BPF_FD_TYPE_KRETPROBE,
  uprobe: BPF_FD_TYPE_UPROBE,
  uretprobe: BPF_FD_TYPE_URETPROBE,
} as const;

/** What a file descriptor attaches a program to. C name: `enum bpf_task_fd_type`. */
export type TaskFdType = "raw_tracepoint" | "tracepoint" | "kprobe" | "kretprobe" | "uprobe" | "uretprobe";

/** What hides behind a file descriptor. Its C name is `bpf_attr.task_fd_query`. */
export interface TaskFdQueryResult {
  /** The program's id. C name: `prog_id`. */
  readonly progId: number;
  /** What it is attached to; a number that this library does not know otherwise. C name: `fd_type`. */
  readonly fdType: TaskFdType | number;
  /** The tracepoint, the function or the file. C name: `buf`. */
  readonly name: string;
  /** The offset into the function or file. C name: `probe_offset`. */
  readonly probeOffset: bigint;
  /** The address of a kprobe. C name: `probe_addr`. */
  readonly probeAddress: bigint;
}

const FIRST_SIZE = 256;

/**
 * Asks which program hides behind a process's perf event or raw tracepoint: BPF_TASK_FD_QUERY. Since Linux 4.18.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param options The process and its file descriptor. C names: `pid`, `fd`.
 * @returns The program, and what it is attached to.
 * @throws {SyscallError} ENOENT for no such process; EBADF for no such descriptor; ENOTSUPP for one of another kind.
 */
export function taskFdQuery(
  token: CommandToken<"task_fd_query">,
  options: { pid: number; fd: number },
): TaskFdQueryResult {
  const { pid, fd } = options;
  const context: CallContext = { action: `query file descriptor ${fd} of process ${pid}` };
  for (let size = FIRST_SIZE;; size *= 2) {
    const buffer = allocate(size);
    const attr = new Attr("task_fd_query").u32("pid", pid).u32("fd", fd).pointer("buf", buffer).u32("buf_len", size);
    const result = attempt(token as AnyToken, attr, context);
    if (result === -errnos.ENOSPC) continue;
    if (result < 0) throw failure(token as AnyToken, attr, -result, context);
    return {
      progId: attr.getU32("prog_id"),
      fdType: nameOrNumber<TaskFdType>(FD_TYPES, attr.getU32("fd_type")),
      name: textOf(buffer),
      probeOffset: attr.getU64("probe_offset"),
      probeAddress: attr.getU64("probe_addr"),
    };
  }
}
