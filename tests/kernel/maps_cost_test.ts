import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { kernelTest } from "../_kernel_test.ts";

const CHILD = decodeURIComponent(new URL("_map_cost_child.ts", import.meta.url).pathname);

kernelTest("BpfMap iteration holds one batch, and RingBuffer.drain() allocates nothing a record", {}, async () => {
  // A million entries held at once would take more than the old generation.
  const flags = "--v8-flags=--max-old-space-size=64,--min-semi-space-size=64";
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--cached-only", "--allow-ffi", flags, CHILD],
    stdin: "null",
  }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  const [seen, drained, cost] = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals([seen, drained], ["seen 1000000", "drained 2400000"]);
  const { allocated, copies } = JSON.parse(cost) as { allocated: number[]; copies: number };
  // 400,000 records: what each of them cost would be megabytes, as copies are.
  assertGreater(copies, 10_000_000);
  for (const bytes of allocated) assertLess(Math.abs(bytes), 1_000_000);
});
