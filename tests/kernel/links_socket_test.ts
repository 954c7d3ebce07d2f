import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { asm, attachSocket, BpfMap, type Bytes, progLoad, socketCookie, socketFd, SyscallError } from "../../mod.ts";
import { kernel, swapKernel } from "../../ffi/kernel.ts";
import { kernelTest } from "../_kernel_test.ts";
import { rootToken, simpleProg } from "./_objects.ts";
import { cookieOf, listeningSocket, reusePortSocket } from "./_sockets.ts";

const SO_DETACH_FILTER = 27;

kernelTest("socketFd() finds Deno's sockets by their addresses", {}, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port }), listener.accept()]);
  using _client = client;
  using _server = server;
  using six = Deno.listen({ hostname: "::1", port: 0 });
  const path = `${Deno.makeTempDirSync()}/socket`;
  using unix = Deno.listen({ transport: "unix", path });
  const found = [listener, client, server, six, unix].map(socketFd);
  assertEquals(new Set(found).size, 5);
  for (const fd of found) assertEquals(Deno.readLinkSync(`/proc/self/fd/${fd}`).startsWith("socket:["), true);
  assertNotEquals(socketCookie(found[1]), socketCookie(found[2]));
  const gone = { addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 } } as const;
  assertThrows(() => socketFd(gone), TypeError, "no socket of this process has the address 127.0.0.1 1");
  assertThrows(() => socketFd({}), TypeError, "it has no address");
});

kernelTest("attachSocket() filters what a connection receives, until it is closed", {}, async () => {
  const token = rootToken();
  // A connection that is cut to nothing acknowledges nothing: what is sent comes through once the filter is gone.
  using prog = simpleProg(token, "socket_filter", { value: 0 });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port }), listener.accept()]);
  using _client = client;
  using _server = server;
  const deaf = attachSocket(token, prog, { socket: server });
  await client.write(new Uint8Array([7]));
  const buffer = new Uint8Array(1);
  let arrived = false;
  const reading = server.read(buffer).then(() => arrived = true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(arrived, false);
  deaf.close();
  deaf.close();
  await reading;
  assertEquals([deaf.closed, buffer[0]], [true, 7]);
});

kernelTest("attachSocket() chooses among sockets that share a port", {}, () => {
  const token = rootToken();
  using sockets = BpfMap.create(token, { type: "reuseport_sockarray", maxEntries: 2 });
  using first = reusePortSocket(9754);
  using second = reusePortSocket(9754);
  sockets.set(0, first).set(1, second);
  using prog = progLoad(token, {
    type: "sk_reuseport",
    license: "GPL",
    expectedAttachType: "sk_reuseport_select",
    insns: asm`
      r0 = 1
      exit
    `,
  });
  using attached = attachSocket(token, prog, { socket: first, as: "reuseport" });
  assertEquals([attached.closed, sockets.get(0)], [false, cookieOf(first)]);
  using wrong = simpleProg(token, "xdp", { value: 2 });
  assertThrows(() => attachSocket(token, wrong, { socket: first }), SyscallError, "EINVAL");
  assertThrows(() => attachSocket(token, prog, { socket: 0x7ffffff0 }), SyscallError, "EBADF");
  assertThrows(() => attachSocket(token, prog, { socket: first, as: "ears" as "filter" }), TypeError, '"ears"');
});

kernelTest("attachSocket() leaves a descriptor alone that is another socket's by now", {}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "socket_filter", { value: 0 });
  const real = kernel();
  const detached: number[] = [];
  const watching = new Proxy(real, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as (...args: unknown[]) => unknown;
      if (name !== "setsockopt") return typeof member === "function" ? member.bind(target) : member;
      return (fd: number, level: number, option: number, value: Bytes) => {
        if (option === SO_DETACH_FILTER) detached.push(fd);
        return real.setsockopt(fd, level, option, value);
      };
    },
  });
  swapKernel(watching);
  try {
    const socket = listeningSocket();
    const number = socket.fd;
    const attached = attachSocket(token, prog, { socket });
    socket.close();
    // The kernel gives the lowest number that is free.
    using other = listeningSocket();
    assertEquals(other.fd, number);
    const mine = attachSocket(token, prog, { socket: other });
    attached.close();
    assertEquals([attached.closed, detached], [true, []]);
    mine.close();
    assertEquals(detached, [number]);
  } finally {
    swapKernel(real);
  }
});
