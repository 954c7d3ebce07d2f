import { assert, assertEquals, assertGreater, assertStringIncludes, assertThrows } from "@std/assert";
import { inFiles, parseJunit } from "../vm/_junit.ts";
import { KERNELS, parseOptions } from "../vm/_options.ts";
import { kernelsPage } from "../vm/_page.ts";
import { formatResults, keptResults, type KernelResults, mergeResults, parseResults } from "../vm/_results.ts";
import { lsmArgument } from "../vm/run.ts";

Deno.test("parseOptions() takes all kernels and all tests where nothing is given", () => {
  const { kernels, timeout, jobs, write, quick, help, args } = parseOptions([]);
  assertEquals([kernels, timeout, jobs, write, quick, help, args], [KERNELS, 3600, 1, false, false, false, []]);
});

Deno.test("parseOptions() reads options, and leaves alone what stands after --", () => {
  const options = parseOptions(["--kernel", "6.1", "--kernel=5.10", "--kernel", "6.1", "--timeout", "90", "--jobs=2"]);
  assertEquals([options.kernels, options.timeout, options.jobs], [["6.1", "5.10"], 90, 2]);
  const { kernels, args } = parseOptions(["--kernel", "7.2", "--", "tests/kernel", "--kernel", "--bogus"]);
  assertEquals([kernels, args], [["7.2"], ["tests/kernel", "--kernel", "--bogus"]]);
});

Deno.test("parseOptions() names what it does not understand", () => {
  assertThrows(() => parseOptions(["--bogus"]), TypeError, "Cannot use --bogus: there is no such option");
  assertThrows(() => parseOptions(["mapCreate"]), TypeError, "stands after --");
  for (const bad of ["=0", "=-1", "=1.5", "=soon", ""]) {
    assertThrows(() => parseOptions([`--timeout${bad}`]), RangeError, "whole number above 0");
    assertThrows(() => parseOptions([`--jobs${bad}`]), RangeError, "whole number above 0");
  }
  assertThrows(() => parseOptions(["--kernel"]), RangeError, "a version such as");
  for (const bad of ["latest", "../6.1"]) {
    assertThrows(() => parseOptions(["--kernel", bad]), RangeError, "a version such as");
  }
  for (const bad of [["--quick"], ["--", "mapCreate"], ["--", "tests/unit/a_test.ts"]]) {
    assertThrows(() => parseOptions(["--write", ...bad]), TypeError, "whole files of tests/kernel are kept");
  }
  assertThrows(() => parseOptions(["--quick", "--", "tests/kernel"]), TypeError, "Cannot use --quick");
});

const XML = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="4" failures="1" errors="0" time="1.5">
  <testsuite name="./tests/kernel/a_test.ts" tests="4" disabled="1" errors="0" failures="1">
    <testcase name="one() is &lt;small&gt; &amp; &quot;good&quot;" classname="./tests/kernel/a_test.ts" time="0.1" line="1">
    </testcase>
    <testcase name="two() fails" classname="./tests/kernel/a_test.ts" time="0.1">
      <failure message="Uncaught AssertionError">stack</failure>
    </testcase>
    <testcase name="three() (skipped: no BTF (of modules))" classname="./tests/kernel/a_test.ts" time="0">
      <skipped/>
    </testcase>
    <testcase name="four()" classname="./tests/kernel/a_test.ts" time="0"/>
  </testsuite>
</testsuites>`;

Deno.test("parseJunit() reads names, outcomes and reasons", () => {
  const file = "./tests/kernel/a_test.ts";
  assertEquals(parseJunit(XML), [
    { file, name: 'one() is <small> & "good"', outcome: "passed", reason: "" },
    { file, name: "two() fails", outcome: "failed", reason: "" },
    { file, name: "three()", outcome: "skipped", reason: "no BTF (of modules)" },
    { file, name: "four()", outcome: "passed", reason: "" },
  ]);
  assertEquals(parseJunit(""), []);
});

Deno.test("inFiles() goes by what deno test announces", () => {
  const results = parseJunit(XML);
  const lines = [
    "\x1b[38;5;245mrunning 1 test from ./tests/x_test.ts\x1b[0m",
    "ok",
    "running 3 tests from ./tests/y_test.ts",
  ];
  const [x, y] = ["./tests/x_test.ts", "./tests/y_test.ts"];
  assertEquals(inFiles(results, lines).map(({ file }) => file), [x, y, y, y]);
  assertThrows(() => inFiles(results, lines.slice(1)), RangeError, "4 results are from: 3 were announced");
});

const OLD: KernelResults = {
  kernel: "5.10",
  release: "5.10.0-32-amd64",
  features: [
    { feature: "map type arena", since: "6.9", has: false },
    { feature: "attach type netkit_primary", since: "6.7", has: "not built" },
  ],
  tests: parseJunit(XML),
};

Deno.test("formatResults() writes what parseResults() reads", () => {
  assertEquals(parseResults(formatResults(OLD)), OLD);
  const empty = { ...OLD, features: [], tests: [] };
  assertEquals(parseResults(formatResults(empty)), empty);
});

Deno.test("mergeResults() replaces the results of the files that ran", () => {
  const test = (file: string, name: string, outcome: "passed" | "failed") => ({ file, name, outcome, reason: "" });
  const before = { ...OLD, tests: [test("a", "gone", "passed"), test("b", "old", "failed"), test("c", "x", "passed")] };
  const merged = mergeResults(before, { ...OLD, features: [], tests: [test("b", "new", "passed")] });
  assertEquals(merged.tests, [before.tests[0], test("b", "new", "passed"), before.tests[2]]);
  assertEquals(merged.features, OLD.features);
});

Deno.test("kernelsPage() shows features, counts, and why tests were skipped", () => {
  const page = kernelsPage([OLD, {
    ...OLD,
    kernel: "7.2",
    features: [{ feature: "map type arena", since: "6.9", has: true }],
    tests: OLD.tests.slice(0, 1),
  }]);
  for (
    const line of [
      "| feature | since | 5.10 | 7.2 |",
      "| map type arena | 6.9 | – | yes |",
      "| attach type netkit_primary | 6.7 | not built in | not seen |",
      "| [a](#a) | 2 passed, **1 failed**, 1 skipped | 1 passed |",
      "| two() fails | **failed** | not run |",
      "| three() | skipped (1) | not run |",
      "1. no BTF (of modules)",
    ]
  ) assertStringIncludes(page, `\n${line}\n`);
});

Deno.test("lsmArgument() adds BPF where the kernel has it and does not start it", () => {
  const modules = 'CONFIG_LSM="lockdown,yama,apparmor"';
  assertEquals(lsmArgument(`CONFIG_BPF_LSM=y\n${modules}\n`), "lsm=lockdown,yama,apparmor,bpf");
  assertEquals(lsmArgument(`CONFIG_BPF_LSM=y\nCONFIG_LSM="yama,bpf,ipe"\n`), undefined);
  assertEquals(lsmArgument(`# CONFIG_BPF_LSM is not set\n${modules}\n`), undefined);
});

Deno.test("docs/kernels.md is made of the results in tests/vm/results/, which are of every kernel", async () => {
  const kept = await keptResults();
  assertEquals(kept.map(({ kernel }) => kernel), [...KERNELS]);
  for (const { kernel, release, features, tests } of kept) {
    assert(release.startsWith(kernel), release);
    assertGreater(features.length, 30);
    assertGreater(tests.filter(({ outcome }) => outcome === "passed").length, 100);
  }
  const page = new URL("../../docs/kernels.md", import.meta.url);
  assertEquals(await Deno.readTextFile(page), kernelsPage(kept));
});
