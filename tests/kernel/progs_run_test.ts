import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { linkCreate } from "../../cmds/link.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { u32, u64 } from "../../codec.ts";
import { NotSupportedError, PermissionError, SyscallError } from "../../errors.ts";
import { addressOf, allocate } from "../../ffi/memory.ts";
import { type ArrayMap, BpfMap } from "../../maps/mod.ts";
import { Program } from "../../progs/mod.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { eventually, returning, rootToken, toU32s, trying, u32s, u64s, veth } from "./_objects.ts";

/** An Ethernet frame of 64 bytes with an IPv4 header. */
function frame(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(64);
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
  bytes.set([0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 14);
  return bytes;
}

kernelTest("Program.run() runs XDP programs: value, packet, context, duration", {}, () => {
  const token = rootToken();
  // Writes 0xab into the packet's first byte and cuts four bytes off its end.
  using prog = Program.load(token, {
    type: "xdp",
    license: "GPL",
    insns: asm`
      r6 = r1
      r2 = -4
      call xdp_adjust_tail
      r2 = *(u32 *)(r6 +0)
      r3 = *(u32 *)(r6 +4)
      r4 = r2
      r4 += 1
      if r4 > r3 goto out
      *(u8 *)(r2 +0) = 0xab
    out:
      r0 = 3
      exit
    `,
  });
  const data = frame();
  const { returnValue, data: left } = prog.run({ data });
  assertEquals([returnValue, left.length, left[0], data[0]], [3, 60, 0xab, 2]);
  assertEquals(left.subarray(1), data.subarray(1, 60));
  const timed = prog.run({ data: new Uint8Array(4096).subarray(0, 3000), repeat: 1 });
  assertEquals(timed.data.length, 2996);
  assertThrows(() => prog.run({ data, dataOutSize: 20 }), SyscallError, "ENOSPC");
  using idle = Program.load(token, { type: "xdp", license: "GPL", insns: returning(2) });
  assertGreater(idle.run({ data, repeat: 100_000 }).durationNs, 0);
  if (kernelSince("5.15")() === undefined) {
    const ctx = u32s(0, 64, 0, 0, 0, 0);
    assertEquals(toU32s(idle.run({ data, ctx }).ctx).slice(0, 2), [0, 64]);
  }
  assertThrows(() => prog.run({ data, repeat: 0 }), RangeError, "Cannot use repeat: 0");
  assertThrows(() => prog.run({ data, flags: ["fast" as never] }), TypeError, 'Cannot use flags: "fast"');
  // Kernels before 6.1 take packets that are shorter than an Ethernet header.
  if (kernelSince("6.1")() === undefined) {
    assertThrows(() => prog.run({ data: new Uint8Array(4) }), SyscallError, "EINVAL");
  }
});

kernelTest("Program.run() gives tc programs a __sk_buff and takes it back", {}, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "sched_cls",
    license: "GPL",
    insns: asm`
      r2 = *(u32 *)(r1 +8)   ; mark
      r2 += 1
      *(u32 *)(r1 +8) = r2
      r3 = 99
      *(u32 *)(r1 +48) = r3  ; cb[0]
      r0 = *(u32 *)(r1 +0)   ; len
      exit
    `,
  });
  const ctx = u32s(...new Array(48).fill(0));
  new DataView(ctx.buffer).setUint32(8, 41, true);
  const result = prog.run({ data: frame(), ctx });
  const after = toU32s(result.ctx);
  assertEquals([result.returnValue, after[2], after[12]], [64, 42, 99]);
  assertEquals(result.data, frame());
});

kernelTest("Program.run() runs socket filters and flow dissectors", {}, () => {
  const token = rootToken();
  using filter = Program.load(token, { type: "socket_filter", license: "GPL", insns: returning(33) });
  assertEquals(filter.run({ data: frame() }).returnValue, 33);
  using dissector = Program.load(token, {
    type: "flow_dissector",
    license: "GPL",
    insns: asm`
      r2 = *(u64 *)(r1 +144)       ; flow_keys
      *(u16 *)(r2 +2) = 34         ; thoff
      r0 = 0
      exit
    `,
  });
  const { returnValue, data } = dissector.run({ data: frame() });
  // What it leaves is a struct bpf_flow_keys: nhoff and thoff first.
  const keys = new DataView(data.buffer, data.byteOffset, data.length);
  // Kernels before 6.0 return whether it went well instead of what it returned.
  const went = kernelSince("6.0")() === undefined ? 0 : 1;
  assertEquals([returnValue, keys.getUint16(0, true), keys.getUint16(2, true)], [went, 14, 34]);
});

