import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { enableStats } from "../../cmds/stats.ts";
import { PermissionError } from "../../errors.ts";
import { kernelTest } from "../_kernel_test.ts";
import { assertRefused, rootToken, simpleProg, socketFilter } from "./_objects.ts";

kernelTest("enableStats() makes the kernel count runs, for as long as it is held", {
  needs: [
    () =>
      Deno.readTextFileSync("/proc/sys/kernel/bpf_stats_enabled").trim() === "0"
        ? undefined
        : "kernel.bpf_stats_enabled is on for everybody",
  ],
}, () => {
  const token = rootToken();
  using prog = socketFilter(token, 1);
  using other = simpleProg(token, "xdp");
  const data = new Uint8Array(64);
  const runs = (of = prog) => objGetInfoByFd(token, of, { kind: "prog" }).runCnt;
  progTestRun(token, prog, { data, repeat: 10 });
  assertEquals(runs(), 0n);
  {
    using _first = enableStats(token);
    {
      using _second = enableStats(token, { type: "run_time" });
      progTestRun(token, prog, { data, repeat: 100 });
      assertEquals(runs(), 100n);
    }
    progTestRun(token, prog, { data, repeat: 11 });
    assertEquals([runs(), runs(other)], [111n, 0n]);
    assertGreater(objGetInfoByFd(token, prog, { kind: "prog" }).runTimeNs, 0n);
  }
  progTestRun(token, prog, { data, repeat: 10 });
  assertEquals(runs(), 111n);
});

kernelTest("enableStats() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  assertRefused(() => enableStats(token, { type: 77 }), "EINVAL", /no such statistics/);
  assertThrows(() => enableStats(token, { type: "bytes" as "run_time" }).close(), TypeError, "bytes");
  assertThrows(
    () => enableStats(token.drop("CAP_SYS_ADMIN") as typeof token).close(),
    PermissionError,
    "CAP_SYS_ADMIN",
  );
});
