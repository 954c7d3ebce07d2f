/**
 * The eBPF half of the demo: programs that count system calls and report new processes, assembled here and now.
 *
 * @module
 */

import {
  asm,
  BpfMap,
  bytes,
  cstr,
  pad,
  type PermissionToken,
  progLoad,
  progTestRun,
  rawTracepointOpen,
  type RingBufferMap,
  struct,
  u32,
  u64,
  type ValueOf,
} from "../mod.ts";
import { fileId, tryReadKernelLink } from "../ffi/kernel_file.ts";
import { countingProgram, execProgram, FILENAME_SIZE, filter, type PidNamespace } from "./_monitor_progs.ts";

/** A token with what counting system calls asks for. */
export type MonitorToken = PermissionToken<"CAP_BPF" | "CAP_PERFMON">;

/** How often a process made one system call. */
export interface Count {
  /** Its number in the demo's PID namespace; undefined where it is not in there. */
  readonly pid: number | undefined;
  /** Its number in the initial PID namespace. */
  readonly hostPid: number;
  /** Its name: at most 15 bytes. */
  readonly comm: string;
  /** The system call's number. */
  readonly nr: number;
  /** How often. */
  readonly count: number;
}

/** A process that began to run a program. */
export interface Exec {
  /** Its number in the demo's PID namespace; undefined where it is not in there. */
  readonly pid: number | undefined;
  /** Its number in the initial PID namespace. */
  readonly hostPid: number;
  /** The user who runs it. */
  readonly uid: number;
  /** Its name: at most 15 bytes. */
  readonly comm: string;
  /** The file that was asked for: at most 127 bytes. */
  readonly filename: string;
}

const INITIAL_PID_NAMESPACE = "pid:[4026531836]";

const MAX_COUNTS = 16384;

/** A process and a system call. */
const countKey = struct({ hostPid: u32, nr: u32 });
const countValue = struct({ count: u64, comm: cstr(16), pid: u32, _: pad(4) });
/** What the program writes into the ring buffer. */
const execRecord = struct({
  hostPid: u32,
  pid: u32,
  uid: u32,
  _: pad(4),
  comm: cstr(16),
  filename: cstr(FILENAME_SIZE),
});

const RING_SIZE = 256 * 1024;

function ownPidNamespace(): PidNamespace {
  const initial = (tryReadKernelLink("/proc/self/ns/pid") ?? INITIAL_PID_NAMESPACE) === INITIAL_PID_NAMESPACE;
  return initial ? { initial, device: 0n, inode: 0n } : { initial, ...fileId("/proc/self/ns/pid") };
}

/** This process's number in the initial PID namespace: a program that runs in it is asked. */
function ownHostPid(token: MonitorToken): number {
  using prog = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    name: "own_pid",
    insns: asm`
      call get_current_pid_tgid
      r0 >>= 32
      exit
    `,
  });
  return progTestRun(token, prog).returnValue;
}

/** A record of the ring buffer: 0 stands for a process that the demo's namespace does not have. */
function execOf({ pid, ...rest }: ValueOf<typeof execRecord>): Exec {
  return { ...rest, pid: pid || undefined };
}

/** Counts the system calls of the whole machine, and reports new processes, until it is disposed of. */
export class SyscallMonitor implements Disposable {
  readonly #stack: DisposableStack;
  readonly #counts: BpfMap<ValueOf<typeof countKey>, ValueOf<typeof countValue>, "take">;
  readonly #lost: BpfMap<number, bigint, "get">;
  readonly #ring: RingBufferMap;
  readonly #namespace = ownPidNamespace();

  /**
   * Makes the maps, loads the programs and attaches them.
   *
   * @param token The permission to do so.
   * @param onlyPid The only process to look at, by its number in the demo's PID namespace.
   */
  constructor(token: MonitorToken, onlyPid?: number) {
    using stack = new DisposableStack();
    const counts = stack.use(BpfMap.create(token, {
      type: "hash",
      key: countKey,
      value: countValue,
      maxEntries: MAX_COUNTS,
      name: "syscall_counts",
    }));
    const lost = stack.use(BpfMap.create(token, { type: "array", value: u64, maxEntries: 2, name: "lost" }));
    const files = stack.use(BpfMap.create(token, {
      type: "lru_hash",
      key: bytes(8),
      value: bytes(FILENAME_SIZE),
      maxEntries: 1024,
      name: "exec_files",
    }));
    const ring = stack.use(BpfMap.create(token, { type: "ringbuf", maxEntries: RING_SIZE, name: "execs" }));

    const head = filter(ownHostPid(token), onlyPid, this.#namespace);
    const attach = (tracepoint: string, name: string, insns: Uint8Array<ArrayBuffer>): void => {
      using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", name, insns });
      stack.use(rawTracepointOpen(token, prog, { name: tracepoint }));
    };
    attach("sys_enter", "count_syscalls", countingProgram({ counts, lost, files }, head));
    attach("sched_process_exec", "report_execs", execProgram({ ring, lost, files }, head));

    this.#counts = counts;
    this.#lost = lost;
    this.#ring = ring;
    this.#stack = stack.move();
  }

  /**
   * What was counted since the last call, one entry a process and system call.
   *
   * @returns The counts. The kernel starts again from zero.
   */
  takeCounts(): Count[] {
    return this.#counts.drain().map(([key, { comm, count, pid }]) => ({
      ...key,
      comm,
      count: Number(count),
      pid: pid || undefined,
    }));
  }

  /**
   * New processes, as they come.
   *
   * @param signal Ends the iteration.
   * @returns An iterable over them.
   */
  async *execs(signal: AbortSignal): AsyncGenerator<Exec, void, undefined> {
    for await (const record of this.#ring.events(execRecord, { signal })) yield execOf(record);
    // What came before the signal did is told, too.
    const rest: Exec[] = [];
    this.#ring.drain((record) => void rest.push(execOf(record.decode(execRecord))));
    yield* rest;
  }

  /**
   * What there was no room for, since the start.
   *
   * @returns System calls that were not counted, and new processes that were not reported.
   */
  lost(): { calls: number; execs: number } {
    return { calls: Number(this.#lost.get(0)), execs: Number(this.#lost.get(1)) };
  }

  /** Detaches the programs and frees them and the maps. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
