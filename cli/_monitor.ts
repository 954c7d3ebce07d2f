/**
 * The eBPF half of the demo: programs that count system calls and report new processes, assembled here and now.
 *
 * @module
 */

import {
  asm,
  type Fd,
  mapCreate,
  mapLookupAndDeleteBatch,
  mapLookupElem,
  type PermissionToken,
  progLoad,
  progTestRun,
  rawTracepointOpen,
  RingBuffer,
  SyscallError,
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
const KEY_SIZE = 8;
/** u64 count; char comm[16]; u32 pid; u32 padding. */
const VALUE_SIZE = 32;
const BATCH = 2048;

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

const decoder = new TextDecoder();

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A record of the ring buffer, as the program wrote it. */
function execOf(record: Uint8Array): Exec {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  return {
    hostPid: view.getUint32(0, true),
    pid: view.getUint32(4, true) || undefined,
    uid: view.getUint32(8, true),
    comm: text(record.subarray(16, 32)),
    filename: text(record.subarray(32)),
  };
}

/** Counts the system calls of the whole machine, and reports new processes, until it is disposed of. */
export class SyscallMonitor implements Disposable {
  readonly #token: MonitorToken;
  readonly #stack: DisposableStack;
  readonly #counts: Fd;
  readonly #lost: Fd;
  readonly #ring: RingBuffer;
  readonly #namespace = ownPidNamespace();
  #keys = new Uint8Array(KEY_SIZE * BATCH);
  #values = new Uint8Array(VALUE_SIZE * BATCH);

  /**
   * Makes the maps, loads the programs and attaches them.
   *
   * @param token The permission to do so.
   * @param onlyPid The only process to look at, by its number in the demo's PID namespace.
   */
  constructor(token: MonitorToken, onlyPid?: number) {
    this.#token = token;
    using stack = new DisposableStack();
    const counts = stack.use(mapCreate(token, {
      type: "hash",
      keySize: KEY_SIZE,
      valueSize: VALUE_SIZE,
      maxEntries: MAX_COUNTS,
      name: "syscall_counts",
    }));
    const lost = stack.use(mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 2, name: "lost" }));
    const files = stack.use(mapCreate(token, {
      type: "lru_hash",
      keySize: KEY_SIZE,
      valueSize: FILENAME_SIZE,
      maxEntries: 1024,
      name: "exec_files",
    }));
    const ring = stack.use(mapCreate(token, { type: "ringbuf", maxEntries: RING_SIZE, name: "execs" }));
    this.#ring = stack.use(new RingBuffer(token, ring));

    const head = filter(ownHostPid(token), onlyPid, this.#namespace);
    const attach = (tracepoint: string, name: string, insns: Uint8Array<ArrayBuffer>): void => {
      using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", name, insns });
      stack.use(rawTracepointOpen(token, prog, { name: tracepoint }));
    };
    attach("sys_enter", "count_syscalls", countingProgram({ counts, lost, files }, head));
    attach("sched_process_exec", "report_execs", execProgram({ ring, lost, files }, head));

    this.#counts = counts;
    this.#lost = lost;
    this.#stack = stack.move();
  }

  /**
   * What was counted since the last call, one entry a process and system call.
   *
   * @returns The counts. The kernel starts again from zero.
   */
  takeCounts(): Count[] {
    const counts: Count[] = [];
    let inBatch: Uint8Array<ArrayBuffer> | undefined;
    let outBatch = new Uint8Array(KEY_SIZE);
    while (true) {
      const room = this.#keys.length / KEY_SIZE;
      try {
        const { count, done } = mapLookupAndDeleteBatch(this.#token, this.#counts, {
          keys: this.#keys,
          values: this.#values,
          count: room,
          inBatch,
          outBatch,
        });
        for (let index = 0; index < count; index++) counts.push(this.#countAt(index));
        if (done) return counts;
        [inBatch, outBatch] = [outBatch, inBatch ?? new Uint8Array(KEY_SIZE)];
      } catch (error) {
        // One bucket of the hash has more entries than there is room for.
        if (!(error instanceof SyscallError) || error.code !== "ENOSPC" || room > MAX_COUNTS) throw error;
        this.#keys = new Uint8Array(2 * this.#keys.length);
        this.#values = new Uint8Array(2 * this.#values.length);
      }
    }
  }

  #countAt(index: number): Count {
    const [key, value] = [new DataView(this.#keys.buffer), new DataView(this.#values.buffer)];
    const at = index * VALUE_SIZE;
    return {
      hostPid: key.getUint32(index * KEY_SIZE, true),
      nr: key.getUint32(index * KEY_SIZE + 4, true),
      count: Number(value.getBigUint64(at, true)),
      comm: text(this.#values.subarray(at + 8, at + 24)),
      pid: value.getUint32(at + 24, true) || undefined,
    };
  }

  /**
   * New processes, as they come.
   *
   * @param signal Ends the iteration.
   * @returns An iterable over them.
   */
  async *execs(signal: AbortSignal): AsyncGenerator<Exec, void, undefined> {
    for await (const record of this.#ring.events({ signal })) yield execOf(record);
    // What came before the signal did is told, too.
    const rest: Exec[] = [];
    this.#ring.drain((record) => void rest.push(execOf(record.bytes())));
    yield* rest;
  }

  /**
   * What there was no room for, since the start.
   *
   * @returns System calls that were not counted, and new processes that were not reported.
   */
  lost(): { calls: number; execs: number } {
    const at = (index: number): number => {
      const value = mapLookupElem(this.#token, this.#lost, { key: new Uint8Array([index, 0, 0, 0]) });
      return value === undefined ? 0 : Number(new DataView(value.buffer).getBigUint64(0, true));
    };
    return { calls: at(0), execs: at(1) };
  }

  /** Detaches the programs and frees them and the maps. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
