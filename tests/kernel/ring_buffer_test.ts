import { assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import {
  asm,
  type Fd,
  mapCreate,
  mapFreeze,
  mapLookupElem,
  mapUpdateElem,
  progLoad,
  progTestRun,
  RingBuffer,
} from "../../mod.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import { type Bytes, type Kernel, kernel, swapKernel } from "../../ffi/kernel.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { lackingFor, rootToken, toU64s, u32s, u64s } from "./_objects.ts";
import type { RingWork } from "./_ring_worker.ts";

const SIZE = 4096;
/** What a record takes besides its data. */
const HEADER = 8;
/** A ring never fills up to its last byte. */
const LARGEST = SIZE - 2 * HEADER;
const FIRST_KEY = u32s(0);
const PACKET = new Uint8Array(64);
const NO_SPACE = 0xffff_ffff & -11;

/** How the program sends a record. */
type How = "output" | "submit" | "discard odd";

/**
 * A ring buffer and a program that sends a record into it with each run: 8 bytes that count up from 1, and what was
 * written after them in `plan`. Its value is `{u64 sequence; u64 size; u64 failures; u8 data[4096]}`.
 */
class Sender implements Disposable {
  readonly token = rootToken();
  readonly ring: Fd;
  readonly prog: Fd;
  readonly #plan: Fd;

  constructor(how: How, ringSize = SIZE) {
    this.ring = mapCreate(this.token, { type: "ringbuf", maxEntries: ringSize });
    this.#plan = mapCreate(this.token, { type: "array", keySize: 4, valueSize: 24 + 8192, maxEntries: 1 });
    const send = how === "output"
      ? `
        r1 = map_fd ${this.ring.fd} ll
        r2 = r6
        r2 += 24
        r3 = *(u64 *)(r6 +8)
        if r3 > 8192 goto out
        r4 = 0
        call ringbuf_output
        if r0 == 0 goto out
      `
      : `
        r1 = map_fd ${this.ring.fd} ll
        r2 = 8
        r3 = 0
        call ringbuf_reserve
        if r0 == 0 goto failed
        *(u64 *)(r0 +0) = r7
        r1 = r0
        r2 = 0
        ${how === "submit" ? "" : "r7 &= 1\n if r7 != 0 goto discard"}
        call ringbuf_submit
        r0 = 0
        goto out
      discard:
        call ringbuf_discard
        r0 = 0
        goto out
      failed:
        r0 = -1
      `;
    // The label of a program that discards nothing would never be reached.
    const text = how === "submit" ? send.replace(/discard:[^]*failed:/, "failed:") : send;
    this.prog = progLoad(this.token, {
      type: "socket_filter",
      license: "GPL",
      insns: asm`
        *(u32 *)(r10 -4) = 0
        r1 = map_fd ${this.#plan} ll
        r2 = r10
        r2 += -4
        call map_lookup_elem
        if r0 == 0 goto out
        r6 = r0
        r7 = *(u64 *)(r6 +0)
        r7 += 1
        *(u64 *)(r6 +0) = r7
        *(u64 *)(r6 +24) = r7
        ${text}
        r7 = *(u64 *)(r6 +16)
        r7 += 1
        *(u64 *)(r6 +16) = r7
      out:
        exit
      `,
    });
  }

  /** Says what the next records hold. */
  plan(data: Bytes, sequence: bigint): void {
    const value = new Uint8Array(24 + 8192);
    value.set(u64s(sequence, BigInt(data.length)));
    value.set(data, 24);
    mapUpdateElem(this.token, this.#plan, { key: FIRST_KEY, value });
  }

  /** Sends records; answers what the program returned for the last one. */
  send(count = 1): number {
    return progTestRun(this.token, this.prog, { data: PACKET, repeat: count }).returnValue;
  }

  /** How many records were tried, and how many of those found no room. */
  get state(): { tried: number; failed: number } {
    const [tried, , failed] = toU64s(mapLookupElem(this.token, this.#plan, { key: FIRST_KEY })!.subarray(0, 24));
    return { tried: Number(tried), failed: Number(failed) };
  }

  [Symbol.dispose](): void {
    for (const fd of [this.prog, this.#plan, this.ring]) fd.close();
  }
}

/** The number at the start of a record. */
function numberOf(record: Bytes): number {
  return Number(toU64s(record.subarray(0, 8))[0]);
}

/** The numbers of the records that there are. */
function drained(ring: RingBuffer): number[] {
  const numbers: number[] = [];
  assertEquals(ring.drain((record) => numbers.push(numberOf(record.bytes()))), numbers.length);
  return numbers;
}

function upTo(count: number, from = 1): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

/** Data of a length whose bytes tell where they belong; the program overwrites the first eight. */
function pattern(length: number, seed: number): Bytes {
  return Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7) & 0xff);
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The kernel with a count of the waits, for as long as it is in place. */
class CountedWaits implements Disposable {
  waits = 0;
  readonly #before: Kernel;

  constructor() {
    const real = kernel();
    this.#before = real;
    swapKernel(
      new Proxy(real, {
        get: (_, name) => {
          if (name === "epollWait") this.waits++;
          const member = real[name as keyof Kernel] as (...args: unknown[]) => unknown;
          return member.bind(real);
        },
      }),
    );
  }

  [Symbol.dispose](): void {
    swapKernel(this.#before);
  }
}

kernelTest("RingBuffer.drain() gives records in their order, with all their bytes", {}, () => {
  using sender = new Sender("output", 64 * 1024);
  using ring = new RingBuffer(sender.token, sender.ring);
  const lengths = [8, 9, 15, 16, 17, 100, 1000, 8, 4096, 8];
  lengths.forEach((length, index) => {
    sender.plan(pattern(length, index), BigInt(index));
    assertEquals(sender.send(), 0);
  });
  const records: Bytes[] = [];
  assertEquals(ring.drain((record) => records.push(record.bytes())), lengths.length);
  records.forEach((record, index) => {
    const expected = pattern(lengths[index], index);
    expected.set(u64s(BigInt(index + 1)));
    assertEquals(record, expected);
  });
  assertEquals(drained(ring), []);
});

kernelTest("RingBuffer.drain() gives records without data, and shorter than eight bytes", {}, () => {
  using sender = new Sender("output");
  using ring = new RingBuffer(sender.token, sender.ring);
  for (const length of [0, 1, 7]) {
    sender.plan(new Uint8Array(length), 0x0605040302010000n - 1n + 0x100n);
    assertEquals(sender.send(), 0);
  }
  const records: Bytes[] = [];
  ring.drain((record) => records.push(record.bytes()));
  assertEquals(records, [0, 1, 7].map((length) => u64s(0x0605040302010100n).subarray(0, length)));
});

kernelTest("RingBuffer.drain() follows the ring around many times", {}, () => {
  using sender = new Sender("output");
  using ring = new RingBuffer(sender.token, sender.ring);
  let [bytes, next, checked] = [0, 0, 0];
  const lengths: number[] = [];
  for (let round = 0; round < 2000; round++) {
    const length = 8 + round * 37 % 900;
    const data = pattern(length, round);
    sender.plan(data, BigInt(round));
    assertEquals(sender.send(), 0);
    lengths.push(length);
    bytes += Math.ceil((length + HEADER) / 8) * 8;
    if (round % 4 !== 3) continue;
    ring.drain((record) => {
      const expected = pattern(lengths[next], next);
      expected.set(u64s(BigInt(++next)));
      assertEquals(record.bytes(), expected);
      checked++;
    });
  }
  assertEquals(checked, 2000);
  assertGreater(bytes / SIZE, 100);
});

kernelTest("RingBuffer.drain() gives copies, which later records do not change", {}, () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  const kept: Bytes[] = [];
  for (let round = 0; round < 10; round++) {
    sender.send(200);
    ring.drain((record) => kept.push(record.bytes()));
  }
  assertEquals(kept.map(numberOf), upTo(2000));
});

kernelTest("RingBuffer.drain() leaves discarded records out", {}, () => {
  using sender = new Sender("discard odd");
  using ring = new RingBuffer(sender.token, sender.ring);
  for (let round = 0; round < 50; round++) {
    assertEquals(sender.send(100), 0);
    assertEquals(drained(ring), upTo(50).map((n) => round * 100 + 2 * n));
  }
  // Those that were discarded gave their room back.
  assertEquals(sender.state, { tried: 5000, failed: 0 });
  // One discarded record alone is no record.
  sender.send(1);
  assertEquals(drained(ring), []);
});

kernelTest("RingBuffer.drain() takes the largest record, wherever it begins", {}, () => {
  using sender = new Sender("output");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.plan(new Uint8Array(LARGEST + 1), 0n);
  assertEquals(sender.send(), NO_SPACE >>> 0);
  for (let round = 0; round < 600; round++) {
    const expected = pattern(LARGEST, round);
    sender.plan(expected, BigInt(round));
    assertEquals(sender.send(), 0);
    expected.set(u64s(BigInt(round + 1)));
    assertEquals(ring.drain((record) => assertEquals(record.bytes(), expected)), 1);
  }
});

kernelTest("RingBuffer.drain() loses nothing where it is slow: the program is told that there is no room", {}, () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  const room = Math.floor((SIZE - 1) / (8 + HEADER));
  assertEquals(sender.send(room), 0);
  assertEquals(sender.state, { tried: room, failed: 0 });
  assertEquals(sender.send(10), 0xffff_ffff);
  assertEquals(sender.state, { tried: room + 10, failed: 10 });
  assertEquals(drained(ring), upTo(room));
  assertEquals(sender.send(), 0);
  assertEquals(drained(ring), [room + 11]);
});

kernelTest("RingBuffer.drain() counts a record as read where the callback throws", {}, () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.send(3);
  assertThrows(
    () =>
      ring.drain(() => {
        throw new RangeError("mine");
      }),
    RangeError,
    "mine",
  );
  assertEquals(drained(ring), [2, 3]);
});

kernelTest("RingBuffer.drain() leaves what comes meanwhile for the next time", {}, () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.send(3);
  assertEquals(ring.drain(() => sender.send(2)), 3);
  assertEquals(drained(ring), upTo(6, 4));
});

kernelTest("RingBuffer goes on where an earlier reader stopped", {}, () => {
  using sender = new Sender("submit");
  sender.send(5);
  {
    using ring = new RingBuffer(sender.token, sender.ring);
    assertThrows(() =>
      ring.drain((record) => {
        if (numberOf(record.bytes()) === 2) throw new Error("enough");
      })
    );
  }
  using ring = new RingBuffer(sender.token, sender.ring);
  assertEquals(drained(ring), [3, 4, 5]);
});

kernelTest("RingBuffer outlives the map's descriptor", {}, () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.ring.close();
  sender.send(3);
  assertEquals(drained(ring), [1, 2, 3]);
});

kernelTest("RingBuffer.events() gives records as they come, and those that were there before", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.send(2);
  const seen: number[] = [];
  const timer = setInterval(() => sender.send(2), 20);
  for await (const record of ring.events()) {
    seen.push(numberOf(record));
    if (seen.length === 11) break;
  }
  clearInterval(timer);
  assertEquals(seen, upTo(11));
  // The record after the one that ended the loop is still there.
  assertEquals(drained(ring)[0], 12);
});

