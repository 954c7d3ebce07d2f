import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { asm, assemble, exit, mov64, r0 } from "../../asm/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progAssocStructOps, progBindMap, progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { NotSupportedError, PermissionError, SyscallError, VerifierError } from "../../errors.ts";
import { commands, type ProgType } from "../../uapi/enums.gen.ts";
import { progTypeSince } from "../../uapi/since.gen.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { BtfBytes, needVmlinuxId } from "./_btf_bytes.ts";
import { minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertLacking,
  assertRefused,
  constant,
  hashMap,
  interpose,
  lackingFor,
  returning,
  rootToken,
  socketFilter,
  u32s,
} from "./_objects.ts";
import { minimalProg, PROG_TYPES, tcpOpsMember } from "./_prog_types.ts";

/** Types for which bpftool's probe asks something else than whether a program of the type loads. */
const BPFTOOL_DIFFERS: Readonly<Record<string, string>> = {
  tracing: "bpftool tries fentry, which needs more than the type does",
  ext: "bpftool has no target, and takes the error for one as a yes",
  lsm: "bpftool tries another hook than this test does",
  netfilter: "Debian 12's bpftool is older than the type",
};

kernelTest("progLoad() loads a program of every type that the kernel has, as bpftool probes it", {
  needs: ["btf"],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  const { stdout } = await run("bpftool", ["-j", "feature", "probe", "kernel"], { timeoutMs: 60_000 * SLOWNESS });
  const probed = JSON.parse(stdout).program_types as Record<string, boolean>;
  const loaded: ProgType[] = [];
  const lacking: string[] = [];
  let compared = 0;
  for (const type of PROG_TYPES) {
    let code: string | undefined;
    try {
      using prog = minimalProg(token, type);
      assertEquals(objGetInfoByFd(token, prog, { kind: "prog" }).type, type);
      loaded.push(type);
    } catch (thrown) {
      let error = thrown;
      if (error instanceof NotSupportedError) {
        assertEquals([error.feature, error.since], [`program type ${type}`, progTypeSince[type]]);
        assert(kernelSince(progTypeSince[type])() !== undefined, `${type}: the kernel should have it`);
        error = error.cause;
      }
      assert(error instanceof SyscallError || error instanceof PermissionError, String(error));
      code = error.code;
      lacking.push(`${type} (${code})`);
      // What patches programs over functions is refused on kernels that are built or patched without it.
      if (type === "ext" || type === "lsm") assert(code === "EPERM" || code === "EINVAL", `${type}: ${code}`);
      else assertEquals(code, "EINVAL", type);
    }
    if (type in BPFTOOL_DIFFERS) continue;
    assertEquals(code === undefined, probed[`have_${type}_prog_type`], `${type}: bpftool does not agree`);
    compared++;
  }
  console.log(`program types: ${loaded.length} loaded, ${compared} as bpftool says; not: ${lacking.join(", ")}`);
  assertGreaterOrEqual(compared, 28);
  assertGreaterOrEqual(loaded.length, 28);
});

kernelTest("progLoad() refuses a type that no kernel has", {}, () => {
  const token = rootToken();
  const error = assertRefused(() => progLoad(token, { type: 4242, insns: returning(), license: "GPL" }), "EINVAL");
  assertEquals(error.command, "prog_load");
});

kernelTest("progLoad() throws a VerifierError with the whole log", {}, () => {
  const token = rootToken();
  const lines = Array.from({ length: 30 }, (_, index) => `r1 = ${index}\n`).join("");
  const insns = asm`
    ${lines}
    r0 = *(u64 *)(r10 +8)
    exit
  `;
  const error = assertThrows(
    () => progLoad(token, { type: "socket_filter", insns, license: "GPL" }).close(),
    VerifierError,
  );
  assertEquals([error.command, error.code, error.errno], ["prog_load", "EACCES", 13]);
  for (let index = 0; index < 30; index++) {
    assertMatch(error.log, new RegExp(`^${index}: \\(b7\\) r1 = ${index}( |$)`, "m"));
  }
  assertMatch(error.log, /invalid read from stack (R10 )?off=8 size=8/);
  assertMatch(error.log, /processed 31 insns/);
  // The message has the end of it, and says how much there is above.
  assertStringIncludes(error.message, "invalid read from stack");
  assertMatch(error.message, /… \d+ lines above/);
  assert(!error.message.includes("0: (b7) r1 = 0"));
});

