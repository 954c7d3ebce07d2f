import { assert, assertEquals, assertGreaterOrEqual, assertThrows } from "@std/assert";
import { BtfBuilder } from "../../btf/mod.ts";
import { btfGetFdById } from "../../cmds/id.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import { kernelBtf } from "../../features/mod.ts";
import { Program, type ProgramOptions } from "../../progs/mod.ts";
import type { ProgType } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { interpose, returning, rootToken } from "./_objects.ts";

/** BTF with a function `int entry(void *ctx)`. */
function oneFunction(): { builder: BtfBuilder; entry: number } {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const entry = builder.func("entry", builder.funcProto(int, [{ name: "ctx", typeId: builder.ptr(0) }]), "global");
  return { builder, entry };
}

kernelTest("Program.load() finds what a program attaches to by name", { needs: ["btf"] }, () => {
  const token = rootToken();
  const base = { insns: returning(0), license: "GPL" } as const;
  const btf = kernelBtf();
  const load = (attachTo: ProgramOptions["attachTo"], expectedAttachType: ProgramOptions["expectedAttachType"]) =>
    Program.load(token, { ...base, type: "tracing", attachTo, expectedAttachType });
  for (
    const [type, name, kind, full] of [
      ["trace_raw_tp", "sched_switch", "typedef", "btf_trace_sched_switch"],
      ["trace_iter", "task", "func", "bpf_iter_task"],
    ] as const
  ) {
    using prog = load(name, type);
    if (kernelSince("6.0")() === undefined) assertEquals(prog.info.attachBtfId, btf.find(kind, full));
  }
  using interposed = interpose();
  assertThrows(
    () => load("no_such_tp", "trace_raw_tp"),
    TypeError,
    'attachTo: the kernel has no tracepoint "no_such_tp"',
  );
  assertThrows(
    () => load("no_such_fn", "trace_fentry"),
    TypeError,
    'attachTo: the kernel has no function "no_such_fn"',
  );
  assertThrows(() => load({ name: "f", module: "no_such" }, "trace_fentry"), TypeError, 'no module "no_such"');
  assertThrows(() => load("task", undefined), TypeError, "attachTo: a tracing program needs an expectedAttachType");
  assertThrows(() => load("", "trace_iter"), TypeError, "attachTo: its name is empty");
  const as = (type: ProgType, attachTo: ProgramOptions["attachTo"]) =>
    Program.load(token, { ...base, type, attachTo, expectedAttachType: "lsm_mac" });
  assertThrows(() => as("xdp", "eth_type_trans"), TypeError, "attachTo: programs of type xdp say when");
  assertThrows(() => as("lsm", "no_such_hook"), TypeError, 'the kernel has no LSM hook "no_such_hook"');
  assertThrows(() => as("ext", "entry"), TypeError, "attachTo: name the program whose function is replaced");
  assertThrows(() => as("struct_ops", "no_such_ops"), TypeError, 'the kernel has no struct "no_such_ops"');
  assertThrows(() => as("struct_ops", { name: "tcp_congestion_ops" }), TypeError, "name the member");
  const wrong = { name: "tcp_congestion_ops", member: "nothing" };
  assertThrows(() => as("struct_ops", wrong), TypeError, 'struct tcp_congestion_ops has no member "nothing"');
  assertEquals(interposed.calls.length, 0);
});

kernelTest("Program.load() finds functions of other programs", { needs: ["btf", "netns"] }, () => {
  const token = rootToken();
  const { builder, entry } = oneFunction();
  const btf = { types: builder, funcInfo: [{ insnOff: 0, typeId: entry }] };
  using target = Program.load(token, { type: "xdp", insns: returning(1), license: "GPL", btf });
  const trace = {
    type: "tracing",
    expectedAttachType: "trace_fexit",
    insns: returning(0),
    license: "GPL",
  } as const;
  assertThrows(
    () => Program.load(token, { ...trace, attachTo: { name: "nothing", prog: target } }),
    TypeError,
    'attachTo: the program has no function "nothing"',
  );
  using plain = Program.load(token, { type: "xdp", insns: returning(1), license: "GPL" });
  assertThrows(
    () => Program.load(token, { ...trace, attachTo: { name: "entry", prog: plain } }),
    TypeError,
    "has no BTF",
  );
  // Where the kernel cannot patch functions, its log is about the program's function all the same.
  try {
    using prog = Program.load(token, { ...trace, attachTo: { name: "entry", prog: target } });
    if (kernelSince("6.0")() === undefined) assertEquals(prog.info.attachBtfId, entry);
  } catch (error) {
    assert(error instanceof SyscallError || error instanceof PermissionError, String(error));
  }
});

/** A module that is loaded and has BTF with functions; the first of several. */
function someModule(): string | undefined {
  try {
    for (const { name } of Deno.readDirSync("/sys/kernel/btf")) {
      if (name === "vmlinux") continue;
      const btf = kernelBtf(name);
      for (let id = btf.firstId; id < btf.typeCount; id++) if (btf.kindOf(id) === "func") return name;
    }
  } catch {
    // No BTF at all.
  }
  return undefined;
}

kernelTest("Program.load() finds functions of kernel modules", {
  needs: ["btf", () => someModule() === undefined ? "no module with BTF" : undefined, kernelSince("6.0")],
}, () => {
  const token = rootToken();
  const module = someModule() as string;
  const btf = kernelBtf(module);
  const names: string[] = [];
  for (let id = btf.firstId; id < btf.typeCount; id++) if (btf.kindOf(id) === "func") names.push(btf.nameOf(id));
  const load = (name: string) =>
    Program.load(token, {
      type: "tracing",
      expectedAttachType: "trace_fentry",
      attachTo: { name, module },
      insns: returning(0),
      license: "GPL",
    });
  let traced = 0;
  // Not every function can be traced: those that were inlined have no code of their own.
  for (const name of names.slice(0, 50)) {
    try {
      using prog = load(name);
      const { attachBtfId, attachBtfObjId } = prog.info;
      assertEquals(attachBtfId, btf.findAll("func", name).find((id) => id >= btf.firstId));
      using fd = btfGetFdById(token, attachBtfObjId);
      assertEquals(objGetInfoByFd(token, fd, { kind: "btf" }).name, module);
      traced++;
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  console.log(`${traced} functions of module ${module} can be traced`);
  assertGreaterOrEqual(traced, 1);
  assertThrows(() => load("no_such_function"), TypeError, `module ${module} has no function "no_such_function"`);
  // A function of the kernel is none of the module's.
  assertThrows(() => load("vfs_read"), TypeError, `module ${module} has no function "vfs_read"`);
});
