import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { NotSupportedError } from "../../errors.ts";
import { hasAttachType, hasProgType } from "../../features/mod.ts";
import { type Attachment, IterLink, Link } from "../../links/mod.ts";
import { BpfObject } from "../../object/mod.ts";
import type { AttachType } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { eventually, makeCgroup, type RootToken, rootToken, trying, veth } from "./_objects.ts";
import { CLANG, compileUsdt, Probed } from "./_probed.ts";
import { sendUdp } from "./_sockets.ts";
import { testObject } from "./_object_files.ts";

/** The counters of `places.bpf.c`, in the order of its enum. */
const PLACES = ["xdp", "tcx", "tc", "egress", "connect", "lookup", "msg", "socket", "raw", "sample", "filter"] as const;

function hit(object: BpfObject, counter: typeof PLACES[number]): boolean {
  return (object.bss.get("hits") as bigint[])[PLACES.indexOf(counter)] > 0n;
}

/** Loads only some programs, or those that the kernel has. */
function only(object: BpfObject, ...names: string[]): void {
  for (const program of Object.values(object.spec.programs)) program.autoload = names.includes(program.name);
}

kernelTest(
  "BpfObject.attach() attaches to interfaces, where it is told which",
  { needs: ["btf", "netns"] },
  async () => {
    const token = rootToken();
    await using pair = await veth();
    assertEquals((await run("ip", ["addr", "add", "10.9.9.1/24", "dev", pair.names[0]])).code, 0);
    using object = testObject("places");
    only(object, "on_xdp", "on_tcx", "on_tc", "on_demand");
    object.load(token, { unsupported: "skip" });
    {
      using none = object.attach(token);
      const wanted = ["on_demand", "on_tc", "on_tcx", "on_xdp"].filter((name) => !object.skipped.includes(name));
      assertEquals([Object.keys(none.links), none.left.toSorted()], [[], wanted]);
      assertEquals(object.skipped, hasProgType(token, "syscall") === false ? ["on_demand"] : []);
    }
    using links = object.attach(token, {
      places: {
        on_xdp: { interface: pair.names[1], mode: "generic" },
        on_tcx: { interface: pair.names[1] },
        on_tc: { interface: pair.names[1], direction: "ingress" },
      },
    });
    assertEquals(Object.keys(links.links).sort(), ["on_tc", "on_tcx", "on_xdp"]);
    assert(
      await eventually(() => {
        sendUdp([10, 9, 9, 2]);
        return hit(object, "xdp") && hit(object, "tcx") && hit(object, "tc");
      }, 5000),
    );
    assertThrows(() => object.attach(token, { places: { on_egress: { cgroup: "/" } } }), TypeError, "no program");
  },
);

kernelTest("BpfObject.attach() attaches to cgroups and namespaces", { needs: ["btf", "cgroup", "netns"] }, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using object = testObject("places");
  only(object, "on_egress", "on_connect", "on_lookup");
  object.load(token);
  using links = object.attach(token, {
    places: { on_egress: { cgroup: cgroup.path }, on_connect: { cgroup: cgroup.path }, on_lookup: { netns: Deno.pid } },
  });
  assertEquals(links.left, []);
  for (const link of Object.values(links.links)) assertEquals(link.closed, false);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port }), listener.accept()]);
  client.close();
  server.close();
  assert(hit(object, "lookup"));
  links.close();
  for (const link of Object.values(links.links)) assertEquals(link.closed, true);
});

kernelTest("BpfObject.attach() attaches to sockets, maps of sockets and samples", { needs: ["btf"] }, async () => {
  const token = rootToken();
  using object = testObject("places");
  only(object, "on_socket", "on_msg", "on_raw", "on_sample", "each_task");
  object.load(token);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port }), listener.accept()]);
  using _client = client;
  using _server = server;
  using links = object.attach(token, {
    places: {
      on_socket: { socket: server },
      on_msg: { map: "sockets" },
      on_sample: { sampling: { event: "cpu_clock", frequency: 500 } },
    },
  });
  assertEquals(links.left, []);
  await client.write(new Uint8Array([1]));
  new Deno.Command("/bin/true").outputSync();
  const end = performance.now() + 2000 * SLOWNESS;
  while (performance.now() < end && !hit(object, "sample"));
  for (const counter of ["socket", "raw", "sample"] as const) assert(hit(object, counter), counter);
  const iter = links.get("each_task");
  assert(iter instanceof IterLink);
  const pids = new Set<number>();
  for (const chunk of iter.chunks()) for (const pid of new Int32Array(chunk.slice().buffer)) pids.add(pid);
  assertEquals([pids.has(Deno.pid), pids.has(Deno.ppid)], [true, true]);
});