kernelTest("progLoad() loads with a log at each level, which onLog is told", {}, () => {
  const token = rootToken();
  const insns = asm`
    r1 = 1
    r0 = 2
    exit
  `;
  const logs = new Map<number, string>();
  for (const logLevel of [1, 2, 4]) {
    using prog = progLoad(token, {
      type: "socket_filter",
      insns,
      license: "GPL",
      logLevel,
      onLog: (log) => void logs.set(logLevel, log),
    });
    assert(prog.fd > 2);
  }
  assertEquals([...logs.keys()], [1, 2, 4]);
  // Level 2 has the registers after every instruction. Level 1 forgets the paths that ended well; level 4 is nothing but
  // the statistics.
  assertMatch(logs.get(2) ?? "", /^1: \(b7\) r0 = 2.*(\n2: )?.*R0/m);
  for (const level of [1, 4]) {
    assertMatch(logs.get(level) ?? "", /^processed 3 insns/m);
    assert(!(logs.get(level) ?? "").includes("(b7)"));
  }
  let told = 0;
  progLoad(token, { type: "socket_filter", insns, license: "GPL", onLog: () => void told++ }).close();
  assertEquals(told, 0);
  const bad = { type: "socket_filter", insns, license: "GPL", logLevel: 1 << 20 } as const;
  assertRefused(() => progLoad(token, bad), "EINVAL");
});

kernelTest("progLoad() makes room for a log of any size", {}, () => {
  const token = rootToken();
  const count = 3000;
  const insns = assemble([...Array.from({ length: count }, (_, index) => mov64(r0, index)), exit()]);
  let log = "";
  using interposed = interpose();
  using _prog = progLoad(token, {
    type: "socket_filter",
    insns,
    license: "GPL",
    logLevel: 2,
    onLog: (text) => void (log = text),
  });
  assertGreater(log.length, 128 * 1024);
  for (const at of [0, 1234, count - 1]) assertMatch(log, new RegExp(`^${at}: \\(b7\\) r0 = ${at}( |$)`, "m"));
  assertMatch(log, /processed 3001 insns/);
  const loads = interposed.calls.filter((command) => command === commands.prog_load).length;
  assertGreaterOrEqual(loads, 2);
  // From 6.4 on the kernel says how much is needed: no third call.
  if (kernelSince("6.4")() === undefined) assertEquals(loads, 2);
  // A program that fails shows all of a large log too.
  const bad = assemble([...Array.from({ length: count }, (_, index) => mov64(r0, index)), mov64(r0, 0)]);
  const error = assertThrows(
    () => progLoad(token, { type: "socket_filter", insns: bad, license: "GPL", logLevel: 2 }).close(),
    VerifierError,
  );
  assertStringIncludes(error.log, "last insn is not an exit or jmp");
});

/** BTF for a program with a function `entry(ctx)`, and the text of its line. */
function progBtf(): { bytes: Uint8Array<ArrayBuffer>; func: number; file: number; line: number } {
  const btf = new BtfBytes();
  const int = btf.int("int", 4, 1);
  const context = btf.pointer(0);
  const proto = btf.funcProto(int, [["ctx", context]]);
  const func = btf.func("entry", proto, 1);
  const file = btf.text("counter.bpf.c");
  const line = btf.text("\treturn 7;");
  return { bytes: btf.bytes(), func, file, line };
}

