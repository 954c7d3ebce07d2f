import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import type { LinkInfo } from "../../cmds/info.ts";
import { linkCreate, linkDetach, linkUpdate } from "../../cmds/link.ts";
import { mapCreate } from "../../cmds/map.ts";
import { mapLookupElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progQuery } from "../../cmds/prog_attach.ts";
import { NotSupportedError, PermissionError, SyscallError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { attachTypes, type LinkType } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { bpftoolJson, run } from "../_tools.ts";
import { needVmlinuxId, vmlinuxId } from "./_btf_bytes.ts";
import { minimalMap } from "./_map_types.ts";
import {
  assertRefused,
  attachedIds,
  clockEvent,
  constant,
  eventually,
  fdinfo,
  interpose,
  libcFunction,
  makeCgroup,
  type RootToken,
  rootToken,
  simpleProg,
  toU64s,
  tracepointEvent,
  trying,
  u32s,
  uprobeEvent,
  veth,
} from "./_objects.ts";
import { minimalProg } from "./_prog_types.ts";
import { congestionControls, tcpCongestionControl } from "./_struct_ops.ts";

/** A descriptor that is none. */
const NO_FD = 9999;

const triesCgroupOrder = trying((token) => {
  using cgroup = makeCgroup("tried");
  using prog = simpleProg(token, "cgroup_device", { value: 1 });
  const flags = constant("BPF_F_BEFORE") | constant("BPF_F_LINK");
  const options = { target: { fd: cgroup.fd }, attachType: "cgroup_device", flags } as const;
  return linkCreate(token, { prog, ...options, cgroup: { anchor: { fd: NO_FD } } });
});

const triesPerfEvent = trying((token) => {
  using event = clockEvent();
  using prog = simpleProg(token, "perf_event");
  return linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" });
});

const triesUprobes = trying((token) => {
  using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_uprobe_multi" });
  return linkCreate(token, {
    prog,
    attachType: "trace_uprobe_multi",
    uprobeMulti: { path: "/proc/self/exe", offsets: [0n] },
  });
});

const triesSockmap = trying((token) => {
  using sockmap = minimalMap(token, "sockmap");
  using prog = simpleProg(token, "sk_skb", { value: 1, expectedAttachType: "sk_skb_verdict" });
  return linkCreate(token, { prog, target: { fd: sockmap }, attachType: "sk_skb_verdict" });
});

const triesStructOps = trying((token) => {
  using map = minimalMap(token, "struct_ops");
  return linkCreate(token, { prog: map, attachType: "struct_ops" });
});

function progId(token: RootToken, prog: Fd): number {
  return objGetInfoByFd(token, prog, { kind: "prog" }).id;
}

/** Of linux/if_link.h: XDP without the help of a driver. */
const XDP_FLAGS_SKB_MODE = 2;

/** What the kernel tells about a link of a type. */
function infoOf<T extends LinkType>(token: RootToken, link: Fd, type: T): Extract<LinkInfo, { readonly type: T }> {
  const info = objGetInfoByFd(token, link, { kind: "link" });
  assertEquals(info.type, type);
  return info as Extract<LinkInfo, { readonly type: T }>;
}

/** Holds what all links have against bpftool and /proc; gives the lines of /proc. */
async function assertLink(token: RootToken, link: Fd, prog: Fd | undefined): Promise<Map<string, string>> {
  const info = objGetInfoByFd(token, link, { kind: "link" });
  const lines = fdinfo(link.fd);
  assertEquals(lines.get("link_id"), `${info.id}`);
  assertEquals(lines.get("link_type"), info.type === "perf_event" ? "perf" : info.type);
  if (prog !== undefined) {
    assertEquals(info.progId, progId(token, prog));
    assertEquals(lines.get("prog_id"), `${info.progId}`);
  }
  const shown = await bpftoolJson(["link", "show", "id", `${info.id}`]) as { id: number; prog_id: number };
  assertEquals([shown.id, shown.prog_id], [info.id, info.progId]);
  return lines;
}

kernelTest("linkCreate() links to a cgroup", { needs: ["cgroup"], tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  const attachType = "cgroup_inet4_connect";
  using prog = simpleProg(token, "cgroup_sock_addr", { value: 0, expectedAttachType: attachType });
  using accepting = simpleProg(token, "cgroup_sock_addr", { value: 1, expectedAttachType: attachType });
  const target = { fd: cgroup.fd };
  const connect = async (): Promise<string> => {
    const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/9`;
    return (await run("bash", ["-c", script])).stderr;
  };
  {
    using link = linkCreate(token, { prog, target, attachType });
    const lines = await assertLink(token, link, prog);
    const info = infoOf(token, link, "cgroup");
    assertEquals([info.cgroupId, info.attachType], [cgroup.id, attachType]);
    assertEquals([lines.get("cgroup_id"), lines.get("attach_type")], [`${cgroup.id}`, `${attachTypes[attachType]}`]);
    const shown = await bpftoolJson(["link", "show", "id", `${info.id}`]) as Record<string, unknown>;
    assertEquals([shown.type, shown.cgroup_id, shown.attach_type], ["cgroup", Number(cgroup.id), attachType]);
    assert(/not permitted/i.test(await connect()));
    linkUpdate(token, link, { prog: accepting, expected: prog });
    assert(/refused/i.test(await connect()));
    const error = assertRefused(
      () => linkUpdate(token, link, { prog, expected: prog }),
      "EPERM",
      /not the expected one/,
    );
    assertEquals(error.command, "link_update");
    assertEquals(objGetInfoByFd(token, link, { kind: "link" }).progId, progId(token, accepting));
    linkUpdate(token, link, { prog });
    linkDetach(token, link);
    assert(/refused/i.test(await connect()));
    assertEquals(infoOf(token, link, "cgroup").cgroupId, 0n);
    assertRefused(() => linkUpdate(token, link, { prog: accepting }), "ENOLINK", /gone/);
  }
  assertEquals(progQuery(token, { target, attachType }).progIds, []);
});

kernelTest("linkCreate() puts a cgroup's links in order around an anchor", {
  needs: ["cgroup", triesCgroupOrder],
}, () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  const attachType = "cgroup_device";
  const target = { fd: cgroup.fd };
  using one = simpleProg(token, "cgroup_device", { value: 1 });
  using two = simpleProg(token, "cgroup_device", { value: 1 });
  using three = simpleProg(token, "cgroup_device", { value: 1 });
  using first = linkCreate(token, { prog: one, target, attachType });
  const anchorFlags = constant("BPF_F_BEFORE") | constant("BPF_F_LINK");
  using _second = linkCreate(token, {
    prog: two,
    target,
    attachType,
    flags: anchorFlags,
    cgroup: { anchor: { fd: first } },
  });
  const { revision } = progQuery(token, { target, attachType });
  const stale = { prog: three, target, attachType, cgroup: { expectedRevision: revision + 7n } } as const;
  assertRefused(() => linkCreate(token, stale), "ESTALE", /revision/);
  const { id } = objGetInfoByFd(token, first, { kind: "link" });
  using _third = linkCreate(token, {
    prog: three,
    target,
    attachType,
    flags: anchorFlags,
    cgroup: { anchor: { id }, expectedRevision: revision },
  });
  assertEquals(
    progQuery(token, { target, attachType }).progIds,
    [two, three, one].map((prog) => progId(token, prog)),
  );
});

kernelTest("linkCreate() links to a network namespace", { needs: ["netns"], tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using netns = openPath("/proc/self/ns/net");
  const ino = Number(Deno.statSync("/proc/self/ns/net").ino);
  for (const [type, attachType] of [["flow_dissector", "flow_dissector"], ["sk_lookup", "sk_lookup"]] as const) {
    using prog = minimalProg(token, type);
    using other = minimalProg(token, type);
    using link = linkCreate(token, { prog, target: { fd: netns }, attachType });
    const lines = await assertLink(token, link, prog);
    const info = infoOf(token, link, "netns");
    assertEquals([info.netnsIno, info.attachType], [ino, attachType]);
    assertEquals([lines.get("netns_ino"), lines.get("attach_type")], [`${ino}`, `${attachTypes[attachType]}`]);
    const shown = await bpftoolJson(["link", "show", "id", `${info.id}`]) as Record<string, unknown>;
    assertEquals([shown.type, shown.netns_ino, shown.attach_type], ["netns", ino, attachType]);
    linkUpdate(token, link, { prog: other, expected: prog });
    assertEquals(progQuery(token, { target: { fd: netns }, attachType }).progIds, [progId(token, other)]);
    linkDetach(token, link);
    assertEquals(progQuery(token, { target: { fd: netns }, attachType }).progIds, []);
  }
});

kernelTest("linkCreate() links to an interface by XDP", { needs: ["netns"], tools: ["bpftool"] }, async () => {
  const token = rootToken();
  await using pair = await veth();
  const target = { ifindex: pair.ifindexes[0] };
  using prog = simpleProg(token, "xdp", { value: 2 });
  using other = simpleProg(token, "xdp", { value: 2 });
  using link = linkCreate(token, { prog, target, attachType: "xdp", flags: XDP_FLAGS_SKB_MODE });
  const lines = await assertLink(token, link, prog);
  assertEquals([infoOf(token, link, "xdp").ifindex, lines.get("ifindex")], [target.ifindex, `${target.ifindex}`]);
  const attached = async (): Promise<number | undefined> => {
    const { stdout } = await run("ip", ["-j", "link", "show", "dev", pair.names[0]]);
    return JSON.parse(stdout)[0].xdp?.prog?.id;
  };
  assertEquals(await attached(), progId(token, prog));
  const flags = XDP_FLAGS_SKB_MODE;
  assertRefused(() => linkCreate(token, { prog: other, target, attachType: "xdp", flags }), "EBUSY", /attached there/);
  // In another mode.
  assertRefused(() => linkCreate(token, { prog: other, target, attachType: "xdp" }), "EEXIST", /attached there/);
  linkUpdate(token, link, { prog: other, expected: prog });
  assertEquals(await attached(), progId(token, other));
  linkDetach(token, link);
  assertEquals([await attached(), infoOf(token, link, "xdp").ifindex], [undefined, 0]);
});

kernelTest("linkCreate() links to an interface by tcx, in order around anchors and by revision", {
  needs: [
    "netns",
    trying((token) => progQuery(token, { target: { ifindex: 999_999 }, attachType: "tcx_ingress" })),
  ],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const ifindex = pair.ifindexes[1];
  const target = { ifindex };
  for (const attachType of ["tcx_ingress", "tcx_egress"] as const) {
    const make = () => simpleProg(token, "sched_cls", { value: -1 });
    using one = make();
    using two = make();
    using three = make();
    using first = linkCreate(token, { prog: one, target, attachType });
    const lines = await assertLink(token, first, one);
    const info = infoOf(token, first, "tcx");
    assertEquals([info.ifindex, info.attachType], [ifindex, attachType]);
    assert(lines.get("ifindex")?.startsWith(`${ifindex}`));
    assert(lines.get("attach_type")?.startsWith(`${attachTypes[attachType]}`));
    const before = constant("BPF_F_BEFORE") | constant("BPF_F_LINK");
    using second = linkCreate(token, {
      prog: two,
      target,
      attachType,
      flags: before,
      tcx: { anchor: { id: info.id }, expectedRevision: 2n },
    });
    assertEquals(attachedIds(token, attachType, ifindex), [two, one].map((prog) => progId(token, prog)));
    const place = { expectedRevision: 2n, anchor: { fd: second } };
    const late = { prog: three, target, attachType, flags: before, tcx: place } as const;
    assertRefused(() => linkCreate(token, late), "ESTALE", /revision/);
    const after = constant("BPF_F_AFTER");
    using third = linkCreate(token, { prog: three, target, attachType, flags: after, tcx: { anchor: { fd: two } } });
    assertEquals(attachedIds(token, attachType, ifindex), [two, three, one].map((prog) => progId(token, prog)));
    const query = progQuery(token, { target, attachType });
    assertEquals(
      query.linkIds,
      [second, third, first].map((link) => objGetInfoByFd(token, link, { kind: "link" }).id),
    );
    using replacement = make();
    linkUpdate(token, third, { prog: replacement, expected: three });
    assertEquals(attachedIds(token, attachType, ifindex)[1], progId(token, replacement));
    linkDetach(token, second);
    assertEquals(attachedIds(token, attachType, ifindex).length, 2);
    assertRefused(() => linkUpdate(token, second, { prog: one }), "ENOLINK", /gone/);
  }
  assertRefused(
    () => linkCreate(token, { prog: 9999, target, attachType: "tcx_ingress" }),
    "EBADF",
  );
});

kernelTest(
  "linkCreate() links to netfilter",
  { needs: ["netns", trying((token) => minimalProg(token, "netfilter"))], tools: ["bpftool"] },
  async () => {
    const token = rootToken();
    using dropping = minimalProg(token, "netfilter", {
      insns: asm`
      r0 = 0
      exit
    `,
    });
    // IPv4 on its way out of this host.
    const netfilter = { pf: 2, hooknum: 3, priority: -42 };
    const ping = async (): Promise<string> => (await run("bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/9"])).stderr;
    assert(/refused/i.test(await ping()));
    {
      using link = linkCreate(token, { prog: dropping, attachType: "netfilter", netfilter });
      const lines = await assertLink(token, link, dropping);
      const { pf, hooknum, priority, flags } = infoOf(token, link, "netfilter");
      assertEquals({ pf, hooknum, priority, flags }, { ...netfilter, flags: 0 });
      // Three of them stand on one line.
      assertEquals(lines.get("pf")?.split(/\s+/), ["2", "hooknum:", "3", "prio:", "-42"]);
      const sent = await run("bash", ["-c", "echo x > /dev/udp/127.0.0.1/9"]);
      assert(/not permitted/i.test(sent.stderr), sent.stderr);
      assertRefused(() => linkUpdate(token, link, { prog: dropping }), "EOPNOTSUPP", /cannot be updated/);
      linkDetach(token, link);
    }
    assertEquals((await run("bash", ["-c", "echo x > /dev/udp/127.0.0.1/9"])).stderr, "");
    const bad = { ...netfilter, pf: 200 };
    assertRefused(() => linkCreate(token, { prog: dropping, attachType: "netfilter", netfilter: bad }), "EAFNOSUPPORT");
  },
);

/** An array of one element: a counter and a cookie. */
function counterMap(token: RootToken): Fd {
  return mapCreate(token, { type: "array", keySize: 4, valueSize: 16, maxEntries: 1 });
}

/** Instructions that count, and keep the cookie of the link. */
function counting(map: Fd): Uint8Array<ArrayBuffer> {
  return asm`
    call get_attach_cookie
    r1 = map_value ${map} + 0 ll
    *(u64 *)(r1 +8) = r0
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    r0 = 0
    exit
  `;
}

function read(token: RootToken, map: Fd): bigint[] {
  return toU64s(mapLookupElem(token, map, { key: u32s(0) }) ?? new Uint8Array());
}

/** getpgid(2) of libc, called from this process. */
function callGetpgid(): void {
  const libc = Deno.dlopen("libc.so.6", { getpgid: { parameters: ["i32"], result: "i32" } });
  assertGreater(libc.symbols.getpgid(Deno.pid), 0);
  libc.close();
}

const COOKIE = 0xc00c_1e55_0000_0001n;

kernelTest("linkCreate() links to a perf event of a tracepoint, a uprobe and a clock, with a cookie", {
  needs: ["tracefs", triesPerfEvent],
  tools: ["bpftool", "readelf"],
}, async () => {
  const token = rootToken();
  const { path, offset } = await libcFunction("getpgid");
  const cases = [
    { type: "tracepoint", event: tracepointEvent("sched/sched_switch"), trigger: () => {} },
    { type: "kprobe", event: uprobeEvent(path, offset), trigger: callGetpgid },
    { type: "perf_event", event: clockEvent(), trigger: () => {} },
  ] as const;
  for (const { type, event, trigger } of cases) {
    using _event = event;
    using map = counterMap(token);
    using prog = progLoad(token, { type, license: "GPL", insns: counting(map) });
    using link = linkCreate(token, {
      prog,
      target: { fd: event },
      attachType: "perf_event",
      perfEvent: { cookie: COOKIE },
    });
    const lines = await assertLink(token, link, prog);
    assert(
      await eventually(() => {
        trigger();
        return read(token, map)[0] > 0n;
      }, 5000),
      type,
    );
    assertEquals(read(token, map)[1], COOKIE, type);
    assertRefused(() => linkDetach(token, link), "EOPNOTSUPP", /cannot be detached/);
    if (kernelSince("6.6")() !== undefined) continue;
    const { event: about } = infoOf(token, link, "perf_event");
    const cookie = "cookie" in about ? about.cookie : undefined;
    const hasCookie = kernelSince("6.9")() === undefined;
    if (hasCookie) assertEquals(cookie, COOKIE, type);
    if (about.type === "tracepoint") assertEquals(about.tpName, "sched_switch");
    else if (about.type === "uprobe") assertEquals([about.fileName, BigInt(about.offset)], [path, offset]);
    else if (about.type === "event") {
      // The kernel gives the clock a type of its own, which only /proc tells.
      if (lines.has("type")) assertEquals([`${about.eventType}`, `${about.config}`], [lines.get("type"), "0"]);
    } else assert(false, `a ${type} program hangs on an event of type ${about.type}`);
  }
});

kernelTest("linkCreate() links to many uprobes, each with a cookie", {
  needs: [triesUprobes],
  tools: ["bpftool", "readelf"],
}, async () => {
  const token = rootToken();
  const { path, offset } = await libcFunction("getpgid");
  const { offset: second } = await libcFunction("getsid");
  using map = counterMap(token);
  using prog = progLoad(token, {
    type: "kprobe",
    license: "GPL",
    expectedAttachType: "trace_uprobe_multi",
    insns: counting(map),
  });
  const offsets = [offset, second];
  const cookies = [COOKIE, 5n];
  using link = linkCreate(token, {
    prog,
    attachType: "trace_uprobe_multi",
    uprobeMulti: { path, offsets, cookies, pid: Deno.pid },
  });
  await assertLink(token, link, prog);
  callGetpgid();
  assertEquals(read(token, map), [1n, COOKIE]);
  const libc = Deno.dlopen("libc.so.6", { getsid: { parameters: ["i32"], result: "i32" } });
  libc.symbols.getsid(0);
  libc.close();
  assertEquals(read(token, map), [2n, 5n]);
  // It is about this process only.
  await run("sh", ["-c", "ps >/dev/null"]);
  assertEquals(read(token, map)[0], 2n);
  if (kernelSince("6.8")() === undefined) {
    const info = infoOf(token, link, "uprobe_multi");
    assertEquals([info.path, info.offsets, info.count, info.pid], [path, offsets, 2, Deno.pid]);
    assertEquals([info.cookies, info.refCtrOffsets, info.flags], [cookies, [0n, 0n], 0]);
  }
  const options = { prog, attachType: "trace_uprobe_multi" } as const;
  const nowhere = { path: "/no/such/file", offsets };
  assertRefused(() => linkCreate(token, { ...options, uprobeMulti: nowhere }), ["ENOENT", "EBADF"]);
  assertThrows(
    () => linkCreate(token, { ...options, uprobeMulti: { path, offsets, cookies: [1n] } }).close(),
    RangeError,
    "uprobeMulti.cookies",
  );
});

kernelTest("linkCreate() puts a struct_ops map in force", {
  needs: ["btf", "netns", triesStructOps],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using map = tcpCongestionControl(token, "bpf_test_cc");
  assert(!congestionControls().includes("bpf_test_cc"));
  {
    using link = linkCreate(token, { prog: map, attachType: "struct_ops" });
    assert(congestionControls().includes("bpf_test_cc"));
    const lines = await assertLink(token, link, undefined);
    const info = infoOf(token, link, "struct_ops");
    const mapId = objGetInfoByFd(token, map, { kind: "map" }).id;
    assertEquals([info.mapId, info.progId, lines.get("map_id")], [mapId, 0, `${mapId}`]);
    using other = tcpCongestionControl(token, "bpf_test_cc");
    linkUpdate(token, link, { prog: other, expected: map });
    assertEquals(infoOf(token, link, "struct_ops").mapId, objGetInfoByFd(token, other, { kind: "map" }).id);
    assertRefused(() => linkUpdate(token, link, { prog: map, expected: map }), "EPERM");
  }
  assert(!congestionControls().includes("bpf_test_cc"));
  using plain = minimalMap(token, "array");
  assertRefused(() => linkCreate(token, { prog: plain, attachType: "struct_ops" }), "EINVAL");
});

kernelTest("linkCreate() links to a sockmap", { needs: [triesSockmap], tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using sockmap = minimalMap(token, "sockmap");
  const attachType = "sk_skb_verdict";
  using prog = simpleProg(token, "sk_skb", { value: 1, expectedAttachType: attachType });
  using other = simpleProg(token, "sk_skb", { value: 1, expectedAttachType: attachType });
  using link = linkCreate(token, { prog, target: { fd: sockmap }, attachType });
  const lines = await assertLink(token, link, prog);
  const info = infoOf(token, link, "sockmap");
  const mapId = objGetInfoByFd(token, sockmap, { kind: "map" }).id;
  assertEquals([info.mapId, info.attachType], [mapId, attachType]);
  assertEquals([lines.get("map_id"), lines.get("attach_type")], [`${mapId}`, `${attachTypes[attachType]}`]);
  linkUpdate(token, link, { prog: other, expected: prog });
  assertEquals(progQuery(token, { target: { fd: sockmap }, attachType }).progIds, [progId(token, other)]);
  linkDetach(token, link);
  assertEquals(progQuery(token, { target: { fd: sockmap }, attachType }).progIds, []);
});

kernelTest("linkCreate() links to a raw tracepoint by BTF, with a cookie", {
  needs: ["btf", kernelSince("6.10")],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using map = counterMap(token);
  using prog = progLoad(token, {
    type: "tracing",
    license: "GPL",
    expectedAttachType: "trace_raw_tp",
    attachBtfId: needVmlinuxId("typedef", "btf_trace_sys_enter"),
    insns: counting(map),
  });
  using link = linkCreate(token, { prog, attachType: "trace_raw_tp", tracing: { cookie: COOKIE } });
  await assertLink(token, link, prog);
  assert(await eventually(() => read(token, map)[0] > 0n));
  assertEquals(read(token, map)[1], COOKIE);
  assertRefused(() => linkDetach(token, link), "EOPNOTSUPP");
});

kernelTest("linkCreate() links an iterator to a map and to a task", {
  needs: [
    "btf",
    () =>
      vmlinuxId("func", "bpf_iter_cgroup") === undefined ? "no iterator over cgroups, which came with 6.1" : undefined,
  ],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  const iterator = (name: string) =>
    minimalProg(token, "tracing", {
      expectedAttachType: "trace_iter",
      attachBtfId: needVmlinuxId("func", `bpf_iter_${name}`),
    });
  using elements = iterator("bpf_map_elem");
  using map = minimalMap(token, "hash");
  const attachType = "trace_iter";
  {
    using link = linkCreate(token, { prog: elements, attachType, iter: { map } });
    const lines = await assertLink(token, link, elements);
    const mapId = objGetInfoByFd(token, map, { kind: "map" }).id;
    const info = infoOf(token, link, "iter");
    assertEquals([info.targetName, info.map], ["bpf_map_elem", { mapId }]);
    assertEquals([lines.get("target_name"), lines.get("map_id")], ["bpf_map_elem", `${mapId}`]);
    const shown = await bpftoolJson(["link", "show", "id", `${info.id}`]) as Record<string, unknown>;
    assertEquals([shown.type, shown.target_name, shown.map_id], ["iter", "bpf_map_elem", mapId]);
  }
  using tasks = iterator("task");
  {
    using link = linkCreate(token, { prog: tasks, attachType, iter: { task: { pid: Deno.pid } } });
    await assertLink(token, link, tasks);
    const info = infoOf(token, link, "iter");
    assertEquals([info.targetName, info.task], ["task", { tid: 0, pid: Deno.pid }]);
    using another = minimalProg(token, "tracing", {
      expectedAttachType: "trace_iter",
      attachBtfId: needVmlinuxId("func", "bpf_iter_task"),
    });
    linkUpdate(token, link, { prog: another, expected: tasks });
    assertEquals(objGetInfoByFd(token, link, { kind: "link" }).progId, progId(token, another));
  }
  using cgroups = iterator("cgroup");
  using cgroup = makeCgroup();
  {
    const iter = { cgroup: { order: constant("BPF_CGROUP_ITER_SELF_ONLY"), fd: cgroup.fd } };
    using link = linkCreate(token, { prog: cgroups, attachType, iter });
    assertEquals(infoOf(token, link, "iter").cgroup, { cgroupId: cgroup.id, order: 1 });
  }
  assertRefused(() => linkCreate(token, { prog: elements, attachType }), "EBADF");
  assertRefused(() => linkCreate(token, { prog: elements, attachType, iter: { map: 9999 } }), "EBADF");
  assertRefused(() => linkCreate(token, { prog: tasks, attachType, iter: { task: { pidFd: 9999 } } }), "EBADF");
  assertRefused(() => linkCreate(token, { prog: tasks, attachType, iter: { task: { pid: 1, tid: 1 } } }), "EINVAL");
});

kernelTest("linkCreate() takes programs where functions are traced, or the kernel says that they cannot be", {
  needs: ["btf"],
}, () => {
  const token = rootToken();
  const error = assertThrows(() => {
    using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_kprobe_multi" });
    linkCreate(token, {
      prog,
      attachType: "trace_kprobe_multi",
      kprobeMulti: { symbols: ["vfs_read", "no_such_function_at_all"], cookies: [1n, 2n] },
    }).close();
  });
  assert(error instanceof SyscallError || error instanceof NotSupportedError, String(error));
  if (error instanceof NotSupportedError) {
    assertEquals([error.feature, error.since], ["attach type trace_kprobe_multi", "5.18"]);
  }
});

kernelTest("link functions fail with the kernel's error number", { needs: ["cgroup", "netns"] }, () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using prog = simpleProg(token, "cgroup_device", { value: 1 });
  using xdp = simpleProg(token, "xdp");
  const target = { fd: cgroup.fd };
  const attachType = "cgroup_device";
  assertRefused(() => linkCreate(token, { prog: xdp, target, attachType }), "EINVAL", /go with/);
  assertRefused(() => linkCreate(token, { prog, target: { fd: 9999 }, attachType }), "EBADF");
  assertRefused(() => linkCreate(token, { prog, target, attachType, flags: 1 << 30 }), "EINVAL");
  const nowhere = { ifindex: 999_999 };
  assertRefused(() => linkCreate(token, { prog: xdp, target: nowhere, attachType: "xdp" }), "EINVAL", /interface/);
  assertRefused(() => linkUpdate(token, 9999, { prog }), "EBADF");
  assertRefused(() => linkUpdate(token, prog, { prog }), "EINVAL");
  assertRefused(() => linkDetach(token, 9999), "EBADF");
  assertRefused(() => linkDetach(token, prog), "EINVAL");
  using link = linkCreate(token, { prog, target, attachType });
  assertRefused(() => linkUpdate(token, link, { prog: xdp }), "EINVAL", /does not suit/);
  assertRefused(() => linkUpdate(token, link, { prog, flags: 1 << 30 }), "EINVAL");
  using interposed = interpose();
  assertThrows(
    () => linkCreate(token, { prog, target, attachType, tcx: {}, perfEvent: { cookie: 1n } }).close(),
    TypeError,
    "at most one",
  );
  assertThrows(() => linkCreate(token.only({ attachTypes: ["xdp"] }), { prog, target, attachType }), PermissionError);
  assertThrows(
    () => linkCreate(token, { prog, attachType: "trace_kprobe_multi", kprobeMulti: {} }).close(),
    TypeError,
    "either symbols or addresses",
  );
  assertThrows(() => linkUpdate(token, link, { prog: -1 }), TypeError, "prog");
  assertEquals(interposed.calls, []);
});
