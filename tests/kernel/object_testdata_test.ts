import { assertEquals } from "@std/assert";
import { kernelTest, notEmulated, type Probe } from "../_kernel_test.ts";
import { run, toolPath } from "../_tools.ts";
import { objectBytes } from "./_object_files.ts";

/** Other compilers, and other headers of libbpf, make other bytes of the same. */
const sameTools: Probe = () => {
  const clang = toolPath("clang-19");
  if (clang === undefined) return "no clang-19";
  const version = new TextDecoder().decode(new Deno.Command(clang, { args: ["--version"] }).outputSync().stdout);
  const [first] = version.split("\n");
  const producer = new TextDecoder("latin1").decode(objectBytes("opens"));
  if (!producer.includes(first)) return `${first} is another compiler`;
  try {
    const header = Deno.readTextFileSync("/usr/include/bpf/libbpf_version.h");
    return /LIBBPF_MINOR_VERSION 1\b/.test(header) ? undefined : "other headers of libbpf";
  } catch {
    return "no headers of libbpf";
  }
};

kernelTest("deno task gen:testdata makes the objects of tests/testdata again, byte for byte", {
  root: false,
  needs: [notEmulated("compiling two dozen objects"), sameTools],
}, async () => {
  const tool = decodeURIComponent(new URL("../../tools/gen_testdata.ts", import.meta.url).pathname);
  const { code, stderr } = await run(Deno.execPath(), ["run", "-A", tool, "--check"], { timeoutMs: 120_000 });
  assertEquals([code, stderr], [0, ""]);
});