kernelTest(
  "BpfObject.attach() says of which program a place is wrong, and detaches the others",
  { needs: ["btf"] },
  () => {
    const token = rootToken();
    using object = testObject("places");
    only(object, "on_raw", "on_msg");
    object.load(token);
    const message = 'the object has no map "no such map" (program on_msg of the object)';
    assertThrows(() => object.attach(token, { places: { on_msg: { map: "no such map" } } }), TypeError, message);
    object.spec.programs.on_msg.autoattach = false;
    using links = object.attach(token);
    assertEquals([Object.keys(links.links), links.left], [["on_raw"], []]);
  },
);

/** The counters of `probes.bpf.c`. */
const PROBES: readonly string[] = [
  ...["at_entry", "at_return", "at_syscall", "after_syscall", "at_many", "before", "after", "on_open", "in_user"],
  ...["after_user", "at_session", "in_many", "before_many", "around"],
];

/** Loads one program, attaches it, makes it run and counts. */
function probed(token: RootToken, name: string, run: (object: BpfObject) => void): bigint {
  using object = testObject("probes");
  only(object, name);
  object.rodata.set({ target_pid: Deno.pid });
  object.load(token);
  using links = object.attach(token, { tracefs: Deno.env.get("BPF_TEST_TRACEFS") });
  assertEquals([Object.keys(links.links), links.left], [[name], []]);
  run(object);
  return (object.bss.get("hits") as bigint[])[PROBES.indexOf(name)];
}

const lookUp = (object: BpfObject): void => void object.maps[".rodata"].get(0);

/** Probes of the kernel's functions, with the attach type that has to be there. */
const KERNEL_PROBES: readonly (readonly [string, AttachType])[] = [
  ["at_entry", "perf_event"],
  ["at_return", "perf_event"],
  ["at_many", "trace_kprobe_multi"],
  ["at_session", "trace_kprobe_session"],
  ["before", "trace_fentry"],
  ["after", "trace_fexit"],
  ["around", "trace_fsession"],
  ["before_many", "trace_fentry_multi"],
];

for (const [name, attachType] of KERNEL_PROBES) {
  const isKprobe = attachType === "perf_event" || attachType.includes("kprobe");
  const probe = isKprobe
    ? trying((token) => probed(token, name, lookUp))
    : () => hasAttachType(rootToken(), attachType) === true ? undefined : `no ${attachType}`;
  const needs = ["btf", "tracefs", probe] as const;
  kernelTest(`BpfObject.attach() attaches ${name} to a function of the kernel`, { needs }, () => {
    assertGreater(probed(rootToken(), name, lookUp), 0n);
  });
}

/** Calls a function of libc's, which makes the system call each time. */
function fromLibc(name: "getpid" | "getppid"): number {
  const library = Deno.dlopen("libc.so.6", {
    getpid: { parameters: [], result: "i32" },
    getppid: { parameters: [], result: "i32" },
  });
  const result = library.symbols[name]();
  library.close();
  return result;
}

kernelTest("BpfObject.attach() attaches to a hook of the security modules", {
  needs: ["btf", () => hasAttachType(rootToken(), "lsm_mac") === true ? undefined : "no lsm_mac"],
}, () => {
  const read = (): void => void Deno.readTextFileSync("/proc/self/comm");
  assertGreater(probed(rootToken(), "on_open", read), 0n);
});

kernelTest("BpfObject.attach() attaches to functions of a library by a pattern", {
  needs: ["btf", () => hasAttachType(rootToken(), "trace_uprobe_multi") === true ? undefined : "no uprobe.multi"],
}, () => {
  assertGreater(probed(rootToken(), "in_many", () => assertEquals(fromLibc("getppid"), Deno.ppid)), 0n);
});

kernelTest("BpfObject.attach() tells a program the arguments of a USDT probe, and its cookie", {
  needs: ["btf", kernelSince("5.15"), trying((token) => probed(token, "in_user", () => {}))],
  tools: [CLANG, "cc"],
}, async () => {
  const token = rootToken();
  await using program = await Probed.start();
  const { object: path } = await compileUsdt(program.folder);
  using object = BpfObject.parse(await Deno.readFile(path), { name: "usdt" });
  object.load(token);
  const where = { path: program.path, provider: "probed", function: "arguments", cookie: 77n, pid: program.pid };
  using links = object.attach(token, { places: { seen: where } });
  assertEquals([Object.keys(links.links), links.left], [["seen"], []]);
  const [round] = await program.round();
  const { runs, count, cookie, arguments: seen } = object.maps.seen_map.get(0) as Record<string, bigint> & {
    arguments: bigint[];
  };
  assertEquals([runs, count, cookie], [1n, 6n, 77n]);
  assertEquals(seen.slice(0, 3), [BigInt(round), BigInt(-5 - round), 65000n]);
  links.close();
  await program.round();
  assertEquals((object.maps.seen_map.get(0) as { runs: bigint }).runs, 1n);
});

