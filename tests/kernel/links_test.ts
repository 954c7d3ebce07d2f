import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  asm,
  attachCgroup,
  attachIter,
  attachKprobe,
  attachKprobeMulti,
  attachNetfilter,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachSockmap,
  attachStructOps,
  attachTcx,
  attachTracepoint,
  attachTracing,
  attachUprobe,
  attachUprobeMulti,
  attachXdp,
  BpfMap,
  type Fd,
  Link,
  NotSupportedError,
  objGetInfoByFd,
  progLoad,
  struct,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { kernelTest, type Probe, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { needVmlinuxId, vmlinuxId } from "./_btf_bytes.ts";
import { Counter } from "./_counter.ts";
import { minimalMap } from "./_map_types.ts";
import {
  clockEvent,
  eventually,
  lackingFor,
  libcFunction,
  makeCgroup,
  place,
  type RootToken,
  rootToken,
  simpleProg,
  trying,
  veth,
} from "./_objects.ts";
import { sendUdp } from "./_sockets.ts";
import { congestionControls, tcpCongestionControl } from "./_struct_ops.ts";

const hasNo = (fn: (token: RootToken) => unknown): Probe => trying(fn);

/** Sends packets out of an interface, which come in at its other end. */
async function ping(name: string): Promise<void> {
  await run("ip", ["addr", "replace", "10.9.8.6/24", "dev", name]);
  await run("ip", ["neigh", "replace", "10.9.8.7", "lladdr", "02:00:00:00:00:01", "dev", name]);
  sendUdp([10, 9, 8, 7]);
}

kernelTest("attachXdp() runs a program at an interface, by name and index, once", { tools: ["ip"] }, async () => {
  const token = rootToken();
  await using pair = await veth();
  for (const target of [pair.names[1], pair.ifindexes[1]]) {
    using counter = new Counter(token, "xdp", 2);
    const link = attachXdp(token, counter.prog, { interface: target, mode: "generic" });
    assertEquals(
      (({ type, ifindex }) => ({ type, ifindex }))(link.info as never as { type: string; ifindex: number }),
      {
        type: "xdp",
        ifindex: pair.ifindexes[1],
      },
    );
    assertThrows(() => attachXdp(token, counter.prog, { interface: target, mode: "generic" }), SyscallError, "EBUSY");
    await counter.seen(link, () => ping(pair.names[0]));
  }
  using prog = simpleProg(token, "xdp", { value: 2 });
  assertThrows(() => attachXdp(token, prog, { interface: "nowhere0" }), TypeError, 'there is no "nowhere0"');
  assertThrows(() => attachXdp(token, prog, { interface: 0 }), RangeError, "0 is not an index");
  assertThrows(
    () => attachXdp(token, prog, { interface: "lo", mode: "fast" as "generic" }),
    TypeError,
    '"fast" is none',
  );
});

kernelTest("attachTcx() runs programs at an interface, in the order that was asked for", {
  needs: [hasNo((token) => {
    using prog = simpleProg(token, "sched_cls");
    return attachTcx(token, prog, { interface: 0x7ffffff0, direction: "ingress" }).descriptor;
  })],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  for (const direction of ["ingress", "egress"] as const) {
    using counter = new Counter(token, "sched_cls", -1);
    const name = pair.names[direction === "ingress" ? 1 : 0];
    using first = simpleProg(token, "sched_cls", { value: -1 });
    using before = attachTcx(token, first, { interface: name, direction, before: "first" });
    const link = attachTcx(token, counter.prog, { interface: name, direction, after: before });
    assertEquals(link.info.type, "tcx");
    assertThrows(
      () => attachTcx(token, first, { interface: name, direction, revision: 99n }),
      SyscallError,
      "ESTALE",
    );
    assertThrows(
      () => attachTcx(token, first, { interface: name, direction, before: "first", after: "last" }),
      TypeError,
      "before and after",
    );
    await counter.seen(link, () => ping(pair.names[0]));
  }
});

kernelTest(
  "attachCgroup() runs a program for a cgroup's processes, by path and descriptor",
  { needs: ["cgroup"] },
  async () => {
    const token = rootToken();
    using cgroup = makeCgroup("linked");
    for (const target of [cgroup.path, { fd: cgroup.fd }]) {
      using counter = new Counter(token, "cgroup_sock", 1, { expectedAttachType: "cgroup_inet_sock_create" });
      const link = attachCgroup(token, counter.prog, { cgroup: target, attachType: "cgroup_inet_sock_create" });
      const info = link.info as never as { type: string; cgroupId: bigint };
      assertEquals([info.type, info.cgroupId], ["cgroup", cgroup.id]);
      const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`;
      await counter.seen(link, () => run("bash", ["-c", script]));
    }
    using prog = simpleProg(token, "cgroup_sock", { value: 1, expectedAttachType: "cgroup_inet_sock_create" });
    assertThrows(
      () => attachCgroup(token, prog, { cgroup: "/proc", attachType: "cgroup_inet_sock_create" }),
      SyscallError,
      "EBADF",
    );
  },
);

/** The own system call that tests make to be seen. */
const provoke = (): unknown => Deno.readTextFileSync("/proc/self/comm");

kernelTest("attachRawTracepoint() and attachTracing() run a program at each event", { needs: ["btf"] }, async () => {
  const token = rootToken();
  using raw = new Counter(token, "raw_tracepoint", 0);
  const link = attachRawTracepoint(token, raw.prog, "sys_enter");
  const info = link.info as never as { type: string; tpName: string };
  assertEquals([info.type, info.tpName], ["raw_tracepoint", "sys_enter"]);
  await raw.seen(link, provoke);
  assertThrows(() => attachRawTracepoint(token, raw.prog, "no_such_event"), SyscallError, "ENOENT");
  const attachBtfId = needVmlinuxId("typedef", "btf_trace_sys_enter");
  using typed = new Counter(token, "tracing", 0, { expectedAttachType: "trace_raw_tp", attachBtfId });
  await typed.seen(attachTracing(token, typed.prog), provoke);
});

kernelTest("attachTracepoint() runs a program at a tracepoint of tracefs", { needs: ["tracefs"] }, async () => {
  const token = rootToken();
  const tracefs = place("TRACEFS");
  using counter = new Counter(token, "tracepoint", 0);
  const link = attachTracepoint(token, counter.prog, "syscalls:sys_enter_openat", { tracefs });
  if (link instanceof Link) assertEquals(link.info.type, "perf_event");
  await counter.seen(link, provoke);
  assertThrows(() => attachTracepoint(token, counter.prog, "sys_enter_openat", { tracefs }), TypeError, "no category");
  assertThrows(() => attachTracepoint(token, counter.prog, "a:b", { tracefs }), TypeError, 'there is no "a:b"');
  const nowhere = { tracefs: "/nowhere" };
  assertThrows(() => attachTracepoint(token, counter.prog, "a:b", nowhere), TypeError, "no tracefs at /nowhere");
});

kernelTest("attachPerfEvent() runs a program at each tick of a clock", {}, async () => {
  const token = rootToken();
  using counter = new Counter(token, "perf_event", 0);
  using event = clockEvent();
  const link = attachPerfEvent(token, counter.prog, event);
  event.close();
  await counter.seen(link, async () => {
    const end = performance.now() + 30 * SLOWNESS;
    while (performance.now() < end) await Promise.resolve();
  });
});

/** Calls functions of libc that nothing else calls. */
function callLibc(): void {
  const libc = Deno.dlopen("libc.so.6", {
    getuid: { parameters: [], result: "u32" },
    getppid: { parameters: [], result: "i32" },
  });
  libc.symbols.getuid();
  libc.symbols.getppid();
  libc.close();
}

kernelTest("attachUprobe() runs a program at a function of libc, and where it returns", {}, async () => {
  const token = rootToken();
  const { path, offset } = await libcFunction("getuid");
  for (const returns of [false, true]) {
    using counter = new Counter(token, "kprobe", 0);
    const link = attachUprobe(token, counter.prog, { path, offset, returns });
    await counter.seen(link, callLibc);
  }
  using prog = simpleProg(token, "kprobe");
  assertThrows(() => attachUprobe(token, prog, { path: "/nowhere", offset: 0 }), SyscallError, "ENOENT");
});

kernelTest("attachUprobeMulti() runs a program at many places with one link", {
  needs: [hasNo((token) => {
    using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_uprobe_multi" });
    return attachUprobeMulti(token, prog, { path: "/nowhere", offsets: [1n] }).descriptor;
  })],
}, async () => {
  const token = rootToken();
  const functions = ["getpgid", "getppid", "getuid"];
  const places = await Promise.all(functions.map(libcFunction));
  using counter = new Counter(token, "kprobe", 0, { expectedAttachType: "trace_uprobe_multi" });
  const link = attachUprobeMulti(token, counter.prog, {
    path: places[0].path,
    offsets: places.map(({ offset }) => offset),
  });
  const info = link.info as never as { type: string; count: number };
  assertEquals([info.type, info.count], ["uprobe_multi", 3]);
  await counter.seen(link, callLibc);
});

kernelTest(
  "attachKprobe() and attachKprobeMulti() run a program at functions of the kernel, or say what is lacking",
  {},
  async () => {
    const token = rootToken();
    using counter = new Counter(token, "kprobe", 0);
    const name = "do_sys_openat2";
    const lacking = lackingFor(() => attachKprobe(token, counter.prog, name).descriptor);
    if (lacking !== undefined) {
      assertEquals(lacking.feature, "kprobes");
      assert(lacking instanceof NotSupportedError);
    } else {
      for (const returns of [false, true]) {
        using one = new Counter(token, "kprobe", 0);
        await one.seen(attachKprobe(token, one.prog, name, { returns }), provoke);
      }
      assertThrows(() => attachKprobe(token, counter.prog, "no_such_function"), SyscallError);
    }
    let multi: Counter;
    try {
      multi = new Counter(token, "kprobe", 0, { expectedAttachType: "trace_kprobe_multi" });
    } catch (error) {
      assert(error instanceof NotSupportedError, String(error));
      return;
    }
    using _multi = multi;
    let link: Link;
    try {
      link = attachKprobeMulti(token, multi.prog, { symbols: [name, "vfs_read"] });
    } catch (error) {
      // Kernels that were built without fprobe.
      assert(
        error instanceof NotSupportedError || error instanceof SyscallError && error.code === "EOPNOTSUPP",
        String(error),
      );
      return;
    }
    await multi.seen(link, provoke);
  },
);

kernelTest("attachNetns() runs a program at socket lookups of a network namespace", {}, async () => {
  const token = rootToken();
  using counter = new Counter(token, "sk_lookup", 1, { expectedAttachType: "sk_lookup" });
  const connect = async (): Promise<void> => {
    const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const { port } = listener.addr as Deno.NetAddr;
    const [client, server] = await Promise.all([Deno.connect({ port, hostname: "127.0.0.1" }), listener.accept()]);
    for (const one of [client, server, listener]) one.close();
  };
  const link = attachNetns(token, counter.prog, { attachType: "sk_lookup" });
  const info = link.info as never as { type: string; netnsIno: number };
  assertEquals([info.type, `net:[${info.netnsIno}]`], ["netns", Deno.readLinkSync("/proc/self/ns/net")]);
  await counter.seen(link, connect);
  using byPid = attachNetns(token, counter.prog, { netns: Deno.pid, attachType: "sk_lookup" });
  assertEquals((byPid.info as never as { netnsIno: number }).netnsIno, info.netnsIno);
});

kernelTest("attachNetfilter() runs a program at a hook, at a priority of its own", {
  needs: [hasNo((token) => simpleProg(token, "netfilter", { value: 1, expectedAttachType: "netfilter" }))],
}, async () => {
  const token = rootToken();
  using counter = new Counter(token, "netfilter", 1, { expectedAttachType: "netfilter" });
  const where = { family: "ipv4", hook: "output", priority: -7 } as const;
  const link = attachNetfilter(token, counter.prog, where);
  assertEquals(link.info, {
    id: link.info.id,
    progId: link.info.progId,
    type: "netfilter",
    pf: 2,
    hooknum: 3,
    priority: -7,
    flags: 0,
  });
  assertThrows(() => attachNetfilter(token, counter.prog, where), SyscallError, "EBUSY");
  await counter.seen(link, () => sendUdp());
  assertThrows(() => attachNetfilter(token, counter.prog, { ...where, hook: "side" as "input" }), TypeError, '"side"');
});

kernelTest(
  "attachIter() runs a program over the elements of a map, and gives records",
  { needs: ["btf"] },
  async () => {
    const token = rootToken();
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 100 });
    for (let key = 0; key < 100; key++) map.set(key, BigInt(key * key));
    using prog = progLoad(token, {
      type: "tracing",
      license: "GPL",
      expectedAttachType: "trace_iter",
      attachBtfId: needVmlinuxId("func", "bpf_iter_bpf_map_elem"),
      insns: asm`
      r7 = *(u64 *)(r1 +16)
      r8 = *(u64 *)(r1 +24)
      if r7 == 0 goto out
      if r8 == 0 goto out
      r1 = *(u64 *)(r1 +0)
      r6 = *(u64 *)(r1 +0)
      r1 = *(u32 *)(r7 +0)
      *(u64 *)(r10 -16) = r1
      r1 = *(u64 *)(r8 +0)
      *(u64 *)(r10 -8) = r1
      r1 = r6
      r2 = r10
      r2 += -16
      r3 = 16
      call seq_write
    out:
      r0 = 0
      exit
    `,
    });
    using link = attachIter(token, prog, { map });
    assertEquals((link.info as never as { targetName: string }).targetName, "bpf_map_elem");
    const record = struct({ key: u64, value: u64 });
    const seen = new Map<bigint, bigint>();
    for await (const { key, value } of link.records(record)) seen.set(key, value);
    assertEquals([seen.size, seen.get(9n)], [100, 81n]);
    map.delete(9);
    let count = 0;
    for await (const _ of link.records(record)) count++;
    assertEquals(count, 99);
  },
);

kernelTest("IterLink.lines() gives a program's text line by line", {
  needs: ["btf", () => vmlinuxId("func", "bpf_iter_bpf_prog") === undefined ? "no iterator over programs" : undefined],
}, async () => {
  const token = rootToken();
  using prog = progLoad(token, {
    type: "tracing",
    license: "GPL",
    expectedAttachType: "trace_iter",
    attachBtfId: needVmlinuxId("func", "bpf_iter_bpf_prog"),
    insns: asm`
      r7 = *(u64 *)(r1 +8)
      if r7 == 0 goto out
      r1 = *(u64 *)(r1 +0)
      r1 = *(u64 *)(r1 +0)
      *(u32 *)(r10 -8) = 0x0a796268
      r2 = r10
      r2 += -8
      r3 = 4
      call seq_write
    out:
      r0 = 0
      exit
    `,
  });
  using link = attachIter(token, prog);
  const lines: string[] = [];
  for await (const line of link.lines()) lines.push(line);
  assertGreater(lines.length, 0);
  assertEquals(new Set(lines), new Set(["hby"]));
});

kernelTest("attachStructOps() puts a congestion control in force for as long as the link is open", {
  needs: [hasNo((token) => {
    using map = tcpCongestionControl(token, "deno_probe");
    return attachStructOps(token, map).descriptor;
  })],
}, () => {
  const token = rootToken();
  using map = tcpCongestionControl(token, "deno_linked");
  const link = attachStructOps(token, map);
  assertEquals([link.info.type, congestionControls().includes("deno_linked")], ["struct_ops", true]);
  link.close();
  assertEquals(congestionControls().includes("deno_linked"), false);
});

kernelTest("attachSockmap() attaches a program to the sockets of a map, one of a kind", {
  needs: [hasNo((token) => {
    using map = minimalMap(token, "sockmap");
    using prog = simpleProg(token, "sk_msg", { value: 1, expectedAttachType: "sk_msg_verdict" });
    return attachSockmap(token, prog, { map, attachType: "sk_msg_verdict" }).descriptor;
  })],
}, () => {
  const token = rootToken();
  using map = minimalMap(token, "sockmap");
  using prog = simpleProg(token, "sk_msg", { value: 1, expectedAttachType: "sk_msg_verdict" });
  using link = attachSockmap(token, prog, { map, attachType: "sk_msg_verdict" });
  const info = link.info as never as { type: string; mapId: number };
  assertEquals([info.type, info.mapId], ["sockmap", objGetInfoByFd(token, map, { kind: "map" }).id]);
  assertThrows(() => attachSockmap(token, prog, { map, attachType: "sk_msg_verdict" }), SyscallError, "EBUSY");
});

kernelTest(
  "Link is updated, detached, pinned, opened again, and found among all",
  { needs: ["bpffs", "cgroup"] },
  () => {
    const token = rootToken();
    using cgroup = makeCgroup("updated");
    const make = (value: number) =>
      simpleProg(token, "cgroup_skb", { value, expectedAttachType: "cgroup_inet_egress" });
    using first = make(1);
    using second = make(1);
    const idOf = (prog: Fd): number => objGetInfoByFd(token, prog, { kind: "prog" }).id;
    const link = attachCgroup(token, first, { cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
    assertEquals(link.info.progId, idOf(first));
    link.update(second);
    assertEquals(link.info.progId, idOf(second));
    assertThrows(() => link.update(first, { expected: first }), SyscallError, "EPERM");
    link.update(first, { expected: second });
    const path = `${place("BPFFS")}/the_link`;
    link.pin(path);
    try {
      using byPath = Link.open(token, { path });
      using byId = Link.open(token, { id: link.info.id });
      using byFd = Link.open(token, { fd: link.descriptor.dup() });
      for (const same of [byPath, byId, byFd]) assertEquals(same.info.id, link.info.id);
      const ids = [...Link.all(token)].map(({ closed }) => closed);
      assertEquals(ids.every(Boolean), true);
      let found = 0;
      for (const one of Link.all(token)) found += one.info.id === link.info.id ? 1 : 0;
      assertEquals(found, 1);
      link.detach();
      assertEquals((link.info as never as { cgroupId: bigint }).cgroupId, 0n);
    } finally {
      Deno.removeSync(path);
      link.close();
    }
    assertThrows(() => link.info, TypeError, "closed");
    assertThrows(() => Link.open(token, { id: 0x7fffffff }), SyscallError, "ENOENT");
    using map = minimalMap(token, "array");
    assertThrows(() => Link.open(token, { fd: map.dup() }), TypeError, "is of no link, but of anon_inode:bpf-map");
  },
);

kernelTest("links are closed when their token is revoked", {}, async () => {
  const token = rootToken();
  using counter = new Counter(rootToken(), "raw_tracepoint", 0);
  const link = attachRawTracepoint(token, counter.prog, "sys_enter");
  const before = counter.runs;
  provoke();
  assert(await eventually(() => counter.runs > before));
  token.revoke();
  assertEquals(link.closed, true);
  assertThrows(() => link.info, TypeError, "its permission token was revoked");
});
