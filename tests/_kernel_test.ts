/**
 * The one way in which a test of the kernel is written, and the one through which it may be skipped.
 *
 * @module
 */

import { enableLedger, openFds } from "../ffi/fd.ts";
import { hasTool } from "./_tools.ts";

/** How many times longer everything may take: the VMs of tests/vm are emulated. */
export const SLOWNESS: number = Deno.env.get("BPF_TEST_VM") === undefined ? 1 : 8;

/** Says what the kernel or the machine lacks; undefined where it has all. */
export type Probe = () => string | undefined;

function path(file: string, what: string): Probe {
  return () => {
    try {
      Deno.statSync(file);
      return undefined;
    } catch {
      return `no ${what}`;
    }
  };
}

function place(variable: string, what: string): Probe {
  return () =>
    Deno.env.get(variable) === undefined ? `no ${what} of its own: run it as deno task test:only` : undefined;
}

/** The name of a probe. */
export type ProbeName = "btf" | "bpffs" | "tracefs" | "debugfs" | "cgroup" | "netns";

/** The probes that have a name. */
const PROBES: Readonly<Record<ProbeName, Probe>> = {
  /** The kernel's own types, in /sys/kernel/btf/vmlinux. */
  btf: path("/sys/kernel/btf/vmlinux", "BTF of the kernel"),
  /** A bpf file system of the run's own, at `BPF_TEST_BPFFS`. */
  bpffs: place("BPF_TEST_BPFFS", "bpf file system"),
  /** A tracefs of the run's own, at `BPF_TEST_TRACEFS`. */
  tracefs: place("BPF_TEST_TRACEFS", "tracefs"),
  /** A debugfs of the run's own, at `BPF_TEST_DEBUGFS`. */
  debugfs: place("BPF_TEST_DEBUGFS", "debugfs"),
  /** A cgroup of version 2 of the run's own, at `BPF_TEST_CGROUP`. */
  cgroup: place("BPF_TEST_CGROUP", "cgroup v2"),
  /** A network namespace of the run's own. */
  netns: place("BPF_TEST_NETNS", "network namespace"),
};

/** What a test needs. */
export interface KernelTestOptions {
  /** What the kernel has to have. */
  readonly needs?: readonly (ProbeName | Probe)[];
  /** The programs that it runs. Where CI is set, it fails rather than be skipped where one is missing. */
  readonly tools?: readonly string[];
  /** Whether it needs to be root. @default {true} */
  readonly root?: boolean;
}

/**
 * A probe for what takes minutes where the machine is emulated, and is about no feature of a kernel.
 *
 * @param what What takes so long.
 * @returns What says that this is a VM of tests/vm.
 */
export function notEmulated(what: string): Probe {
  return () => SLOWNESS > 1 ? `${what} takes minutes in an emulated machine` : undefined;
}

/**
 * A probe for a kernel release.
 *
 * @param release The release, as `6.9`.
 * @returns What says that the running kernel is older.
 */
export function kernelSince(release: string): Probe {
  const parts = (text: string): number[] => text.split(/[.-]/).slice(0, 2).map(Number);
  return () => {
    const [major, minor] = parts(Deno.osRelease());
    const [wantedMajor, wantedMinor] = parts(release);
    return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
      ? undefined
      : `kernel ${Deno.osRelease()} is older than ${release}`;
  };
}

/** What the kernel lacks; undefined where it has all. */
function lacks({ needs = [], root = true }: KernelTestOptions): string | undefined {
  if (Deno.build.os !== "linux") return `this is ${Deno.build.os}, not Linux`;
  if (root && Deno.uid() !== 0) return "not root";
  for (const need of needs) {
    const lacking = typeof need === "string" ? PROBES[need]() : need();
    if (lacking !== undefined) return lacking;
  }
  return undefined;
}

/** Leaked descriptors that a test has been told of: those after it are not. */
const told = new WeakSet<object>();

function checkLedger(): void {
  const leaked = openFds().filter((entry) => !told.has(entry));
  for (const entry of leaked) told.add(entry);
  if (leaked.length === 0) return;
  const places = leaked.map(({ fd, stack }) => `fd ${fd}, made here:\n${stack.replace(/^Error\n/, "")}`);
  throw new Error(`${leaked.length} file descriptors are still open at the end of the test\n${places.join("\n")}`);
}

/**
 * A test that talks to the kernel. It is skipped, with the reason in its name, where the kernel or the machine lacks
 * what it needs; it fails where it leaves a file descriptor open.
 *
 * @param name The symbol and its behaviour: `mapCreate() rejects a zero value size`.
 * @param options What it needs.
 * @param fn The test.
 */
export function kernelTest(
  name: string,
  options: KernelTestOptions,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  const lacking = lacks(options);
  const tool = lacking === undefined ? options.tools?.find((one) => !hasTool(one)) : undefined;
  const reason = lacking ?? (tool === undefined ? undefined : `no ${tool}`);
  const isFailure = tool !== undefined && Boolean(Deno.env.get("CI"));
  Deno.test({
    name: reason === undefined || isFailure ? name : `${name} (skipped: ${reason})`,
    ignore: reason !== undefined && !isFailure,
    // Calls that are still waiting on another thread are ops. Resources are left out: libc stays open once opened.
    sanitizeOps: true,
    sanitizeResources: false,
    fn: async (context) => {
      if (tool !== undefined) throw new Error(`Cannot run this test: no ${tool} here (deno task setup installs it)`);
      enableLedger();
      let failed = true;
      try {
        await fn(context);
        failed = false;
      } finally {
        // Where the test has failed already, that is the news; its descriptors are not the next test's fault.
        if (failed) { for (const entry of openFds()) told.add(entry); }
      }
      checkLedger();
    },
  });
}
