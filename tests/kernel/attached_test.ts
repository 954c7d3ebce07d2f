import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  attachCgroup,
  type Attached,
  attached,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachTc,
  attachTcx,
  attachUnlinked,
  attachUprobe,
  attachXdp,
  type Fd,
  objGetInfoByFd,
  objPin,
  SyscallError,
} from "../../mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { libcFunction, makeCgroup, type RootToken, rootToken, simpleProg, uprobeEvent, veth } from "./_objects.ts";

/** What bpftool prints, where nothing at all is its empty list. */
async function bpftool<T>(...args: string[]): Promise<T[]> {
  const { stdout, code, stderr } = await run("bpftool", ["-j", ...args]);
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout.trim() || "[]") as T[];
}

const idOf = (token: RootToken, prog: Fd): number => objGetInfoByFd(token, prog, { kind: "prog" }).id;

/** The kind of what is attached somewhere. */
function at<W extends Attached["where"]>(list: readonly Attached[], where: W): Extract<Attached, { where: W }>[] {
  return list.filter((one): one is Extract<Attached, { where: W }> => one.where === where);
}

const hasTcx = kernelSince("6.6")() === undefined;

/** bpftool 7 asks older kernels about cgroups in a way that they do not know. */
const showsCgroups = kernelSince("6.1")() === undefined;

kernelTest(
  "attached() tells what is at an interface, as bpftool net does",
  { tools: ["ip", "tc", "bpftool"] },
  async () => {
    const token = rootToken();
    await using pair = await veth();
    const [name, peer] = pair.names;
    const where = { interface: name };
    assertEquals(attached(token, where), []);
    using xdp = simpleProg(token, "xdp", { value: 2 });
    using cls = simpleProg(token, "sched_cls", { value: -1 });
    using other = simpleProg(token, "sched_cls", { value: -1 });
    using xdpLink = attachXdp(token, xdp, { interface: name, mode: "generic" });
    using _filter = attachTc(token, cls, {
      interface: name,
      direction: "egress",
      priority: 7,
      handle: 3,
      name: "mine",
    });
    const base = { where: "interface", ifindex: pair.ifindexes[0], interface: name } as const;
    const [xdpId, clsId] = [idOf(token, xdp), idOf(token, cls)];
    const expected: Attached[] = [
      { ...base, hook: "xdp", mode: "generic", progId: xdpId, linkId: xdpLink.info.id },
      { ...base, hook: "clsact_egress", priority: 7, handle: 3, name: "mine", progId: clsId, linkId: undefined },
    ];
    assertEquals(attached(token, where), expected);
    if (hasTcx) {
      using first = attachTcx(token, cls, { interface: name, direction: "ingress" });
      using _second = attachUnlinked(token, other, { interface: pair.ifindexes[0], attachType: "tcx_ingress" });
      expected.splice(
        1,
        0,
        { ...base, hook: "tcx_ingress", progId: clsId, linkId: first.info.id },
        { ...base, hook: "tcx_ingress", progId: idOf(token, other), linkId: undefined },
      );
      assertEquals(attached(token, { interface: pair.ifindexes[0] }), expected);
    }
    // A filter at a qdisc of another kind, which somebody else made.
    let parent: string | undefined;
    for (const kind of ["prio", "htb", "drr", "fq_codel"]) {
      if ((await run("tc", ["qdisc", "add", "dev", name, "root", "handle", "11:", kind])).code !== 0) continue;
      parent = "11:";
      break;
    }
    const bpffs = Deno.env.get("BPF_TEST_BPFFS");
    if (bpffs !== undefined && parent !== undefined) {
      const pin = `${bpffs}/attached_cls`;
      objPin(token, other, { path: pin });
      const filter = ["filter", "add", "dev", name, "parent", parent, "prio", "9", "bpf", "object-pinned", pin];
      const { code, stderr } = await run("tc", filter);
      Deno.removeSync(pin);
      assertEquals(code, 0, stderr);
      const [below] = at(attached(token, where), "interface").filter(({ hook }) => hook === "qdisc");
      assertEquals([below.parent, below.priority, below.progId], [0x00110000, 9, idOf(token, other)]);
    }
    const [net] = await bpftool<{ xdp: { devname: string }[]; tc: { devname: string; kind: string; id?: number }[] }>(
      "net",
      "show",
      "dev",
      name,
    );
    const ours = at(attached(token, where), "interface");
    assertEquals(
      net.xdp.map(({ devname }) => devname),
      ours.filter(({ hook }) => hook === "xdp").map((one) => one.interface),
    );
    const shownIds = net.tc.map(({ kind, id }) => id ?? kind);
    assert(shownIds.length >= ours.filter(({ hook }) => hook.startsWith("clsact")).length, JSON.stringify(net));
    assertEquals(attached(token, { interface: peer }), []);
    assertThrows(() => attached(token, { interface: "nowhere0" }), TypeError, "nowhere0");
  },
);

