import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { mapLookupElem } from "../../cmds/map_elem.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progStreamRead, progTestRun } from "../../cmds/prog_run.ts";
import { allocate } from "../../ffi/memory.ts";
import { structBuffer } from "../../ffi/struct_buffer.ts";
import { kernelTest } from "../_kernel_test.ts";
import {
  arrayMap,
  assertLacking,
  assertRefused,
  constant,
  returning,
  rootToken,
  simpleProg,
  socketFilter,
  toU32s,
  trying,
  u32s,
} from "./_objects.ts";
import { printer, streamMemory } from "./_printer.ts";
import { minimalProg } from "./_prog_types.ts";

/** Says where programs have no streams. */
const lacksStreams = trying((token) => progStreamRead(token, 9999, { stream: "stdout", buffer: allocate(1) }));

kernelTest("progTestRun() runs a program on a packet, and gives what it returned and wrote", {}, () => {
  const token = rootToken();
  // Returns the packet's length, and overwrites its first byte.
  using prog = progLoad(token, {
    type: "xdp",
    license: "GPL",
    insns: asm`
      r2 = *(u32 *)(r1 +0)
      r3 = *(u32 *)(r1 +4)
      r0 = 0
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      *(u8 *)(r2 +0) = 0x77
      r0 = r3
      r0 -= r2
    out:
      exit
    `,
  });
  const data = allocate(60).fill(0x11);
  const memory = allocate(200).fill(0xa5);
  const dataOut = memory.subarray(50, 150);
  const result = progTestRun(token, prog, { data, dataOut });
  assertEquals(result.returnValue, 60);
  assertEquals(result.data, data.map((byte, index) => index === 0 ? 0x77 : byte));
  assert([...memory.subarray(0, 50), ...memory.subarray(110)].every((byte) => byte === 0xa5));
  assertGreater(progTestRun(token, prog, { data, repeat: 1000 }).durationNs, 0);
  assertRefused(() => progTestRun(token, prog, { data, dataOut: allocate(10) }), "ENOSPC", /too small/);
});

kernelTest("progTestRun() takes a context, and gives it back", {}, () => {
  const token = rootToken();
  using prog = progLoad(token, {
    type: "sched_cls",
    license: "GPL",
    insns: asm`
      r0 = *(u32 *)(r1 +8)
      r2 = 99
      *(u32 *)(r1 +8) = r2
      exit
    `,
  });
  const skb = structBuffer("__sk_buff").u32("mark", 7);
  assertEquals(skb.offset("mark"), 8);
  const ctxOut = allocate(skb.bytes.length);
  const result = progTestRun(token, prog, { data: allocate(64), ctx: skb.bytes, ctxOut });
  assertEquals([result.returnValue, toU32s(result.ctx)[2]], [7, 99]);
});

