/**
 * Sockets whose descriptors tests know, which Deno's own do not tell.
 *
 * @module
 */

import { SyscallError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { kernel } from "../../ffi/kernel.ts";

const AF_INET = 2;
const AF_XDP = 44;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SOL_XDP = 283;
const XDP_RX_RING = 2;
const SO_REUSEPORT = 15;
const SO_COOKIE = 57;

function checked(result: number, command: string): number {
  if (result < 0) throw new SyscallError({ command, errno: -result, action: "make a socket" });
  return result;
}

function socket(domain: number, type: number): Fd {
  return Fd.own(checked(kernel().socket(domain, type | SOCK_CLOEXEC, 0), "socket"));
}

/** `struct sockaddr_in` of a port, by default on the loopback interface. */
function loopback(port: number, host: readonly number[] = [127, 0, 0, 1]): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  address.set(host, 4);
  return address;
}

/** Sends some packets over UDP, whoever may be there. */
export function sendUdp(host: readonly number[] = [127, 0, 0, 1], port = 9): void {
  using made = socket(AF_INET, SOCK_DGRAM);
  checked(kernel().connect(made.fd, loopback(port, host)), "connect");
  // The first answer, that nobody listens, fails the second send.
  for (let sent = 0; sent < 3; sent++) kernel().write(made.fd, new Uint8Array(8));
}

/** A TCP socket that listens on the loopback interface. */
export function listeningSocket(port = 0): Fd {
  const made = socket(AF_INET, SOCK_STREAM);
  checked(kernel().bind(made.fd, loopback(port)), "bind");
  checked(kernel().listen(made.fd, 4), "listen");
  return made;
}

/** A UDP socket that shares its port. */
export function reusePortSocket(port: number): Fd {
  const made = socket(AF_INET, SOCK_DGRAM);
  checked(kernel().setsockopt(made.fd, SOL_SOCKET, SO_REUSEPORT, new Uint8Array([1, 0, 0, 0])), "setsockopt");
  checked(kernel().bind(made.fd, loopback(port)), "bind");
  return made;
}

/** An XDP socket that is bound to nothing. It has a ring to receive with, which a map asks for since Linux 7.2. */
export function xdpSocket(): Fd {
  const made = socket(AF_XDP, SOCK_RAW);
  checked(kernel().setsockopt(made.fd, SOL_XDP, XDP_RX_RING, new Uint8Array([64, 0, 0, 0])), "setsockopt");
  return made;
}

/** The kernel's cookie of a socket. */
export function cookieOf(made: Fd): bigint {
  const value = new Uint8Array(8);
  checked(kernel().getsockopt(made.fd, SOL_SOCKET, SO_COOKIE, value), "getsockopt");
  return new DataView(value.buffer).getBigUint64(0, true);
}
