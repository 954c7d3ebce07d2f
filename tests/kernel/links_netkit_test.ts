import { assertEquals, assertThrows } from "@std/assert";
import { attached, attachNetkit, attachUnlinked, type Fd, objGetInfoByFd, progQuery, SyscallError } from "../../mod.ts";
import { interfaceIndex } from "../../ffi/interface.ts";
import { attributeString, netlinkCode, NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from "../../ffi/netlink.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { type RootToken, rootToken, simpleProg, veth } from "./_objects.ts";
import { sendUdp } from "./_sockets.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_NETKIT_PEER_INFO = 1;

/** A pair of netkit devices, which ip(8) of Debian 12 does not know. */
function netkit(name: string, peer: string): Disposable {
  const peerName = attributeString(peer);
  // struct ifinfomsg, and behind it an attribute with the peer's name.
  const peerInfo = new Uint8Array(16 + 4 + (peerName.length + 3 & ~3));
  const view = new DataView(peerInfo.buffer);
  view.setUint16(16, 4 + peerName.length, true);
  view.setUint16(18, IFLA_IFNAME, true);
  peerInfo.set(peerName, 20);
  using socket = new NetlinkSocket();
  socket.request({
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    header: new Uint8Array(16),
    attributes: [
      [IFLA_IFNAME, attributeString(name)],
      [IFLA_LINKINFO, [
        [IFLA_INFO_KIND, attributeString("netkit")],
        [IFLA_INFO_DATA, [[IFLA_NETKIT_PEER_INFO, peerInfo]]],
      ]],
    ],
    action: "make a netkit device",
  });
  return {
    [Symbol.dispose]: () => {
      using closing = new NetlinkSocket();
      closing.request({
        type: RTM_DELLINK,
        header: new Uint8Array(16),
        attributes: [[IFLA_IFNAME, attributeString(name)]],
        action: "remove a netkit device",
      });
    },
  };
}

const hasNetkit: Probe = () => {
  const old = kernelSince("6.7")();
  if (old !== undefined || Deno.env.get("BPF_TEST_NETNS") === undefined) {
    return old ?? "no network namespace of its own";
  }
  try {
    netkit("bpfnk8", "bpfnk9")[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (netlinkCode(error) === "EOPNOTSUPP") return "the kernel was built without netkit";
    throw error;
  }
};

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
