/**
 * Goes through a hash of a million elements with little memory, and drains a ring buffer, telling what that allocated:
 * run with a small old generation, and a young one that holds all that is allocated in a round.
 *
 * @module
 */

import { acquire, asm, BpfMap, progLoad, progTestRun, u32, u64 } from "../../mod.ts";

const ELEMENTS = 1_000_000;
const RECORDS = 400_000;

const token = acquire("CAP_BPF");

using hash = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: ELEMENTS });
function* entries(): Generator<[number, bigint]> {
  for (let key = 0; key < ELEMENTS; key++) yield [key, 1n];
}
hash.setAll(entries());
let count = 0;
for (const [, value] of hash) count += Number(value);
console.log(`seen ${count}`);

using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 1 << 24 });
using prog = progLoad(token, {
  type: "socket_filter",
  license: "GPL",
  insns: asm`
    r1 = map_fd ${ring} ll
    r2 = 16
    r3 = 0
    call ringbuf_reserve
    if r0 == 0 goto out
    *(u32 *)(r0 +0) = 1
    r1 = r0
    r2 = 1
    call ringbuf_submit
  out:
    r0 = 0
    exit
  `,
});
const data = new Uint8Array(64);
let sum = 0;
/** The bytes that draining allocates. */
const drain = (read: () => void): number => {
  progTestRun(token, prog, { data, repeat: RECORDS });
  const before = Deno.memoryUsage().heapUsed;
  read();
  return Deno.memoryUsage().heapUsed - before;
};
const inPlace = (): number =>
  drain(() =>
    void ring.drain((record) => {
      sum += record.getUint32(0);
    })
  );
const copied = (): number => drain(() => void ring.drain((record) => void (sum += record.bytes()[0])));
// What is compiled the first times is compiled for good.
const allocated = Array.from({ length: 6 }, inPlace);
console.log(`drained ${sum}`);
console.log(JSON.stringify({ allocated: allocated.slice(3), copies: copied() }));
