/**
 * Programs that trace the kernel's functions and change what they return: loaded, attached and seen at work.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { linkCreate } from "../../cmds/link.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import { assertLacking, makeCgroup, returning, rootToken } from "./_objects.ts";
import { attachesToFunctions, type Notes, notes, ownIds, REFUSED, refusingGetpgid, tracing } from "./_tracing.ts";

const COOKIE = 0xc00c_1e55_0000_0007n;

kernelTest("a fentry program sees a function's arguments", { needs: ["btf", attachesToFunctions] }, () => {
  const token = rootToken();
  using seen = notes(token, 2);
  // int bpf_fentry_test1(int a), which BPF_PROG_TEST_RUN calls with 1.
  using prog = tracing(
    token,
    "trace_fentry",
    "bpf_fentry_test1",
    asm`
      r2 = *(u64 *)(r1 +0)
      r3 = map_value ${seen.fd} + 0 ll
      *(u64 *)(r3 +8) = r2
      r2 = 1
      lock *(u64 *)(r3 +0) += r2
      r0 = 0
      exit
    `,
  );
  {
    using link = rawTracepointOpen(token, prog);
    progTestRun(token, prog);
    assertEquals(seen.read(), [1n, 1n]);
    const info = objGetInfoByFd(token, link, { kind: "link" });
    assert(info.type === "tracing" && "attachType" in info);
    assertEquals(info.attachType, "trace_fentry");
  }
});

kernelTest("a fexit program sees a function's arguments and what it returns", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  using seen = notes(token, 4);
  // int bpf_fentry_test2(int a, u64 b), which BPF_PROG_TEST_RUN calls with 2 and 3; it returns their sum.
  using prog = tracing(
    token,
    "trace_fexit",
    "bpf_fentry_test2",
    asm`
      r6 = map_value ${seen.fd} + 0 ll
      r2 = *(u64 *)(r1 +0)
      *(u64 *)(r6 +8) = r2
      r2 = *(u64 *)(r1 +8)
      *(u64 *)(r6 +16) = r2
      r2 = *(u64 *)(r1 +16)
      *(u64 *)(r6 +24) = r2
      r2 = 1
      lock *(u64 *)(r6 +0) += r2
      r0 = 0
      exit
    `,
  );
  using _link = rawTracepointOpen(token, prog);
  progTestRun(token, prog);
  assertEquals(seen.read(), [1n, 2n, 3n, 5n]);
});

/** Counts calls, and keeps the cookie of the link. */
function countingCookies(seen: Notes): Uint8Array<ArrayBuffer> {
  return asm`
    call get_attach_cookie
    r1 = map_value ${seen.fd} + 0 ll
    *(u64 *)(r1 +8) = r0
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    r0 = 0
    exit
  `;
}

kernelTest("a fentry program gets the cookie of its link, or the error says that Linux 5.19 has it", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  const attachType = "trace_fentry";
  using plain = tracing(token, attachType, "bpf_fentry_test1", returning(0));
  const link = () => linkCreate(token, { prog: plain, attachType, tracing: { cookie: COOKIE } });
  if (kernelSince("5.19")() !== undefined) {
    assertLacking(link, "field tracing.cookie of BPF_LINK_CREATE", "5.19");
    return;
  }
  using seen = notes(token, 2);
  using prog = tracing(token, attachType, "bpf_fentry_test1", countingCookies(seen));
  using _link = linkCreate(token, { prog, attachType, tracing: { cookie: COOKIE } });
  progTestRun(token, prog);
  assertEquals(seen.read(), [1n, COOKIE]);
});

kernelTest("a fmod_ret program changes what a function returns", { needs: ["btf", attachesToFunctions] }, () => {
  const token = rootToken();
  using seen = notes(token, 1);
  const before = ownIds();
  assertGreater(before.pgid, 0);
  using prog = tracing(token, "modify_return", "security_task_getpgid", refusingGetpgid(seen));
  {
    using _link = rawTracepointOpen(token, prog);
    assertEquals(ownIds(), { ...before, pgid: REFUSED });
    assertEquals(seen.read(), [1n]);
  }
  assertEquals(ownIds(), before);
});

/** Whether the kernel asks BPF's security module. */
const asksBpf: Probe = () => {
  try {
    const modules = Deno.readTextFileSync("/sys/kernel/security/lsm").trim();
    return modules.split(",").includes("bpf") ? undefined : `the security module bpf is not active (${modules})`;
  } catch {
    return "the kernel does not tell its security modules";
  }
};

