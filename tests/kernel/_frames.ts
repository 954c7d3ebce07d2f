/**
 * Frames that tests put on an interface: what Deno's sockets do not send.
 *
 * @module
 */

import { encode, ipv4, ipv6 } from "../../mod.ts";
import { SyscallError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { kernel } from "../../ffi/kernel.ts";
import { run } from "../_tools.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const PACKET_FANOUT = 18;
const ETH_P_ALL = 3;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

function checked(result: number, command: string): number {
  if (result < 0) throw new SyscallError({ command, errno: -result, action: "send a frame" });
  return result;
}

/** A packet socket at an interface, of all protocols (3 in network byte order) or of none. */
function packetSocket(ifindex: number, protocol: number): Fd {
  const socket = Fd.own(checked(kernel().socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "socket"));
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, ifindex, true);
  try {
    checked(kernel().bind(socket.fd, address), "bind");
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** A packet socket that would share what an interface receives with others, by the packets' hash. */
export function fanoutSocket(ifindex: number): Fd {
  const socket = packetSocket(ifindex, ETH_P_ALL);
  // PACKET_FANOUT_HASH is 0: the number of the group is all there is.
  const group = new Uint8Array(new Uint32Array([Deno.pid & 0xffff]).buffer);
  checked(kernel().setsockopt(socket.fd, SOL_PACKET, PACKET_FANOUT, group), "setsockopt");
  return socket;
}

/** Sends a frame out of an interface. */
export function sendFrame(ifindex: number, frame: Uint8Array<ArrayBuffer>): void {
  using socket = packetSocket(ifindex, 0);
  checked(kernel().write(socket.fd, frame), "write");
}

/** The hardware address of an interface; /sys shows those of another network namespace. */
export async function hardwareAddress(name: string): Promise<Uint8Array> {
  const [{ address }] = JSON.parse((await run("ip", ["-j", "link", "show", "dev", name])).stdout);
  return Uint8Array.from((address as string).split(":"), (byte) => parseInt(byte, 16));
}

function ethernet(to: Uint8Array, type: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(14 + payload.length);
  frame.set(to);
  frame.set([2, 0, 0, 0, 0, 9], 6);
  new DataView(frame.buffer).setUint16(12, type);
  frame.set(payload, 14);
  return frame;
}

/** A UDP packet of IPv4, without payload. */
export function ipv4Frame(mac: Uint8Array, from: string, to: string): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(28);
  const view = new DataView(packet.buffer);
  view.setUint16(0, 0x4500);
  view.setUint16(2, packet.length);
  packet[8] = 64;
  packet[9] = 17;
  packet.set(encode(ipv4, from), 12);
  packet.set(encode(ipv4, to), 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(10, ~sum & 0xffff);
  view.setUint16(20, 1234);
  view.setUint16(22, 9);
  view.setUint16(24, 8);
  return ethernet(mac, ETH_P_IP, packet);
}

/** An IPv6 packet with a segment routing header: it is at its first segment, and has one more to go to. */
export function segmentFrame(mac: Uint8Array, segments: readonly [string, string]): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(40 + 8 + 32);
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x60000000);
  view.setUint16(4, 8 + 32);
  packet.set([43, 64], 6);
  packet.set(encode(ipv6, "fc00:55::1"), 8);
  packet.set(encode(ipv6, segments[0]), 24);
  // No next header, 4 times 8 bytes, type 4, one segment left, of two.
  packet.set([59, 4, 4, 1, 1], 40);
  packet.set(encode(ipv6, segments[1]), 48);
  packet.set(encode(ipv6, segments[0]), 64);
  return ethernet(mac, ETH_P_IPV6, packet);
}
