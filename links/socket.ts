/**
 * Programs at sockets: filters, and the choice among those that share a port.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { fdNumber, type FdSource } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { type DenoSocket, socketCookie, socketFd } from "../ffi/socket.ts";
import type { AnyToken } from "../tokens/token.ts";
import { UnlinkedAttachment } from "./link.ts";

const SOL_SOCKET = 1;

/** The options that attach and detach, by what the program does: asm-generic/socket.h. */
const OPTIONS = {
  filter: { attach: 50, detach: 27 },
  reuseport: { attach: 52, detach: 68 },
} as const;

/** What `attachSocket()` takes besides the program. */
export interface AttachSocketOptions {
  /** The socket: a descriptor, or a connection, a listener or a datagram socket of Deno's. */
  socket: FdSource | DenoSocket;
  /**
   * What the program does: filter what the socket receives, or choose among the sockets that share its port. C names:
   * SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF. @default {"filter"}
   */
  as?: "filter" | "reuseport" | undefined;
}

function isDenoSocket(socket: FdSource | DenoSocket): socket is DenoSocket {
  return typeof socket === "object" && ("localAddr" in socket || "addr" in socket);
}

function setOption(fd: number, option: number, value: number, action: string): void {
  const bytes = allocate(4);
  new DataView(bytes.buffer).setInt32(0, value, LITTLE_ENDIAN);
  const result = kernel().setsockopt(fd, SOL_SOCKET, option, bytes);
  if (result < 0) throw new SyscallError({ command: "setsockopt", errno: -result, action });
}

/**
 * Attaches a program to a socket, in the place of the one that is there. It goes with the socket. Since Linux 3.19;
 * `"reuseport"` since 4.5, detaching that since 5.3.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachSocket, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using prog = progLoad(token, { type: "socket_filter", license: "GPL", insns: asm`
 *   r0 = 0 ; keep nothing
 *   exit
 * ` });
 * using listener = Deno.listen({ port: 0 });
 * using deaf = attachSocket(token, prog, { socket: listener });
 * console.log(deaf.closed);
 * ```
 *
 * @param token A permission token.
 * @param prog The program, of type `socket_filter`, or `sk_reuseport` for `"reuseport"`.
 * @param options The socket, and what the program does.
 * @returns What detaches it.
 * @throws {TypeError} Where Deno's socket cannot be found among the descriptors.
 * @throws {SyscallError} EPERM where the socket's filter was locked; EINVAL for a program of another type.
 */
export function attachSocket(token: AnyToken, prog: FdSource, options: AttachSocketOptions): UnlinkedAttachment {
  const { socket, as = "filter" } = options;
  if (!Object.hasOwn(OPTIONS, as)) throw new TypeError(`Cannot use as: "${as}" is none of filter, reuseport`);
  token.assert({ command: "prog_attach" }, "attach to a socket");
  const fd = isDenoSocket(socket) ? socketFd(socket) : fdNumber(socket, "socket");
  const cookie = socketCookie(fd);
  setOption(fd, OPTIONS[as].attach, fdNumber(prog, "prog"), "attach to a socket");
  return token.adopt(
    new UnlinkedAttachment(() => {
      // The descriptor is the caller's: by now it may be closed, or somebody else's.
      if (isStill(fd, cookie)) setOption(fd, OPTIONS[as].detach, 0, "detach from a socket");
    }),
  );
}

function isStill(fd: number, cookie: bigint): boolean {
  try {
    return socketCookie(fd) === cookie;
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
}
