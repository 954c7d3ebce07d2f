import { assert, assertEquals, assertGreater } from "@std/assert";
import fc from "fast-check";
import { OverwriteReader, type RingMemory, RingReader } from "../../maps/_ring_reader.ts";
import type { RecordView } from "../../maps/record_view.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT } from "../../uapi/constants.gen.ts";

/** Where the numbers start: `RING_FUZZ_SEED` tries others. */
const SEED = Number(Deno.env.get("RING_FUZZ_SEED") ?? 0x41a6);
const RUNS = Number(Deno.env.get("RING_FUZZ_RUNS") ?? 1000);

const SIZE = 4096;
const HEADER = 8;

/** A ring that is no kernel's: its data is twice in a row, as the kernel maps it, and what is behind it is guarded. */
class FakeRing {
  readonly size = SIZE;
  readonly closed = false;
  readonly buffer = new ArrayBuffer(2 * SIZE);
  readonly data = new DataView(this.buffer);
  readonly words = new Int32Array(this.buffer);
  overwritten = 0;
  consumer: number;
  producer: number;

  constructor(start: number) {
    this.consumer = this.producer = start;
    this.overwritten = start;
  }

  /** What the readers take it for: the members that they use are all here. */
  get memory(): RingMemory {
    return this as unknown as RingMemory;
  }

  setByte(position: number, byte: number): void {
    const offset = position & (SIZE - 1);
    new Uint8Array(this.buffer)[offset] = new Uint8Array(this.buffer)[offset + SIZE] = byte;
  }

  setWord(position: number, word: number): void {
    for (let index = 0; index < 4; index++) this.setByte(position + index, word >>> (8 * index) & 0xff);
  }

  /** Writes a record as the kernel does; false where there is no room. */
  write(bytes: Uint8Array, flags: number): boolean {
    const size = Math.ceil((HEADER + bytes.length) / 8) * 8;
    if (this.producer + size - this.consumer > SIZE - 1) return false;
    this.setWord(this.producer, bytes.length | flags);
    this.setWord(this.producer + 4, 0);
    bytes.forEach((byte, index) => this.setByte(this.producer + HEADER + index, byte));
    this.producer += size;
    return true;
  }
}

interface Step {
  readonly bytes: Uint8Array;
  readonly discarded: boolean;
  /** Whether it stays busy until the next reading. */
  readonly busy: boolean;
  /** How it is read afterwards, if it is. */
  readonly read: "drain" | "advance" | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  bytes: fc.oneof(
    { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    fc.integer({ min: 900, max: SIZE - HEADER - 1 }).map((length) => new Uint8Array(length).fill(length)),
  ),
  discarded: fc.boolean().map((yes) => yes),
  busy: fc.nat(9).map((number) => number === 0),
  read: fc.constantFrom(undefined, undefined, "drain" as const, "advance" as const),
});

const start = fc.constantFrom(0, 8, SIZE - 8, 2 ** 31 - 8, 2 ** 32 - 16, 2 ** 40 + 4088);

Deno.test("RingReader reads what was written, in its order, wherever the ring stands and whatever waits", () => {
  let seen = 0;
  fc.assert(
    fc.property(start, fc.array(step, { minLength: 20, maxLength: 120, size: "max" }), (from, steps) => {
      const ring = new FakeRing(from);
      const reader = new RingReader(ring.memory);
      const expected: string[] = [];
      const found: string[] = [];
      const take = (record: RecordView): void => void found.push(record.bytes().join());
      const read = (how: Step["read"]): void => {
        if (how === "drain") return void reader.drain(take);
        while (reader.advance()) take(reader.record);
        reader.settle();
      };
      for (const { bytes, discarded, busy, read: how } of steps) {
        const position = ring.producer;
        const flags = discarded ? BPF_RINGBUF_DISCARD_BIT : 0;
        if (!ring.write(bytes, busy ? BPF_RINGBUF_BUSY_BIT : flags)) {
          read("drain");
          assertEquals([found, ring.consumer], [expected, ring.producer]);
          continue;
        }
        if (busy) {
          // Nothing of it is seen, nor is the reader past it.
          read(how ?? "drain");
          assertEquals([found, ring.consumer <= position], [expected, true]);
          ring.setWord(position, bytes.length | flags);
        }
        if (!discarded) expected.push(bytes.join());
        if (how === undefined) continue;
        read(how);
        assertEquals([found, ring.consumer], [expected, ring.producer]);
      }
      read("drain");
      assertEquals(found, expected);
      seen += found.length;
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assertGreater(seen, 10 * RUNS);
});

const word = fc.oneof(
  fc.constantFrom(0, 1, 7, 8, SIZE - 8, SIZE, 2 * SIZE, 0x3fffffff, 0x3ffffff8, BPF_RINGBUF_DISCARD_BIT, -1),
  fc.integer(),
  fc.nat(64),
);

Deno.test("RingReader and OverwriteReader end, and read nothing outside, whatever the ring's memory says", () => {
  let records = 0;
  let refused = 0;
  const words = fc.array(word, { minLength: 8, maxLength: 64 });
  fc.assert(
    fc.property(start, words, fc.nat(SIZE / 8), fc.boolean(), (from, pattern, blocks, overwriting) => {
      const ring = new FakeRing(from);
      for (let at = 0; at < SIZE; at += 4) ring.setWord(at, pattern[(at / 4) % pattern.length]);
      const before = new Uint8Array(ring.buffer).slice();
      ring.producer = from + 8 * blocks;
      const reader = overwriting ? new OverwriteReader(ring.memory) : new RingReader(ring.memory);
      let count = 0;
      try {
        reader.drain((record) => {
          assert(++count <= SIZE / 8, "more records than fit");
          try {
            // In the memory, or refused: never more bytes than there are.
            assertEquals(record.bytes().length, record.length);
            assert(record.length <= 2 * SIZE);
            records++;
          } catch (error) {
            assert(error instanceof RangeError, String(error));
            refused++;
          }
        });
      } catch (error) {
        assert(error instanceof Error && error.message.startsWith("Cannot read a ring buffer"), String(error));
        refused++;
      }
      assertEquals(new Uint8Array(ring.buffer), before);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assertGreater(records, RUNS);
  assertGreater(refused, RUNS / 20);
});