kernelTest("progLoad() takes function and line information, which the verifier and bpftool show", {
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  const { bytes, func, file, line } = progBtf();
  using btf = btfLoad(token, bytes);
  const funcInfo = { records: u32s(0, func), size: 8 };
  const lineInfo = { records: u32s(0, file, line, (42 << 10) | 9), size: 16 };
  let log = "";
  using prog = progLoad(token, {
    type: "socket_filter",
    insns: returning(7),
    license: "GPL",
    logLevel: 2,
    btf: { fd: btf, funcInfo, lineInfo },
    onLog: (text) => void (log = text),
  });
  // From 6.9 on the log has the file and the line too.
  assertStringIncludes(log, kernelSince("6.9")() === undefined ? "; return 7; @ counter.bpf.c:42" : "; return 7;");
  const info = objGetInfoByFd(token, prog, {
    kind: "prog",
    details: ["funcInfo", "lineInfo", "jitedLineInfo", "jitedKsyms", "progTags", "jitedFuncLens"],
  });
  assertEquals(info.funcInfo, funcInfo.records);
  assertEquals(info.lineInfo, lineInfo.records);
  assertEquals([info.funcInfoRecSize, info.lineInfoRecSize, info.nrFuncInfo, info.nrLineInfo], [8, 16, 1, 1]);
  const { stdout } = await run("bpftool", ["prog", "dump", "xlated", "id", `${info.id}`, "linum"]);
  assertStringIncludes(stdout, "int entry(void * ctx)");
  assertStringIncludes(stdout, "; return 7; [file:counter.bpf.c line_num:42 line_col:9]");
  const bad = { type: "socket_filter", insns: returning(7), license: "GPL" } as const;
  // The type id is no function's.
  assertRefused(
    () => progLoad(token, { ...bad, btf: { fd: btf, funcInfo: { records: u32s(0, 1), size: 8 } } }),
    "EINVAL",
  );
  assertThrows(
    () => progLoad(token, { ...bad, btf: { fd: btf, funcInfo: { records: u32s(0, 1, 2), size: 8 } } }).close(),
    RangeError,
    "funcInfo",
  );
});

kernelTest("progLoad() takes maps by index, and binds all of them where asked to", {}, () => {
  const token = rootToken();
  using used = arrayMap(token);
  using unused = hashMap(token);
  const insns = asm`
    *(u32 *)(r10 -4) = 0
    r1 = map_idx 1 ll
    r2 = r10
    r2 += -4
    call map_lookup_elem
    r0 = 0
    exit
  `;
  const idOf = (map: { fd: number }): number => objGetInfoByFd(token, map, { kind: "map" }).id;
  const load = (bindFdArray: boolean): readonly number[] => {
    using prog = progLoad(token, {
      type: "socket_filter",
      insns,
      license: "GPL",
      fdArray: [unused, used],
      bindFdArray,
    });
    return [...objGetInfoByFd(token, prog, { kind: "prog", details: ["mapIds"] }).mapIds ?? []].sort((a, b) => a - b);
  };
  if (lackingFor(() => load(false)) !== undefined) {
    assertLacking(() => load(false), "field fd_array of BPF_PROG_LOAD", "5.14");
    return;
  }
  assertEquals(load(false), [idOf(used)]);
  if (kernelSince("6.14")() === undefined) assertEquals(load(true), [idOf(used), idOf(unused)].sort((a, b) => a - b));
  else assertLacking(() => load(true), "field fd_array_cnt of BPF_PROG_LOAD", "6.14");
  const options = { type: "socket_filter", insns, license: "GPL" } as const;
  assertRefused(() => progLoad(token, { ...options, fdArray: [unused, 9999] }), "EBADF");
  const closed = arrayMap(token);
  closed.close();
  assertThrows(() => progLoad(token, { ...options, fdArray: [unused, closed] }).close(), TypeError, "it is closed");
});

