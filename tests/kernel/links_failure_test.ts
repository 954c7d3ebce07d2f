import { assertEquals, assertGreater } from "@std/assert";
import {
  attachCgroup,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachSocket,
  attachTc,
  attachUprobe,
  attachXdp,
  attachXdpByNetlink,
  queryTc,
  queryXdp,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { failEach, FailingKernel, isHarmless, type Spared } from "./_failing.ts";
import { clockEvent, libcFunction, makeCgroup, type RootToken, rootToken, simpleProg, veth } from "./_objects.ts";
import { listeningSocket } from "./_sockets.ts";

kernelTest(
  "attaching leaves nothing behind, whichever of its steps fails",
  { needs: ["cgroup"], tools: ["ip", "tc"] },
  async () => {
    const token: RootToken = rootToken();
    await using pair = await veth();
    const [name] = pair.names;
    using cgroup = makeCgroup("failing");
    using xdp = simpleProg(token, "xdp", { value: 2 });
    using cls = simpleProg(token, "sched_cls");
    using raw = simpleProg(token, "raw_tracepoint");
    using probe = simpleProg(token, "kprobe");
    using clock = simpleProg(token, "perf_event");
    using filter = simpleProg(token, "socket_filter");
    using egress = simpleProg(token, "cgroup_skb", { value: 1, expectedAttachType: "cgroup_inet_egress" });
    using lookup = simpleProg(token, "sk_lookup", { value: 1, expectedAttachType: "sk_lookup" });
    using socket = listeningSocket();
    const { path, offset } = await libcFunction("getuid");
    const noXdp = (): boolean => queryXdp(name).attached === undefined;
    const steps = {
      xdp: failEach(() => attachXdp(token, xdp, { interface: name, mode: "generic" }), noXdp),
      netlink: failEach(() => attachXdpByNetlink(token, xdp, { interface: name, mode: "generic" }), noXdp),
      cgroup: failEach(() => attachCgroup(token, egress, { cgroup: cgroup.path, attachType: "cgroup_inet_egress" })),
      netns: failEach(() => attachNetns(token, lookup, { attachType: "sk_lookup" })),
      raw: failEach(() => attachRawTracepoint(token, raw, "sys_enter")),
      // Before 5.15 a program stays with its event: each try has one of its own.
      event: failEach(() => {
        using event = clockEvent();
        return attachPerfEvent(token, clock, event);
      }),
      uprobe: failEach(() => attachUprobe(token, probe, { path, offset })),
      socket: failEach(() => attachSocket(token, filter, { socket })),
    };
    for (const [what, count] of Object.entries(steps)) assertGreater(count, 0, what);
    // The qdisc goes where the filter that it was made for could not be; the one of a filter that could stays.
    const hasQdisc = async (): Promise<boolean> =>
      (await run("tc", ["qdisc", "show", "dev", name])).stdout.includes("clsact");
    // Where the kernel's answer is lost, nobody knows whether the qdisc was there before: it stays.
    const isSpared: Spared = (name, args) => isHarmless(name, args) || name === "read";
    let nth = 0;
    for (; nth < 100; nth++) {
      let failed: string | undefined;
      let attached: Disposable | undefined;
      {
        using failing = new FailingKernel(nth, isSpared);
        try {
          attached = attachTc(token, cls, { interface: name, direction: "ingress" });
        } catch {
          // As it should.
        }
        failed = failing.failed;
      }
      attached?.[Symbol.dispose]();
      assertEquals(queryTc(name, "ingress"), [], `after step ${nth}, ${failed}, failed`);
      if (failed === undefined) break;
      if (attached === undefined) assertEquals(await hasQdisc(), false, `after step ${nth}, ${failed}, failed`);
      else await run("tc", ["qdisc", "del", "dev", name, "clsact"]);
    }
    assertGreater(nth, 5);
  },
);
