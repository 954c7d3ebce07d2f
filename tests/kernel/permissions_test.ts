/**
 * The table of permission rules against the kernel, call by call: what a token foretells is what the kernel answers.
 *
 * @module
 */

import { assertEquals, assertGreater } from "@std/assert";
import type { Capability } from "../../tokens/capabilities.ts";
import { kernelTest } from "../_kernel_test.ts";
import { vmlinuxId } from "./_btf_bytes.ts";
import { NOTHING_TO_CALL } from "./_permission_cells.ts";
import type { Row, Seen } from "./_permission_child.ts";

const CHILD = decodeURIComponent(new URL("_permission_child.ts", import.meta.url).pathname);
const SYSCTL = "/proc/sys/kernel/unprivileged_bpf_disabled";

const ALL: readonly Capability[] = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"];

/** Every set of the capabilities that bpf(2) asks for. */
const EVERY_SET: readonly (readonly Capability[])[] = Array.from(
  { length: 1 << ALL.length },
  (_, bits) => ALL.filter((_, index) => (bits >> index & 1) === 1),
);

const USERS = [0, 65534];

/** Who makes the calls. */
type Who = Required<Pick<Row, "uid" | "capabilities">>;

/**
 * Every user with every set of capabilities. In a VM, which is slow, users take turns over the sets, and CAP_SYS_ADMIN
 * comes by itself only, as it stands in for the others.
 */
function whoCalls(): Who[] {
  if (Deno.env.get("BPF_TEST_VM") === undefined) {
    return USERS.flatMap((uid) => EVERY_SET.map((capabilities) => ({ uid, capabilities })));
  }
  const sets = EVERY_SET.filter((set) => !set.includes("CAP_SYS_ADMIN") || set.length === 1);
  return sets.map((capabilities, index) => ({ uid: USERS[(index + turns) % USERS.length], capabilities }));
}

/** How many values of the sysctl were tried: users who had one set with the last get another with the next. */
let turns = 0;

let rows = 0;

/** Runs one row in a process of its own, in a cgroup and a directory of its own. */
async function runRow(row: Pick<Row, "uid" | "capabilities">): Promise<Map<string, Seen>> {
  const number = ++rows;
  const bpffs = Deno.env.get("BPF_TEST_BPFFS")!;
  const cgroup = `${Deno.env.get("BPF_TEST_CGROUP")!}/permissions-${number}`;
  const pinDirectory = `${bpffs}/permissions-${number}`;
  Deno.mkdirSync(cgroup);
  Deno.mkdirSync(pinDirectory);
  try {
    Deno.chmodSync(pinDirectory, 0o777);
    const argument: Row = {
      ...row,
      cgroup,
      bpffs,
      pinDirectory,
      iterTaskId: vmlinuxId("func", "bpf_iter_task") ?? 0,
      execTypeId: vmlinuxId("typedef", "btf_trace_sched_process_exec") ?? 0,
    };
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", CHILD, JSON.stringify(argument)],
      stderr: "piped",
      signal: AbortSignal.timeout(60_000),
    }).output();
    if (!output.success) throw new Error(`row ${JSON.stringify(row)}: ${new TextDecoder().decode(output.stderr)}`);
    const seen: Seen[] = JSON.parse(new TextDecoder().decode(output.stdout));
    return new Map(seen.map((one) => [one.name, one]));
  } finally {
    Deno.removeSync(pinDirectory, { recursive: true });
    Deno.removeSync(cgroup);
  }
}

/**
 * Holds a row against what the kernel answers to all privileges. A call is refused for want of privilege where the two
 * differ; where all privileges get the very error that is foretold, the call says nothing, nor where the kernel has nothing to call.
 *
 * @returns What differs; how many calls were compared, how many of them were refused, and how many say nothing.
 */
function compare(
  row: ReadonlyMap<string, Seen>,
  privileged: ReadonlyMap<string, Seen>,
): { differ: string[]; compared: number; refused: number; mute: number } {
  const differ: string[] = [];
  let [compared, refused, mute] = [0, 0, 0];
  for (const [name, { allowed, errno, answer }] of row) {
    const usual = privileged.get(name)!.answer;
    const foretold = `-${errno}`;
    if (answer === NOTHING_TO_CALL || (!allowed && usual.split(":")[0] === foretold && answer === usual)) {
      mute++;
      continue;
    }
    compared++;
    if (answer !== usual) refused++;
    const asForetold = allowed ? answer === usual : answer !== usual && answer.split(":")[0] === foretold;
    if (!asForetold) {
      differ.push(`${name}: foretold ${allowed ? "allowed" : foretold}, got ${answer} (privileged: ${usual})`);
    }
  }
  return { differ, compared, refused, mute };
}

const readSysctl = (): string => Deno.readTextFileSync(SYSCTL).trim();

/** The values of the sysctl to try: 1 stays 1, and nobody sets it here, as it could never be taken back. */
const VALUES = (): string[] => readSysctl() === "1" ? ["1"] : ["2", "0"];

async function withSysctl<T>(value: string, body: () => Promise<T>): Promise<T> {
  const before = readSysctl();
  if (before === value) return await body();
  if (before === "1" || value === "1") throw new Error("refusing to touch unprivileged_bpf_disabled");
  Deno.writeTextFileSync(SYSCTL, value);
  try {
    return await body();
  } finally {
    Deno.writeTextFileSync(SYSCTL, before);
  }
}

kernelTest(
  "token.check() foretells what the kernel answers, for every command, map type, program type, helper and attach type",
  { needs: ["bpffs", "cgroup", "btf", "netns"] },
  async () => {
    const differ: string[] = [];
    let [compared, refused, mute] = [0, 0, 0];
    const privileged = await runRow({ capabilities: ALL });
    // Without this the comparison could agree about nothing but errors.
    assertGreater([...privileged.values()].filter(({ answer }) => answer === "0").length, 100);
    for (const sysctl of VALUES()) {
      await withSysctl(sysctl, async () => {
        for (const { uid, capabilities } of whoCalls()) {
          const result = compare(await runRow({ uid, capabilities }), privileged);
          const who = `uid ${uid}, ${capabilities.join("+") || "no capabilities"}, sysctl ${sysctl}`;
          differ.push(...result.differ.map((text) => `${who}: ${text}`));
          compared += result.compared;
          refused += result.refused;
          mute += result.mute;
        }
      });
      turns++;
    }
    const cells = `${privileged.size} calls in ${rows - 1} rows`;
    console.log(
      `compared ${compared} cells (${cells}; ${refused} refused, ${mute} without a say), ${differ.length} differ`,
    );
    assertGreater(compared, 10_000);
    assertGreater(refused, 3_000);
    assertEquals(differ, []);
  },
);
