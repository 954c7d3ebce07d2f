import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SyscallError } from "../../../errors.ts";
import { Epoll } from "../../../ffi/epoll.ts";
import { Fd } from "../../../ffi/fd.ts";
import { Mapping, pageSize } from "../../../ffi/mapping.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;

/** An epoll set on a fake kernel: its descriptor, the one that wakes it, and the one it waits for. */
function made(fake: FakeKernel): { epoll: Epoll; set: number; wakeUp: number; source: number } {
  const source = fake.newFd();
  const epoll = new Epoll([source]);
  const [set, wakeUp] = [...fake.openFds].filter((fd) => fd !== source);
  return { epoll, set, wakeUp, source };
}

Deno.test("Epoll waits for its sources and for its own wake-up, all close-on-exec", () => {
  using fake = new FakeKernel();
  const { epoll, set, wakeUp, source } = made(fake);
  assertEquals(fake.log, [
    `epoll_create1 ${CLOEXEC}`,
    `eventfd 0 ${CLOEXEC | NONBLOCK}`,
    `epoll_ctl ${set} 1 ${wakeUp} 1`,
    `epoll_ctl ${set} 1 ${source} 1`,
  ]);
  epoll[Symbol.dispose]();
  epoll[Symbol.dispose]();
  assertEquals([[...fake.openFds], fake.closed.toSorted()], [[source], [set, wakeUp]]);
});

Deno.test("Epoll leaves nothing open where it cannot be made", () => {
  using fake = new FakeKernel();
  assertThrows(() => new Epoll([7]), SyscallError, "Cannot wait for events: EBADF");
  assertEquals(fake.openFds.size, 0);
  const closed = Fd.own(fake.newFd());
  closed.close();
  assertThrows(() => new Epoll([closed]), TypeError, "Cannot use fd: it is closed");
  assertEquals(fake.openFds.size, 0);
  fake.eventfd = () => -errnos.EMFILE;
  assertThrows(() => new Epoll([]), SyscallError, "EMFILE");
  assertEquals(fake.openFds.size, 0);
  fake.epollCreate = () => -errnos.ENFILE;
  assertThrows(() => new Epoll([]), SyscallError, "ENFILE");
});

Deno.test("Epoll.wait() takes one waiter at a time", async () => {
  using fake = new FakeKernel();
  const { epoll, set } = made(fake);
  const first = epoll.wait();
  assertEquals(fake.log.at(-1), `epoll_wait ${set} 16 -1`);
  await assertRejects(() => epoll.wait(), TypeError, "another wait is under way");
  fake.endWait!(1);
  await first;
  const second = epoll.wait(250);
  assertEquals(fake.log.at(-1), `epoll_wait ${set} 16 250`);
  fake.endWait!(0);
  await second;
  epoll[Symbol.dispose]();
});

Deno.test("Epoll.wake() writes the wake-up, until it is closed", () => {
  using fake = new FakeKernel();
  const { epoll, wakeUp } = made(fake);
  epoll.wake();
  assertEquals(fake.log.at(-1), `write ${wakeUp} 8`);
  epoll[Symbol.dispose]();
  const before = fake.log.length;
  epoll.wake();
  assertEquals(fake.log.length, before);
});

Deno.test("Epoll closes its descriptors only once the wait that is under way has returned", async () => {
  using fake = new FakeKernel();
  const { epoll, set, wakeUp } = made(fake);
  const waiting = epoll.wait();
  epoll[Symbol.dispose]();
  assertEquals([fake.log.at(-1), fake.closed], [`write ${wakeUp} 8`, []]);
  fake.endWait!(1);
  await waiting;
  await Promise.resolve();
  assertEquals(fake.closed.toSorted(), [set, wakeUp]);
});

Deno.test("pageSize() asks the system", () => {
  using _ = new FakeKernel();
  assertEquals(pageSize(), 4096);
});

Deno.test("Mapping refuses lengths that are none, and closed descriptors", () => {
  using fake = new FakeKernel();
  for (const length of [0, -1, 1.5, NaN, 2 ** 53]) {
    assertThrows(() => new Mapping(5, { length }), RangeError, `Cannot map memory: length ${length}`);
  }
  const closed = Fd.own(fake.newFd());
  closed.close();
  assertThrows(() => new Mapping(closed, { length: 4096 }), TypeError, "it is closed");
  assertEquals(fake.log, []);
});

Deno.test("Mapping passes on what is to be mapped, and throws the kernel's answer", () => {
  using fake = new FakeKernel();
  assertThrows(() => new Mapping(5, { length: 4096 }), SyscallError, "ENODEV");
  assertThrows(() => new Mapping(5, { length: 8192, offset: 4096, writable: true }), SyscallError);
  assertEquals(fake.log, ["mmap 4096 1 1 5 0", "mmap 8192 3 1 5 4096"]);
});

Deno.test("Mapping reads as empty once it is unmapped, and is unmapped once", () => {
  using fake = new FakeKernel();
  const memory = new Uint8Array(new ArrayBuffer(4096)).fill(7);
  const address = Deno.UnsafePointer.of(memory)!;
  const unmapped: number[] = [];
  fake.mmap = () => address;
  fake.munmap = (_, length) => {
    unmapped.push(length);
    return 0;
  };
  const mapping = new Mapping(5, { length: 4096 });
  const view = new Uint8Array(mapping.buffer);
  assertEquals([view.length, view[4095], mapping.buffer.byteLength], [4096, 7, 4096]);
  mapping[Symbol.dispose]();
  mapping[Symbol.dispose]();
  assertEquals([view.length, view[0], mapping.buffer.byteLength, unmapped], [0, undefined, 0, [4096]]);
  assert(mapping.buffer.detached);
});
