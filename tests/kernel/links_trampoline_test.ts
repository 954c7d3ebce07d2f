import { assertEquals, assertThrows } from "@std/assert";
import {
  attachCgroup,
  attached,
  attachFreplace,
  attachTracing,
  attachTracingMulti,
  btfLoad,
  type Fd,
  NotSupportedError,
  progLoad,
  progTestRun,
} from "../../mod.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import { Counter } from "./_counter.ts";
import { makeCgroup, returning, type RootToken, rootToken } from "./_objects.ts";
import { replaceable, replacement, twoFunctions } from "./_replaceable.ts";
import { attachesToFunctions, notes, summingCookies, tracing } from "./_tracing.ts";

/** Whether the kernel asks LSM programs. */
const asksBpf: Probe = () => {
  try {
    const modules = Deno.readTextFileSync("/sys/kernel/security/lsm").split(",");
    return modules.includes("bpf") ? undefined : "the kernel asks no LSM programs (lsm=…,bpf)";
  } catch {
    return "no list of security modules at /sys/kernel/security/lsm";
  }
};

/** Runs the kernel's functions for tests, of which this is one. */
function provoke(token: RootToken): void {
  using runner = tracing(token, "trace_fentry", "bpf_fentry_test3", returning(0));
  progTestRun(token, runner);
}

kernelTest("attachTracing() hands a cookie to a program, or says that Linux 5.19 has it", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  using seen = notes(token, 2);
  if (kernelSince("5.19")() !== undefined) {
    using prog = tracing(token, "trace_fentry", "bpf_fentry_test1", returning(0));
    assertThrows(() => attachTracing(token, prog, { cookie: 5n, attachType: "trace_fentry" }), NotSupportedError);
    return;
  }
  for (const attachType of ["trace_fentry", "trace_fexit"] as const) {
    using prog = tracing(token, attachType, "bpf_fentry_test1", summingCookies(seen));
    const [, before] = seen.read();
    const link = attachTracing(token, prog, { cookie: 5n, attachType });
    provoke(token);
    assertEquals(seen.read()[1] - before, 5n, attachType);
    link.close();
    provoke(token);
    assertEquals(seen.read()[1] - before, 5n, attachType);
    assertThrows(() => attachTracing(token, prog, { cookie: 5n }), TypeError, "name the attach type");
  }
});

kernelTest("attachTracingMulti() runs a program at functions by name and id, or says that Linux 7.2 has it", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  using seen = notes(token, 2);
  for (const at of ["fentry", "fexit"] as const) {
    const load = (): Fd =>
      progLoad(token, {
        type: "tracing",
        license: "GPL",
        expectedAttachType: `trace_${at}_multi`,
        insns: summingCookies(seen),
      });
    if (kernelSince("7.2")() !== undefined) {
      assertThrows(load, NotSupportedError, "7.2");
      continue;
    }
    using prog = load();
    const [runs, cookies] = seen.read();
    const functions = ["bpf_fentry_test1", "bpf_fentry_test2"];
    const link = attachTracingMulti(token, prog, { functions, cookies: [1n, 20n], at });
    provoke(token);
    assertEquals(seen.read(), [runs + 2n, cookies + 21n], at);
    link.close();
    provoke(token);
    assertEquals(seen.read()[0], runs + 2n, at);
    assertThrows(
      () => attachTracingMulti(token, prog, { functions: ["no_such_function"], at }),
      TypeError,
      'no function "no_such_function"',
    );
  }
  using prog = tracing(token, "trace_fentry", "bpf_fentry_test1", returning(0));
  assertThrows(() => attachTracingMulti(token, prog, {}), TypeError, "one of functions and ids");
  assertThrows(() => attachTracingMulti(token, prog, { ids: [1], at: "now" as "fentry" }), TypeError, '"now" is none');
});

kernelTest("attachFreplace() puts a program in the place of a function, of its own target and of another", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  using btf = btfLoad(token, twoFunctions());
  using target = replaceable(token, btf);
  using other = replaceable(token, btf);
  const run = (prog: Fd): number => progTestRun(token, prog, { data: new Uint8Array(64) }).returnValue;
  using prog = replacement(token, btf, target);
  const own = attachFreplace(token, prog);
  assertEquals([run(target), run(other)], [120, 21]);
  own.close();
  assertEquals([run(target), run(other)], [21, 21]);
  const another = attachFreplace(token, prog, { target: other, function: "replaced" });
  assertEquals([run(target), run(other)], [21, 120]);
  another.close();
  assertEquals([run(target), run(other)], [21, 21]);
  assertThrows(() => attachFreplace(token, prog, { target: other, function: "nothing" }), TypeError, '"nothing"');
  assertThrows(() => attachFreplace(token, prog, { target: other }), TypeError, "both target and function");
});

kernelTest("attachCgroup() runs an LSM program for one cgroup's processes, and tells of it", {
  needs: ["btf", "cgroup", kernelSince("6.0"), attachesToFunctions, asksBpf],
}, async () => {
  const token = rootToken();
  const attachType = "lsm_cgroup";
  using cgroup = makeCgroup("lsm");
  const attachBtfId = needVmlinuxId("func", "bpf_lsm_socket_create");
  // 1 lets it pass.
  using counter = new Counter(token, "lsm", 1, { expectedAttachType: attachType, attachBtfId });
  const link = attachCgroup(token, counter.prog, { cgroup: cgroup.path, attachType });
  assertEquals(
    attached(token, { cgroup: cgroup.path }).map((one) => one.where === "cgroup" && [one.attachType, one.linkId]),
    [[attachType, link.info.id]],
  );
  const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`;
  await counter.seen(link, () => run("bash", ["-c", script]));
});
