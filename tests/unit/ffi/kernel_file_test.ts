import { assertEquals, assertThrows } from "@std/assert";
import { SyscallError } from "../../../errors.ts";
import { parseCpus, possibleCpus } from "../../../ffi/cpus.ts";
import {
  fileId,
  openPath,
  pathExists,
  readKernelFile,
  tryReadKernelLink,
  tryReadKernelText,
} from "../../../ffi/kernel_file.ts";
import { memlockLimit, raiseMemlock } from "../../../ffi/memlock.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

Deno.test("readKernelFile() reads to the end, however long it is, and closes", () => {
  using fake = new FakeKernel();
  for (const length of [0, 1, 65535, 65536, 65537, 300_000]) {
    const text = Array.from({ length }, (_, index) => String.fromCharCode(97 + index % 26)).join("");
    fake.files.set("/proc/file", text);
    assertEquals(new TextDecoder().decode(readKernelFile("/proc/file")), text);
    assertEquals(fake.openFds.size, 0);
  }
  assertEquals(fake.log[0], `open /proc/file ${O_CLOEXEC}`);
});

Deno.test("readKernelFile() says which file it cannot read, and closes what it opened", () => {
  using fake = new FakeKernel();
  const missing = assertThrows(() => readKernelFile("/sys/missing"), SyscallError, "Cannot open /sys/missing: ENOENT");
  assertEquals(missing.command, "open");
  fake.files.set("/sys/folder", "x");
  fake.read = () => -errnos.EISDIR;
  assertThrows(() => readKernelFile("/sys/folder"), SyscallError, "Cannot read /sys/folder: EISDIR");
  assertEquals([fake.openFds.size, fake.closed.length], [0, 1]);
});

Deno.test("tryReadKernelText() gives the text without the newline at its end, or nothing", () => {
  using fake = new FakeKernel();
  fake.files.set("/proc/text", "a\nb \n\n");
  assertEquals(tryReadKernelText("/proc/text"), "a\nb");
  assertEquals(tryReadKernelText("/proc/missing"), undefined);
  // A mistake in the caller is no missing file.
  fake.open = () => {
    throw new RangeError("mine");
  };
  assertThrows(() => tryReadKernelText("/proc/text"), RangeError, "mine");
});

Deno.test("tryReadKernelLink() gives the link's target, or nothing", () => {
  using fake = new FakeKernel();
  fake.symlinks.set("/proc/self/ns/user", "user:[4026531837]");
  assertEquals(tryReadKernelLink("/proc/self/ns/user"), "user:[4026531837]");
  assertEquals(tryReadKernelLink("/proc/self/ns/none"), undefined);
});

Deno.test("openPath() opens for passing on", () => {
  using fake = new FakeKernel();
  fake.files.set("/sys/fs/cgroup", "");
  using fd = openPath("/sys/fs/cgroup");
  assertEquals([fake.openFds.has(fd.fd), fake.log], [true, [`open /sys/fs/cgroup ${O_CLOEXEC}`]]);
  using writable = openPath("/sys/fs/cgroup", { writable: true });
  assertEquals([fake.openFds.has(writable.fd), fake.log[1]], [true, `open /sys/fs/cgroup ${O_RDWR | O_CLOEXEC}`]);
  assertThrows(() => openPath("/none"), SyscallError, "Cannot open /none: ENOENT");
});

Deno.test("fileId() gives device and inode as the running system has them", () => {
  const { dev, ino } = Deno.statSync("/");
  // stat(2) packs the device's numbers in another way than the kernel does for itself.
  const [major, minor] = [BigInt(dev) >> 8n & 0xfffn, BigInt(dev) & 0xffn | (BigInt(dev) >> 12n & 0xfff00n)];
  assertEquals(fileId("/"), { device: major << 20n | minor, inode: BigInt(ino!) });
  assertThrows(() => fileId("/no/such/file"), SyscallError, "Cannot stat /no/such/file: ENOENT");
});

Deno.test("pathExists() says no only where the kernel does", () => {
  using fake = new FakeKernel();
  fake.files.set("/there", "");
  assertEquals([pathExists("/there"), pathExists("/not/there")], [true, false]);
  for (const [errno, expected] of [[errnos.ENOTDIR, false], [errnos.EACCES, true]] as const) {
    fake.statx = () => -errno;
    assertEquals(pathExists("/there"), expected);
  }
});

Deno.test("parseCpus() gives the CPUs of a list", () => {
  const lists = ["0", "0-3", "0-3,8", "0,2-5,7", "5-5", "0-1023", "0-1, 4"];
  assertEquals(lists.map((list) => parseCpus(list).length), [1, 4, 5, 6, 1, 1024, 3]);
  assertEquals(parseCpus("0,2-5,7\n"), [0, 2, 3, 4, 5, 7]);
  for (const wrong of ["", "a", "0-", "-3", "0-3,", "0--3", "0x3"]) {
    assertThrows(() => parseCpus(wrong), SyntaxError, `Cannot parse a list of CPUs: "${wrong}"`);
  }
});

Deno.test("possibleCpus() guesses nothing, and asks once", () => {
  using fake = new FakeKernel();
  assertThrows(() => possibleCpus(), Error, "Cannot size a per-CPU value: /sys/devices/system/cpu/possible");
  fake.files.set("/sys/devices/system/cpu/possible", "0-3,8-9\n");
  assertEquals([possibleCpus(), possibleCpus()], [6, 6]);
  assertEquals(fake.log.length, 2);
});

Deno.test("memlockLimit() gives both limits", () => {
  using fake = new FakeKernel();
  fake.memlock = [65536n, RLIM_INFINITY];
  assertEquals(memlockLimit(), { soft: 65536n, hard: RLIM_INFINITY });
  assertEquals(fake.log, [`prlimit ${RLIMIT_MEMLOCK}`]);
  fake.prlimit = () => -errnos.EINVAL;
  assertEquals([memlockLimit(), raiseMemlock()], [undefined, false]);
});

Deno.test("raiseMemlock() raises the limit as far as it may", () => {
  const cases:
    readonly (readonly [before: [bigint, bigint], may: boolean, raised: boolean, after: [bigint, bigint]])[] = [
      [[65536n, 65536n], true, true, [RLIM_INFINITY, RLIM_INFINITY]],
      [[65536n, 65536n], false, false, [65536n, 65536n]],
      [[65536n, 131072n], false, true, [131072n, 131072n]],
      [[65536n, RLIM_INFINITY], false, true, [RLIM_INFINITY, RLIM_INFINITY]],
      [[RLIM_INFINITY, RLIM_INFINITY], true, false, [RLIM_INFINITY, RLIM_INFINITY]],
    ];
  for (const [before, may, raised, after] of cases) {
    using fake = new FakeKernel();
    [fake.memlock, fake.mayRaise] = [before, may];
    assertEquals([raiseMemlock(), fake.memlock], [raised, after], `${before} ${may}`);
  }
});
