import { assert, assertEquals, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { linkCreate } from "../../cmds/link.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progAttach, progDetach, progQuery } from "../../cmds/prog_attach.ts";
import type { NotSupportedError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { bpftoolJson, run } from "../_tools.ts";
import { minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertLacking,
  assertRefused,
  attachedIds,
  constant,
  interpose,
  lackingFor,
  makeCgroup,
  type RootToken,
  rootToken,
  simpleProg,
  socketFilter,
  toU64s,
  trying,
  u32s,
  veth,
} from "./_objects.ts";

function idOf(token: RootToken, prog: Fd): number {
  return objGetInfoByFd(token, prog, { kind: "prog" }).id;
}

/** Says where the kernel does not tell each program's flags, without which bpftool gives up. */
function lacksAttachFlags(token: RootToken): NotSupportedError | undefined {
  using cgroup = makeCgroup("flags");
  const options = { target: { fd: cgroup.fd }, attachType: "cgroup_device", progAttachFlags: true } as const;
  const error = lackingFor(() => progQuery(token, options));
  if (error !== undefined) {
    assertEquals([error.feature, error.since], ["field prog_attach_flags of BPF_PROG_QUERY", "6.0"]);
  }
  return error;
}

/** The ids that bpftool lists for a cgroup, or the library where the kernel is too old for bpftool. */
async function listed(token: RootToken, path: string, target: { fd: number }): Promise<readonly number[]> {
  if (lacksAttachFlags(token) !== undefined) return progQuery(token, { target, attachType: "cgroup_device" }).progIds;
  const found = await bpftoolJson(["cgroup", "show", path]);
  assert(Array.isArray(found));
  return found.map(({ id }) => id);
}

kernelTest("progAttach() attaches to a cgroup, as bpftool and progQuery() show it", {
  needs: ["cgroup"],
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using inner = makeCgroup("inner", cgroup.path);
  using first = simpleProg(token, "cgroup_device", { value: 1 });
  using second = simpleProg(token, "cgroup_device", { value: 1, name: "second" });
  const attachType = "cgroup_device";
  const target = { fd: cgroup.fd };
  const flags = constant("BPF_F_ALLOW_MULTI");
  progAttach(token, first, { target, attachType, flags });
  progAttach(token, second, { target, attachType, flags });
  const ids = [idOf(token, first), idOf(token, second)];
  const query = progQuery(token, { target, attachType });
  assertEquals([query.progIds, query.attachFlags, query.linkIds], [ids, flags, []]);
  assertEquals(await listed(token, cgroup.path, target), ids);
  // The cgroup below has none of its own, and runs both.
  const below = { target: { fd: inner.fd }, attachType } as const;
  assertEquals(progQuery(token, below).progIds, []);
  const effective = progQuery(token, { ...below, flags: constant("BPF_F_QUERY_EFFECTIVE") });
  assertEquals(effective.progIds, ids);
  if (lacksAttachFlags(token) === undefined) {
    const withFlags = progQuery(token, { target, attachType, progAttachFlags: true });
    assertEquals(withFlags.progAttachFlags, [flags, flags]);
  }
  // It stays attached without a descriptor.
  first.close();
  assertEquals(progQuery(token, { target, attachType }).progIds, ids);
  using third = simpleProg(token, "cgroup_device", { value: 1 });
  progAttach(token, third, { target, attachType, flags: flags | constant("BPF_F_REPLACE"), replace: second });
  assertEquals(await listed(token, cgroup.path, target), [ids[0], idOf(token, third)]);
  progDetach(token, { target, attachType, prog: third });
  assertEquals(await listed(token, cgroup.path, target), [ids[0]]);
  assertRefused(() => progDetach(token, { target, attachType, prog: third }), "ENOENT", /no such program/);
});

kernelTest("progAttach() decides about real system calls", { needs: ["cgroup"] }, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  const options = { target: { fd: cgroup.fd }, attachType: "cgroup_inet4_connect" } as const;
  // A port that nothing listens on: refused by the peer, or by the program before.
  const connect = async (): Promise<string> => {
    const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/9`;
    return (await run("bash", ["-c", script])).stderr;
  };
  const refusing = simpleProg(token, "cgroup_sock_addr", { value: 0, expectedAttachType: options.attachType });
  using _refusing = refusing;
  assert(/refused/i.test(await connect()));
  progAttach(token, refusing, options);
  assert(/not permitted/i.test(await connect()));
  progDetach(token, { ...options, prog: refusing });
  assert(/refused/i.test(await connect()));
});

kernelTest("progAttach() puts programs in order around an anchor, by descriptor and by id, at an interface", {
  needs: [
    "netns",
    trying((token) => progQuery(token, { target: { ifindex: 999_999 }, attachType: "tcx_ingress" })),
  ],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const ifindex = pair.ifindexes[0];
  const attachType = "tcx_ingress";
  const target = { ifindex };
  using one = simpleProg(token, "sched_cls", { expectedAttachType: attachType });
  using two = simpleProg(token, "sched_cls", { expectedAttachType: attachType });
  using three = simpleProg(token, "sched_cls", { expectedAttachType: attachType });
  using four = simpleProg(token, "sched_cls", { expectedAttachType: attachType });
  const [id1, id2, id3, id4] = [one, two, three, four].map((prog) => idOf(token, prog));
  const [before, after] = [constant("BPF_F_BEFORE"), constant("BPF_F_AFTER")];
  progAttach(token, one, { target, attachType });
  progAttach(token, two, { target, attachType, flags: before, anchor: { fd: one } });
  progAttach(token, three, { target, attachType, flags: after, anchor: { id: id2 } });
  assertEquals(attachedIds(token, attachType, ifindex), [id2, id3, id1]);
  const { revision } = progQuery(token, { target, attachType });
  assertRefused(
    () => progAttach(token, four, { target, attachType, expectedRevision: revision - 1n }),
    "ESTALE",
    /revision/,
  );
  progAttach(token, four, { target, attachType, expectedRevision: revision });
  assertEquals(progQuery(token, { target, attachType }).revision, revision + 1n);
  assertEquals(attachedIds(token, attachType, ifindex), [id2, id3, id1, id4]);
  assertRefused(() => progAttach(token, four, { target, attachType }), "EEXIST");
  using five = simpleProg(token, "sched_cls", { expectedAttachType: attachType });
  assertRefused(() => progAttach(token, five, { target, attachType, flags: before, anchor: { fd: 9999 } }), "EBADF");
  assertRefused(() => progAttach(token, five, { target, attachType, flags: before, anchor: { fd: five } }), "ENOENT");
  assertRefused(
    () => progDetach(token, { target, attachType, prog: one, expectedRevision: 1n }),
    "ESTALE",
  );
  // A link stands among them; its id is told beside that of its program.
  {
    using link = linkCreate(token, { prog: five, target, attachType, flags: before });
    const query = progQuery(token, { target, attachType });
    assertEquals(query.progIds, [idOf(token, five), id2, id3, id1, id4]);
    assertEquals(query.linkIds, [objGetInfoByFd(token, link, { kind: "link" }).id, 0, 0, 0, 0]);
  }
  progDetach(token, { target, attachType, prog: two });
  for (const prog of [one, three, four]) progDetach(token, { target, attachType, prog });
  assertEquals(attachedIds(token, attachType, ifindex), []);
  assertRefused(() => progDetach(token, { target, attachType, prog: one }), "ENOENT");
});

kernelTest("progAttach() and progDetach() attach to a sockmap, a network namespace and back", {
  needs: ["netns"],
}, () => {
  const token = rootToken();
  using sockmap = minimalMap(token, "sockmap");
  using verdict = simpleProg(token, "sk_skb", { value: 1, expectedAttachType: "sk_skb_stream_verdict" });
  const target = { fd: sockmap };
  const attachType = "sk_skb_stream_verdict";
  const lacking = lackingFor(() => progQuery(token, { target, attachType }));
  progAttach(token, verdict, { target, attachType });
  if (lacking === undefined) {
    assertEquals(progQuery(token, { target, attachType }).progIds, [idOf(token, verdict)]);
  } else {
    assertEquals([lacking.feature, lacking.since], [`BPF_PROG_QUERY for attach type ${attachType}`, "5.18"]);
  }
  progDetach(token, { target, attachType, prog: verdict });
  if (lacking === undefined) assertEquals(progQuery(token, { target, attachType }).progIds, []);
  assertRefused(() => progDetach(token, { target, attachType, prog: verdict }), "ENOENT");
  using dissector = simpleProg(token, "flow_dissector", { value: 0 });
  using netns = openPath("/proc/self/ns/net");
  const flow = { attachType: "flow_dissector", target: { fd: 0 } } as const;
  progAttach(token, dissector, flow);
  assertEquals(progQuery(token, { target: { fd: netns }, attachType: "flow_dissector" }).progIds, [
    idOf(token, dissector),
  ]);
  progDetach(token, { ...flow, prog: dissector });
  assertEquals(progQuery(token, { target: { fd: netns }, attachType: "flow_dissector" }).progIds, []);
});

kernelTest("progAttach(), progDetach() and progQuery() fail with the kernel's error number", {
  needs: ["cgroup", "netns"],
}, () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using device = simpleProg(token, "cgroup_device", { value: 1 });
  using filter = socketFilter(token);
  const target = { fd: cgroup.fd };
  assertRefused(() => progAttach(token, filter, { target, attachType: "cgroup_device" }), "EINVAL", /go with/);
  assertRefused(() => progAttach(token, device, { target: { fd: 9999 }, attachType: "cgroup_device" }), "EBADF");
  assertRefused(() => progAttach(token, 9999, { target, attachType: "cgroup_device" }), "EBADF");
  assertRefused(() => progAttach(token, device, { target, attachType: 4242 }), "EINVAL");
  assertRefused(
    () => progAttach(token, device, { target, attachType: "cgroup_device", flags: 0x4000_0000 }),
    "EINVAL",
  );
  assertRefused(() => progDetach(token, { target, attachType: "cgroup_device", prog: device }), "ENOENT");
  assertRefused(() => progQuery(token, { target: { fd: 9999 }, attachType: "cgroup_device" }), "EBADF");
  assertRefused(() => progQuery(token, { target, attachType: 4242 }), "EINVAL");
  const tcx = { target: { ifindex: 999_999 }, attachType: "tcx_ingress" } as const;
  if (kernelSince("6.6")() === undefined) assertRefused(() => progQuery(token, tcx), "ENODEV");
  else assertLacking(() => progQuery(token, tcx), "attach type tcx_ingress", "6.6");
  using interposed = interpose();
  const type = "nonsense" as "cgroup_device";
  assertThrows(() => progAttach(token, device, { target, attachType: type }), TypeError, "nonsense");
  assertThrows(() => progAttach(token, device, { target: { fd: -1 }, attachType: "cgroup_device" }), TypeError);
  assertThrows(() => progQuery(token, { target: { ifindex: -1 }, attachType: "tcx_ingress" }), RangeError);
  assertEquals(interposed.calls, []);
});

kernelTest("progQuery() makes room for more programs than it first asks about", {
  needs: ["cgroup"],
}, () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  const options = { target: { fd: cgroup.fd }, attachType: "cgroup_device" } as const;
  const progs = Array.from({ length: 40 }, () => simpleProg(token, "cgroup_device", { value: 1 }));
  try {
    for (const prog of progs) progAttach(token, prog, { ...options, flags: constant("BPF_F_ALLOW_MULTI") });
    const wantsFlags = lacksAttachFlags(token) === undefined;
    const { progIds, progAttachFlags } = progQuery(token, { ...options, progAttachFlags: wantsFlags });
    assertEquals(progIds, progs.map((prog) => idOf(token, prog)));
    assertEquals(progAttachFlags.length, wantsFlags ? 40 : 0);
  } finally {
    for (const prog of progs) prog.close();
  }
});

kernelTest("an attached sock_ops program runs, and counts into its map", { needs: ["cgroup"] }, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using map = arrayMap(token, 1);
  mapUpdateElem(token, map, { key: u32s(0), value: new Uint8Array(8) });
  using prog = progLoad(token, {
    type: "cgroup_sock",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${map} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 +0) += r1
    out:
      r0 = 1
      exit
    `,
  });
  const options = { target: { fd: cgroup.fd }, attachType: "cgroup_inet_sock_create" } as const;
  progAttach(token, prog, options);
  await run("bash", ["-c", `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`]);
  assertEquals(toU64s(mapLookupElem(token, map, { key: u32s(0) }) ?? new Uint8Array())[0] >= 1n, true);
  progDetach(token, { ...options, prog });
});
