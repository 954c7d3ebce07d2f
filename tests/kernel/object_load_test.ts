import { assertEquals, assertGreater, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { gunzipSync } from "node:zlib";
import type { BtfTypeOf } from "../../btf/mod.ts";
import { NotSupportedError, SyscallError, VerifierError } from "../../errors.ts";
import { forgetAnswers } from "../../features/_answer.ts";
import { commands } from "../../uapi/enums.gen.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { hasAttachType, hasMapType, kernelBtf } from "../../features/mod.ts";
import type { Arena } from "../../maps/mod.ts";
import { BpfObject } from "../../object/mod.ts";
import { kernelSince, kernelTest, type Probe, SLOWNESS } from "../_kernel_test.ts";
import { interpose, rootToken } from "./_objects.ts";
import { objectBytes, testObject } from "./_object_files.ts";

const OPTIONS = { needs: ["btf"] } as const;
const TRACING = { needs: ["btf", "tracefs"] } as const;

/** Whether kernels of this configuration have the tracepoints of system calls. */
const hasSyscallEvents: Probe = () => {
  try {
    Deno.statSync(`${Deno.env.get("BPF_TEST_TRACEFS")}/events/syscalls/sys_enter_openat`);
    return undefined;
  } catch {
    return "no tracepoints of system calls";
  }
};

kernelTest("BpfObject tells what is opened, decoded by BTF", {
  needs: [...TRACING.needs, hasSyscallEvents, kernelSince("5.8")],
}, async () => {
  const token = rootToken();
  using object = testObject("opens");
  assertEquals(object.rodata.get(), { targ_pid: 0, only_failed: false });
  object.rodata.set({ targ_pid: Deno.pid });
  object.load(token);
  assertThrows(() => object.rodata.set({ targ_pid: 1 }), TypeError, "constant once the object is loaded");
  using links = object.attach(token, { tracefs: Deno.env.get("BPF_TEST_TRACEFS") });
  assertEquals([Object.keys(links.links), links.left], [["enter_openat", "exit_openat"], []]);
  const missing = `${Deno.cwd()}/no such file`;
  assertThrows(() => Deno.openSync(missing), Deno.errors.NotFound);
  let found: Record<string, unknown> | undefined;
  for await (const event of object.maps.events.events({ signal: AbortSignal.timeout(5000 * SLOWNESS) })) {
    const opened = event as Record<string, unknown>;
    if (opened.path !== missing.slice(0, 63)) continue;
    found = opened;
    break;
  }
  assertEquals(found?.pid, Deno.pid);
  assertEquals(found?.parent, Deno.ppid);
  assertEquals(found?.ret, -2);
  assertGreater(object.bss.get("seen") as bigint, 0n);
});

kernelTest("BpfObject tells what is executed through a perf buffer", TRACING, async () => {
  const token = rootToken();
  using object = testObject("execs");
  object.load(token);
  using _links = object.attach(token, { tracefs: Deno.env.get("BPF_TEST_TRACEFS") });
  const events = object.maps.events.events({ signal: AbortSignal.timeout(5000 * SLOWNESS) });
  new Deno.Command("/bin/true").outputSync();
  for await (const each of events) {
    const { event } = each as { event: Record<string, unknown> };
    if (event.filename !== "/bin/true") continue;
    assertEquals(event.comm, "true");
    assertEquals(event.ppid, Deno.pid);
    return;
  }
  throw new Error("no event came");
});

kernelTest("BpfObject counts in histograms, and loads programs with a ? where it is asked to", OPTIONS, async () => {
  const token = rootToken();
  using object = testObject("latency");
  assertEquals(object.spec.programs.on_wakeup_new.autoload, false);
  object.spec.programs.on_wakeup_new.autoload = true;
  object.spec.maps.hists.maxEntries = 7;
  object.load(token);
  assertEquals(object.maps.hists.maxEntries, 7);
  assertEquals(Object.keys(object.progs).sort(), ["on_switch", "on_wakeup", "on_wakeup_new"]);
  using _links = object.attach(token);
  const sum = (): number => {
    const hist = object.maps.hists.get(0) as { slots: number[]; comm: string } | undefined;
    return hist?.slots.reduce((total, count) => total + count, 0) ?? 0;
  };
  for (let round = 0; round < 50 * SLOWNESS && sum() < 10; round++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertGreater(sum(), 9);
});

kernelTest("Variables are read and written before and after loading", OPTIONS, () => {
  const token = rootToken();
  using object = testObject("globals");
  const config = { port: 80, on: false, name: "web", range: { low: -5n, high: 5n } };
  assertEquals(object.rodata.get(), { config, table: [1, 2, 3, 4], color: "GREEN" });
  assertEquals(object.variables(".rodata.named").get(), { named: 11 });
  assertEquals(object.data.get(), { counter: -3n, offset: 100 });
  object.rodata.set({ config: { ...config, port: 8080, range: { low: -100n, high: 0n } } });
  object.bss.set({ total: 1000n });
  object.variables(".data.custom").set({ custom: 20 });
  assertThrows(() => object.data.set({ offset: "x" }), TypeError);
  assertThrows(() => object.data.set({ counter: 0n, offset: 2 ** 40 }), RangeError);
  assertThrows(() => object.data.set({ no_such: 1 }), TypeError, "has only counter, offset");
  assertEquals(object.data.get("counter"), -3n);

  object.load(token);
  assertEquals(object.progs.all.run({ data: new Uint8Array(64) }).returnValue, 8180);
  assertEquals(object.bss.get(), {
    ...{ total: 1000n + 8080n + 4n, bytes: [0, 5, 0], calls: 1, hidden_calls: 2, unused_float: 0 },
  });
  assertEquals(object.data.get("counter"), -103n);
  assertEquals(object.variables(".data.custom").get(), { custom: 31 });
  assertEquals(object.variables(".bss.custom").get("custom_zero"), 31);
  const { bss } = object;
  bss.set({ total: 0n, calls: 6 });
  object.progs.all.run({ data: new Uint8Array(64), repeat: 3 });
  assertEquals([bss.get("total"), bss.get("calls")], [3n * 8084n, 9]);
  assertEquals(object.rodata.get("config"), { ...config, port: 8080, range: { low: -100n, high: 0n } });
  const memory = bss.bytes;
  assertGreater(memory.length, 0);
  object.close();
  // The memory is gone, and reads as empty; the variables are those from before.
  assertEquals(memory.length, 0);
  assertEquals(bss.get("total"), 1000n);
  assertThrows(() => object.maps, TypeError, "the object is closed");
});

kernelTest("BpfObject.load() resolves what the kernel has to tell", OPTIONS, async () => {
  const token = rootToken();
  const [config] = await kernelConfig();
  using object = testObject("externs");
  // Debian's VMs have their configuration nowhere where they could read it.
  const more = config === undefined ? "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_JIT=y\n" : "";
  object.load(token, { kconfig: `${more}CONFIG_DEFAULT_HOSTNAME="from the caller"\nCONFIG_HZ=123` });
  using _links = object.attach(token);
  Deno.statSync("/");
  const values = object.bss.get();
  const [major, minor] = Deno.osRelease().split(".").map(Number);
  assertEquals((values.version as bigint) >> 8n, BigInt(major * 256 + minor));
  assertEquals(values.hostname, "from the caller");
  assertEquals(values.hz, 123);
  assertEquals(values.syscall, true);
  if (config !== undefined) assertEquals(values.jit, config.includes("CONFIG_BPF_JIT=y") ? "TRI_YES" : "TRI_NO");
  const symbols = await Deno.readTextFile("/proc/kallsyms");
  const address = /^([0-9a-f]+) \S bpf_map_release$/m.exec(symbols)?.[1];
  assertEquals(values.address, BigInt(`0x${address}`));
  assertEquals([values.missing, values.typed_missing, values.function_missing], [0n, true, true]);
  assertEquals(object.data.get("nothing"), 0n);
  const wrapper = /^\S+ \S (__x64_sys_bpf|__arm64_sys_bpf)$/m.test(symbols);
  assertEquals(values.wrapper, wrapper);
});

async function kernelConfig(): Promise<[string | undefined]> {
  for (const path of [`/boot/config-${Deno.osRelease()}`, "/proc/config.gz"]) {
    const bytes = await Deno.readFile(path).catch(() => undefined);
    if (bytes !== undefined) return [new TextDecoder().decode(bytes[0] === 0x1f ? gunzipSync(bytes) : bytes)];
  }
  return [undefined];
}

kernelTest("BpfObject.load() refuses an extern that the kernel lacks", OPTIONS, () => {
  using object = testObject("externs");
  // What has no value anywhere is named, whether the configuration can be read or not.
  const strong = object.spec.externs.map((one) => ({ ...one, weak: false }));
  Object.assign(object.spec, { externs: strong });
  const kconfig = 'CONFIG_BPF_SYSCALL=y\nCONFIG_HZ=100\nCONFIG_DEFAULT_HOSTNAME="x"\nCONFIG_BPF_JIT=y';
  assertThrows(() => object.load(rootToken(), { kconfig }), NotSupportedError, "extern CONFIG_NO_SUCH_THING");
  using other = testObject("externs");
  const message = "Cannot resolve extern CONFIG_HZ: the configuration says y";
  assertThrows(() => other.load(rootToken(), { kconfig: "CONFIG_HZ=y" }), TypeError, message);
});

kernelTest("BpfObject.load() links each program with the functions that it calls", {
  needs: ["btf", kernelSince("5.17")],
}, () => {
  using object = testObject("calls");
  object.load(rootToken());
  const run = (name: string): number => object.progs[name].run({ data: new Uint8Array(64) }).returnValue;
  const middle = (x: number): number => x + 1 + x + 2;
  assertEquals(run("one"), 3 * (middle(1) - 1) + 101);
  assertEquals(run("two"), middle(10) + 6);
  assertEquals(run("three"), 64);
  assertEquals(run("looping"), 45);
  assertEquals(object.bss.get("sum"), BigInt(1 + 2 + 100 + 10 + 11));
  const { one, two, three, looping } = object.needs.programs;
  assertEquals(two.functions, ["middle", "leaf", "overridable"]);
  assertEquals([three.functions, looping.functions], [[], ["each"]]);
  assertEquals([one.functions.includes("secret"), one.maps], [true, [".bss"]]);
});

kernelTest("BpfObject.load() adapts instructions to the kernel's types", OPTIONS, () => {
  const token = rootToken();
  using object = testObject("core");
  object.load(token);
  using _links = object.attach(token);
  Deno.statSync("/");
  const btf = kernelBtf();
  const task = btf.find("struct", "task_struct")!;
  const member = (id: number, name: string): { at: number; size: number } => {
    const found = btf.members(id).find((one) => one.name === name)!;
    return { at: found.bitsOffset / 8, size: btf.sizeOf(found.typeId)! };
  };
  const results = object.bss.get("results") as Record<string, number>;
  const enumId = btf.find("enum", "bpf_map_type")!;
  const value = (btf.type(enumId) as BtfTypeOf<"enum">).values.find(({ name }) =>
    name === "BPF_MAP_TYPE_LRU_HASH"
  )!.val;
  const expected: Record<string, number> = {
    ...{ pid_offset: member(task, "pid").at, comm_size: member(task, "comm").size },
    ...{ mm_exists: 1, renamed_exists: 1, missing_exists: 0, bit_exists: 1 },
    ...{ task_exists: 1, no_struct_exists: 0, task_size: btf.sizeOf(task)!, list_matches: 1, pid_t_exists: 1 },
    ...{ target_id: btf.find("struct", "list_head")!, hash_exists: 1, hash_value: value },
    ...{ missing_value_exists: 0, enum_exists: 0, local_id: object.spec.btf!.find("struct", "list_head")! },
  };
  for (const [name, number] of Object.entries(expected)) assertEquals(results[name], number, name);
  assertGreater(object.bss.get("parent") as number, 0);
});

kernelTest("BpfObject.load() names what a program asks for that the kernel has not", OPTIONS, () => {
  const token = rootToken();
  {
    using object = testObject("poison");
    const error = assertThrows(() => object.load(token), VerifierError);
    assertMatch(error.message, /Cannot load program poisoned: EINVAL/);
    assertMatch(error.hint ?? "", /struct task_struct___gone\.no_such_struct\.no_such_member \(0:0:0/);
    assertMatch(error.hint ?? "", /^instruction \d+ asks for/);
    assertEquals(object.loaded, false);
  }
  {
    using object = testObject("poison");
    object.spec.programs.poisoned.autoload = false;
    object.spec.programs.no_function.autoload = true;
    const error = assertThrows(() => object.load(token), VerifierError);
    assertEquals(error.hint, "it calls no_such_function, a function that the kernel has not");
  }
  {
    using object = testObject("poison");
    object.spec.programs.poisoned.autoload = false;
    object.spec.programs.no_map.autoload = true;
    object.spec.maps.left_out.autocreate = false;
    const error = assertThrows(() => object.load(token), VerifierError);
    assertEquals(error.hint, "it uses map left_out, which was not made: autocreate is false");
  }
});

kernelTest("BpfObject reads and writes variables in an arena", { needs: ["btf", kernelSince("6.9")] }, () => {
  const token = rootToken();
  if (hasMapType(token, "arena") !== true) return;
  using object = testObject("arena");
  assertEquals(object.variables("arena").get(), { shared: 42n, counts: [0n, 0n, 0n, 0n] });
  object.variables("arena").set({ shared: 50n });
  object.load(token);
  object.progs.touch.run({});
  assertEquals(object.variables("arena").get(), { shared: 51n, counts: [0n, 0n, 51n, 0n] });
  object.variables("arena").set({ shared: 7n });
  object.progs.touch.run({});
  assertEquals(object.variables("arena").get("counts"), [0n, 0n, 8n, 0n]);
  assertGreater((object.maps.arena as unknown as Arena).memory.byteLength, 0);
});

kernelTest("BpfObject.load() finds functions of the kernel", { needs: ["btf", kernelSince("6.2")] }, () => {
  const token = rootToken();
  using object = testObject("kfuncs");
  object.load(token);
  using _links = object.attach(token);
  new Deno.Command("/bin/true").outputSync();
  assertGreater(object.bss.get("held") as bigint, 0n);
});

kernelTest("BpfObject.load() takes maps that were defined before BTF, where it is asked to", OPTIONS, () => {
  using object = testObject("legacy", { legacyMaps: true });
  object.load(rootToken());
  assertEquals(object.progs.look.run({ data: new Uint8Array(64) }).returnValue, 0);
  const { type, keySize, valueSize, maxEntries, flags } = object.maps.old_hash.info;
  assertEquals([type, keySize, valueSize, maxEntries, flags], ["hash", 4, 8, 32, 1]);
  assertEquals(object.maps.old_hash.get(new Uint8Array([1, 0, 0, 0])), new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0]));
});

kernelTest("BpfObject.load() takes objects without any BTF", { needs: ["btf"] }, () => {
  using object = testObject("calls_bare");
  assertEquals(object.spec.btf, undefined);
  object.load(rootToken());
  assertEquals(object.progs.three.run({ data: new Uint8Array(64) }).returnValue, 64);
  assertEquals(object.bss.get(), {});
});

kernelTest("BpfObject.load() refuses objects of the other byte order", OPTIONS, () => {
  using object = testObject("calls_big");
  assertEquals(object.spec.byteOrder, "big");
  assertEquals(Object.keys(object.spec.programs), ["one", "two", "three"]);
  assertThrows(() => object.load(rootToken()), NotSupportedError, "big-endian");
});

kernelTest("BpfObject.load() leaves out what the kernel does not have, where it is asked to", OPTIONS, () => {
  const token = rootToken();
  if (hasAttachType(token, "trace_fsession") !== false) return;
  using object = testObject("latency");
  object.spec.programs.on_wakeup.expectedAttachType = "trace_fsession";
  object.load(token, { unsupported: "skip" });
  assertEquals(object.skipped, ["on_wakeup"]);
  assertEquals(Object.keys(object.progs), ["on_switch"]);
});

kernelTest("BpfObject.load() gives the verifier's log of programs that ask for it", OPTIONS, () => {
  using object = testObject("globals");
  object.spec.programs.all.logLevel = 4;
  const logs: [string, string][] = [];
  object.load(rootToken(), { onLog: (name, log) => logs.push([name, log]) });
  assertEquals(logs.map(([name]) => name), ["all"]);
  assertMatch(logs[0][1], /processed \d+ insns/);
});

kernelTest("BpfObject lets go of all where loading fails, and when its token is revoked", OPTIONS, () => {
  const token = rootToken();
  const derived = token.only({});
  const object = BpfObject.parse(objectBytes("globals"));
  object.load(derived);
  const { descriptor } = object.progs.all;
  assertEquals([descriptor.closed, object.closed], [false, false]);
  derived.revoke();
  assertEquals([descriptor.closed, object.closed], [true, true]);
  assertThrows(() => object.load(token), TypeError, "its permission token was revoked");

  // Of two programs the second one is refused; no descriptor of the first, or of a map, is left: the ledger is empty.
  using broken = testObject("latency");
  broken.spec.programs.on_switch.attachTo = { name: "no_such_tracepoint" };
  assertThrows(() => broken.load(token), NotSupportedError, "the kernel has no typedef btf_trace_no_such_tracepoint");
  broken.spec.programs.on_switch.attachTo = { name: "sched_switch" };
  broken.load(token);
  assertThrows(() => broken.load(token), TypeError, "it is loaded already");
  assertGreater(broken.maps.hists.fd, 2);
});

kernelTest("BpfObject.load() takes kinds of BTF out that the kernel does not know", OPTIONS, () => {
  using object = testObject("kinds");
  object.load(rootToken());
  assertEquals(object.progs.look.run({ data: new Uint8Array(64) }).returnValue, 2);
  const value = object.maps.tagged.get(1) as Record<string, unknown>;
  assertEquals([value.wide, value.negative], ["WIDE_TOP", "LOWEST"]);
  assertEquals(object.data.get("wide"), "WIDE_TOP");
});

kernelTest("BpfObject.load() appends what is called after an exception", { needs: ["btf", kernelSince("6.7")] }, () => {
  const token = rootToken();
  using object = testObject("throws");
  try {
    object.load(token);
  } catch (error) {
    // Kernels that cannot unwind their own stack have no exceptions.
    if (!(error instanceof VerifierError) || !/JIT does not support calling kfunc bpf_throw/.test(error.log)) {
      throw error;
    }
    return;
  }
  const run = (name: string, size: number): number =>
    object.progs[name].run({ data: new Uint8Array(size) }).returnValue;
  assertEquals([run("throwing", 64), run("throwing", 200)], [64, 300]);
  assertEquals([run("plain", 64), run("plain", 200)], [64, 200]);
  assertEquals(object.needs.programs.throwing.functions, ["check", "caught"]);
});

kernelTest(
  "BpfObject.load() makes variables of which each CPU has its own, where the kernel lets programs reach them",
  OPTIONS,
  () => {
    using object = testObject("percpu");
    assertEquals(object.variables(".percpu").get(), { hits: 3n });
    object.variables(".percpu").set({ hits: 5n });
    assertEquals([object.spec.maps[".percpu"].type, object.spec.maps[".percpu.named"].type], [
      "percpu_array",
      "percpu_array",
    ]);
    try {
      object.load(rootToken());
    } catch (error) {
      assertInstanceOf(error, VerifierError);
      assertMatch(error.log, /no direct value access support for this map type/);
      return;
    }
    assertEquals(object.progs.look.run({ data: new Uint8Array(64) }).returnValue, 6);
    const values = object.maps[".percpu"].get(0) as { hits: bigint }[];
    assertEquals(
      values.map(({ hits }) => hits).toSorted(),
      values.map((_, index) => index === values.length - 1 ? 6n : 5n),
    );
  },
);

kernelTest("BpfObject.load() goes on without BTF that the kernel refuses, and says so", OPTIONS, () => {
  const token = rootToken();
  try {
    using _refusing = interpose(undefined, (command) => command === commands.btf_load ? -errnos.EINVAL : undefined);
    using object = testObject("globals");
    object.load(token);
    assertInstanceOf(object.btfError, SyscallError);
    assertEquals(object.progs.all.info.nrFuncInfo, 0);
    assertEquals(object.progs.all.run({ data: new Uint8Array(64) }).returnValue, 180);
    assertEquals(object.bss.get("calls"), 1);
    // Structs of functions cannot do without.
    using other = testObject("struct_ops");
    assertThrows(() => other.load(token), SyscallError);
  } finally {
    // Probes have heard that the kernel knows no BTF.
    forgetAnswers();
  }
  using object = testObject("globals");
  assertEquals([object.load(token).btfError, object.progs.all.info.nrFuncInfo], [undefined, 1]);
});