kernelTest("RingBuffer.events() ends at once where it is aborted while it waits", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  for (let round = 0; round < 3; round++) {
    const abort = new AbortController();
    let aborted = NaN;
    setTimeout(() => {
      aborted = performance.now();
      abort.abort();
    }, 100);
    const seen: number[] = [];
    sender.send(1);
    for await (const record of ring.events({ signal: abort.signal })) seen.push(numberOf(record));
    assertLess(performance.now() - aborted, 500 * SLOWNESS);
    assertEquals(seen, [round + 1]);
  }
});

kernelTest("RingBuffer.events() gives nothing where it is aborted before", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  sender.send(2);
  for await (const _ of ring.events({ signal: AbortSignal.abort() })) throw new Error("a record");
  assertEquals(drained(ring), [1, 2]);
});

kernelTest("RingBuffer.events() waits without waking up", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  using counted = new CountedWaits();
  // Also after an iteration that was aborted: its wake-up must not last.
  for await (const _ of ring.events({ signal: AbortSignal.timeout(20) })) throw new Error("a record");
  const first = counted.waits;
  for await (const _ of ring.events({ signal: AbortSignal.timeout(300) })) throw new Error("a record");
  assertEquals([first, counted.waits], [1, 2]);
});

kernelTest("RingBuffer.events() wakes up once for a record", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  using counted = new CountedWaits();
  const abort = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const record of ring.events({ signal: abort.signal })) seen.push(numberOf(record));
  })();
  await delay(10);
  for (let count = 1; count <= 5; count++) {
    sender.send();
    while (seen.length < count) await delay(1);
  }
  abort.abort();
  await reading;
  assertEquals(seen, upTo(5));
  assertEquals(counted.waits, 6);
});

