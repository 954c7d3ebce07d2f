/**
 * Runs the tests of the kernel on other kernels, in throwaway VMs: `deno task test:vm [--kernel 6.1] [-- ARGUMENT…]`.
 *
 * Arguments after `--` go to `deno task test:only`: paths, words to filter by, options of deno test. Without them all of
 * tests/kernel runs. With `--write` the results go to docs/kernels.md.
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { toolPath } from "../_tools.ts";
import { parseJunit, type Result } from "./_junit.ts";
import { type KernelResults, kernelsPage } from "./_page.ts";

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);
const VMRUN = decodeURIComponent(new URL("vmrun.sh", import.meta.url).pathname);
const PAGE = `${ROOT}docs/kernels.md`;

/** The kernels that the library is tested on: Debian's. */
const KERNELS: readonly string[] = ["5.10", "6.1", "6.12", "6.18", "7.2"];

/** Seconds for one kernel: software emulation is about 17 times slower than the machine itself. */
const TIME_LIMIT = 3600;
/** Guest memory in MiB; it holds what the tests write, too. */
const MEMORY = 3072;

const TOOLS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  "apt-get": "apt",
};

const USAGE = `Usage: deno task test:vm [--kernel VERSION]… [--timeout SECONDS] [--write] [-- ARGUMENT…]

  --kernel VERSION    a kernel to test on; repeatable (${KERNELS.join(", ")})
  --timeout SECONDS   the limit for each kernel (${TIME_LIMIT})
  --write             write docs/kernels.md from the results
`;

/**
 * What the guest runs: the tests, and where all were asked for the permission test once more with
 * kernel.unprivileged_bpf_disabled at 1, which no machine that lives on could take back.
 */
const GUEST_SCRIPT = `
  shared=$1 deno=$2
  shift 2
  uname -r >"$shared/release"
  run() { "$deno" run -A --no-check --cached-only tests/run.ts --no-check "$@"; }
  run "--junit-path=$shared/junit.xml" "$@"
  code=$?
  [ "$*" = tests/kernel ] || exit "$code"
  echo 1 >/proc/sys/kernel/unprivileged_bpf_disabled || exit
  run "--junit-path=$shared/disabled.xml" tests/kernel/permissions_test.ts || code=1
  exit "$code"
`;

/** vmrun's own exit codes. */
const TIMED_OUT = 124;
const FAILED_ITSELF = 125;

function checkTools(): void {
  const missing = Object.keys(TOOLS).filter((tool) => toolPath(tool) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map((tool) => TOOLS[tool]).join(" ");
  console.error(`Cannot run a VM: no ${missing.join(", ")} here; on Debian: apt-get install ${packages}`);
  Deno.exit(1);
}

async function mustRun(args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: ROOT, stdin: "null" }).spawn()
    .status;
  if (!success) Deno.exit(1);
}

/** Runs the tests on one kernel. */
async function runKernel(
  kernel: string,
  timeout: number,
  args: readonly string[],
): Promise<{ code: number; release: string; results: Result[] }> {
  const shared = await Deno.makeTempDir({ prefix: "bpf-vm-" });
  try {
    const { code } = await new Deno.Command(VMRUN, {
      args: [
        ...["--kernel", kernel, "--timeout", `${timeout}`, "--mem", `${MEMORY}`, "--env", "BPF_TEST_VM"],
        ...["--rw", shared, "--time", "--", "sh", "-c", GUEST_SCRIPT, "sh", shared, Deno.execPath(), ...args],
      ],
      cwd: ROOT,
      stdin: "null",
      env: { BPF_TEST_VM: kernel },
    }).spawn().status;
    const read = (name: string): Promise<string> => Deno.readTextFile(`${shared}/${name}`).catch(() => "");
    return {
      code,
      release: (await read("release")).trim(),
      results: [...parseJunit(await read("junit.xml")), ...parseJunit(await read("disabled.xml"))],
    };
  } finally {
    await Deno.remove(shared, { recursive: true });
  }
}

function count(results: readonly Result[], outcome: Result["outcome"]): number {
  return results.filter((result) => result.outcome === outcome).length;
}

async function main(): Promise<number> {
  const [own, rest] = split(Deno.args);
  const options = parseArgs(own, { string: ["kernel", "timeout"], boolean: ["write", "help"], collect: ["kernel"] });
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  checkTools();
  const kernels = options.kernel.length > 0 ? options.kernel as string[] : KERNELS;
  const timeout = Number(options.timeout ?? TIME_LIMIT);
  const args = rest.length > 0 ? rest : ["tests/kernel"];
  // Types once, here: the guests run without checking them, and without a network.
  await mustRun(["check", "tests/"]);
  await mustRun(["test", "--no-run", "--no-check", "tests/kernel", "tests/unit", "tests/fuzz"]);

  const all: KernelResults[] = [];
  let bad = 0;
  for (const kernel of kernels) {
    console.log(`== kernel ${kernel}`);
    const { code, release, results } = await runKernel(kernel, timeout, args);
    if (code === TIMED_OUT) console.error(`kernel ${kernel}: not finished after ${timeout} seconds`);
    if (code === FAILED_ITSELF) console.error(`kernel ${kernel}: it could not be fetched or booted (see above)`);
    if (code !== 0) bad++;
    all.push({ kernel, release, results, complete: results.length > 0 });
  }
  console.log();
  for (const { kernel, release, results } of all) {
    const [passed, failed, skipped] = (["passed", "failed", "skipped"] as const).map((one) => count(results, one));
    console.log(
      `kernel ${kernel} (${release || "did not run"}): ${passed} passed, ${failed} failed, ${skipped} skipped`,
    );
  }
  if (options.write) await Deno.writeTextFile(PAGE, kernelsPage(all));
  return bad === 0 ? 0 : 1;
}

/** The arguments before and after `--`. */
function split(args: readonly string[]): [string[], string[]] {
  const at = args.indexOf("--");
  return at < 0 ? [[...args], []] : [args.slice(0, at), args.slice(at + 1)];
}

if (import.meta.main) Deno.exit(await main());