kernelTest("progTestRun() runs raw tracepoints on the CPU that it is told", {}, () => {
  const token = rootToken();
  using prog = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      call get_smp_processor_id
      exit
    `,
  });
  const flags = constant("BPF_F_TEST_RUN_ON_CPU");
  const cpus = navigator.hardwareConcurrency;
  for (let cpu = 0; cpu < cpus; cpu++) assertEquals(progTestRun(token, prog, { flags, cpu }).returnValue, cpu);
  assertRefused(() => progTestRun(token, prog, { flags, cpu: 100_000 }), "ENXIO");
});

kernelTest("progTestRun() runs syscall programs, which write into their context", {
  needs: [trying((token) => minimalProg(token, "syscall"))],
}, () => {
  const token = rootToken();
  using prog = progLoad(token, {
    type: "syscall",
    license: "GPL",
    flags: constant("BPF_F_SLEEPABLE"),
    insns: asm`
      r2 = *(u64 *)(r1 +0)
      r2 += 1
      *(u64 *)(r1 +0) = r2
      r0 = 5
      exit
    `,
  });
  const ctx = u32s(41, 0);
  assertEquals(progTestRun(token, prog, { ctx }).returnValue, 5);
  // Only these programs change ctx itself.
  assertEquals(toU32s(ctx), [42, 0]);
});

kernelTest("progTestRun() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  using filter = socketFilter(token, 1);
  assertRefused(() => progTestRun(token, filter), "EINVAL", /does not suit/);
  assertRefused(() => progTestRun(token, filter, { data: allocate(64), flags: 1 << 30 }), "EINVAL");
  assertRefused(() => progTestRun(token, filter, { data: allocate(64), ctx: u32s(5) }), "EINVAL");
  assertRefused(() => progTestRun(token, 9999, { data: allocate(64) }), "EBADF");
  using device = simpleProg(token, "cgroup_device", { value: 1 });
  assertRefused(() => progTestRun(token, device, { data: allocate(64) }), "ENOTSUPP", /cannot be run/);
  using map = arrayMap(token);
  assertRefused(() => progTestRun(token, map, { data: allocate(64) }), "EINVAL");
  assertThrows(() => progTestRun(token, filter, { data: allocate(64), repeat: -1 }), RangeError, "repeat");
  assertEquals(mapLookupElem(token, map, { key: u32s(9) }), undefined);
});

kernelTest("progStreamRead() reads nothing where a program printed nothing", {}, () => {
  const token = rootToken();
  if (lacksStreams() !== undefined) {
    using filter = socketFilter(token);
    assertLacking(
      () => progStreamRead(token, filter, { stream: "stdout", buffer: allocate(16) }),
      "BPF_PROG_STREAM_READ_BY_FD",
      "6.17",
    );
    return;
  }
  using prog = minimalProg(token, "syscall");
  assertEquals(progStreamRead(token, prog, { stream: "stdout", buffer: allocate(64) }), allocate(0));
  assertEquals(progStreamRead(token, prog, { stream: "stderr", buffer: allocate(64) }), allocate(0));
  assertRefused(() => progStreamRead(token, prog, { stream: 7, buffer: allocate(64) }), "ENOENT", /no such stream/);
  assertRefused(() => progStreamRead(token, 9999, { stream: 1, buffer: allocate(64) }), "EBADF");
  assertThrows(
    () => progStreamRead(token, prog, { stream: "stdin" as "stdout", buffer: allocate(1) }),
    TypeError,
    "stdin",
  );
});

kernelTest("progStreamRead() reads what a program printed to each stream", {
  needs: ["btf", streamMemory],
}, () => {
  const token = rootToken();
  using prog = printer(token);
  for (const stream of [1, 2]) assertEquals(progTestRun(token, prog, { ctx: u32s(stream, 0) }).returnValue, 0);
  const read = (stream: "stdout" | "stderr", buffer: Uint8Array<ArrayBuffer>): string =>
    new TextDecoder().decode(progStreamRead(token, prog, { stream, buffer }));
  const memory = allocate(100).fill(0xa5);
  assertEquals(read("stdout", memory.subarray(10, 20)), "number 471");
  assert([...memory.subarray(0, 10), ...memory.subarray(20)].every((byte) => byte === 0xa5));
  // What was read is gone.
  assertEquals(read("stdout", allocate(100)), "1 on 1\n");
  assertEquals(read("stdout", allocate(100)), "");
  assertEquals(read("stderr", allocate(100)), "number 4711 on 2\n");
});

kernelTest("every kind of network program that can be run by hand returns what it should", {}, () => {
  const token = rootToken();
  let ran = 0;
  for (const type of ["socket_filter", "sched_cls", "sched_act", "xdp", "cgroup_skb", "lwt_in", "lwt_xmit"] as const) {
    using prog = minimalProg(token, type, { insns: returning(1) });
    assertEquals(progTestRun(token, prog, { data: allocate(64) }).returnValue, 1, type);
    ran++;
  }
  assertEquals(ran, 7);
});
