import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  Codec,
  type Fd,
  mapCreate,
  PerfBuffer,
  progLoad,
  progTestRun,
  struct,
  SyscallError,
  u64,
} from "../../mod.ts";
import { onlineCpus } from "../../ffi/cpus.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { constant, interpose, type RootToken, rootToken } from "./_objects.ts";

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const event = struct({ sequence: u64, twice: u64 });

/** A program that sends `{u64 sequence; u64 twice;}` to the perf event of its CPU, or of an element, with each run. */
function perfSender(token: RootToken, map: { fd: number }, key = 0xffffffff): Fd & Disposable {
  const counter = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1 });
  try {
    return progLoad(token, {
      type: "raw_tracepoint",
      license: "GPL",
      insns: asm`
        r6 = r1
        *(u32 *)(r10 -4) = 0
        r1 = map_fd ${counter} ll
        r2 = r10
        r2 += -4
        call map_lookup_elem
        if r0 == 0 goto out
        r7 = *(u64 *)(r0 +0)
        r7 += 1
        *(u64 *)(r0 +0) = r7
        *(u64 *)(r10 -24) = r7
        r7 += r7
        *(u64 *)(r10 -16) = r7
        r1 = r6
        r2 = map_fd ${map.fd} ll
        r3 = ${key} ll
        r4 = r10
        r4 += -24
        r5 = 16
        call perf_event_output
      out:
        r0 = 0
        exit
      `,
    });
  } finally {
    counter.close();
  }
}

/** Runs a tracing program on a CPU. */
function sendOn(token: RootToken, prog: Fd, cpu: number, count = 1): void {
  for (let sent = 0; sent < count; sent++) {
    progTestRun(token, prog, { ctx: new Uint8Array(8), cpu, flags: constant("BPF_F_TEST_RUN_ON_CPU") });
  }
}

kernelTest("PerfBuffer reads samples in order of each CPU, and names the CPU", {}, async () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  using perf = map.open({ pages: 1 });
  using prog = perfSender(token, map);
  const cpus = onlineCpus();
  for (let round = 0; round < 5; round++) for (const cpu of cpus) sendOn(token, prog, cpu);
  const seen = new Map<number, bigint[]>();
  const count = perf.drain((sample, cpu) => {
    const { sequence, twice } = sample.decode(event);
    assertEquals(twice, 2n * sequence);
    seen.set(cpu, [...seen.get(cpu) ?? [], sequence]);
  });
  assertEquals([count, seen.size], [5 * cpus.length, cpus.length]);
  for (const numbers of seen.values()) assertEquals(numbers, numbers.toSorted((a, b) => Number(a - b)));
  const abort = new AbortController();
  setTimeout(() => sendOn(token, prog, cpus.at(-1)!, 3), 20);
  const events: [number, bigint][] = [];
  for await (const { cpu, event: { sequence } } of perf.events(event, { signal: abort.signal })) {
    events.push([cpu, sequence]);
    if (events.length === 3) abort.abort();
  }
  assertEquals(events.map(([cpu]) => cpu), [cpus.at(-1), cpus.at(-1), cpus.at(-1)]);
  assertEquals([perf.lost, [...perf.lostByCpu.values()]], [0, cpus.map(() => 0)]);
});

kernelTest("PerfBuffer follows its rings around, and counts what was lost for want of room", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  using perf = new PerfBuffer(token, map, { pages: 1 });
  using prog = perfSender(token, map);
  const [cpu] = onlineCpus();
  let [next, samples] = [1n, 0];
  // A sample takes 8 + 4 + 16 bytes, rounded up to 32: 1000 of them go around 7 times, and wrap at odd places.
  for (let round = 0; round < 100; round++) {
    sendOn(token, prog, cpu, 10);
    perf.drain((sample) => {
      assertEquals(sample.decode(event), { sequence: next, twice: 2n * next });
      assertEquals(sample.length, 20);
      next++;
      samples++;
    });
  }
  assertEquals([samples, perf.lost], [1000, 0]);
  sendOn(token, prog, cpu, 300);
  let kept = perf.drain(() => {});
  assertLess(kept, 300);
  // The kernel tells of the loss with the next sample that finds room.
  sendOn(token, prog, cpu, 1);
  kept += perf.drain(() => {});
  assertEquals([kept + perf.lost, perf.lostByCpu.get(cpu)], [301, perf.lost]);
});

kernelTest("PerfBuffer wakes a reader after as many samples as was asked for", {}, async () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  using perf = map.open({ pages: 8, wakeupEvents: 10 });
  using prog = perfSender(token, map);
  const [cpu] = onlineCpus();
  const seen: number[] = [];
  const abort = new AbortController();
  const reading = (async () => {
    for await (const { event: { sequence } } of perf.events(event, { signal: abort.signal })) {
      seen.push(Number(sequence));
    }
  })();
  await delay(20);
  sendOn(token, prog, cpu, 9);
  await delay(50 * SLOWNESS);
  assertEquals(seen, []);
  sendOn(token, prog, cpu, 1);
  await delay(100 * SLOWNESS);
  assertEquals(seen.length, 10);
  abort.abort();
  await reading;
});

