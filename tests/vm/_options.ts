/**
 * The command line of `deno task test:vm`.
 *
 * @module
 */

import { parseArgs } from "@std/cli";

/** The kernels that the library is tested on: Debian's. */
export const KERNELS: readonly string[] = ["5.10", "6.1", "6.12", "6.18", "7.2"];

/** Seconds for one kernel: software emulation is about 17 times slower than the machine itself. */
const TIME_LIMIT = 3600;

/** What is asked for. */
export interface Options {
  /** The kernels, as asked for. */
  readonly kernels: readonly string[];
  /** The limit for each kernel in seconds. */
  readonly timeout: number;
  /** How many kernels run at a time. */
  readonly jobs: number;
  /** Whether results are kept and docs/kernels.md is written. */
  readonly write: boolean;
  /** Whether the slowest tests are left out. */
  readonly quick: boolean;
  /** Whether only help is wanted. */
  readonly help: boolean;
  /** What goes to `deno task test:only`; nothing for all of tests/kernel. */
  readonly args: readonly string[];
}

/** How it is used. */
export const USAGE: string =
  `Usage: deno task test:vm [--kernel VERSION]… [--timeout SECONDS] [--jobs N] [--quick | --write]
       [-- ARGUMENT…]

  --kernel VERSION    a kernel to test on; repeatable (${KERNELS.join(", ")})
  --timeout SECONDS   the limit for each kernel (${TIME_LIMIT})
  --jobs N            how many kernels run at a time; each takes one CPU (1)
  --write             keep the results in tests/vm/results/, file by file, and write docs/kernels.md from all
  --quick             leave out the slowest tests, which depend on the kernel least
  -- ARGUMENT…        paths, words and options for deno task test:only; all of tests/kernel where left out
`;

const TEST_FILE = /^tests\/kernel\/\w+_test\.ts$/;

function positive(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9][0-9]{0,5}$/.test(text)) {
    throw new RangeError(`Cannot use --${option} ${text}: it takes a whole number above 0`);
  }
  return Number(text);
}

/**
 * Reads the command line.
 *
 * @param all The arguments.
 * @returns What is asked for.
 * @throws {RangeError | TypeError} For what is not understood.
 */
export function parseOptions(all: readonly string[]): Options {
  const at = all.indexOf("--");
  const [own, args] = at < 0 ? [all, []] : [all.slice(0, at), all.slice(at + 1)];
  const options = parseArgs([...own], {
    string: ["kernel", "timeout", "jobs"],
    boolean: ["write", "quick", "help"],
    collect: ["kernel"],
    unknown(arg) {
      const hint = arg.startsWith("-") ? "" : "; what is for deno task test:only stands after --";
      throw new TypeError(`Cannot use ${arg}: there is no such option${hint}`);
    },
  });
  const kernels = options.kernel.map(String);
  for (const kernel of kernels) {
    if (/^[1-9][\w.+~-]*$/.test(kernel)) continue;
    throw new RangeError(`Cannot use --kernel ${kernel}: it takes a version such as ${KERNELS[0]}`);
  }
  if (options.write && (options.quick || !args.every((arg) => TEST_FILE.test(arg)))) {
    throw new TypeError("Cannot use --write with --quick or words to filter by: whole files of tests/kernel are kept");
  }
  if (options.quick && args.length > 0) throw new TypeError("Cannot use --quick with arguments after --");
  return {
    kernels: kernels.length > 0 ? [...new Set(kernels)] : KERNELS,
    timeout: positive("timeout", options.timeout, TIME_LIMIT),
    jobs: positive("jobs", options.jobs, 1),
    write: options.write,
    quick: options.quick,
    help: options.help,
    args,
  };
}
