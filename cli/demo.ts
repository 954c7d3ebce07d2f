/**
 * A live table of the machine's system calls, by eBPF: `deno run --allow-ffi cli/demo.ts`.
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { acquire, PermissionError } from "../mod.ts";
import { syscallNames } from "../uapi/syscalls.gen.ts";
import { sleep, untilInterrupted } from "./_interrupt.ts";
import { type Count, type Exec, type MonitorToken, SyscallMonitor } from "./_monitor.ts";
import { printable, type Row, Screen, tableLines, write } from "./_screen.ts";

const USAGE = `Shows which processes make which system calls, and how often.

Usage: deno task demo [--seconds N] [--interval N] [--top N] [--pid N] [--json]

  --seconds N    how long to watch; 0 until Ctrl-C (5)
  --interval N   how long to count between two tables, in seconds (1)
  --top N        how many rows to show (15)
  --pid N        only this process
  --json         print one JSON object a line
  --help         print this
`;

/** What sysexits.h calls EX_NOPERM. */
const EXIT_NO_PERMISSION = 77;
const EXIT_USAGE = 2;

interface Options {
  readonly seconds: number;
  readonly interval: number;
  readonly top: number;
  readonly pid: number | undefined;
  readonly json: boolean;
}

class UsageError extends Error {}

function numberOption(name: string, text: string | undefined, fallback: number, from: number, whole: boolean): number {
  if (text === undefined) return fallback;
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value) || value < from || value > 1e9 || (whole && !Number.isInteger(value))) {
    const kind = whole ? "a whole number" : "a number";
    throw new UsageError(`--${name} takes ${kind} from ${from} on, not "${text}"`);
  }
  return value;
}

/** What the command line asks for; undefined for help. */
function parseOptions(args: string[]): Options | undefined {
  const unknown: string[] = [];
  const parsed = parseArgs(args, {
    string: ["seconds", "interval", "top", "pid"],
    boolean: ["json", "help"],
    alias: { h: "help" },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (parsed.help) return undefined;
  if (unknown.length > 0) throw new UsageError(`unknown argument "${unknown[0]}"`);
  return {
    seconds: numberOption("seconds", parsed.seconds, 5, 0, false),
    interval: numberOption("interval", parsed.interval, 1, 0.05, false),
    top: numberOption("top", parsed.top, 15, 1, true),
    pid: parsed.pid === undefined ? undefined : numberOption("pid", parsed.pid, 0, 1, true),
    json: parsed.json,
  };
}

function syscallName(nr: number): string {
  return syscallNames[Deno.build.arch]?.[nr] ?? `syscall_${nr}`;
}

const byRate = (a: { rate: number }, b: { rate: number }): number => b.rate - a.rate;

/** Prints tables and lines for people. */
class TextOutput implements Disposable {
  readonly #screen = new Screen();
  readonly #top: number;

  constructor(top: number) {
    this.#top = top;
  }

  counts(counts: readonly Count[], seconds: number): void {
    const { columns, rows } = this.#screen.size;
    const all: Row[] = counts.map(({ comm, pid, hostPid, nr, count }) => ({
      comm,
      pid: pid ?? hostPid,
      syscall: syscallName(nr),
      rate: count / seconds,
    })).sort(byRate);
    const total = counts.reduce((sum, { count }) => sum + count, 0) / seconds;
    const processes = new Set(counts.map(({ hostPid }) => hostPid)).size;
    const title = `${total.toFixed(0)} system calls a second by ${processes} processes`;
    this.#screen.table(tableLines(all.slice(0, Math.min(this.#top, rows - 3)), title, columns));
  }

  exec({ pid, hostPid, uid, comm, filename }: Exec): void {
    this.#screen.line(`+ ${printable(filename || comm)} (pid ${pid ?? hostPid}, uid ${uid})`);
  }

  end({ calls, execs }: { calls: number; execs: number }): void {
    if (calls + execs > 0) this.#screen.line(`${calls} calls and ${execs} new processes found no room in the maps`);
  }

  [Symbol.dispose](): void {
    this.#screen[Symbol.dispose]();
  }
}

/** Prints one JSON object a line for programs; the README documents them. */
class JsonOutput implements Disposable {
  readonly #top: number;

  constructor(top: number) {
    this.#top = top;
  }

  counts(counts: readonly Count[], seconds: number): void {
    const time = new Date().toISOString();
    const rows = counts.map((count) => ({ ...count, rate: count.count / seconds })).sort(byRate).slice(0, this.#top);
    for (const { pid, hostPid, comm, nr, count, rate } of rows) {
      this.#print({
        type: "syscall",
        time,
        pid: pid ?? null,
        hostPid,
        comm,
        syscall: syscallName(nr),
        nr,
        count,
        rate,
      });
    }
  }

  exec({ pid, hostPid, uid, comm, filename }: Exec): void {
    this.#print({ type: "exec", time: new Date().toISOString(), pid: pid ?? null, hostPid, uid, comm, filename });
  }

  end({ calls, execs }: { calls: number; execs: number }): void {
    this.#print({ type: "end", time: new Date().toISOString(), lostCalls: calls, lostExecs: execs });
  }

  #print(object: Record<string, unknown>): void {
    write(`${JSON.stringify(object)}\n`);
  }

  [Symbol.dispose](): void {}
}

async function watch(token: MonitorToken, options: Options, signal: AbortSignal): Promise<void> {
  using output = options.json ? new JsonOutput(options.top) : new TextOutput(options.top);
  using monitor = new SyscallMonitor(token, options.pid);
  const ended = new AbortController();
  const execs = (async () => {
    for await (const exec of monitor.execs(AbortSignal.any([signal, ended.signal]))) output.exec(exec);
  })();
  // A failure of the output while nobody waits for it: it is thrown below.
  execs.catch(() => ended.abort());
  try {
    const end = options.seconds === 0 ? Infinity : performance.now() + options.seconds * 1000;
    for (let last = performance.now(); last < end && !signal.aborted && !ended.signal.aborted;) {
      await sleep(Math.min(options.interval * 1000, end - last), AbortSignal.any([signal, ended.signal]));
      const now = performance.now();
      output.counts(monitor.takeCounts(), (now - last) / 1000);
      last = now;
    }
  } finally {
    ended.abort();
    await execs;
  }
  output.end(monitor.lost());
}

/**
 * Shows which processes make which system calls, until the time is over.
 *
 * @param args The options.
 * @returns The exit code.
 */
export async function demo(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    write(USAGE);
    return 0;
  }
  const token = acquire("CAP_BPF", "CAP_PERFMON");
  try {
    await untilInterrupted((signal) => watch(token, options, signal));
  } finally {
    token.revoke();
  }
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await demo(Deno.args);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exitCode = 0;
    else if (error instanceof UsageError) {
      console.error(`Cannot run the demo: ${error.message}\n\n${USAGE}`);
      Deno.exitCode = EXIT_USAGE;
    } else if (error instanceof PermissionError) {
      console.error(error.message);
      Deno.exitCode = EXIT_NO_PERMISSION;
    } else if (error instanceof Deno.errors.NotCapable) {
      console.error("Cannot run the demo: Deno does not allow FFI; run it as deno run --allow-ffi cli/demo.ts");
      Deno.exitCode = EXIT_NO_PERMISSION;
    } else throw error;
  }
}
