import { assertEquals, assertThrows } from "@std/assert";
import { attached, attachNetkit, attachUnlinked, type Fd, objGetInfoByFd, progQuery, SyscallError } from "../../mod.ts";
import { interfaceIndex } from "../../ffi/interface.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { hasNetkit, netkit } from "./_netkit.ts";
import { type RootToken, rootToken, simpleProg, veth } from "./_objects.ts";
import { sendUdp } from "./_sockets.ts";

const idOf = (token: RootToken, prog: Fd): number => objGetInfoByFd(token, prog, { kind: "prog" }).id;

kernelTest("attachNetkit() runs programs at both sides of a pair, in the order that was asked for", {
  needs: ["netns", hasNetkit],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  using _pair = netkit("bpfnk0", "bpfnk1");
  for (const [index, name] of ["bpfnk0", "bpfnk1"].entries()) {
    await run("ip", ["link", "set", name, "up"]);
    await run("ip", ["addr", "add", `10.75.${index}.1/24`, "dev", name]);
  }
  const ifindex = interfaceIndex("bpfnk0");
  for (const [index, side] of (["primary", "peer"] as const).entries()) {
    const attachType = `netkit_${side}` as const;
    const query = () => progQuery(token, { target: { ifindex }, attachType }).progIds;
    using first = simpleProg(token, "sched_cls", { value: -1 });
    using counter = new Counter(token, "sched_cls", -1);
    using before = attachNetkit(token, first, { interface: "bpfnk0", side });
    const link = attachNetkit(token, counter.prog, { interface: ifindex, side, before });
    assertEquals(query(), [idOf(token, counter.prog), idOf(token, first)]);
    assertEquals((({ type, attachType }) => [type, attachType])(link.info as never as Record<string, unknown>), [
      "netkit",
      attachType,
    ]);
    using third = simpleProg(token, "sched_cls", { value: -1 });
    const unlinked = attachUnlinked(token, third, { interface: "bpfnk0", attachType, after: "last" });
    assertEquals(
      attached(token, { interface: "bpfnk0" }).map(({ progId, linkId }) => [progId, linkId]),
      [[idOf(token, counter.prog), link.info.id], [idOf(token, first), before.info.id], [
        idOf(token, third),
        undefined,
      ]],
    );
    unlinked.close();
    assertThrows(
      () => attachNetkit(token, first, { interface: "bpfnk0", side, revision: 99n }),
      SyscallError,
      "ESTALE",
    );
    await counter.seen(link, () => sendUdp([10, 75, index, 7]));
    assertEquals(query(), [idOf(token, first)]);
  }
});

kernelTest("attachNetkit() refuses sides and interfaces that are none", {
  needs: ["netns", hasNetkit],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  using prog = simpleProg(token, "sched_cls", { value: -1 });
  const at = (name: string, side = "primary") => () =>
    attachNetkit(token, prog, { interface: name, side: side as "peer" });
  assertThrows(at(pair.names[0]), SyscallError, "ENXIO");
  assertThrows(at("nowhere0"), TypeError, "nowhere0");
  assertThrows(at(pair.names[0], "middle"), TypeError, '"middle"');
});
