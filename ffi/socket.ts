/**
 * Sockets: their descriptors by their addresses, which Deno's own connections do not tell.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { tryReadKernelText } from "./kernel_file.ts";
import { type Bytes, kernel } from "./kernel.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const SO_COOKIE = 57;
const ADDRESS_SIZE = 128;

/** Something of Deno's that is a socket. */
export interface DenoSocket {
  /** The own address, of connections. */
  readonly localAddr?: Deno.Addr;
  /** The other end's address, of connections. */
  readonly remoteAddr?: Deno.Addr;
  /** The own address, of listeners. */
  readonly addr?: Deno.Addr;
}

function decodeHost(bytes: Bytes): string {
  if (bytes.length === 4) return bytes.join(".");
  // Told in full on both sides of a comparison: how it is shortened does not matter.
  return Array.from({ length: 8 }, (_, index) => (bytes[2 * index] << 8 | bytes[2 * index + 1]).toString(16)).join(":");
}

/** An address as text; undefined where the descriptor is no socket, or has none. */
function addressOf(get: (address: Bytes) => number): string | undefined {
  const bytes = allocate(ADDRESS_SIZE);
  const length = get(bytes);
  if (length < 2) return undefined;
  const view = new DataView(bytes.buffer);
  switch (view.getUint16(0, LITTLE_ENDIAN)) {
    case AF_INET:
      return `${decodeHost(bytes.slice(4, 8))} ${view.getUint16(2)}`;
    case AF_INET6:
      return `${decodeHost(bytes.slice(8, 24))} ${view.getUint16(2)}`;
    case AF_UNIX:
      return `unix ${new TextDecoder().decode(bytes.subarray(2, Math.min(length, ADDRESS_SIZE))).replace(/\0+$/, "")}`;
    default:
      return undefined;
  }
}

/** The sixteen bytes of an IPv6 address as Deno tells it. */
function fullHost(hostname: string): string {
  if (!hostname.includes(":")) return hostname;
  const [head, tail] = hostname.split("::").map((half) => half === "" ? [] : half.split(":"));
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail];
  return groups.map((group) => parseInt(group, 16).toString(16)).join(":");
}

function addressText(address: Deno.Addr): string {
  if ("path" in address) return `unix ${address.path}`;
  if (!("hostname" in address)) throw new TypeError("Cannot find a socket: its address is of a kind that is unknown");
  return `${fullHost(address.hostname)} ${address.port}`;
}

/**
 * The descriptor of one of Deno's sockets, which stays Deno's.
 *
 * @param socket A connection, a listener or a datagram socket.
 * @returns The descriptor's number.
 * @throws {TypeError} Where no socket of this process has its addresses, or several have.
 */
export function socketFd(socket: DenoSocket): number {
  const own = socket.localAddr ?? socket.addr;
  if (own === undefined) throw new TypeError("Cannot find a socket: it has no address");
  const local = addressText(own);
  const remote = socket.remoteAddr === undefined ? undefined : addressText(socket.remoteAddr);
  const slots = Number(/^FDSize:\s*(\d+)$/m.exec(tryReadKernelText("/proc/self/status") ?? "")?.[1] ?? 1024);
  const found: number[] = [];
  for (let fd = 3; fd < slots; fd++) {
    if (addressOf((address) => kernel().getsockname(fd, address)) !== local) continue;
    if (addressOf((address) => kernel().getpeername(fd, address)) === remote) found.push(fd);
  }
  if (found.length === 1) return found[0];
  const why = found.length === 0 ? "no socket of this process has" : "several sockets of this process have";
  throw new TypeError(
    `Cannot find a socket: ${why} the address ${local}${remote === undefined ? "" : ` to ${remote}`}`,
  );
}

/**
 * The kernel's number for a socket, which no other socket gets as long as the system runs.
 *
 * @param fd A descriptor of it.
 * @returns The cookie. C name: `SO_COOKIE`. Since Linux 4.12.
 * @throws {SyscallError} ENOTSOCK, EBADF where it is no socket.
 */
export function socketCookie(fd: number): bigint {
  const value = allocate(8);
  const result = kernel().getsockopt(fd, SOL_SOCKET, SO_COOKIE, value);
  if (result < 0) throw new SyscallError({ command: "getsockopt", errno: -result, action: "look up a socket" });
  return new DataView(value.buffer).getBigUint64(0, LITTLE_ENDIAN);
}