kernelTest("PerfBuffer tells when samples were sent, around its rings too", {}, async () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  using perf = map.open({ pages: 1, timestamps: true });
  using prog = perfSender(token, map);
  const [cpu] = onlineCpus();
  let [next, last] = [1n, 0n];
  // A sample takes 8 + 8 + 4 + 16 bytes, rounded up to 40: 1000 of them go around 9 times, and wrap at odd places.
  for (let round = 0; round < 100; round++) {
    sendOn(token, prog, cpu, 10);
    perf.drain((sample, _, time) => {
      assertEquals(sample.decode(event), { sequence: next, twice: 2n * next });
      assertEquals(sample.length, 20);
      assert(time !== undefined && time >= last, `${time} is before ${last}`);
      last = time;
      next++;
    });
  }
  assertEquals(next, 1001n);
  // perf's clock began about when the system did.
  const uptime = Number((await Deno.readTextFile("/proc/uptime")).split(" ")[0]);
  assertLess(Math.abs(Number(last) / 1e9 - uptime), 5 * SLOWNESS);
  sendOn(token, prog, cpu);
  for await (const { event: { sequence }, time } of perf.events(event)) {
    assertEquals(sequence, 1001n);
    assert(time !== undefined && time > last);
    break;
  }
  // What was read while somebody closes is there, and its time with it.
  sendOn(token, prog, cpu);
  class Closing extends Codec<bigint> {
    constructor() {
      super("closing", 16);
    }
    decode(view: DataView<ArrayBuffer>, offset: number): bigint {
      perf.close();
      return event.decode(view, offset).sequence;
    }
    encode(): void {}
  }
  const [seen] = await Array.fromAsync(perf.events(new Closing()));
  assertEquals(seen.event, 1002n);
  assert(seen.time !== undefined && seen.time > last);
});

kernelTest("PerfBuffer reads the CPUs that it is told, from the elements that it is told", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  const cpus = onlineCpus();
  const [cpu, other] = [cpus.at(-1)!, cpus[0]];
  {
    using perf = map.open({ cpus: [cpu] });
    using prog = perfSender(token, map);
    for (const one of cpus) sendOn(token, prog, one);
    const seen: number[] = [];
    perf.drain((_, from) => seen.push(from));
    assertEquals([seen, [...perf.lostByCpu.keys()]], [[cpu], [cpu]]);
    assertEquals(map.delete(other), other === cpu);
  }
  using perf = map.open({ cpus: [cpu], keys: [63] });
  using prog = perfSender(token, map, 63);
  sendOn(token, prog, cpu, 2);
  assertEquals(perf.drain((_, from) => assertEquals(from, cpu)), 2);
  perf.close();
  assertEquals(map.delete(63), false);
  assertThrows(() => map.open({ cpus: [cpu], keys: [64] }), RangeError, `CPU ${cpu} needs element 64`);
  assertThrows(() => map.open({ cpus: [cpu], keys: [0, 1] }), RangeError, "1 CPUs need as many different keys");
  assertThrows(() => map.open({ cpus: [cpu, other], keys: [1, 1] }), RangeError, "2 CPUs need as many different keys");
  assertThrows(() => map.open({ cpus: [cpu, cpu], keys: [0, 1] }), RangeError, "a CPU is in cpus twice");
  assertThrows(() => map.open({ cpus: [cpu], keys: [-1] }), RangeError, "needs element -1");
  assertThrows(() => map.open({ cpus: [4095], keys: [1] }), Error);
});

kernelTest("PerfBuffer takes its events out of the map, and refuses what cannot be", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "perf_event_array", maxEntries: 64 });
  const perf = map.open();
  const [cpu] = onlineCpus();
  perf.close();
  assertEquals(map.delete(cpu), false);
  assertThrows(() => perf.drain(() => {}), TypeError, "Cannot read a perf buffer: it is closed");
  assertThrows(() => perf.events(), TypeError, "it is closed");
  assertThrows(() => map.open({ pages: 3 }), RangeError, "pages 3 is not a power of two");
  assertThrows(() => map.open({ pages: 0 }), RangeError, "pages 0");
  using hash = minimalMap(token, "hash");
  assertThrows(() => new PerfBuffer(token, hash), TypeError, "the map is of type hash");
  if (onlineCpus().length > 1) {
    using small = BpfMap.create(token, { type: "perf_event_array", maxEntries: 1 });
    assertThrows(() => small.open(), RangeError, "the map has 1 elements, and CPU 1 needs element 1");
  }
  // Where a step fails, nothing stays open: the ledger of descriptors is checked at the end.
  let updates = 0;
  using _kernel = interpose(() => {}, (command) => command === 2 && ++updates === 2 ? -12 : undefined);
  if (onlineCpus().length > 1) assertThrows(() => map.open(), SyscallError, "ENOMEM");
});
