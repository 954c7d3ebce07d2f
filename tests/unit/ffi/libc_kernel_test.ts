import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { EPOLL_EVENT_SIZE, LibcKernel } from "../../../ffi/libc_kernel.ts";
import { type Libc, syscallNumber } from "../../../ffi/libc.ts";
import { allocate, cString } from "../../../ffi/memory.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { commands } from "../../../uapi/enums.gen.ts";

/** What a C function answers: a result, or an errno to fail with. */
type Answers = readonly (number | keyof typeof errnos)[];

/** A C library whose functions answer one after the other what a test says; the last answer is repeated. */
function fakeLibc(answers: Answers): { kernel: LibcKernel; calls: (readonly unknown[])[] } {
  const errno = new Int32Array(1);
  const calls: (readonly unknown[])[] = [];
  const symbols = new Proxy({}, {
    get: (_, name) => (...args: unknown[]) => {
      const answer = answers[Math.min(calls.length, answers.length - 1)];
      calls.push([name, ...args]);
      // What came before in this thread is left in errno by calls that succeed.
      errno[0] = typeof answer === "string" ? errnos[answer] : errnos.EXDEV;
      return typeof answer === "string" ? -1 : answer;
    },
  });
  return { kernel: new LibcKernel({ symbols, more: symbols, errno } as unknown as Libc), calls };
}

const attr = allocate(32);

Deno.test("LibcKernel.bpf() answers the result, or the negative errno", () => {
  for (const [answer, expected] of [[0, 0], [7, 7], ["EINVAL", -22], ["EPERM", -1], ["ENOENT", -2]] as const) {
    const { kernel, calls } = fakeLibc([answer]);
    assertEquals(kernel.bpf(1, attr, 32), expected);
    assertEquals(calls, [["bpf", syscallNumber("bpf"), 1, attr, 32]]);
  }
});

Deno.test("LibcKernel.bpf() repeats what a signal interrupted", () => {
  const { kernel, calls } = fakeLibc(["EINTR", "EINTR", "EINTR", "EINTR", "EINTR", "EINTR", "EINTR", 5]);
  assertEquals([kernel.bpf(1, attr, 32), calls.length], [5, 8]);
});

Deno.test("LibcKernel.bpf() tries BPF_PROG_LOAD five times where the verifier gives up, and no other command", () => {
  const loaded = fakeLibc(["EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", 9]);
  assertEquals([loaded.kernel.bpf(commands.prog_load, attr, 32), loaded.calls.length], [9, 5]);
  const never = fakeLibc(["EAGAIN"]);
  assertEquals([never.kernel.bpf(commands.prog_load, attr, 32), never.calls.length], [-errnos.EAGAIN, 5]);
  // The next program has its own five.
  assertEquals([never.kernel.bpf(commands.prog_load, attr, 32), never.calls.length], [-errnos.EAGAIN, 10]);
  const other = fakeLibc(["EAGAIN"]);
  assertEquals([other.kernel.bpf(commands.map_update_elem, attr, 32), other.calls.length], [-errnos.EAGAIN, 1]);
  // Interruptions do not count.
  const both = fakeLibc(["EAGAIN", "EINTR", "EAGAIN", "EINTR", "EAGAIN", "EAGAIN", 3]);
  assertEquals([both.kernel.bpf(commands.prog_load, attr, 32), both.calls.length], [3, 7]);
});

Deno.test("LibcKernel.bpf() refuses a size past the end of attr", () => {
  const { kernel, calls } = fakeLibc([0]);
  assertThrows(() => kernel.bpf(1, attr, 33), RangeError, "size 33 is past the 32 bytes of attr");
  assertEquals(calls, []);
});

Deno.test("LibcKernel repeats open, read, write, fcntl, ioctl and epoll_wait after a signal, and close not", () => {
  const buffer = allocate(16);
  const repeated: readonly ((kernel: LibcKernel) => number)[] = [
    (kernel) => kernel.open("/path", 0, 0),
    (kernel) => kernel.read(3, buffer),
    (kernel) => kernel.write(3, buffer),
    (kernel) => kernel.fcntl(3, 1, 0),
    (kernel) => kernel.ioctl(3, 1, 0),
    (kernel) => kernel.ioctl(3, 1, buffer),
    (kernel) => kernel.epollPoll(3, buffer, 1),
  ];
  for (const call of repeated) {
    const { kernel, calls } = fakeLibc(["EINTR", "EINTR", 4]);
    assertEquals([call(kernel), calls.length], [4, 3], call.toString());
    const failing = fakeLibc(["EINTR", "EBADF"]);
    assertEquals([call(failing.kernel), failing.calls.length], [-errnos.EBADF, 2], call.toString());
  }
  const once = fakeLibc(["EINTR"]);
  assertEquals([once.kernel.close(3), once.calls.length], [-errnos.EINTR, 1]);
});

