import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  BpfMap,
  type Fd,
  FdChannel,
  FdListener,
  fdOfProcess,
  objGetInfoByFd,
  openPidfd,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { fdinfo, rootToken, simpleProg, socketFilter } from "./_objects.ts";
import { rawTracepointOpen } from "../../mod.ts";

const CHILD = decodeURIComponent(new URL("_share_child.ts", import.meta.url).pathname);

function shared() {
  const map = BpfMap.create(rootToken(), { type: "hash", key: u32, value: u64, maxEntries: 4, name: "shared" });
  map.set(1, 41n);
  return map;
}

/** Runs the child, and gives what it printed. */
async function child(how: string, argument: string | number): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--cached-only", "--allow-ffi", CHILD, how, `${argument}`],
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  assertEquals([code, text.decode(stderr)], [0, ""]);
  return text.decode(stdout).trim();
}

kernelTest("FdChannel passes a map to a child that inherited its other end", {}, async () => {
  using map = shared();
  const [here, there] = FdChannel.pair();
  using _here = here;
  there.descriptor.setInheritable(true);
  here.send([map]);
  const printed = await child("channel", there.fd);
  there.close();
  assertEquals([printed, map.get(1)], ["was 41", 42n]);
});

kernelTest("FdListener passes a map to whoever connects, by path and in the abstract namespace", {}, async () => {
  using map = shared();
  const path = `${Deno.makeTempDirSync()}/maps.sock`;
  for (const [address, was] of [[path, 41], [`@bpf-deno-${Deno.pid}`, 42]] as const) {
    using listener = new FdListener(address);
    const running = child("connect", address);
    using channel = await listener.accept();
    channel.send([map]);
    assertEquals(await running, `was ${was}`);
  }
  assertEquals(map.get(1), 43n);
  assertThrows(() => new FdListener(path), SyscallError, "EADDRINUSE");
  assertThrows(() => FdChannel.connect(`${path}x`), SyscallError, "ENOENT");
  assertThrows(() => FdChannel.connect("x".repeat(200)), RangeError, "200 bytes are not from 1 to 107");
});

kernelTest("BpfMap is inherited over exec where its descriptor was made inheritable", {}, async () => {
  using map = shared();
  using duplicate = map.descriptor.dup();
  duplicate.setInheritable(true);
  assertEquals([await child("inherit", duplicate.fd), map.get(1)], ["was 41", 42n]);
  duplicate.setInheritable(false);
  const { code } = await new Deno.Command("sh", { args: ["-c", `test -e /proc/self/fd/${duplicate.fd}`] }).output();
  assertEquals(code, 1);
});

kernelTest("fdOfProcess() takes a map out of another process", {}, async () => {
  using map = shared();
  map.descriptor.setInheritable(true);
  const holder = new Deno.Command("sleep", { args: ["30"], stdin: "null" }).spawn();
  map.descriptor.setInheritable(false);
  try {
    const fd = fdOfProcess(holder.pid, map.fd);
    using same = BpfMap.open(rootToken(), { fd }, { type: "hash", key: u32, value: u64 });
    assertEquals([same.info.id, same.get(1)], [map.info.id, 41n]);
    assertThrows(() => fdOfProcess(holder.pid, 0x7ffffff0), SyscallError, "EBADF");
  } finally {
    holder.kill("SIGKILL");
    await holder.status;
  }
  assertThrows(() => openPidfd(0x3fffff), SyscallError, "ESRCH");
});

kernelTest("FdChannel passes programs and links too, with data, each message whole", {}, async () => {
  const token = rootToken();
  const [here, there] = FdChannel.pair();
  using _here = here;
  using _there = there;
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
  using filter = socketFilter(token);
  here.send([prog, link], new Uint8Array([1, 2, 3]));
  here.send([filter]);
  const first = await there.receive();
  assertEquals([first?.fds.length, first?.data], [2, new Uint8Array([1, 2, 3])]);
  const id = objGetInfoByFd(token, prog, { kind: "prog" }).id;
  assertEquals(objGetInfoByFd(token, first!.fds[0], { kind: "prog" }).id, id);
  assertEquals(objGetInfoByFd(token, first!.fds[1], { kind: "link" }).progId, id);
  // Close-on-exec, as everything that this library opens.
  assertEquals(Number.parseInt(fdinfo(first!.fds[0].fd).get("flags")!, 8) & 0o2000000, 0o2000000);
  const second = await there.receive();
  assertEquals([second?.fds.length, second?.data], [1, new Uint8Array(1)]);
  for (const fd of [...first!.fds, ...second!.fds] as Fd[]) fd.close();
});

kernelTest("FdChannel ends waits at once, and refuses what cannot be sent", {}, async () => {
  using map = shared();
  const [here, there] = FdChannel.pair();
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error("enough")), 20);
  await assertRejects(() => there.receive({ signal: abort.signal }), Error, "enough");
  await assertRejects(() => there.receive({ signal: abort.signal }), Error, "enough");
  assertThrows(() => here.send(Array(254).fill(map)), RangeError, "254 are more than the limit of 253");
  assertThrows(() => here.send([map], new Uint8Array(0)), RangeError, "0 bytes are not from 1");
  assertThrows(() => here.send([{ fd: -1 }]), TypeError, "fds[0]");
  here.send(Array(253).fill(map));
  const many = await there.receive();
  assertEquals(many?.fds.length, 253);
  for (const fd of many!.fds) fd.close();
  here.close();
  assertEquals(await there.receive(), undefined);
  there.close();
  await assertRejects(() => there.receive(), TypeError, "closed");
  assertThrows(() => here.send([map]), TypeError, "closed");
});