kernelTest("progLoad() passes flags, name and attach type on to the kernel", { needs: ["btf"] }, () => {
  const token = rootToken();
  using prog = socketFilter(token, 0, "my_prog.1");
  assertEquals(objGetInfoByFd(token, prog, { kind: "prog" }).name, "my_prog.1");
  // Programs of type syscall have to be sleepable.
  const syscall = { type: "syscall", insns: returning(0), license: "GPL" } as const;
  const sleepable = { ...syscall, flags: constant("BPF_F_SLEEPABLE") };
  if (lackingFor(() => progLoad(token, sleepable)) !== undefined) {
    assertLacking(() => progLoad(token, sleepable), "program type syscall", "5.14");
  } else assertRefused(() => progLoad(token, syscall), "EINVAL");
  const sockAddr = { type: "cgroup_sock_addr", insns: returning(1), license: "GPL" } as const;
  assertRefused(() => progLoad(token, sockAddr), "EINVAL");
  using _connect = progLoad(token, { ...sockAddr, expectedAttachType: "cgroup_inet6_connect" });
  // Unaligned access is refused with the flag only.
  const unaligned = asm`
    r0 = *(u32 *)(r10 -7)
    exit
  `;
  const strict = { type: "socket_filter", insns: unaligned, license: "GPL" } as const;
  const error = assertRefused(
    () => progLoad(token, { ...strict, flags: constant("BPF_F_STRICT_ALIGNMENT") }),
    "EACCES",
  );
  assertInstanceOf(error, VerifierError);
  assertStringIncludes(error.log, "misaligned stack access");
});

kernelTest("progLoad() takes the BTF id of what a program attaches to", { needs: ["btf"] }, () => {
  const token = rootToken();
  const load = (attachBtfId: number, expectedAttachType: "trace_raw_tp" | "trace_iter") =>
    progLoad(token, { type: "tracing", insns: returning(0), license: "GPL", attachBtfId, expectedAttachType });
  const tracepoint = needVmlinuxId("typedef", "btf_trace_sched_switch");
  const iterator = needVmlinuxId("func", "bpf_iter_task");
  {
    using prog = load(tracepoint, "trace_raw_tp");
    const info = objGetInfoByFd(token, prog, { kind: "prog" });
    // Kernels before 6.0 do not tell.
    const tells = kernelSince("6.0")() === undefined;
    assertEquals(info.attachBtfId, tells ? tracepoint : 0);
    assertEquals(info.attachBtfObjId > 0, tells);
  }
  load(iterator, "trace_iter").close();
  // Each id is only good for its own kind of program.
  for (const [id, type] of [[iterator, "trace_raw_tp"], [tracepoint, "trace_iter"]] as const) {
    const error = assertRefused(() => load(id, type), "EINVAL");
    assertInstanceOf(error, VerifierError);
  }
  assertRefused(() => load(0x7fff_ffff, "trace_iter"), "EINVAL");
  const structOps = (member: number) =>
    progLoad(token, {
      type: "struct_ops",
      insns: returning(0),
      license: "GPL",
      attachBtfId: needVmlinuxId("struct", "tcp_congestion_ops"),
      expectedAttachType: member,
    });
  structOps(tcpOpsMember("ssthresh")).close();
  assertRefused(() => structOps(1000), "EINVAL");
});

kernelTest("progLoad() refuses what cannot be right before it calls the kernel", {}, () => {
  const token = rootToken();
  const good = { type: "socket_filter", insns: returning(), license: "GPL" } as const;
  using interposed = interpose();
  assertThrows(() => progLoad(token, { ...good, insns: new Uint8Array(0) }), RangeError, "no instruction");
  assertThrows(() => progLoad(token, { ...good, insns: new Uint8Array(12) }), RangeError, "no multiple of 8");
  assertThrows(() => progLoad(token, { ...good, insns: new Uint8Array(8 * 1_000_001) }), RangeError, "1000000");
  assertThrows(() => progLoad(token, { ...good, license: "x".repeat(128) }), RangeError, "127");
  assertThrows(() => progLoad(token, { ...good, license: "GPL\0" }), TypeError, "NUL");
  assertThrows(() => progLoad(token, { ...good, name: "a".repeat(16) }), RangeError, "limit of 15");
  assertThrows(() => progLoad(token, { ...good, type: "xpd" as ProgType }), TypeError, "xpd");
  assertThrows(() => progLoad(token, { ...good, btf: { fd: -1 } }), TypeError, "prog_btf_fd");
  assertThrows(() => progLoad(token.only({ progTypes: ["xdp"] }), good), PermissionError);
  assertEquals(interposed.calls, []);
});