kernelTest("RingBuffer.events() ends where the reader is disposed of while it waits", {}, async () => {
  using sender = new Sender("submit");
  const ring = new RingBuffer(sender.token, sender.ring);
  sender.send();
  const seen: number[] = [];
  let disposed = NaN;
  setTimeout(() => {
    disposed = performance.now();
    ring[Symbol.dispose]();
    ring[Symbol.dispose]();
  }, 50);
  for await (const record of ring.events()) seen.push(numberOf(record));
  assertLess(performance.now() - disposed, 500 * SLOWNESS);
  assertEquals(seen, [1]);
  assertThrows(() => ring.drain(() => {}), TypeError, "it is closed");
  assertThrows(() => ring.events(), TypeError, "Cannot read a ring buffer: it is closed");
});

kernelTest("RingBuffer.events() ends where the reader is disposed of between two records", {}, async () => {
  using sender = new Sender("submit");
  const ring = new RingBuffer(sender.token, sender.ring);
  sender.send(3);
  const seen: number[] = [];
  for await (const record of ring.events()) {
    seen.push(numberOf(record));
    ring[Symbol.dispose]();
  }
  assertEquals(seen, [1]);
});

kernelTest("RingBuffer ends with its permission token", {}, async () => {
  using sender = new Sender("submit");
  const token = rootToken();
  using ring = new RingBuffer(token, sender.ring);
  sender.send();
  setTimeout(() => token.revoke(), 20);
  const seen: number[] = [];
  for await (const record of ring.events()) seen.push(numberOf(record));
  assertEquals([seen, ring.closed], [[1], true]);
  assertThrows(() => ring.drain(() => {}), TypeError, "its permission token was revoked");
});

