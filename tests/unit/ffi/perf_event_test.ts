import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { NotSupportedError, PermissionError, SyscallError } from "../../../errors.ts";
import { Fd } from "../../../ffi/fd.ts";
import { openPerfEvent } from "../../../ffi/perf_event.ts";
import { structBuffer } from "../../../ffi/struct_buffer.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { structLayouts } from "../../../uapi/structs.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const CLOEXEC = 8;

Deno.test("openPerfEvent() passes on whom to look at, and the struct's size", () => {
  using fake = new FakeKernel();
  const seen: unknown[][] = [];
  const attr = structBuffer("perf_event_attr").u32("type", 1);
  fake.perfEventOpen = (bytes, ...rest) => {
    assertEquals(bytes, attr.bytes);
    seen.push(rest);
    return fake.newFd();
  };
  using leader = openPerfEvent(attr);
  openPerfEvent(attr, { pid: 0, cpu: 2, group: leader, flags: 1 }).close();
  assertEquals(seen, [[-1, -1, -1, CLOEXEC], [0, 2, leader.fd, CLOEXEC | 1]]);
  assertEquals(attr.getU32("size"), structLayouts.perf_event_attr.size);
  const closed = Fd.own(fake.newFd());
  closed.close();
  assertThrows(() => openPerfEvent(attr, { group: closed }), TypeError, "Cannot use group: it is closed");
  assertEquals(seen.length, 2);
});

Deno.test("openPerfEvent() explains what the kernel refuses", () => {
  using fake = new FakeKernel();
  fake.files.set("/proc/sys/kernel/perf_event_paranoid", "3\n");
  const attr = structBuffer("perf_event_attr");
  for (const name of ["EACCES", "EPERM"] as const) {
    fake.perfEventOpen = () => -errnos[name];
    const error = assertThrows(() => openPerfEvent(attr), PermissionError);
    assertEquals([error.code, error.missing], [name, ["CAP_PERFMON"]]);
    assertMatch(error.message, /kernel\.perf_event_paranoid is 3/);
  }
  for (const name of ["ENOENT", "EOPNOTSUPP", "ENODEV"] as const) {
    fake.perfEventOpen = () => -errnos[name];
    const { cause } = assertThrows(() => openPerfEvent(attr), NotSupportedError, "this perf event");
    assertEquals((cause as SyscallError).code, name);
  }
  fake.perfEventOpen = () => -errnos.EMFILE;
  assertThrows(() => openPerfEvent(attr), SyscallError, "EMFILE");
  assertEquals(fake.openFds.size, 0);
});