Deno.test("LibcKernel passes strings with their NUL, and refuses those that contain one", () => {
  const { kernel, calls } = fakeLibc([3]);
  kernel.open("/é", 5, 6);
  assertEquals(calls, [["open", cString("/é"), 5, 6]]);
  assertEquals([...cString("/é")], [0x2f, 0xc3, 0xa9, 0]);
  assertThrows(() => kernel.open("/a\0b", 0, 0), TypeError, "NUL");
  assertThrows(() => kernel.readlink("/a\0b", allocate(8)), TypeError, "NUL");
  assertThrows(() => kernel.statx(0, "/a\0b", 0, 0, allocate(256)), TypeError, "NUL");
  assertEquals(calls.length, 1);
});

Deno.test("LibcKernel passes the length of every buffer", () => {
  const buffer = allocate(16);
  const { kernel, calls } = fakeLibc([0]);
  kernel.read(3, buffer);
  kernel.write(3, buffer);
  kernel.readlink("/", buffer);
  kernel.setsockopt(3, 1, 2, buffer);
  kernel.ioctl(3, 0x2401, 7);
  kernel.ioctl(3, 0x2401, buffer);
  assertEquals(calls, [
    ["read", 3, buffer, 16],
    ["write", 3, buffer, 16],
    ["readlink", cString("/"), buffer, 16],
    ["setsockopt", 3, 1, 2, buffer, 16],
    ["ioctl", 3, 0x2401n, 7n],
    ["ioctl_buffer", 3, 0x2401n, buffer],
  ]);
});

Deno.test("LibcKernel.getsockopt() answers the length, or the errno", () => {
  const value = allocate(12);
  assertEquals(fakeLibc([0]).kernel.getsockopt(3, 1, 2, value), 12);
  assertEquals(fakeLibc(["ENOPROTOOPT"]).kernel.getsockopt(3, 1, 2, value), -errnos.ENOPROTOOPT);
});

Deno.test("LibcKernel refuses buffers that the kernel would write past", async () => {
  const { kernel, calls } = fakeLibc([0]);
  assertThrows(() => kernel.statx(0, "/", 0, 0, allocate(255)), RangeError, "under 256 bytes");
  const events = allocate(2 * EPOLL_EVENT_SIZE);
  assertThrows(() => kernel.epollPoll(3, events, 3), RangeError, "3 events do not fit");
  await assertRejects(async () => await kernel.epollWait(3, events, 3, 0), RangeError, "3 events do not fit");
  assertEquals(calls, []);
  kernel.epollPoll(3, events, 2);
  assertEquals(calls, [["epoll_wait", 3, events, 2, 0]]);
});

Deno.test("LibcKernel.mmap() tells MAP_FAILED from an address", () => {
  const address = Deno.UnsafePointer.create(0x7000n);
  const failed = Deno.UnsafePointer.create(0xffff_ffff_ffff_ffffn);
  const answering = (result: unknown): LibcKernel =>
    new LibcKernel(
      { symbols: { mmap: () => result }, errno: new Int32Array([errnos.ENODEV]) } as unknown as Libc,
    );
  assertEquals(answering(address).mmap(4096, 1, 1, 3, 0), address!);
  assertEquals(answering(failed).mmap(4096, 1, 1, 3, 0), -errnos.ENODEV);
  assertEquals(answering(null).mmap(4096, 1, 1, 3, 0), -errnos.ENODEV);
});

Deno.test("syscallNumber() knows the numbers of this architecture", () => {
  const expected = { x86_64: [321, 298], aarch64: [280, 241] }[Deno.build.arch as "x86_64"];
  assertEquals(["bpf", "perf_event_open"].map(syscallNumber), expected);
  assertThrows(() => syscallNumber("no_such_call"), Error, "Cannot use system call no_such_call");
});