kernelTest("Program.run() runs raw tracepoints, on a CPU that is named", { needs: [kernelSince("5.10")] }, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
  using prog = Program.load(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      r6 = *(u64 *)(r1 +0)
      r7 = *(u64 *)(r1 +8)
      r6 += r7
      call get_smp_processor_id
      r1 = map_value ${map} ll
      *(u64 *)(r1 +0) = r0
      r0 = r6
      exit
    `,
  });
  assertEquals(prog.run({ ctx: u64s(40n, 2n) }).returnValue, 42);
  for (const cpu of [1, 0]) {
    assertEquals(prog.run({ ctx: u64s(1n, 2n), cpu }).returnValue, 3);
    assertEquals(map.get(0), BigInt(cpu));
  }
  assertThrows(() => prog.run({ ctx: u64s(1n, 2n), cpu: 4095 }), SyscallError);
});

kernelTest("Program.run() gives the context of syscall programs back", { needs: [kernelSince("5.14")] }, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "syscall",
    license: "GPL",
    flags: ["sleepable"],
    insns: asm`
      r2 = *(u64 *)(r1 +0)
      r2 += 1
      *(u64 *)(r1 +8) = r2
      r0 = 5
      exit
    `,
  });
  const ctx = u64s(7n, 0n);
  const result = prog.run({ ctx });
  assertEquals([result.returnValue, result.ctx], [5, u64s(7n, 8n)]);
  assertEquals(ctx, u64s(7n, 0n));
});

kernelTest("Program.run() runs sk_lookup programs", { needs: [kernelSince("5.12")] }, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "sk_lookup",
    expectedAttachType: "sk_lookup",
    license: "GPL",
    insns: asm`
      r0 = 1
      r2 = *(u32 *)(r1 +8)
      if r2 == 2 goto out
      r0 = 0
    out:
      exit
    `,
  });
  // struct bpf_sk_lookup: the socket, the family, the protocol.
  const ctx = allocate(72);
  new DataView(ctx.buffer).setUint32(8, 2, true);
  new DataView(ctx.buffer).setUint32(12, 6, true);
  assertEquals(prog.run({ ctx }).returnValue, 1);
});

const lacksNetfilter: Probe = () =>
  kernelSince("6.4")() ?? trying((token) =>
    Program.load(token, {
      type: "netfilter",
      expectedAttachType: "netfilter",
      license: "GPL",
      insns: returning(1),
    }).descriptor
  )();

kernelTest("Program.run() runs netfilter programs", { needs: [lacksNetfilter] }, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "netfilter",
    expectedAttachType: "netfilter",
    license: "GPL",
    insns: returning(1),
  });
  assertEquals(prog.run({ data: frame() }).returnValue, 1);
});

/** A program on one of the kernel's functions that exist to be traced; undefined where the kernel patches none. */
function traced(insns: Uint8Array<ArrayBuffer>): Program<"tracing"> | undefined {
  const token = rootToken();
  try {
    return Program.load(token, {
      type: "tracing",
      expectedAttachType: "trace_fentry",
      attachTo: "bpf_fentry_test1",
      license: "GPL",
      insns,
    });
  } catch (error) {
    if (error instanceof PermissionError || error instanceof SyscallError || error instanceof TypeError) {
      return undefined;
    }
    throw error;
  }
}

function lacksTrampolines(): string | undefined {
  try {
    using prog = traced(returning(0));
    if (prog === undefined) return "no tracing of functions on this kernel";
    using _link = rawTracepointOpen(rootToken(), prog);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

kernelTest("Program.run() calls what fentry programs trace", { needs: ["btf", lacksTrampolines] }, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
  // bpf_fentry_test1(int a) is called with 1.
  using prog = traced(asm`
    r2 = *(u64 *)(r1 +0)
    r1 = map_value ${map} ll
    *(u64 *)(r1 +0) = r2
    r0 = 0
    exit
  `);
  assert(prog !== undefined);
  using _link = rawTracepointOpen(token, prog);
  assertEquals([prog.run().returnValue, map.get(0)], [0, 1n]);
});

kernelTest("info.recursionMisses counts the runs that were left out", {
  needs: ["btf", kernelSince("5.12"), lacksTrampolines],
}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4 });
  map.set(1, 1n);
  map.set(2, 2n);
  // Traces what deletes elements, and deletes one itself.
  using prog = Program.load(token, {
    type: "tracing",
    expectedAttachType: "trace_fentry",
    attachTo: "htab_map_delete_elem",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 2
      r1 = map_fd ${map} ll
      r2 = r10
      r2 += -4
      call map_delete_elem
      r0 = 0
      exit
    `,
  });
  assertEquals(prog.info.recursionMisses, 0n);
  using _link = rawTracepointOpen(token, prog);
  map.delete(1);
  assertEquals([map.count(), prog.info.recursionMisses], [0, 1n]);
});

