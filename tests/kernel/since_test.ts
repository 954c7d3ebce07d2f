/**
 * What the running kernel has of what came after Linux 5.10: it works, or the error says which release has it.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { NotSupportedError, SyscallError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { FEATURES } from "./_features.ts";
import { rootToken } from "./_objects.ts";

/** Tells the runner of VMs what was seen, where there is one. */
function tell(feature: string, since: string, has: boolean | "not built"): void {
  const path = Deno.env.get("BPF_TEST_FEATURES");
  if (path === undefined) return;
  Deno.writeTextFileSync(path, `${JSON.stringify({ feature, since, has })}\n`, { append: true });
}

/**
 * Debian's kernels get no features from later ones but by the stable series; others may, so that a feature says nothing
 * against its release.
 */
const IS_PLAIN = Deno.env.get("BPF_TEST_VM") !== undefined;

const SERIES = Deno.osRelease().split(/[.-]/, 2).join(".");

for (const { feature, since, backports = [], needs = [], attempt } of FEATURES) {
  kernelTest(`${feature} works, or the error says that Linux ${since} has it`, {
    needs,
    tools: feature.includes("uprobe") ? ["readelf"] : [],
  }, async () => {
    const isOlder = kernelSince(since)() !== undefined;
    let made: unknown;
    try {
      made = await attempt(rootToken());
    } catch (error) {
      if (!(error instanceof NotSupportedError)) throw error;
      assertEquals([error.feature, error.since], [feature, since]);
      assertInstanceOf(error.cause, SyscallError);
      assert(isOlder, `the kernel should have it: ${error.cause.message}`);
      tell(feature, since, false);
      return;
    }
    if (made instanceof Fd) made.close();
    assert(!isOlder || !IS_PLAIN || backports.includes(SERIES), "the kernel should lack it");
    tell(feature, since, made === "not built" ? made : true);
  });
}

const MODULE = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

const SMALL_LIMIT = 1 << 16;

kernelTest("mapCreate() explains RLIMIT_MEMLOCK where maps are charged to it, which Linux 5.11 ended", {
  tools: ["prlimit"],
}, async () => {
  const script = `
    import { mapCreate } from ${MODULE("cmds/map.ts")};
    import { acquire } from ${MODULE("tokens/token.ts")};
    import { dropTo } from ${MODULE("tests/_credentials.ts")};
    dropTo(0, ["CAP_BPF"]);
    try {
      mapCreate(acquire("CAP_BPF"), { type: "array", keySize: 4, valueSize: 1 << 20, maxEntries: 1 }).close();
      console.log(JSON.stringify(["made"]));
    } catch (error) {
      console.log(JSON.stringify([error.name, error.errno, error.reason, error.remedy]));
    }
  `;
  const args = [`--memlock=${SMALL_LIMIT}:${SMALL_LIMIT}`, Deno.execPath(), "run", "-A", "--no-check", "-"];
  const { code, stdout, stderr } = await run("prlimit", args, { stdin: script });
  assertEquals([code, stderr], [0, ""]);
  const [name, errno, reason, remedy] = JSON.parse(stdout);
  const isCharged = name !== "made";
  tell("memory of maps is charged to the cgroup, not to RLIMIT_MEMLOCK", "5.11", !isCharged);
  if (IS_PLAIN) assertEquals(isCharged, kernelSince("5.11")() !== undefined);
  if (!isCharged) return;
  assertEquals([name, errno], ["PermissionError", 1]);
  assertStringIncludes(reason, `charges maps and programs to RLIMIT_MEMLOCK, which is ${SMALL_LIMIT} bytes here`);
  assertStringIncludes(remedy, "ulimit -l unlimited");
});
