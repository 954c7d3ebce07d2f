import { assertEquals, assertThrows } from "@std/assert";
import {
  attachCgroup,
  type AttachType,
  attachUnlinked,
  type Fd,
  hasProgType,
  objGetInfoByFd,
  progQuery,
  SyscallError,
  type UnlinkedTarget,
} from "../../mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE } from "../../uapi/constants.gen.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { minimalMap } from "./_map_types.ts";
import { makeCgroup, type RootToken, rootToken, simpleProg, trying, veth } from "./_objects.ts";

const attachType = "cgroup_inet_sock_create";

function progs(token: RootToken, count: number): Fd[] {
  return Array.from(
    { length: count },
    () => simpleProg(token, "cgroup_sock", { value: 1, expectedAttachType: attachType }),
  );
}

const idOf = (token: RootToken, prog: Fd): number => objGetInfoByFd(token, prog, { kind: "prog" }).id;

/** What is attached to a cgroup, as bpftool shows it. */
async function shown(path: string): Promise<{ id: number; flags: string }[] | undefined> {
  // bpftool 7 asks older kernels in a way that they do not know.
  if (kernelSince("6.1")() !== undefined) return undefined;
  const { stdout } = await run("bpftool", ["-j", "cgroup", "show", path]);
  // Nothing at all is what it prints for an empty list.
  const list = JSON.parse(stdout.trim() || "[]") as { id: number; attach_flags: string }[];
  return list.map(({ id, attach_flags: flags }) => ({ id, flags }));
}

kernelTest("attachUnlinked() attaches to a cgroup alone, with override and with multi, and detaches only its own", {
  needs: ["cgroup"],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup("unlinked");
  const [first, second, third] = progs(token, 3);
  using _first = first;
  using _second = second;
  using _third = third;
  const [a, b, c] = [first, second, third].map((prog) => idOf(token, prog));
  const query = () => progQuery(token, { target: { fd: cgroup.fd }, attachType });
  for (const allow of [undefined, "override"] as const) {
    const one = attachUnlinked(token, first, { cgroup: cgroup.path, attachType, allow });
    assertEquals(query().attachFlags, allow === undefined ? 0 : BPF_F_ALLOW_OVERRIDE);
    assertEquals(await shown(cgroup.path) ?? [{ id: a, flags: allow ?? "" }], [{ id: a, flags: allow ?? "" }]);
    assertEquals(query().progIds, [a]);
    // Another takes its place: the first one's attachment leaves it alone.
    const two = attachUnlinked(token, second, { cgroup: { fd: cgroup.fd }, attachType, allow });
    assertEquals(query().progIds, [b]);
    one.close();
    one.close();
    assertEquals([one.closed, query().progIds], [true, [b]]);
    two.close();
    assertEquals(query().progIds, []);
  }
  const allow = "multi";
  const one = attachUnlinked(token, first, { cgroup: cgroup.path, attachType, allow });
  const two = attachUnlinked(token, second, { cgroup: cgroup.path, attachType, allow });
  assertEquals([query().progIds, query().attachFlags], [[a, b], BPF_F_ALLOW_MULTI]);
  const three = attachUnlinked(token, third, { cgroup: cgroup.path, attachType, allow, replace: first });
  assertEquals(query().progIds, [c, b]);
  one.close();
  assertEquals(query().progIds, [c, b]);
  assertThrows(
    () => attachUnlinked(token, first, { cgroup: cgroup.path, attachType, allow, replace: first }),
    SyscallError,
    "ENOENT",
  );
  two.close();
  three.close();
  assertEquals(await shown(cgroup.path) ?? [], []);
  assertEquals(query().progIds, []);
  if (kernelSince("6.15")() === undefined) {
    using below = makeCgroup("below", cgroup.path);
    using early = attachUnlinked(token, first, { cgroup: cgroup.path, attachType, allow, preorder: true });
    using late = attachUnlinked(token, second, { cgroup: below.path, attachType, allow });
    const effective = progQuery(token, { target: { fd: below.fd }, attachType, flags: 1 }).progIds;
    assertEquals(effective, [a, b]);
    late.close();
    early.close();
  }
  for (
    const [options, message] of [
      [{}, "give one of cgroup, netns, map, lirc, interface, not 0"],
      [{ cgroup: cgroup.path, netns: "own" }, "not 2"],
      [{ netns: "/proc/self/ns/net" as "own" }, 'is not "own"'],
      [{ cgroup: cgroup.path, allow: "all" as "multi" }, '"all" is none'],
      [{ cgroup: cgroup.path, replace: first }, 'only where allow is "multi"'],
    ] as [UnlinkedTarget, string][]
  ) {
    assertThrows(() => attachUnlinked(token, first, { ...options, attachType }), TypeError, message);
  }
});