kernelTest("RingBuffer.events() refuses a second iteration that waits at the same time", {}, async () => {
  using sender = new Sender("submit");
  using ring = new RingBuffer(sender.token, sender.ring);
  const abort = new AbortController();
  const first = ring.events({ signal: abort.signal }).next();
  await delay(10);
  await assertRejects(() => ring.events().next(), TypeError, "another wait is under way");
  sender.send();
  assertEquals(numberOf((await first).value!), 1);
  abort.abort();
});

kernelTest("RingBuffer.events() reads a flood from another thread, and timers still run", {}, async () => {
  const REPEAT = 3_000_000;
  using sender = new Sender("submit", 1 << 20);
  using ring = new RingBuffer(sender.token, sender.ring);
  const worker = new Worker(import.meta.resolve("./_ring_worker.ts"), { type: "module" });
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  const abort = new AbortController();
  worker.onmessage = ({ data }) => {
    if (data === "ready") return ready.resolve();
    abort.abort();
    done.resolve();
  };
  await ready.promise;
  const work: RingWork = { prog: sender.prog.fd, repeat: REPEAT };
  worker.postMessage(work);
  let [ticks, longest, last] = [0, 0, performance.now()];
  const timer = setInterval(() => {
    const now = performance.now();
    [longest, last] = [Math.max(longest, now - last), now];
    ticks++;
  }, 10);
  let [received, before, backwards] = [0, 0, 0];
  const start = performance.now();
  for await (const record of ring.events({ signal: abort.signal })) {
    received++;
    const number = numberOf(record);
    if (number <= before) backwards++;
    before = number;
  }
  const duration = performance.now() - start;
  clearInterval(timer);
  await done.promise;
  worker.terminate();
  received += drained(ring).length;
  const { tried, failed } = sender.state;
  assertEquals([tried, received + failed, backwards], [REPEAT, REPEAT, 0]);
  assertGreater(duration, 100);
  // Whatever else the machine does, a flood keeps no timer waiting for its end.
  assertGreater(ticks, 0);
  assertLess(longest, 2000 * SLOWNESS, `timers waited for ${longest} ms`);
});

