/**
 * Runs the tests of the kernel on other kernels, in throwaway VMs: `deno task test:vm [--kernel 6.1] [-- ARGUMENT…]`.
 *
 * Arguments after `--` go to `deno task test:only`: paths, words to filter by, options of deno test. Without them all of
 * tests/kernel runs. With `--write` the results are kept in tests/vm/results/, and docs/kernels.md is made of them.
 *
 * @module
 */

import { toolPath } from "../_tools.ts";
import { inFiles, type Result } from "./_junit.ts";
import { type Options, parseOptions, USAGE } from "./_options.ts";
import { kernelsPage } from "./_page.ts";
import { keepResults, keptResults, type KernelResults, readShared } from "./_results.ts";

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);
const VMRUN = decodeURIComponent(new URL("vmrun.sh", import.meta.url).pathname);
const PAGE = `${ROOT}docs/kernels.md`;

/** Guest memory in MiB; it holds what the tests write, too. */
const MEMORY = 3072;

const WHOLE = "tests/kernel";

/**
 * What `--quick` leaves out: files about compilers, formats and the command line, which depend on the kernel least, and
 * what takes minutes: processes that start and end, calls that fail, all types of vmlinux, every cell of the permissions.
 */
const SLOW: readonly RegExp[] = [
  /^(btf_build|btf_clang|btf_dump|btf_format|btf_print_c|btf_typescript|core_libbpf|elf_readelf)_test\.ts$/,
  /^(cli|demo|book|errno|lifetime|links_failures|permissions|maps_cost|maps_model|maps_share)_/,
];

const TOOLS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  "apt-get": "apt",
};

/**
 * What the guest runs: the tests, and where all were asked for the permission test once more with
 * kernel.unprivileged_bpf_disabled at 1, which no machine that lives on could take back.
 */
const GUEST_SCRIPT = `
  shared=$1 deno=$2
  shift 2
  uname -r >"$shared/release"
  export BPF_TEST_FEATURES="$shared/features"
  run() { "$deno" run -A --no-check --cached-only tests/run.ts --no-check "$@"; }
  run "--junit-path=$shared/junit.xml" "$@"
  code=$?
  [ "$*" = ${WHOLE} ] || exit "$code"
  echo 1 >/proc/sys/kernel/unprivileged_bpf_disabled || exit
  run "--junit-path=$shared/disabled.xml" tests/kernel/permissions_test.ts || code=1
  exit "$code"
`;

/** vmrun's own exit codes. */
const TIMED_OUT = 124;
const FAILED_ITSELF = 125;

/** The scripts that run a VM now: a signal to this program is one to them, and no VM is started after it. */
const running = new Set<Deno.ChildProcess>();
let stopped: Deno.Signal | undefined;

function stopOnSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      stopped ??= signal;
      for (const child of running) child.kill("SIGTERM");
    });
  }
}

/** What became of a kernel. */
interface Outcome {
  /** What the tests saw. */
  readonly results: KernelResults;
  /** What the guest printed. */
  readonly lines: readonly string[];
  /** Why it is not a good run; undefined where it is one. */
  readonly problem?: string;
}

function missingTools(): string | undefined {
  const missing = Object.keys(TOOLS).filter((tool) => toolPath(tool) === undefined);
  if (missing.length === 0) return undefined;
  const packages = missing.map((tool) => TOOLS[tool]).join(" ");
  return `Cannot run a VM: no ${missing.join(", ")} here; on Debian: apt-get install ${packages}`;
}

async function succeeds(args: readonly string[]): Promise<boolean> {
  const command = new Deno.Command(Deno.execPath(), { args: [...args], cwd: ROOT, stdin: "null" });
  return (await command.spawn().status).success;
}

/** Prints each line with what it is about in front. */
async function echo(prefix: string, stream: ReadableStream<Uint8Array>, keep?: (line: string) => void): Promise<void> {
  const lines = stream.pipeThrough(new TextDecoderStream());
  let rest = "";
  const print = (line: string): void => {
    keep?.(line);
    console.log(`${prefix}${line}`);
  };
  for await (const chunk of lines) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    parts.forEach(print);
  }
  if (rest !== "") print(rest);
}