kernelTest("progLoad() fails with the kernel's error number for what is no matter of the verifier", {}, () => {
  const token = rootToken();
  const good = { type: "socket_filter", insns: returning(), license: "GPL" } as const;
  const funcInfo = { records: u32s(0, 1), size: 8 };
  assertRefused(() => progLoad(token, { ...good, btf: { fd: 9999, funcInfo } }), "EBADF");
  // The kernel itself says EINVAL where the descriptor is neither of a program nor of BTF.
  assertRefused(() => progLoad(token, { ...good, attachTo: 9999, attachBtfId: 1 }), "EINVAL");
  assertRefused(() => progLoad(token, { ...good, flags: 0x4000_0000 }), "EINVAL");
  const notGpl = asm`
    r1 = 0
    r2 = 0
    call trace_printk
    r0 = 0
    exit
  `;
  const tracing = { type: "tracepoint", insns: notGpl, license: "Proprietary" } as const;
  const error = assertRefused(() => progLoad(token, tracing), "EINVAL");
  assertInstanceOf(error, VerifierError);
  assertStringIncludes(error.log, "GPL");
});

kernelTest("progLoad() loads as many instructions as the kernel takes", {}, () => {
  const token = rootToken();
  const insns = assemble([...Array.from({ length: 20_000 }, (_, index) => mov64(r0, index)), exit()]);
  using prog = progLoad(token, { type: "socket_filter", insns, license: "GPL" });
  assertEquals(progTestRun(token, prog, { data: new Uint8Array(14) }).returnValue, 19_999);
});

kernelTest("progBindMap() makes a program hold a map that it does not use", {}, () => {
  const token = rootToken();
  using prog = socketFilter(token);
  using map = arrayMap(token);
  const mapIds = () => objGetInfoByFd(token, prog, { kind: "prog", details: ["mapIds"] }).mapIds;
  assertEquals(mapIds(), []);
  progBindMap(token, prog, { map });
  assertEquals(mapIds(), [objGetInfoByFd(token, map, { kind: "map" }).id]);
  // A second time changes nothing.
  progBindMap(token, prog, { map });
  assertEquals(mapIds()?.length, 1);
  assertRefused(() => progBindMap(token, prog, { map: 9999 }), "EBADF", /not of the kind/);
  assertRefused(() => progBindMap(token, 9999, { map }), "EBADF");
  assertRefused(() => progBindMap(token, map, { map }), "EINVAL");
  assertRefused(() => progBindMap(token, prog, { map, flags: 1 }), "EINVAL");
});

kernelTest("progAssocStructOps() ties a program to a struct_ops map, or says which kernel can", {
  needs: ["btf"],
}, () => {
  const token = rootToken();
  const hasSyscall = lackingFor(() => minimalProg(token, "syscall")) === undefined;
  using prog = hasSyscall ? minimalProg(token, "syscall") : socketFilter(token);
  using map = minimalMap(token, "struct_ops");
  let error: unknown;
  try {
    progAssocStructOps(token, prog, { map });
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) {
    // The program has one now: the same one again changes nothing, another one is refused.
    progAssocStructOps(token, prog, { map });
    using second = minimalMap(token, "struct_ops");
    assertRefused(() => progAssocStructOps(token, prog, { map: second }), "EBUSY", /has a struct_ops map already/);
    using other = arrayMap(token);
    assertRefused(() => progAssocStructOps(token, prog, { map: other }), "EINVAL");
    assertRefused(() => progAssocStructOps(token, prog, { map: 9999 }), "EBADF");
    return;
  }
  assertInstanceOf(error, NotSupportedError);
  assertEquals([error.feature, error.since], ["BPF_PROG_ASSOC_STRUCT_OPS", "7.0"]);
  assertInstanceOf(error.cause, SyscallError);
  assertEquals(error.cause.code, "EINVAL");
});