const lacksDummyOps: Probe = () =>
  kernelSince("5.16")() ?? (() => {
    try {
      Program.load(rootToken(), {
        type: "struct_ops",
        attachTo: { name: "bpf_dummy_ops", member: "test_1" },
        license: "GPL",
        insns: returning(0),
      }).close();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  })();

kernelTest("Program.run() runs programs of bpf_dummy_ops", { needs: ["btf", lacksDummyOps] }, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "struct_ops",
    attachTo: { name: "bpf_dummy_ops", member: "test_1" },
    license: "GPL",
    insns: asm`
      r1 = *(u64 *)(r1 +0)
      r0 = 0
      if r1 == 0 goto out
      r0 = *(u32 *)(r1 +0)
      *(u32 *)(r1 +0) = 0x5a
    out:
      exit
    `,
  });
  const state = u32s(0xabc);
  try {
    assertEquals([prog.run({ ctx: u64s(addressOf(state)) }).returnValue, state[0]], [0xabc, 0x5a]);
  } catch (error) {
    // It runs through a trampoline, which not every kernel makes.
    if (lacksTrampolines() === undefined || error instanceof NotSupportedError) throw error;
    assert(error instanceof SyscallError || error instanceof PermissionError, String(error));
  }
});

kernelTest("Program.run() says which programs cannot be run", {}, () => {
  const token = rootToken();
  using prog = Program.load(token, { type: "kprobe", license: "GPL", insns: returning(0) });
  assertThrows(() => prog.run({ data: frame() }), SyscallError, "ENOTSUPP");
});

kernelTest("Program.run() sends live frames out of a device", {
  needs: ["netns", kernelSince("5.18")],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  using counts = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 }) as ArrayMap<bigint>;
  using counter = Program.load(token, {
    type: "xdp",
    license: "GPL",
    insns: asm`
      r2 = *(u32 *)(r1 +0)
      r3 = *(u32 *)(r1 +4)
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      r4 = *(u8 *)(r2 +11)
      if r4 != 0x77 goto out
      r1 = map_value ${counts} ll
      r2 = 1
      lock *(u64 *)(r1 +0) += r2
    out:
      r0 = 1
      exit
    `,
  });
  using _link = linkCreate(token, { prog: counter, target: { ifindex: pair.ifindexes[1] }, attachType: "xdp" });
  using sender = Program.load(token, { type: "xdp", license: "GPL", insns: returning(3) });
  const data = frame();
  data[11] = 0x77;
  const ctx = u32s(0, 64, 0, pair.ifindexes[0], 0, 0);
  const result = sender.run({ data, ctx, flags: ["xdp_live_frames"], repeat: 1000, batchSize: 32 });
  assertEquals([result.data.length, result.ctx.length], [0, 0]);
  assert(await eventually(() => counts.get(0) === 1000n), `${counts.get(0)} of 1000 frames came`);
  const tooMany = { data, ctx, flags: ["xdp_live_frames"], batchSize: 4096 } as const;
  assertThrows(() => sender.run(tooMany), SyscallError, "E2BIG");
});
