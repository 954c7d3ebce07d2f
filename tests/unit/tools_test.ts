import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { hasTool, run, toolPath } from "../_tools.ts";
import { testArguments } from "../run.ts";

Deno.test("run() gives the output and the exit code", async () => {
  assertEquals(await run("sh", ["-c", "echo out; echo err >&2; exit 3"]), {
    code: 3,
    stdout: "out\n",
    stderr: "err\n",
    timedOut: false,
  });
});

Deno.test("run() feeds what the program reads, even where it does not read all", async () => {
  assertEquals((await run("cat", [], { stdin: "abc" })).stdout, "abc");
  assertEquals((await run("true", [], { stdin: new Uint8Array(1 << 20) })).code, 0);
});

Deno.test("run() ends a program whose time is over", async () => {
  const start = Date.now();
  const { timedOut, code } = await run("sleep", ["20"], { timeoutMs: 100 });
  assertEquals(timedOut, true);
  assertEquals(code, 128 + 9);
  assertLess(Date.now() - start, 5000);
});

Deno.test("run() refuses a program that the machine lacks", async () => {
  await assertRejects(() => run("no-such-program"), Error, "this machine lacks it");
});

Deno.test("toolPath() finds programs, and nothing else", () => {
  assertEquals(toolPath("no-such-program"), undefined);
  assert(toolPath("sh")?.endsWith("/sh"));
  assertEquals(toolPath("/"), undefined);
  assertEquals(toolPath("/etc/passwd"), undefined);
  assert(hasTool("sh"));
});

Deno.test("testArguments() tells options, paths and words apart", () => {
  const folders = testArguments([]);
  assert(folders.includes("tests/unit"));
  assertEquals(testArguments(["--fail-fast", "mapCreate()"]), ["--fail-fast", "--filter", "mapCreate()", ...folders]);
  assertEquals(testArguments(["--filter", "tests"]), ["--filter", "tests", ...folders]);
  assertEquals(testArguments(["tests/unit/tools_test.ts"]), ["tests/unit/tools_test.ts"]);
});
