import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  asm,
  attachTc,
  attachXdp,
  attachXdpByNetlink,
  BpfMap,
  type Fd,
  NotSupportedError,
  progLoad,
  queryTc,
} from "../../mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { hardwareAddress, ipv4Frame, sendFrame } from "./_frames.ts";
import { type RootToken, rootToken, simpleProg, veth } from "./_objects.ts";

/** A program that passes packets on to the first element of a map. */
function redirecting(token: RootToken, map: { readonly fd: number }): Fd {
  return progLoad(token, {
    type: "xdp",
    license: "GPL",
    insns: asm`
      r1 = map_fd ${map} ll
      r2 = 0
      r3 = 0
      call redirect_map
      exit
    `,
  });
}

kernelTest("a devmap's program runs on packets that XDP redirects to an interface", {
  // XDP without the driver's help knows such programs since then.
  needs: ["netns", kernelSince("5.15")],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [name, peer] = pair.names;
  const frame = ipv4Frame(await hardwareAddress(peer), "10.66.0.1", "10.66.0.2");
  for (const type of ["devmap", "devmap_hash"] as const) {
    using counter = new Counter(token, "xdp", 1, { expectedAttachType: "xdp_devmap" });
    using map = BpfMap.create(token, { type, maxEntries: 1 });
    map.set(0, { ifindex: pair.ifindexes[0], prog: counter.prog });
    using prog = redirecting(token, map);
    await counter.seen(
      attachXdp(token, prog, { interface: peer, mode: "generic" }),
      () => sendFrame(pair.ifindexes[0], frame),
    );
    assertThrows(() => attachXdp(token, counter.prog, { interface: name, mode: "generic" }), Error, "EINVAL");
  }
});

kernelTest("a cpumap's program runs on packets that XDP redirects to a CPU", {
  needs: ["netns", kernelSince("5.15")],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [, peer] = pair.names;
  const frame = ipv4Frame(await hardwareAddress(peer), "10.66.0.1", "10.66.0.2");
  using counter = new Counter(token, "xdp", 1, { expectedAttachType: "xdp_cpumap" });
  using map = BpfMap.create(token, { type: "cpumap", maxEntries: 1 });
  map.set(0, { queueSize: 64, prog: counter.prog });
  using prog = redirecting(token, map);
  const link = attachXdp(token, prog, { interface: peer, mode: "native" });
  await counter.seen(link, () => sendFrame(pair.ifindexes[0], frame));
});

kernelTest(
  "what the hardware is to run is refused where it cannot",
  { needs: ["netns"], tools: ["ip", "tc"] },
  async () => {
    const token = rootToken();
    await using pair = await veth();
    const [name] = pair.names;
    using xdp = simpleProg(token, "xdp", { value: 2 });
    using cls = simpleProg(token, "sched_cls");
    assertThrows(
      () => attachXdp(token, xdp, { interface: name, mode: "offload" }),
      NotSupportedError,
      "Cannot use XDP in hardware",
    );
    assertThrows(
      () => attachXdpByNetlink(token, xdp, { interface: name, mode: "offload" }),
      NotSupportedError,
      "Cannot use XDP in hardware",
    );
    const where = { interface: name, direction: "ingress" } as const;
    assertThrows(
      () => attachTc(token, cls, { ...where, runsIn: "hardware" }),
      NotSupportedError,
      "Cannot use traffic filters in hardware",
    );
    assertEquals([
      queryTc(name, "ingress"),
      (await run("tc", ["qdisc", "show", "dev", name])).stdout.includes("clsact"),
    ], [
      [],
      false,
    ]);
    using filter = attachTc(token, cls, { ...where, runsIn: "software" });
    assert((await run("tc", ["filter", "show", "dev", name, "ingress"])).stdout.includes("skip_hw"));
    filter.close();
    assertThrows(() => attachTc(token, cls, { ...where, runsIn: "both" as "software" }), TypeError, '"both"');
  },
);
