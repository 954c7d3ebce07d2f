import { assert, assertEquals, assertGreater } from "@std/assert";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import type { Tally } from "./_errno_child.ts";

const CALLS = 1_000_000;

kernelTest("kernel().bpf() reads the errno of its own call, a million times in two threads", {}, async () => {
  const child = new URL("_errno_child.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", "--cached-only", "--v8-flags=--expose-gc", child, String(CALLS)];
  const { code, stdout, stderr } = await run(Deno.execPath(), args, { timeoutMs: 120_000 * SLOWNESS });
  assertEquals([code, stderr], [0, ""]);
  const { main, worker } = JSON.parse(stdout) as { main: Tally; worker: Tally };
  for (const [thread, tally] of Object.entries({ main, worker })) {
    assertEquals(tally.calls, CALLS, thread);
    assertEquals([tally.wrong, tally.examples], [0, []], thread);
    assertGreater(tally.collections, 10, thread);
    assertEquals(
      Object.keys(tally.expected).sort(),
      ["E2BIG", "EBADF", "EEXIST", "EFAULT", "EINVAL", "ENOENT", "ENOTSUPP"],
      thread,
    );
    for (const [name, count] of Object.entries(tally.expected)) assert(count > CALLS / 10, `${thread}: ${name}`);
  }
});
