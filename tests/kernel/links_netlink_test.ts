import { assert, assertEquals, assertThrows } from "@std/assert";
import { attachTc, attachXdp, attachXdpByNetlink, objGetInfoByFd, queryTc, queryXdp, SyscallError } from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { bpftoolJson, run } from "../_tools.ts";
import { rootToken, simpleProg, veth } from "./_objects.ts";

kernelTest("attachXdpByNetlink() attaches, replaces what is expected, and detaches only what is its own", {
  tools: ["ip", "bpftool"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [name] = pair.names;
  using first = simpleProg(token, "xdp", { value: 2 });
  using second = simpleProg(token, "xdp", { value: 2 });
  const [firstId, secondId] = [first, second].map((prog) => objGetInfoByFd(token, prog, { kind: "prog" }).id);
  assertEquals(queryXdp(name), { attached: undefined, progIds: {} });
  const one = attachXdpByNetlink(token, first, { interface: name, mode: "generic" });
  assertEquals(queryXdp(name), { attached: "generic", progIds: { generic: firstId } });
  const [{ xdp }] = await bpftoolJson(["net", "show", "dev", name]) as { xdp: { ifindex: number; id?: number }[] }[];
  assertEquals(xdp.map(({ ifindex }) => ifindex), [pair.ifindexes[0]]);
  assertThrows(
    () => attachXdpByNetlink(token, second, { interface: name, mode: "generic" }),
    SyscallError,
    "Cannot attach an XDP program: EBUSY",
  );
  assertThrows(
    () => attachXdpByNetlink(token, second, { interface: name, mode: "generic", replace: second }),
    SyscallError,
    "EEXIST",
  );
  const two = attachXdpByNetlink(token, second, { interface: name, mode: "generic", replace: first });
  assertEquals(queryXdp(name).progIds, { generic: secondId });
  // The first one's place is taken: it leaves the second alone.
  one.close();
  assertEquals([one.closed, queryXdp(name).progIds], [true, { generic: secondId }]);
  two.close();
  two.close();
  assertEquals(queryXdp(name), { attached: undefined, progIds: {} });
  using _link = attachXdp(token, first, { interface: name, mode: "generic" });
  assertEquals(queryXdp(name).progIds, { generic: firstId });
  const refused = assertThrows(
    () => attachXdpByNetlink(token, second, { interface: name, mode: "generic" }),
    SyscallError,
  );
  assert(refused.hint?.startsWith("the kernel says: "), refused.message);
});

kernelTest("attachXdpByNetlink() ends with its token, and with its interface", { tools: ["ip"] }, async () => {
  const token = rootToken();
  const other = rootToken();
  using prog = simpleProg(other, "xdp", { value: 2 });
  {
    await using pair = await veth();
    const attachment = attachXdpByNetlink(token, prog, { interface: pair.names[0] });
    token.revoke();
    assertEquals([attachment.closed, queryXdp(pair.names[0]).attached], [true, undefined]);
  }
  const pair = await veth();
  const attachment = attachXdpByNetlink(other, prog, { interface: pair.names[0] });
  await pair[Symbol.asyncDispose]();
  attachment.close();
  assertThrows(() => queryXdp(pair.names[0]), TypeError, "in this network namespace");
});

kernelTest("attachTc() adds filters by priority and handle, as tc(8) shows them, and removes its own", {
  tools: ["ip", "tc"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [name] = pair.names;
  using prog = simpleProg(token, "sched_cls", { value: 0, name: "filter" });
  const { id } = objGetInfoByFd(token, prog, { kind: "prog" });
  for (const direction of ["ingress", "egress"] as const) {
    assertEquals(queryTc(name, direction), []);
    using first = attachTc(token, prog, { interface: name, direction, priority: 10, handle: 3, name: "mine" });
    using second = attachTc(token, prog, { interface: name, direction, priority: 5, directAction: false });
    assertEquals(queryTc(name, direction), [
      { priority: 5, handle: 1, name: "bpf", progId: id, directAction: false },
      { priority: 10, handle: 3, name: "mine", progId: id, directAction: true },
    ]);
    const { stdout } = await run("tc", ["filter", "show", "dev", name, direction]);
    assert(/pref 10 bpf chain 0 handle 0x3 mine direct-action/.test(stdout), stdout);
    const taken = assertThrows(
      () => attachTc(token, prog, { interface: name, direction, priority: 10, handle: 3 }),
      SyscallError,
      "EEXIST",
    );
    assertEquals(taken.command, "netlink");
    // One that somebody else put in its place stays.
    using other = simpleProg(token, "sched_cls", { value: 0 });
    using third = attachTc(token, other, { interface: name, direction, priority: 10, handle: 3, replace: true });
    first.close();
    assertEquals(queryTc(name, direction).length, 2);
    third.close();
    second.close();
    assertEquals(queryTc(name, direction), []);
  }
  assertThrows(
    () => attachTc(token, prog, { interface: name, direction: "ingress", priority: 70000 }),
    RangeError,
    "70000",
  );
});
