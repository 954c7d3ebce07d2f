import { assert, assertEquals, assertGreater, assertStringIncludes, assertThrows } from "@std/assert";
import {
  asm,
  attachPerfSampling,
  BpfMap,
  type Fd,
  NotSupportedError,
  type PerfCounter,
  progLoad,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { onlineCpus } from "../../ffi/cpus.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { cgroup2Mount } from "../_sandbox.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { makeCgroup, type RootToken, rootToken, simpleProg } from "./_objects.ts";

/** Keeps this thread's CPU busy. */
function spin(milliseconds: number): void {
  for (const end = performance.now() + milliseconds * SLOWNESS; performance.now() < end;);
}

const DIRECTORY = new URL("../..", import.meta.url).href;

kernelTest(
  "attachPerfSampling() runs a program by frequency and period, on each CPU, of each counter of the kernel",
  {},
  async () => {
    const token = rootToken();
    for (const how of [{ frequency: 500 }, { period: 1_000_000n }, { period: 2_000_000 }]) {
      using counter = new Counter(token, "perf_event", 0);
      const sampling = attachPerfSampling(token, counter.prog, { event: "cpu_clock", ...how });
      assertEquals(sampling.attachments.length, onlineCpus().length);
      await counter.seen(sampling, () => spin(30));
    }
    using one = new Counter(token, "perf_event", 0);
    const single = attachPerfSampling(token, one.prog, { event: "cpu_clock", frequency: 500, cpus: [0] });
    assertEquals(single.attachments.length, 1);
    single.close();
    // More than malloc ever keeps for later (32 MiB), so that its pages are new ones.
    const touch = () => new Uint8Array(1 << 26).fill(1);
    const provoke: { [E in PerfCounter]?: () => unknown } = {
      task_clock: () => spin(30),
      page_faults: touch,
      minor_faults: touch,
      context_switches: () => new Promise((resolve) => setTimeout(resolve, 5)),
    };
    for (const [event, work] of Object.entries(provoke) as [PerfCounter, () => unknown][]) {
      using counter = new Counter(token, "perf_event", 0);
      const period = event === "task_clock" ? 1_000_000 : 1;
      await counter.seen(attachPerfSampling(token, counter.prog, { event, period, pid: 0 }), work);
    }
  },
);

kernelTest("attachPerfSampling() samples by the machine's counters, or says that it has none", {}, async () => {
  const token = rootToken();
  using counter = new Counter(token, "perf_event", 0);
  for (const event of ["cpu_cycles", "instructions", { type: 0, config: 0n }] as const) {
    let sampling;
    try {
      sampling = attachPerfSampling(token, counter.prog, { event, period: 100_000 });
    } catch (error) {
      assert(error instanceof NotSupportedError, String(error));
      assertStringIncludes(error.message, "the machine has no such event");
      continue;
    }
    await counter.seen(sampling, () => spin(30));
  }
});

/** A program that counts by process. */
function countPids(token: RootToken, counts: BpfMap<number, bigint>): Fd {
  return progLoad(token, {
    type: "perf_event",
    license: "GPL",
    insns: asm`
      call get_current_pid_tgid
      r0 >>= 32
      *(u32 *)(r10 -4) = r0
      *(u64 *)(r10 -16) = 1
      r1 = map_fd ${counts} ll
      r2 = r10
      r2 += -4
      r3 = r10
      r3 += -16
      r4 = 0
      call map_update_elem
      r0 = 0
      exit
    `,
  });
}

kernelTest(
  "attachPerfSampling() samples a process, its children and a cgroup, and nobody else",
  { needs: ["cgroup"] },
  async () => {
    const token = rootToken();

    using counts = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 1000 });
    using prog = countPids(token, counts as unknown as BpfMap<number, bigint>);
    const busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
    {
      using _sampling = attachPerfSampling(token, prog, { event: "task_clock", period: 200_000, pid: 0 });
      await run("sh", ["-c", busy]);
      spin(20);
      assertEquals([...counts.keys()], [Deno.pid]);
    }
    counts.clear();
    {
      using _sampling = attachPerfSampling(token, prog, {
        event: "task_clock",
        period: 200_000,
        pid: 0,
        inherit: true,
      });
      await run("sh", ["-c", busy]);
      assertGreater([...counts.keys()].filter((pid) => pid !== Deno.pid).length, 0);
    }
    counts.clear();
    using cgroup = makeCgroup("sampled");
    // Cgroups get the perf_event controller with the first one that somebody enables, which nobody does in a VM.
    const root = cgroup2Mount();
    if (Deno.env.get("BPF_TEST_VM") !== undefined) {
      const options = { event: "cpu_clock", period: 200_000, cgroup: cgroup.path } as const;
      assertThrows(() => attachPerfSampling(token, prog, options), NotSupportedError, "has no perf_event controller");
      Deno.writeTextFileSync(`${root}/cgroup.subtree_control`, "+pids");
    }
    for (const target of [cgroup.path, { fd: cgroup.fd }]) {
      using _sampling = attachPerfSampling(token, prog, { event: "cpu_clock", period: 200_000, cgroup: target });
      spin(20);
      assertEquals(counts.get(Deno.pid), undefined);
      const { stdout } = await run("sh", ["-c", `echo $$ > ${cgroup.path}/cgroup.procs; echo $$; ${busy}`]);
      assertEquals([...counts.keys()], [Number(stdout)]);
      counts.clear();
    }
  },
);

