import { assert, assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  Btf,
  Codec,
  type Fd,
  mergeEvents,
  progLoad,
  progTestRun,
  type RecordView,
  struct,
  u32,
  u64,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { constant, type RootToken, rootToken, trying } from "./_objects.ts";

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

function send(token: RootToken, prog: Fd, count: number): void {
  progTestRun(token, prog, { data: PACKET, repeat: count });
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