async function vmrun(
  kernel: string,
  args: readonly string[],
  lines: string[] = [],
): Promise<{ code: number; stdout: string; said: string }> {
  const child = new Deno.Command(VMRUN, {
    args: ["--kernel", kernel, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { BPF_TEST_VM: kernel },
  }).spawn();
  running.add(child);
  const prefix = `[${kernel}] `;
  let [stdout, said] = ["", ""];
  const isFetch = args.includes("--fetch");
  const [{ code }] = await Promise.all([
    child.status,
    isFetch
      ? new Response(child.stdout).text().then((text) => void (stdout = text.trim()))
      : echo(prefix, child.stdout, (line) => void lines.push(line)),
    echo(prefix, child.stderr, (line) => void (said = line.startsWith("vmrun: ") ? line.slice(7) : said)),
  ]);
  running.delete(child);
  return { code, stdout, said };
}

/**
 * The security modules that the guest starts, as an argument of its kernel: those that it starts by itself, and BPF,
 * which some kernels have and do not start.
 *
 * @param config The kernel's configuration.
 * @returns `lsm=…`; undefined where the kernel needs no telling, or has no such module.
 */
export function lsmArgument(config: string): string | undefined {
  if (!/^CONFIG_BPF_LSM=y$/m.test(config)) return undefined;
  const modules = /^CONFIG_LSM="(.*)"$/m.exec(config)?.[1].split(",").filter(Boolean) ?? [];
  return modules.includes("bpf") ? undefined : `lsm=${[...modules, "bpf"].join(",")}`;
}

/** Runs the tests on one kernel. */
async function runKernel(
  kernel: string,
  timeout: number,
  args: readonly string[],
  lines: string[],
): Promise<Omit<Outcome, "lines">> {
  const shared = await Deno.makeTempDir({ prefix: "bpf-vm-" });
  try {
    const fetched = await vmrun(kernel, ["--fetch"]);
    if (stopped !== undefined) {
      return { results: await readShared(shared, kernel), problem: `stopped by ${stopped}` };
    }
    if (fetched.code !== 0) {
      return { results: await readShared(shared, kernel), problem: `it cannot be had: ${fetched.said}` };
    }
    const lsm = lsmArgument(await Deno.readTextFile(`${fetched.stdout}/config`));
    const { code, said } = await vmrun(kernel, [
      ...["--timeout", `${timeout}`, "--mem", `${MEMORY}`, "--env", "BPF_TEST_VM"],
      ...(lsm === undefined ? [] : ["--append", lsm]),
      ...["--rw", shared, "--time", "--", "sh", "-c", GUEST_SCRIPT, "sh", shared, Deno.execPath(), ...args],
    ], lines);
    const results = await readShared(shared, kernel);
    if (stopped !== undefined) return { results, problem: `stopped by ${stopped}` };
    if (code === TIMED_OUT) return { results, problem: `not finished after ${timeout} seconds` };
    if (code === FAILED_ITSELF) return { results, problem: said };
    if (results.tests.length === 0) return { results, problem: "no test ran" };
    return code === 0 ? { results } : { results, problem: "tests failed, or left something behind" };
  } finally {
    await Deno.remove(shared, { recursive: true });
  }
}

/** The arguments for `deno task test:only`. */
function testArguments({ quick, args }: Options): readonly string[] {
  if (!quick) return args.length > 0 ? args : [WHOLE];
  const names = [...Deno.readDirSync(`${ROOT}${WHOLE}`)].map(({ name }) => name);
  return names.filter((name) => name.endsWith("_test.ts") && !SLOW.some((slow) => slow.test(name))).sort()
    .map((name) => `${WHOLE}/${name}`);
}

/** Runs the tests on some kernels, a few at a time; gives the outcomes in the order of the kernels. */
async function runAll(options: Options): Promise<Outcome[]> {
  const { kernels, timeout, jobs } = options;
  const args = testArguments(options);
  const outcomes: Outcome[] = [];
  const waiting = kernels.entries();
  const worker = async (): Promise<void> => {
    for (const [index, kernel] of waiting) {
      if (stopped !== undefined) return;
      const lines: string[] = [];
      outcomes[index] = { ...await runKernel(kernel, timeout, args, lines), lines };
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return outcomes.filter((outcome) => outcome !== undefined);
}

function count(tests: readonly Result[], outcome: Result["outcome"]): number {
  return tests.filter((test) => test.outcome === outcome).length;
}

async function writePage(outcomes: readonly Outcome[], isWhole: boolean): Promise<void> {
  for (const { results, lines } of outcomes) {
    try {
      if (results.tests.length === 0) throw new RangeError("Cannot keep results: there are none");
      await keepResults({ ...results, tests: inFiles(results.tests, lines) }, isWhole);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      console.error(`kernel ${results.kernel}: ${error.message}`);
    }
  }
  await Deno.writeTextFile(PAGE, kernelsPage(await keptResults()));
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(Deno.args);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const missing = missingTools();
  if (missing !== undefined) {
    console.error(missing);
    return 1;
  }
  // Types once, here: the guests run without checking them, and without a network.
  if (!await succeeds(["check", "tests/"])) return 1;
  if (!await succeeds(["test", "--no-run", "--no-check", "tests/kernel", "tests/unit", "tests/fuzz"])) return 1;

  stopOnSignals();
  const outcomes = await runAll(options);
  if (options.write && stopped === undefined) await writePage(outcomes, options.args.length === 0);
  console.log();
  for (const { results: { kernel, release, tests }, problem } of outcomes) {
    const [passed, failed, skipped] = (["passed", "failed", "skipped"] as const).map((one) => count(tests, one));
    const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    console.log(`kernel ${kernel} (${release || "did not run"}): ${counts}${problem ? `; ${problem}` : ""}`);
  }
  return stopped === undefined && outcomes.every(({ problem }) => problem === undefined) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
