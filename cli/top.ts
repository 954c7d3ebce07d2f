/**
 * Programs by CPU time and calls a second, live: `bpf top`.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { RunStats } from "../progs/mod.ts";
import type { CommandGroup } from "./_command.ts";
import type { Held } from "./_held.ts";
import { Holders, holdersText } from "./_holders.ts";
import { sleep, untilInterrupted } from "./_interrupt.ts";
import { Screen } from "./_screen.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { parseWatch, type Watch } from "./_watch.ts";
import type { Words } from "./_words.ts";

/** What a program did so far. */
interface Runs {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly runTimeNs: bigint;
  readonly runCnt: bigint;
}

/** What a program did in a period. */
export interface TopRow {
  /** Its id. */
  readonly id: number;
  /** Its name. */
  readonly name: string;
  /** Its type. */
  readonly type: string;
  /** How much of one CPU it had, from 0 to 1. */
  readonly cpu: number;
  /** How often it ran, a second. */
  readonly rate: number;
  /** How long one run took, in nanoseconds. */
  readonly averageNs: number;
}

function readRuns(session: Session): Map<number, Runs> {
  const runs = new Map<number, Runs>();
  for (const { info } of eachObject(session.token, "prog")) {
    const { id, name, type, runTimeNs, runCnt } = info();
    runs.set(id, { id, name, type: `${type}`, runTimeNs, runCnt });
  }
  return runs;
}

function rowsOf(before: ReadonlyMap<number, Runs>, after: ReadonlyMap<number, Runs>, seconds: number): TopRow[] {
  return [...after.values()].map(({ id, name, type, runTimeNs, runCnt }) => {
    // A program that is new began from nothing.
    const ns = Number(runTimeNs - (before.get(id)?.runTimeNs ?? 0n));
    const count = Number(runCnt - (before.get(id)?.runCnt ?? 0n));
    return { id, name, type, cpu: ns / (seconds * 1e9), rate: count / seconds, averageNs: count > 0 ? ns / count : 0 };
  }).sort((one, other) => other.cpu - one.cpu || other.rate - one.rate || one.id - other.id);
}

function table(rows: readonly TopRow[], held: ReadonlyMap<number, Held>, width: number): string[] {
  const head = `${"ID".padStart(8)}  ${"TYPE".padEnd(18)}${"NAME".padEnd(17)}${"CPU".padStart(7)}${
    "RUNS/S".padStart(12)
  }${"NS/RUN".padStart(10)}  PIDS`;
  const lines = rows.map(({ id, name, type, cpu, rate, averageNs }) => {
    const pids = holdersText(held.get(id)?.holders ?? []);
    return `${`${id}`.padStart(8)}  ${type.slice(0, 17).padEnd(18)}${safe(name).slice(0, 16).padEnd(17)}${
      `${(cpu * 100).toFixed(2)}%`.padStart(7)
    }${rate.toFixed(0).padStart(12)}${averageNs.toFixed(0).padStart(10)}  ${safe(pids)}`.slice(0, width).trimEnd();
  });
  const total = rows.reduce((sum, { cpu }) => sum + cpu, 0);
  const title = `${rows.length} programs, ${(total * 100).toFixed(2)}% of one CPU`;
  return [title, head, ...lines];
}

async function watch(session: Session, { seconds, interval, top }: Watch): Promise<void> {
  using _stats = new RunStats(session.token);
  using screen = new Screen();
  using holders = new Holders(session.token, "prog");
  await untilInterrupted(async (signal) => {
    const end = seconds === 0 ? Infinity : performance.now() + seconds * 1000;
    let [before, last] = [readRuns(session), performance.now()];
    while (last < end && !signal.aborted) {
      await sleep(Math.min(interval * 1000, end - last), signal);
      const [after, now] = [readRuns(session), performance.now()];
      const rows = rowsOf(before, after, (now - last) / 1000).slice(0, top);
      if (session.isText) {
        const { columns, rows: height } = screen.size;
        screen.table(table(rows.slice(0, Math.max(1, Math.min(top, height - 3))), holders.find(), columns));
      } else session.answer({ json: () => rows.map((row) => ({ ...row })), v1: ["top", () => rows], text: () => "" });
      [before, last] = [after, now];
    }
  });
}

async function top(session: Session, words: Words): Promise<void> {
  if (words.accept("syscalls")) {
    const { demo } = await import("./demo.ts");
    const rest: string[] = session.isText ? [] : ["--json"];
    while (words.left > 0) rest.push(words.next("an option"));
    await demo(rest);
    return;
  }
  await watch(session, parseWatch(words));
}

/** Programs by what they cost. */
export const group: CommandGroup = {
  usage: `Usage: {} top [--seconds N] [--interval N] [--top N]
       {} top syscalls [--seconds N] [--interval N] [--top N] [--pid N]

       --seconds N    how long to watch; 0 until Ctrl-C (0)
       --interval N   how long to count between two tables, in seconds (1)
       --top N        how many rows to show (15)
`,
  commands: { "": top },
};
