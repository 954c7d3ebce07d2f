import { assertEquals, assertMatch } from "@std/assert";
import { kernelTest } from "../_kernel_test.ts";
import { kernelState, leftovers } from "../_leftovers.ts";
import { run } from "../_tools.ts";

const SYSCTL = "/proc/sys/kernel/unprivileged_bpf_disabled";

kernelTest("leftovers() finds a pinned map, and none once it is gone", {
  needs: ["bpffs"],
  tools: ["bpftool"],
}, async () => {
  const pin = `${Deno.env.get("BPF_TEST_BPFFS")}/left_over`;
  const before = await kernelState();
  const kind = ["type", "hash", "key", "4", "value", "4", "entries", "1", "name", "left_over"];
  const created = await run("bpftool", ["map", "create", pin, ...kind]);
  assertEquals(created.code, 0, created.stderr);
  try {
    const found = await leftovers(before);
    assertEquals(found.length, 1);
    assertMatch(found[0], /left in the kernel: map \d+ \(hash "left_over"\)/);
  } finally {
    await Deno.remove(pin);
  }
  assertEquals(await leftovers(before), []);
});

kernelTest("leftovers() puts kernel.unprivileged_bpf_disabled back", {
  needs: [() => Deno.readTextFileSync(SYSCTL).trim() === "1" ? `${SYSCTL} is 1, for good` : undefined],
}, async () => {
  const value = (await Deno.readTextFile(SYSCTL)).trim();
  const other = value === "2" ? "0" : "2";
  const before = { ...await kernelState(), objects: undefined };
  await Deno.writeTextFile(SYSCTL, other);
  assertEquals(await leftovers(before), [
    `kernel.unprivileged_bpf_disabled was ${value} and is ${other}; put back`,
  ]);
  assertEquals((await Deno.readTextFile(SYSCTL)).trim(), value);
  assertEquals(await leftovers(before), []);
});

kernelTest("the tests run in a cgroup beside theirs", { needs: ["cgroup", "netns"] }, async () => {
  const cgroup = Deno.env.get("BPF_TEST_CGROUP") ?? "";
  assertEquals(await Deno.readTextFile(`${cgroup}/cgroup.procs`), "");
  const runner = await Deno.readTextFile(`${cgroup}/../runner/cgroup.procs`);
  assertEquals(runner.split("\n").includes(`${Deno.pid}`), true);
  assertEquals(Deno.networkInterfaces().map(({ name }) => name).filter((name) => name !== "lo"), []);
});
