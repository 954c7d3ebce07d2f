import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  Btf,
  BtfBuilder,
  btfLoad,
  Codec,
  type Fd,
  mapCreate,
  mergeEvents,
  PerfBuffer,
  PermissionError,
  progLoad,
  progTestRun,
  type RecordView,
  RingBuffer,
  struct,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { onlineCpus } from "../../ffi/cpus.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { constant, interpose, type RootToken, rootToken, trying, u32s } from "./_objects.ts";

const PACKET = new Uint8Array(64);
const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const event = struct({ sequence: u64, twice: u64 });

/** A program that sends `{u64 sequence; u64 twice;}` with each run, counting up from 1 in an array. */
function ringSender(
  token: RootToken,
  ring: { fd: number },
  size = 16,
): { prog: Fd; failures: () => bigint } & Disposable {
  const counter = BpfMap.create(token, { type: "array", value: struct({ count: u64, failures: u64 }), maxEntries: 1 });
  const prog = progLoad(token, {
    type: "socket_filter",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${counter} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r6 = r0
      r7 = *(u64 *)(r6 +0)
      r7 += 1
      *(u64 *)(r6 +0) = r7
      r1 = map_fd ${ring.fd} ll
      r2 = ${size}
      r3 = 0
      call ringbuf_reserve
      if r0 == 0 goto failed
      *(u64 *)(r0 +0) = r7
      r7 += r7
      *(u64 *)(r0 +8) = r7
      r1 = r0
      r2 = 0
      call ringbuf_submit
      r0 = 0
      goto out
    failed:
      r1 = *(u64 *)(r6 +8)
      r1 += 1
      *(u64 *)(r6 +8) = r1
    out:
      r0 = 0
      exit
    `,
  });
  return {
    prog,
    failures: () => counter.get(0)!.failures,
    [Symbol.dispose]: () => {
      prog.close();
      counter.close();
    },
  };
}

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

function send(token: RootToken, prog: Fd, count: number): void {
  progTestRun(token, prog, { data: PACKET, repeat: count });
}

/** Runs a tracing program on a CPU. */
function sendOn(token: RootToken, prog: Fd, cpu: number, count = 1): void {
  for (let sent = 0; sent < count; sent++) {
    progTestRun(token, prog, { ctx: new Uint8Array(8), cpu, flags: constant("BPF_F_TEST_RUN_ON_CPU") });
  }
}

kernelTest("RingBufferMap.drain() hands out one record after the other, in place", {}, () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using sender = ringSender(token, ring);
  send(token, sender.prog, 5);
  const seen: unknown[] = [];
  let kept: RecordView | undefined;
  const count = ring.drain((record) => {
    kept = record;
    seen.push([record.length, record.getBigUint64(0), record.decode(u32, 8), record.decode(event), record.bytes(8)]);
    assertThrows(() => record.getBigUint64(9), RangeError, "bytes 9 to 17 are outside of its 16");
    assertThrows(() => record.getUint8(-1), RangeError, "are outside");
    assertThrows(() => record.getUint32(NaN), RangeError, "are outside");
    assertEquals(record.getUint16(0.5), record.getUint16(0));
    assertThrows(() => record.decode(struct({ a: event, b: u32 })), RangeError, "are outside of its 16");
  });
  assertEquals(count, 5);
  assertEquals(
    seen,
    [1n, 2n, 3n, 4n, 5n].map((sequence) => {
      const twice = new Uint8Array(new BigUint64Array([2n * sequence]).buffer);
      return [16, sequence, Number(2n * sequence), { sequence, twice: 2n * sequence }, twice];
    }),
  );
  assertThrows(() => kept!.getUint8(0), RangeError, "are outside of its 0");
  assertEquals(ring.positions, { consumer: 120, producer: 120, available: 0, size: 4096, lost: 0 });
});

kernelTest("RingBuffer hands codecs of one's own a copy, which they may write to", {}, () => {
  class Scribbler extends Codec<number> {
    decode(view: DataView<ArrayBuffer>, offset: number): number {
      const value = view.getUint32(offset, true);
      for (let at = 0; at < view.byteLength; at++) view.setUint8(at, 0xff);
      return value;
    }
    encode(): void {}
  }
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using sender = ringSender(token, ring);
  send(token, sender.prog, 3);
  const scribbler = new Scribbler("scribbler", 8);
  const seen: number[] = [];
  ring.drain((record) => {
    seen.push(record.decode(scribbler), record.decode(struct({ inner: scribbler })).inner, record.getUint32(0));
  });
  assertEquals(seen, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
});

kernelTest("RingBufferMap.events() decodes, and tells of records that are too short", {}, async () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using sender = ringSender(token, ring);
  send(token, sender.prog, 3);
  const abort = new AbortController();
  const seen: bigint[] = [];
  setTimeout(() => send(token, sender.prog, 2), 20);
  for await (const { sequence, twice } of ring.events(event, { signal: abort.signal })) {
    assertEquals(twice, 2n * sequence);
    if (seen.push(sequence) === 5) abort.abort();
  }
  assertEquals(seen, [1n, 2n, 3n, 4n, 5n]);
  send(token, sender.prog, 1);
  const long = ring.events(struct({ all: event, more: u64 }));
  await assertRejects(() => long.next(), RangeError, "bytes 0 to 24 are outside of its 16");
  // That record counts as read.
  send(token, sender.prog, 1);
  const stream = ring.events(event);
  assertEquals((await stream.next()).value?.sequence, 7n);
  await stream.return();
  await long.return();
});

kernelTest("EventStream answers calls of next() in their order, whoever waits", {}, async () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using sender = ringSender(token, ring);
  await using stream = ring.events(event);
  const asked = [stream.next(), stream.next(), stream.next()];
  await delay(10);
  send(token, sender.prog, 3);
  assertEquals((await Promise.all(asked)).map(({ value }) => value?.sequence), [1n, 2n, 3n]);
  const waiting = stream.next();
  await delay(10);
  await stream.return();
  assertEquals([(await waiting).done, (await stream.next()).done], [true, true]);
});

kernelTest("mergeEvents() reads several buffers with one wait, each in its order", {}, async () => {
  const token = rootToken();
  using first = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using second = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using one = ringSender(token, first);
  using two = ringSender(token, second);
  const abort = new AbortController();
  const seen = { one: [] as bigint[], two: [] as bigint[] };
  const timer = setInterval(() => {
    send(token, one.prog, 3);
    send(token, two.prog, 2);
  }, 5);
  const sources = { one: first.source(event), two: second.source(event) };
  for await (const [name, { sequence }] of mergeEvents(sources, { signal: abort.signal })) {
    seen[name].push(sequence);
    if (seen.one.length >= 30 && seen.two.length >= 20) abort.abort();
  }
  clearInterval(timer);
  for (const numbers of [seen.one, seen.two]) {
    assertEquals(numbers, numbers.map((_, index) => BigInt(index + 1)));
    assertGreater(numbers.length, 15);
  }
});

kernelTest(
  "mergeEvents() goes on without a buffer that is closed, waits without spinning, and ends with the last",
  {},
  async () => {
    const token = rootToken();
    const first = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
    const second = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
    using two = ringSender(token, second);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const [name] of mergeEvents({ one: first.source(event), two: second.source(event) })) seen.push(name);
    })();
    await delay(20);
    first.close();
    await delay(20);
    send(token, two.prog, 1);
    await delay(50);
    assertEquals(seen, ["two"]);
    second.close();
    await reading;
  },
);

kernelTest("RingBuffer tells programs of room early enough that a slow reader loses nothing unseen", {}, () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  using sender = ringSender(token, ring);
  // 170 records of 24 bytes fit; each that is read makes room for another, at the latest a sixteenth of the ring later.
  send(token, sender.prog, 200);
  const failed = Number(sender.failures());
  assertEquals(failed, 200 - Math.floor(4095 / 24));
  let [read, last] = [0, 0n];
  ring.drain((record) => {
    const sequence = record.getBigUint64(0);
    assertGreater(sequence, last);
    last = sequence;
    if (++read % 20 === 0) send(token, sender.prog, 5);
  });
  assertEquals(Number(sender.failures()) - failed < 10, true);
  read += ring.drain(() => {});
  const sent = 200 + Math.floor(Math.floor(4095 / 24) / 20) * 5;
  assertEquals(read + Number(sender.failures()), sent);
});

kernelTest("RingBuffer with rb_overwrite keeps the newest records, and tells what was lost", {
  needs: [
    trying((token) => BpfMap.create(token, { type: "ringbuf", maxEntries: 4096, flags: ["rb_overwrite"] }).descriptor),
  ],
}, async () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096, flags: ["rb_overwrite"] });
  using sender = ringSender(token, ring);
  send(token, sender.prog, 10);
  const read = (): number[] => {
    const numbers: number[] = [];
    ring.drain((record) => numbers.push(Number(record.getBigUint64(0))));
    return numbers;
  };
  assertEquals(read(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  send(token, sender.prog, 1000);
  assertEquals(sender.failures(), 0n);
  const kept = read();
  assertEquals(kept.at(-1), 1010);
  assertEquals(kept, kept.map((_, index) => kept[0] + index));
  assertGreater(kept.length, 100);
  assertEquals(ring.positions.lost, 24 * (1000 - kept.length));
  assertEquals(read(), []);
  // Left far behind, a reader is woken all the same: by what comes after it has caught up.
  send(token, sender.prog, 1000);
  await using events = ring.events(event);
  for (let number = 2010 - kept.length + 1; number <= 2010; number++) {
    assertEquals((await events.next()).value?.sequence, BigInt(number));
  }
  const next = events.next();
  await delay(20);
  send(token, sender.prog, 1);
  assertEquals((await next).value?.sequence, 2011n);
  // What a callback takes its time for is overwritten meanwhile, and not read half old, half new.
  send(token, sender.prog, 100);
  const slow: bigint[] = [];
  ring.drain((record) => {
    const { sequence, twice } = record.decode(event);
    assertEquals(twice, 2n * sequence);
    slow.push(sequence);
    send(token, sender.prog, 50);
  });
  assertEquals(slow, slow.toSorted((a, b) => Number(a - b)));
  assertGreater(slow.length, 99);
});

kernelTest(
  "RingBuffer has the ring's positions where the kernel's struct bpf_ringbuf has them",
  { needs: ["btf"] },
  () => {
    const btf = Btf.parse(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
    const id = btf.find("struct", "bpf_ringbuf");
    assert(id !== undefined);
    const places = new Map(btf.members(id).map(({ name, bitsOffset }) => [name, bitsOffset / 8]));
    const producer = places.get("producer_pos")!;
    // A page each for the reader's and the writers' positions, then the data.
    assertEquals([producer % 4096, places.get("consumer_pos"), places.get("data")], [
      0,
      producer - 4096,
      producer + 4096,
    ]);
    const overwrites = trying((token) => minimalMap(token, "ringbuf", { flags: constant("BPF_F_RB_OVERWRITE") }))();
    assertEquals(places.get("overwrite_pos"), overwrites === undefined ? producer + 16 : undefined);
  },
);

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

kernelTest("UserRingBuffer writes what a program drains, in its order, discarded records left out", {
  needs: [trying((token) => minimalMap(token, "user_ringbuf"))],
}, async () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
  using sums = BpfMap.create(token, { type: "array", value: u64, maxEntries: 2 });
  const insns = drainer(ring, sums);
  // A function that is passed to a helper has to have a type.
  const types = new BtfBuilder();
  const long = types.int("long", 8, "signed");
  const main = types.func("main", types.funcProto(long, []), "static");
  const params = [{ name: "dynptr", typeId: long }, { name: "context", typeId: long }];
  const callback = types.func("callback", types.funcProto(long, params), "static");
  using btf = btfLoad(token, types.bytes());
  const funcInfo = { records: u32s(0, main, CALLBACK_AT, callback), size: 8 };
  using prog = progLoad(token, { type: "socket_filter", license: "GPL", insns, btf: { fd: btf, funcInfo } });
  const drained = (): number => progTestRun(token, prog, { data: PACKET }).returnValue | 0;
  assertEquals([drained(), ring.available], [0, 4096]);
  for (let number = 1n; number <= 10n; number++) assertEquals(ring.write(u64, number), true);
  const slot = ring.reserve(8)!;
  slot.bytes.set([200, 1]);
  slot.discard();
  assertThrows(() => slot.submit(), TypeError, "submitted or discarded before");
  {
    using lost = ring.reserve(8);
    assertEquals(lost?.bytes, new Uint8Array(8));
    using empty = ring.reserve(0);
    assertEquals(empty?.bytes.length, 0);
  }
  assertEquals([drained(), sums.get(0)], [10, 55n]);
  // A record that is reserved holds up those after it.
  const busy = ring.reserve(8)!;
  ring.write(u64, 100n);
  assertEquals([drained(), sums.get(0)], [0, 55n]);
  busy.bytes[0] = 5;
  busy.submit();
  assertEquals([drained(), sums.get(0), ring.available], [2, 160n, 4096]);
  // Until it is full.
  let written = 0;
  while (ring.write(u64, 1n)) written++;
  assertEquals([written, ring.reserve(8), ring.available], [256, undefined, 0]);
  const started = performance.now();
  setTimeout(() => drained(), 30);
  const waited = await ring.reserveBlocking(8);
  assertGreater(performance.now() - started, 20);
  waited.bytes[0] = 7;
  waited.submit();
  assertEquals([drained(), sums.get(0)], [1, 160n + 256n + 7n]);
  assertThrows(() => ring.reserve(4096), RangeError, "4096 bytes are not from 0 to 4088");
  assertThrows(() => ring.reserve(-1), RangeError, "-1 bytes");
  assertThrows(() => ring.write(u64, -1n), RangeError, "-1n is not");
  assertEquals(drained(), 0);
});

kernelTest("UserRingBuffer.reserveBlocking() ends at once where it is aborted or closed", {
  needs: [trying((token) => minimalMap(token, "user_ringbuf"))],
}, async () => {
  const token = rootToken();
  const ring = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
  while (ring.write(u64, 1n));
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error("enough")), 20);
  await assertRejects(() => ring.reserveBlocking(8, { signal: abort.signal }), Error, "enough");
  setTimeout(() => ring.close(), 20);
  await assertRejects(() => ring.reserveBlocking(8), TypeError, "closed");
  const readOnly = rootToken().only({ readOnly: true });
  using other = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
  using mine = BpfMap.open(readOnly, { fd: other.descriptor.dup() }, { type: "user_ringbuf" });
  assertThrows(() => mine.reserve(8), PermissionError, "restricted to reading");
});

/** Where the callback starts, in instructions of 8 bytes. */
const CALLBACK_AT = 8;

/** Drains a user ring buffer, adding up the first u64 of each record; returns how many there were. */
function drainer(ring: { fd: number }, sums: { fd: number }): Uint8Array<ArrayBuffer> {
  return asm`
    r1 = map_fd ${ring.fd} ll
    r2 = func callback ll
    r3 = 0
    r4 = 0
    call user_ringbuf_drain
    exit
  callback:
    r6 = r1
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = r6
    r4 = 0
    r5 = 0
    call dynptr_read
    if r0 != 0 goto done
    r7 = *(u64 *)(r10 -8)
    *(u32 *)(r10 -12) = 0
    r1 = map_fd ${sums.fd} ll
    r2 = r10
    r2 += -12
    call map_lookup_elem
    if r0 == 0 goto done
    r1 = *(u64 *)(r0 +0)
    r1 += r7
    *(u64 *)(r0 +0) = r1
  done:
    r0 = 0
    exit
  `;
}

kernelTest(
  "RingBuffer.events() keeps nothing of the ring that it still waits for once it is disposed of",
  {},
  async () => {
    const token = rootToken();
    for (let round = 0; round < 20; round++) {
      const map = mapCreate(token, { type: "ringbuf", maxEntries: 4096 });
      const ring = new RingBuffer(token, map);
      const waiting = ring.events().next();
      if (round % 2 === 0) await delay(1);
      ring.close();
      map.close();
      assertEquals((await waiting).done, true);
    }
    assert(true);
  },
);
