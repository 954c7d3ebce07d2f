import { assert, assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  BtfBuilder,
  btfLoad,
  mapCreate,
  PermissionError,
  progLoad,
  progTestRun,
  RingBuffer,
  u64,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { rootToken, trying, u32s } from "./_objects.ts";

const PACKET = new Uint8Array(64);
const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

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