kernelTest("an LSM program refuses what a security module may refuse", {
  needs: ["btf", asksBpf, attachesToFunctions],
}, () => {
  const token = rootToken();
  using seen = notes(token, 1);
  const before = ownIds();
  assertGreater(before.pgid, 0);
  using prog = tracing(token, "lsm_mac", "bpf_lsm_task_getpgid", refusingGetpgid(seen));
  {
    using link = rawTracepointOpen(token, prog);
    assertEquals(ownIds(), { ...before, pgid: REFUSED });
    assertEquals(seen.read(), [1n]);
    assertEquals(
      objGetInfoByFd(token, link, { kind: "link" }).progId,
      objGetInfoByFd(token, prog, { kind: "prog" }).id,
    );
  }
  assertEquals(ownIds(), before);
});

kernelTest("an LSM program refuses for one cgroup, or the error says that Linux 6.0 has it", {
  needs: ["btf", "cgroup", asksBpf, attachesToFunctions],
}, async () => {
  const token = rootToken();
  const attachType = "lsm_cgroup";
  // Programs for cgroups say 0 to refuse.
  const load = () => tracing(token, attachType, "bpf_lsm_socket_create", returning(0));
  if (kernelSince("6.0")() !== undefined) {
    assertLacking(load, "attach type lsm_cgroup", "6.0");
    return;
  }
  using cgroup = makeCgroup();
  const send = async (): Promise<string> => {
    const script = `echo $$ > ${cgroup.path}/cgroup.procs; echo x > /dev/udp/127.0.0.1/9`;
    return (await run("bash", ["-c", script])).stderr;
  };
  assertEquals(await send(), "");
  using prog = load();
  {
    using _link = linkCreate(token, { prog, target: { fd: cgroup.fd }, attachType });
    assert(/not permitted/i.test(await send()));
  }
  assertEquals(await send(), "");
});

kernelTest("a fsession program runs where a function begins and where it ends, or Linux 7.0 has it", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  using seen = notes(token, 2);
  const load = () =>
    tracing(
      token,
      "trace_fsession",
      "bpf_fentry_test1",
      asm`
        r1 = map_value ${seen.fd} + 0 ll
        r2 = 1
        lock *(u64 *)(r1 +0) += r2
        r0 = 0
        exit
      `,
    );
  if (kernelSince("7.0")() !== undefined) {
    assertLacking(load, "attach type trace_fsession", "7.0");
    return;
  }
  using prog = load();
  using _link = rawTracepointOpen(token, prog);
  // Another program makes the kernel call its functions.
  using runner = tracing(token, "trace_fentry", "bpf_fentry_test2", returning(0));
  progTestRun(token, runner);
  assertEquals(seen.read()[0], 2n);
});

kernelTest("one link runs a fentry program at many functions, or the error says that Linux 7.2 has it", {
  needs: ["btf", attachesToFunctions],
}, () => {
  const token = rootToken();
  const attachType = "trace_fentry_multi";
  using seen = notes(token, 2);
  const load = () =>
    progLoad(token, { type: "tracing", license: "GPL", expectedAttachType: attachType, insns: countingCookies(seen) });
  if (kernelSince("7.2")() !== undefined) {
    assertLacking(load, "attach type trace_fentry_multi", "7.2");
    return;
  }
  using prog = load();
  const ids = ["bpf_fentry_test1", "bpf_fentry_test2"].map((name) => needVmlinuxId("func", name));
  using link = linkCreate(token, { prog, attachType, tracingMulti: { ids, cookies: [COOKIE, COOKIE] } });
  using runner = tracing(token, "trace_fentry", "bpf_fentry_test3", returning(0));
  progTestRun(token, runner);
  assertEquals(seen.read(), [2n, COOKIE]);
  const info = objGetInfoByFd(token, link, { kind: "link" });
  assert(info.type === "tracing_multi" && "ids" in info);
  // Linux 7.2 has such links, and tells nothing about them yet.
  const tells = new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux")).fieldsOf("bpf_link_info")
    ?.has("tracing_multi.count");
  assertEquals([info.count, [...info.ids].sort()], tells ? [2, ids.sort()] : [0, []]);
});
