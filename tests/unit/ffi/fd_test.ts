import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { SyscallError } from "../../../errors.ts";
import { enableLedger, Fd, fdNumber, openFds } from "../../../ffi/fd.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { run } from "../../_tools.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const F_DUPFD_CLOEXEC = 1030;

Deno.test("Fd.own() moves descriptors above the standard streams", () => {
  for (const low of [0, 1, 2]) {
    using fake = new FakeKernel();
    const fd = Fd.own(low);
    assertEquals(fake.log, [`fcntl ${low} ${F_DUPFD_CLOEXEC} 3`]);
    assert(fd.fd > 2);
    // The low one is closed at once.
    assertEquals(fake.closed, [low]);
    fd.close();
    assertEquals([fake.openFds.size, fake.closed.length], [0, 2]);
  }
  using fake = new FakeKernel();
  using fd = Fd.own(3);
  assertEquals([fd.fd, fake.log], [3, []]);
});

Deno.test("Fd.own() closes a descriptor that it cannot move", () => {
  using fake = new FakeKernel();
  fake.fcntlAnswer = -errnos.EMFILE;
  const error = assertThrows(() => Fd.own(1), SyscallError, "Cannot move a file descriptor above 2");
  assertEquals([error.code, error.command, fake.closed], ["EMFILE", "fcntl", [1]]);
});

Deno.test("Fd.close() closes once", () => {
  using fake = new FakeKernel();
  const number = fake.newFd();
  const fd = Fd.own(number);
  assertEquals([fd.fd, fd.closed], [number, false]);
  fd.close();
  fd.close();
  fd[Symbol.dispose]();
  assertEquals([fd.closed, fake.closed], [true, [number]]);
});

Deno.test("Fd tells a later use why it is closed", () => {
  using fake = new FakeKernel();
  const fd = Fd.own(fake.newFd());
  fd.close("it went away");
  fd.close("another reason");
  assertThrows(() => fd.fd, TypeError, "Cannot use a file descriptor: it went away");
  assertThrows(() => fd.as("map"), TypeError, "Cannot use map: it went away");
  assertThrows(() => fd.dup(), TypeError, "it went away");
  assertThrows(() => fd.setInheritable(true), TypeError, "it went away");
  assertEquals(fake.log, []);
  const plain = Fd.own(fake.newFd());
  plain.close();
  assertThrows(() => plain.fd, TypeError, "Cannot use a file descriptor: it is closed");
});

Deno.test("Fd is closed at the end of its scope", () => {
  using fake = new FakeKernel();
  {
    using _ = Fd.own(fake.newFd());
    assertEquals(fake.openFds.size, 1);
  }
  assertEquals(fake.openFds.size, 0);
});

Deno.test("Fd.dup() makes a second descriptor with a life of its own", () => {
  using fake = new FakeKernel();
  const fd = Fd.own(fake.newFd());
  const copy = fd.dup();
  assertEquals(fake.log, [`fcntl ${fd.fd} ${F_DUPFD_CLOEXEC} 3`]);
  assert(copy.fd !== fd.fd);
  fd.close();
  assertEquals(copy.closed, false);
  copy.close();
  assertEquals(fake.openFds.size, 0);
  const other = Fd.own(fake.newFd());
  fake.fcntlAnswer = -errnos.EMFILE;
  assertThrows(() => other.dup(), SyscallError, "Cannot duplicate a file descriptor: EMFILE");
  other.close();
});

Deno.test("Fd.setInheritable() changes close-on-exec and nothing else", () => {
  using fake = new FakeKernel();
  using fd = Fd.own(fake.newFd());
  fd.setInheritable(true);
  fd.setInheritable(false);
  // F_GETFD, which answers FD_CLOEXEC here, and F_SETFD.
  assertEquals(fake.log, [`fcntl ${fd.fd} 1 0`, `fcntl ${fd.fd} 2 0`, `fcntl ${fd.fd} 1 0`, `fcntl ${fd.fd} 2 1`]);
  fake.fcntlAnswer = -errnos.EBADF;
  assertThrows(() => fd.setInheritable(true), SyscallError, "Cannot change close-on-exec: EBADF");
});

Deno.test("openFds() lists what is open, and where it was made", () => {
  using fake = new FakeKernel();
  using before = Fd.own(fake.newFd());
  assertEquals(openFds(), []);
  enableLedger();
  enableLedger();
  function madeHere(): Fd {
    return Fd.own(fake.newFd());
  }
  const [first, second] = [madeHere(), madeHere()];
  assertEquals(openFds().map(({ fd }) => fd), [first.fd, second.fd]);
  assertMatch(openFds()[0].stack, /madeHere.*fd_test\.ts/);
  first.close();
  assertEquals(openFds().map(({ fd }) => fd), [second.fd]);
  second.close();
  assertEquals([openFds(), before.closed], [[], false]);
});

Deno.test("Fd is closed by the garbage collector where it was forgotten", async () => {
  const child = new URL("_forgotten_child.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", "--cached-only", "--v8-flags=--expose-gc", child];
  const { code, stdout, stderr } = await run(Deno.execPath(), args);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(JSON.parse(stdout), { forgotten: "closed once", closed: "closed once", held: "open", ledger: 1 });
});

Deno.test("fdNumber() takes numbers, owners and whatever has a descriptor", () => {
  using fake = new FakeKernel();
  using fd = Fd.own(fake.newFd());
  assertEquals([fdNumber(7, "map"), fdNumber({ fd: 8 }, "map"), fdNumber(fd, "map")], [7, 8, fd.fd]);
  assertEquals([fdNumber(0, "map"), fdNumber(0x7fffffff, "map")], [0, 0x7fffffff]);
  for (const wrong of [-1, 1.5, NaN, 2 ** 31, "7", undefined, null, {}, { fd: -1 }, { fd: "7" }] as never[]) {
    assertThrows(() => fdNumber(wrong, "map"), TypeError, "Cannot use map: ");
  }
});