const anySyscall = trying((token) => probed(token, "at_syscall", () => {}));

for (const name of ["at_syscall", "after_syscall"]) {
  kernelTest(`BpfObject.attach() attaches ${name} to a system call`, { needs: ["btf", "tracefs", anySyscall] }, () => {
    assertGreater(probed(rootToken(), name, () => assertEquals(fromLibc("getpid"), Deno.pid)), 0n);
  });
}

const anyUprobe = trying((token) => probed(token, "in_user", () => {}));

kernelTest("BpfObject.attach() attaches to a function of a library, with a cookie", {
  needs: ["btf", "tracefs", kernelSince("5.15"), anyUprobe],
}, () => {
  const token = rootToken();
  for (const name of ["in_user", "after_user"]) {
    using object = testObject("probes");
    only(object, name);
    object.rodata.set({ target_pid: Deno.pid });
    object.load(token);
    using links = object.attach(token, { places: { [name]: { cookie: 0x1234n } } });
    assertEquals(links.left, []);
    assertEquals(fromLibc("getppid"), Deno.ppid);
    assertGreater((object.bss.get("hits") as bigint[])[PROBES.indexOf(name)], 0n);
    if (name === "in_user") assertEquals(object.bss.get("cookie"), 0x1234n);
  }
});

kernelTest("BpfObject.attach() replaces a function of another program", {
  needs: ["btf", () => hasProgType(rootToken(), "ext") === true ? undefined : "no freplace"],
}, () => {
  const token = rootToken();
  using first = testObject("probes");
  only(first, "calls_replaced");
  first.load(token);
  const run = (): number => first.progs.calls_replaced.run({ data: new Uint8Array(64) }).returnValue;
  assertEquals(run(), 1);
  using second = testObject("probes");
  only(second, "replacement");
  assertThrows(() => second.load(token), TypeError, "name the program whose function is replaced");
  second.spec.programs.replacement.attachTo = { name: "replaced", prog: first.progs.calls_replaced };
  try {
    second.load(token);
    using _links = second.attach(token);
    assertEquals(run(), 77);
  } catch (error) {
    // Kernels without trampolines know the type, and cannot attach.
    if (
      !/ENOTSUPP|EOPNOTSUPP/.test(String((error as { code?: string }).code)) && !(error instanceof NotSupportedError)
    ) throw error;
    return;
  }
  assertEquals(run(), 1);
});

kernelTest("BpfObject registers structs of kernel functions, with and without a link", {
  needs: ["btf", kernelSince("6.4")],
}, () => {
  const token = rootToken();
  const registered = (): string[] =>
    Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").trim().split(" ");
  using object = testObject("struct_ops");
  assertEquals(object.variables("plain").get("name"), "bpf_deno_plain");
  object.load(token);
  assertEquals(registered().includes("bpf_deno_plain"), false);
  {
    using links = object.attach(token);
    assertEquals(Object.keys(links.links).sort(), ["linked", "plain"]);
    assertEquals(links.left, []);
    assert(links.get("linked") instanceof Link);
    const names = registered();
    assertEquals([names.includes("bpf_deno_plain"), names.includes("bpf_deno_link")], [true, true]);
  }
  assertEquals(registered().filter((name) => name.startsWith("bpf_deno")), []);
});

kernelTest("BpfObject leaves out structs of functions, and their programs, that are not wanted", {
  needs: ["btf", kernelSince("5.13")],
}, () => {
  const token = rootToken();
  using object = testObject("struct_ops");
  object.spec.maps.linked.autocreate = false;
  object.variables("plain").set({ name: "bpf_deno_other" });
  const set = object.spec.maps.plain.structOps!.programs;
  assertEquals(set.set_state, "state");
  object.load(token);
  assertEquals(Object.keys(object.progs).sort(), ["avoid", "state", "threshold", "undo"]);
  using links = object.attach(token);
  assertEquals(Object.keys(links.links), ["plain"]);
  assert(Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").includes("bpf_deno_other"));
  assertEquals((links.get("plain") as unknown as Attachment).closed, false);
});