type Shown = { id: number; attach_type: string };

/** Holds what is told of two cgroups, one below the other, against what bpftool shows. */
async function compareCgroups(path: string, below: string): Promise<void> {
  const token = rootToken();
  const ids = (list: readonly Attached[]): number[] => at(list, "cgroup").map(({ progId }) => progId);
  const shown = await bpftool<Shown>("cgroup", "show", path);
  assertEquals(ids(attached(token, { cgroup: path })), shown.map(({ id }) => id));
  const tree = await bpftool<{ cgroup: string; programs: Shown[] }>("cgroup", "tree", path);
  assertEquals(
    at(attached(token, { cgroup: path, tree: true }), "cgroup").map(({ cgroup, progId }) => [cgroup, progId]),
    tree.flatMap(({ cgroup, programs }) => programs.map(({ id }) => [cgroup, id])),
  );
  const all = await bpftool<Shown>("cgroup", "show", below, "effective");
  assertEquals(ids(attached(token, { cgroup: below, effective: true })), all.map(({ id }) => id));
}

kernelTest("attached() tells what is at a cgroup, at those below, and what has an effect, as bpftool cgroup does", {
  needs: ["cgroup"],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup("attached");
  using below = makeCgroup("below", cgroup.path);
  using egress = simpleProg(token, "cgroup_skb", { value: 1, expectedAttachType: "cgroup_inet_egress" });
  using create = simpleProg(token, "cgroup_sock", { value: 1, expectedAttachType: "cgroup_inet_sock_create" });
  using link = attachCgroup(token, egress, { cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
  using _above = attachUnlinked(token, create, {
    cgroup: cgroup.path,
    attachType: "cgroup_inet_sock_create",
    allow: "multi",
  });
  using _unlinked = attachUnlinked(token, create, {
    cgroup: below.path,
    attachType: "cgroup_inet_sock_create",
    allow: "override",
  });
  const base = { where: "cgroup", cgroup: cgroup.path, cgroupId: cgroup.id, effective: false } as const;
  const own: Attached[] = [
    { ...base, attachType: "cgroup_inet_egress", allow: "multi", progId: idOf(token, egress), linkId: link.info.id },
    { ...base, attachType: "cgroup_inet_sock_create", allow: "multi", progId: idOf(token, create), linkId: undefined },
  ];
  const deeper: Attached = {
    ...base,
    cgroup: below.path,
    cgroupId: below.id,
    attachType: "cgroup_inet_sock_create",
    allow: "override",
    progId: idOf(token, create),
    linkId: undefined,
  };
  assertEquals(attached(token, { cgroup: cgroup.path }), own);
  assertEquals(attached(token, { cgroup: cgroup.path, tree: true }), [...own, deeper]);
  const effective = attached(token, { cgroup: below.path, effective: true });
  if (showsCgroups) await compareCgroups(cgroup.path, below.path);
  assert(effective.some(({ progId, linkId }) => progId === idOf(token, egress) && linkId === link.info.id));
  // Two links may hold one program at one place.
  using twin = attachCgroup(token, egress, { cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
  assertEquals(
    attached(token, { cgroup: cgroup.path }).slice(0, 2).map(({ linkId }) => linkId),
    [link.info.id, twin.info.id],
  );
  assertThrows(() => attached(token, { cgroup: "/nowhere" }), SyscallError, "ENOENT");
  assertThrows(() => attached(token, { cgroup: "/proc" }), SyscallError, "EBADF");
});

kernelTest("attached() tells what is at a network namespace, at processes and by links, as bpftool does", {
  needs: ["netns"],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using lookup = simpleProg(token, "sk_lookup", { value: 1, expectedAttachType: "sk_lookup" });
  using raw = simpleProg(token, "raw_tracepoint");
  using netnsLink = attachNetns(token, lookup, { attachType: "sk_lookup" });
  using rawLink = attachRawTracepoint(token, raw, "sys_enter");
  const { path, offset } = await libcFunction("getuid");
  using probe = simpleProg(token, "kprobe");
  using _uprobe = attachUprobe(token, probe, { path, offset });
  // An event that is open shows what it holds, as those of perf(1) and older libraries are.
  using event = uprobeEvent(path, offset);
  using held = attachPerfEvent(token, probe, event, { by: "event" });
  const netns = BigInt(Deno.statSync("/proc/self/ns/net").ino ?? 0);
  const expected = {
    where: "netns",
    netns,
    attachType: "sk_lookup",
    progId: idOf(token, lookup),
    linkId: netnsLink.info.id,
  } as const;
  assertEquals(attached(token, { netns: Deno.pid }), [expected]);
  assertEquals(at(attached(token, { netns: "own" }), "netns"), [expected]);
  const processes = at(attached(token, { processes: true }), "process");
  const ours = processes.filter(({ pid, fd }) => pid === Deno.pid && (fd === event.fd || fd === held.fd));
  assertEquals(ours.map(({ fdType, name, probeOffset, progId }) => [fdType, name, probeOffset, progId]), [
    ["uprobe", path, offset, idOf(token, probe)],
    ["uprobe", path, offset, idOf(token, probe)],
  ]);
  type Perf = { pid: number; fd: number; prog_id: number };
  const shown = (await bpftool<Perf>("perf", "show")).filter(({ pid }) => pid === Deno.pid);
  const told = processes.filter(({ pid }) => pid === Deno.pid).map(({ pid, fd, progId }) => ({
    pid,
    fd,
    prog_id: progId,
  }));
  const key = ({ pid, fd, prog_id }: Perf): string => [pid, fd, prog_id].join();
  assertEquals(told.map(key).sort(), shown.map(key).sort());
  // Other processes' links come and go meanwhile: those that bpftool sees before and after are there.
  const shownLinks = async (): Promise<Set<number>> =>
    new Set((await bpftool<{ id: number }>("link", "show")).map(({ id }) => id));
  const before = await shownLinks();
  const links = attached(token, { links: true });
  const system = attached(token, "system");
  const after = await shownLinks();
  const stable = [...before].filter((id) => after.has(id));
  assert(stable.length >= 2, "this test's own links are not among them");
  for (const list of [links, system]) {
    const told = new Set(list.map(({ linkId }) => linkId));
    assertEquals(stable.filter((id) => !told.has(id)), []);
  }
  // Each link is told of once, at its place where that is known.
  assertEquals(at(system, "netns").filter(({ linkId }) => linkId === netnsLink.info.id).length, 1);
  assertEquals(at(system, "link").some(({ linkId }) => linkId === netnsLink.info.id), false);
  assert(system.some(({ linkId }) => linkId === rawLink.info.id));
  assertThrows(() => attached(token, { netns: "/nowhere" }), SyscallError, "ENOENT");
  assertThrows(() => attached(token, {} as "system"), TypeError, "give an interface");
});
