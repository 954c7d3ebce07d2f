/** Pairs of netkit devices, for tests. */

import { attributeString, netlinkCode, NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from "../../ffi/netlink.ts";
import { kernelSince, type Probe } from "../_kernel_test.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_NETKIT_PEER_INFO = 1;

/** A pair of netkit devices, which ip(8) of Debian 12 does not know. */
export function netkit(name: string, peer: string): Disposable {
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

/** Whether the kernel has netkit devices. */
export const hasNetkit: Probe = () => {
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
