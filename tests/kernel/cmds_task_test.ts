import { assertEquals, assertThrows } from "@std/assert";
import { linkCreate } from "../../cmds/link.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { taskFdQuery } from "../../cmds/task.ts";
import { PermissionError } from "../../errors.ts";
import { kernelTest } from "../_kernel_test.ts";
import {
  arrayMap,
  assertRefused,
  clockEvent,
  libcFunction,
  rootToken,
  simpleProg,
  tracepointEvent,
  trying,
  uprobeEvent,
} from "./_objects.ts";

const { pid } = Deno;

kernelTest("taskFdQuery() tells the program behind a raw tracepoint", {}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_exit" });
  assertEquals(taskFdQuery(token, { pid, fd: link.fd }), {
    progId: objGetInfoByFd(token, prog, { kind: "prog" }).id,
    fdType: "raw_tracepoint",
    name: "sys_exit",
    probeOffset: 0n,
    probeAddress: 0n,
  });
});

kernelTest("taskFdQuery() tells the program behind a perf event of a tracepoint and of a uprobe", {
  needs: [
    "tracefs",
    trying((token) => {
      using event = clockEvent();
      using prog = simpleProg(token, "perf_event");
      return linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" });
    }),
  ],
  tools: ["readelf"],
}, async () => {
  const token = rootToken();
  {
    using prog = simpleProg(token, "tracepoint");
    using event = tracepointEvent("syscalls/sys_enter_getpgid");
    using _link = linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" });
    const { progId, fdType, name } = taskFdQuery(token, { pid, fd: event.fd });
    assertEquals([progId, fdType, name], [
      objGetInfoByFd(token, prog, { kind: "prog" }).id,
      "tracepoint",
      "sys_enter_getpgid",
    ]);
  }
  const { path, offset } = await libcFunction("getpgid");
  using prog = simpleProg(token, "kprobe");
  using event = uprobeEvent(path, offset);
  using _link = linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" });
  assertEquals(taskFdQuery(token, { pid, fd: event.fd }), {
    progId: objGetInfoByFd(token, prog, { kind: "prog" }).id,
    fdType: "uprobe",
    name: path,
    probeOffset: offset,
    probeAddress: 0n,
  });
});

kernelTest("taskFdQuery() fails with the kernel's error number", { needs: ["tracefs"] }, () => {
  const token = rootToken();
  using map = arrayMap(token);
  assertRefused(() => taskFdQuery(token, { pid, fd: map.fd }), "ENOTSUPP", /neither a perf event/);
  assertRefused(() => taskFdQuery(token, { pid, fd: 9999 }), "EBADF", /no such file descriptor/);
  assertRefused(() => taskFdQuery(token, { pid: 0x3fff_ffff, fd: 1 }), "ENOENT", /no such process/);
  using event = tracepointEvent("syscalls/sys_enter_getpgid");
  // No program hangs on it.
  assertRefused(() => taskFdQuery(token, { pid, fd: event.fd }), "ENOENT");
  assertThrows(() => taskFdQuery(token.drop("CAP_SYS_ADMIN") as typeof token, { pid, fd: 1 }), PermissionError);
  assertThrows(() => taskFdQuery(token, { pid: -1, fd: 1 }), RangeError, "pid");
});
