import { assert, assertEquals, assertThrows } from "@std/assert";
import { NotSupportedError, SyscallError } from "../../errors.ts";
import { hasAttachType, hasProgType } from "../../features/mod.ts";
import { Link } from "../../links/mod.ts";
import type { AttachPlace, BpfObject } from "../../object/mod.ts";
import { kernelSince, kernelTest, type Probe, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { hasNetkit, netkit } from "./_netkit.ts";
import { eventually, makeCgroup, rootToken, trying, veth } from "./_objects.ts";
import { testObject } from "./_object_files.ts";
import { reusePortSocket, sendUdp } from "./_sockets.ts";

/** The counters of `hooks.bpf.c`, in the order of its enum. */
const HOOKS: readonly string[] = [
  ...["on_primary", "on_peer", "on_classifier", "on_out", "on_packet", "on_choice", "on_migrate", "on_create"],
];

/** The object, loaded with some programs only. */
function hooks(...names: string[]): BpfObject {
  const object = testObject("hooks");
  for (const program of Object.values(object.spec.programs)) program.autoload = names.includes(program.name);
  try {
    return object.load(rootToken());
  } catch (error) {
    object.close();
    throw error;
  }
}

const LACKING = "Cannot use program type lirc_mode2: the kernel was built without it (program on_light of the object)";

/** How often a program ran. */
const runs = (object: BpfObject, name: string): bigint => (object.bss.get("hits") as bigint[])[HOOKS.indexOf(name)];

/** Whether the kernel loads a program of the object. */
const loads = (name: string): Probe => trying(() => hooks(name).close());

const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20 * SLOWNESS));

/** Asserts that a program runs while the object is attached, and not once that is disposed of. */
async function assertRuns(
  object: BpfObject,
  name: string,
  place: AttachPlace,
  provoke: () => unknown,
): Promise<void> {
  await provoke();
  await wait();
  assertEquals(runs(object, name), 0n, `${name} ran before it was attached`);
  {
    using links = object.attach(rootToken(), { places: { [name]: place } });
    assertEquals(links.get(name)?.closed, false);
    await provoke();
    assert(await eventually(() => runs(object, name) > 0n, 2000 * SLOWNESS), `${name} did not run`);
  }
  // What was on its way may still arrive.
  await wait();
  const before = runs(object, name);
  await provoke();
  await wait();
  assertEquals(runs(object, name), before, `${name} ran after it was detached`);
}

kernelTest("BpfObject.attach() attaches netkit programs to the side that the section says", {
  needs: ["btf", "netns", hasNetkit],
  tools: ["ip"],
}, async () => {
  using _pair = netkit("bpfnk4", "bpfnk5");
  for (const [index, name] of ["bpfnk4", "bpfnk5"].entries()) {
    assertEquals((await run("ip", ["link", "set", name, "up"])).code, 0);
    assertEquals((await run("ip", ["addr", "add", `10.76.${index}.1/24`, "dev", name])).code, 0);
  }
  using object = hooks("on_primary", "on_peer");
  {
    using none = object.attach(rootToken());
    assertEquals([Object.keys(none.links), none.left.toSorted()], [[], ["on_peer", "on_primary"]]);
  }
  for (const [index, name] of ["on_primary", "on_peer"].entries()) {
    await assertRuns(object, name, { interface: "bpfnk4" }, () => sendUdp([10, 76, index, 7]));
  }
});

kernelTest("BpfObject.attach() attaches traffic classifiers in the direction that is asked for", {
  needs: ["btf", "netns"],
  tools: ["ip"],
}, async () => {
  await using pair = await veth();
  assertEquals((await run("ip", ["addr", "add", "10.9.8.1/24", "dev", pair.names[0]])).code, 0);
  const send = (): void => sendUdp([10, 9, 8, 2]);
  using object = hooks("on_classifier", "on_out");
  const [sends, receives] = pair.names;
  // Whoever has no neighbour asks for it, and what asks goes out too.
  await assertRuns(object, "on_classifier", { interface: receives, direction: "ingress", priority: 5 }, send);
  await assertRuns(object, "on_out", { interface: sends }, send);
});