kernelTest("attachUnlinked() runs a program for a cgroup's processes until it is closed, or its token revoked", {
  needs: ["cgroup"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup("unlinked-runs");
  const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`;
  using counter = new Counter(token, "cgroup_sock", 1, { expectedAttachType: attachType });
  await counter.seen(
    attachUnlinked(token, counter.prog, { cgroup: cgroup.path, attachType }),
    () => run("bash", ["-c", script]),
  );
  const other = rootToken();
  const attachment = attachUnlinked(other, counter.prog, { cgroup: cgroup.path, attachType, allow: "multi" });
  // A link besides it stays.
  using link = attachCgroup(token, counter.prog, { cgroup: cgroup.path, attachType });
  other.revoke();
  const { progIds } = progQuery(token, { target: { fd: cgroup.fd }, attachType });
  assertEquals([attachment.closed, progIds.length], [true, 1]);
  link.close();
  // A cgroup that is gone takes its programs with it.
  using gone = makeCgroup("unlinked-gone");
  const last = attachUnlinked(token, counter.prog, { cgroup: gone.path, attachType });
  gone[Symbol.dispose]();
  last.close();
  Deno.mkdirSync(gone.path);
});

kernelTest("attachUnlinked() attaches a flow dissector to this network namespace", { needs: ["netns"] }, () => {
  const token = rootToken();
  using prog = simpleProg(token, "flow_dissector");
  const where = { netns: "own", attachType: "flow_dissector" } as const;
  const attachment = attachUnlinked(token, prog, where);
  assertThrows(() => attachUnlinked(token, prog, where), SyscallError, "EINVAL");
  using other = simpleProg(token, "flow_dissector");
  const second = attachUnlinked(token, other, where);
  // It took the place of the first one.
  attachment.close();
  const again = attachUnlinked(token, prog, where);
  second.close();
  again.close();
  attachUnlinked(token, other, where).close();
});

kernelTest("attachUnlinked() attaches programs to the sockets of a map", {}, () => {
  const token = rootToken();
  for (
    const [type, attachType] of [
      ["sk_msg", "sk_msg_verdict"],
      ["sk_skb", "sk_skb_stream_verdict"],
      ["sk_skb", "sk_skb_stream_parser"],
    ] as const
  ) {
    for (const mapType of ["sockmap", "sockhash"] as const) {
      using map = minimalMap(token, mapType);
      using first = simpleProg(token, type, { value: 1, expectedAttachType: attachType });
      using second = simpleProg(token, type, { value: 1, expectedAttachType: attachType });
      const one = attachUnlinked(token, first, { map, attachType });
      const two = attachUnlinked(token, second, { map, attachType });
      one.close();
      two.close();
      attachUnlinked(token, first, { map, attachType }).close();
    }
  }
});

kernelTest("attachUnlinked() attaches to an interface's traffic in an order", {
  tools: ["ip"],
  needs: [trying((token) => {
    using prog = simpleProg(token, "sched_cls");
    attachUnlinked(token, prog, { interface: 0x7ffffff0, attachType: "tcx_ingress" });
    return prog;
  })],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  using first = simpleProg(token, "sched_cls", { value: -1 });
  using second = simpleProg(token, "sched_cls", { value: -1 });
  const where = { interface: pair.names[0], attachType: "tcx_egress" } as const;
  const query = () => progQuery(token, { target: { ifindex: pair.ifindexes[0] }, attachType: "tcx_egress" }).progIds;
  const one = attachUnlinked(token, first, where);
  const two = attachUnlinked(token, second, { ...where, before: { prog: first } });
  assertEquals(query(), [idOf(token, second), idOf(token, first)]);
  one.close();
  assertEquals(query(), [idOf(token, second)]);
  two.close();
  assertEquals(query(), []);
});

kernelTest("attachUnlinked() says that there is no infrared device, or that the kernel knows none", {}, () => {
  const token = rootToken();
  const attachType: AttachType = "lirc_mode2";
  if (!hasProgType(token, "lirc_mode2")) {
    assertThrows(() => simpleProg(token, "lirc_mode2"), Error, "lirc_mode2");
    return;
  }
  using prog = simpleProg(token, "lirc_mode2");
  assertThrows(() => attachUnlinked(token, prog, { lirc: "/dev/lirc99", attachType }), SyscallError, "ENOENT");
  assertThrows(() => attachUnlinked(token, prog, { lirc: "/dev/null", attachType }), SyscallError, "EINVAL");
});