kernelTest("attachPerfSampling() refuses what cannot be, and leaves no CPU attached", {}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "perf_event");
  for (
    const [options, kind, message] of [
      [{ event: "cpu_clock" }, TypeError, "one of frequency and period"],
      [{ event: "cpu_clock", frequency: 1, period: 1 }, TypeError, "one of frequency and period"],
      [{ event: "heat" as PerfCounter, period: 1 }, TypeError, '"heat" is none'],
      [{ event: "cpu_clock", period: 0 }, RangeError, "start at 1"],
      [{ event: "cpu_clock", period: 1, pid: 0, cgroup: "/" }, TypeError, "one of pid and cgroup"],
      [{ event: "cpu_clock", period: 1000, cpus: [0, 99999] }, SyscallError, "EINVAL"],
      [{ event: "cpu_clock", period: 1000, pid: 0x7ffffff0 }, SyscallError, "ESRCH"],
      [{ event: "cpu_clock", period: 1000, cgroup: "/proc" }, SyscallError, "EBADF"],
    ] as const
  ) {
    assertThrows(() => attachPerfSampling(token, prog, options), kind, message);
  }
});

kernelTest("attachPerfSampling() explains kernel.perf_event_paranoid", {}, async () => {
  const paranoid = Number(Deno.readTextFileSync("/proc/sys/kernel/perf_event_paranoid"));
  const script = `
    import { acquire, asm, attachPerfSampling, progLoad } from ${JSON.stringify(`${DIRECTORY}mod.ts`)};
    import { dropTo } from ${JSON.stringify(`${DIRECTORY}tests/_credentials.ts`)};
    const token = acquire("CAP_BPF", "CAP_PERFMON");
    const prog = progLoad(token, { type: "perf_event", license: "GPL", insns: asm\`
      r0 = 0
      exit
    \` });
    dropTo(65534, []);
    try {
      attachPerfSampling(token, prog, { event: "cpu_clock", frequency: 10 });
      console.log("attached");
    } catch (error) {
      console.log(error.name, error.code, error.message);
    }
  `;
  const { stdout, code, stderr } = await run(Deno.execPath(), ["run", "-A", "--no-check", "-"], {
    stdin: script,
    timeoutMs: 30_000 * SLOWNESS,
  });
  assertEquals(code, 0, stderr);
  if (paranoid < 1) return assertEquals(stdout.trim(), "attached");
  assertStringIncludes(stdout, "PermissionError EACCES");
  assertStringIncludes(stdout, `kernel.perf_event_paranoid is ${paranoid}`);
});