kernelTest("BpfObject.attach() leaves traffic actions to their rules, and says so where it is told a place", {
  needs: ["btf", loads("on_action")],
}, () => {
  using object = hooks("on_action");
  {
    using links = object.attach(rootToken());
    assertEquals([Object.keys(links.links), links.left], [[], ["on_action"]]);
  }
  assertThrows(
    () => object.attach(rootToken(), { places: { on_action: { interface: "lo" } } }),
    TypeError,
    'Cannot attach program on_action: programs of section "action" are not attached by themselves',
  );
});

kernelTest(
  "BpfObject.attach() attaches to a netfilter hook",
  { needs: ["btf", "netns", loads("on_packet")] },
  async () => {
    using object = hooks("on_packet");
    const token = rootToken();
    for (const place of [{}, { family: "ipv4" }, { hook: "output" }] as const) {
      using links = object.attach(token, { places: { on_packet: place } });
      assertEquals(links.left, ["on_packet"]);
    }
    {
      using links = object.attach(token, { places: { on_packet: { family: "ipv4", hook: "output", priority: 11 } } });
      const link = links.get("on_packet");
      assert(link instanceof Link);
      const { type, pf, hooknum, priority } = link.info as unknown as Record<string, unknown>;
      assertEquals([type, pf, hooknum, priority], ["netfilter", 2, 3, 11]);
    }
    await assertRuns(object, "on_packet", { family: "ipv4", hook: "output" }, () => sendUdp());
  },
);

for (const [name, since] of [["on_choice", "5.3"], ["on_migrate", "5.14"]] as const) {
  kernelTest(`BpfObject.attach() lets ${name} choose among sockets that share a port`, {
    needs: ["btf", "netns", kernelSince(since), loads(name)],
  }, async () => {
    using object = hooks(name);
    const port = 9756;
    using first = reusePortSocket(port);
    using second = reusePortSocket(port);
    object.maps.sharing.set(0, first);
    object.maps.sharing.set(1, second);
    await assertRuns(object, name, { socket: first }, () => sendUdp(undefined, port));
  });
}

kernelTest("BpfObject.attach() attaches an LSM program to a cgroup", {
  needs: ["btf", "cgroup", () => hasAttachType(rootToken(), "lsm_cgroup") === true ? undefined : "no lsm_cgroup"],
}, async () => {
  using cgroup = makeCgroup("hooks");
  using object = hooks("on_create");
  const script = `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`;
  const inside = async (): Promise<void> => assertEquals((await run("bash", ["-c", script])).code, 0);
  const outside = (): void => sendUdp();
  await assertRuns(object, "on_create", { cgroup: cgroup.path }, inside);
  const before = runs(object, "on_create");
  using _links = object.attach(rootToken(), { places: { on_create: { cgroup: cgroup.path } } });
  outside();
  assertEquals(runs(object, "on_create"), before);
});

kernelTest("BpfObject says that the kernel has no infrared, or that a device is none", { needs: ["btf"] }, () => {
  const token = rootToken();
  if (hasProgType(token, "lirc_mode2") !== true) {
    using object = testObject("hooks");
    object.spec.programs.on_light.autoload = true;
    assertThrows(() => object.load(token), NotSupportedError, LACKING);
    assertEquals(object.loaded, false);
    object.load(token, { unsupported: "skip" });
    assertEquals(object.skipped, ["on_light"]);
    return;
  }
  using object = hooks("on_light");
  const at = (lirc: string) => () => object.attach(token, { places: { on_light: { lirc } } });
  assertThrows(at("/dev/lirc99"), SyscallError, "ENOENT");
  assertThrows(at("/dev/null"), SyscallError, "(program on_light of the object)");
  using links = object.attach(token);
  assertEquals(links.left, ["on_light"]);
});