kernelTest("RingBuffer refuses what is no ring buffer", {}, () => {
  const token = rootToken();
  using array = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1 });
  assertThrows(() => new RingBuffer(token, array), TypeError, "the map is of type array");
  const userRing = { type: "user_ringbuf", maxEntries: SIZE } as const;
  const lacking = lackingFor(() => mapCreate(token, userRing));
  if (lacking === undefined) {
    using user = mapCreate(token, userRing);
    assertThrows(() => new RingBuffer(token, user), TypeError, "the map is of type user_ringbuf");
  } else assertEquals([lacking.feature, lacking.since], ["map type user_ringbuf", "6.1"]);
  using prog = progLoad(token, { type: "socket_filter", license: "GPL", insns: asm`r0 = 0\nexit` });
  assertThrows(() => new RingBuffer(token, prog), TypeError);
  assertThrows(() => new RingBuffer(token, 0x7ffffff0), SyscallError, "EBADF");
  array.close();
  assertThrows(() => new RingBuffer(token, array), TypeError, "closed");
});

/** The process's descriptors, and its mappings of bpf maps. */
function held(): { fds: number; mappings: number } {
  return {
    fds: [...Deno.readDirSync("/proc/self/fd")].length,
    mappings: Deno.readTextFileSync("/proc/self/maps").split("\n").filter((line) => line.includes("bpf")).length,
  };
}

kernelTest("RingBuffer leaves no descriptor and no mapping behind", {}, async () => {
  const token = rootToken();
  using map = mapCreate(token, { type: "ringbuf", maxEntries: SIZE });
  // The worker of the test before gives its descriptors back when it has ended, on its own thread.
  let before = held();
  for (let last = -1; last !== before.fds; before = held()) {
    last = before.fds;
    await delay(100 * SLOWNESS);
  }
  const ring = new RingBuffer(token, map);
  const during = held();
  // Descriptors are made for the first wait only.
  assertEquals(during.fds, before.fds);
  assertGreater(during.mappings, before.mappings);
  ring[Symbol.dispose]();
  assertEquals(held(), before);
  // What was made before the failure is given back: a map that user space may not write cannot be mapped so.
  using readOnly = mapCreate(token, { type: "ringbuf", maxEntries: SIZE });
  mapFreeze(token, readOnly);
  const failing = held();
  assertThrows(() => new RingBuffer(token, readOnly), SyscallError, "EPERM");
  assertEquals(held(), failing);
  readOnly.close();
  const waiting = new RingBuffer(token, map);
  let meanwhile = before;
  setTimeout(() => {
    meanwhile = held();
    waiting[Symbol.dispose]();
  }, 20);
  for await (const _ of waiting.events()) throw new Error("a record");
  assertGreater(meanwhile.fds, before.fds);
  // The descriptors are closed once the wait has returned on its thread.
  await delay(20 * SLOWNESS);
  assertEquals(held(), before);
});

kernelTest("RingBuffer refuses a token that was restricted to reading", {}, () => {
  using sender = new Sender("submit");
  const readOnly = sender.token.only({ readOnly: true });
  assertThrows(() => new RingBuffer(readOnly, sender.ring), PermissionError, "records that were read are gone");
});
