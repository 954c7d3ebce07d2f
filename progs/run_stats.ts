/**
 * Run time statistics of programs, for as long as somebody wants them.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { enableStats } from "../cmds/stats.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";

/** How often a program ran, and how long. */
export interface ProgramRuns {
  /** How often it ran. C name: `run_cnt`. */
  readonly count: bigint;
  /** Nanoseconds that it ran in all. C name: `run_time_ns`. */
  readonly timeNs: bigint;
  /** How often it was not run because it was running already; counted always. C name: `recursion_misses`. Since 5.12. */
  readonly recursionMisses: bigint;
}

/**
 * Makes the kernel count the runs of all programs and their time, until it is closed: BPF_ENABLE_STATS. Each run costs
 * some 20 ns more meanwhile. Since Linux 5.8.
 *
 * @example
 * ```ts
 * import { acquire, Program, RunStats } from "@bpf/deno";
 *
 * const token = acquire("CAP_SYS_ADMIN");
 * using prog = Program.open(token, { name: "my_prog" });
 * using stats = new RunStats(token);
 * const before = stats.of(prog);
 * await new Promise((resolve) => setTimeout(resolve, 1000));
 * console.log(stats.of(prog).count - before.count, "runs in a second");
 * ```
 */
export class RunStats implements Disposable {
  /** What makes the kernel count, for as long as it is open. */
  readonly descriptor: Fd;
  readonly #token: AnyToken;

  /**
   * Starts to count.
   *
   * @param token A token with CAP_SYS_ADMIN.
   * @throws {NotSupportedError} On kernels before 5.8.
   */
  constructor(token: CommandToken<"enable_stats">) {
    this.descriptor = enableStats(token);
    this.#token = token;
  }

  /**
   * What was counted of a program since it was loaded, while anybody had statistics enabled.
   *
   * @param prog The program.
   * @returns Its runs.
   */
  of(prog: FdSource): ProgramRuns {
    const { runCnt, runTimeNs, recursionMisses } = objGetInfoByFd(this.#token, prog, { kind: "prog" });
    return { count: runCnt, timeNs: runTimeNs, recursionMisses };
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Ends the counting, unless somebody else counts too. */
  close(): void {
    this.descriptor.close();
  }

  /** Ends the counting. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Calls a function while the kernel counts the runs of programs.
 *
 * @typeParam R What the function returns.
 * @param token A token with CAP_SYS_ADMIN.
 * @param fn The function; where it returns a promise, the kernel counts until that settles.
 * @returns What the function returns.
 */
export async function withRunStats<R>(
  token: CommandToken<"enable_stats">,
  fn: (stats: RunStats) => R | Promise<R>,
): Promise<R> {
  using stats = new RunStats(token);
  return await fn(stats);
}
