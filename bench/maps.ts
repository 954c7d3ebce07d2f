/**
 * What maps cost as collections, and ring buffers as iterables, beside libbpf in C: `deno task bench`.
 *
 * With `--check` it fails where a row is above its limit.
 *
 * @module
 */

import {
  acquire,
  asm,
  BpfMap,
  type Fd,
  type PermissionToken,
  progLoad,
  progTestRun,
  RingBuffer,
  struct,
  u32,
  u64,
} from "../mod.ts";
import { Baseline, measure, median, type Sample } from "./_baseline.ts";

const ENTRIES = 100_000;
const ELEMENTS = 10_000;
const ROUNDS = 15;

const RECORDS = 900_000;
const RECORD_SIZE = 64;
/** Holds all records with their headers of 8 bytes, so that producing and draining are timed apart. */
const RING_SIZE = 1 << 27;
const RING_ROUNDS = 9;

/** One line of the table. */
interface Row {
  readonly what: string;
  /** What it is compared with. */
  readonly baseline: string;
  /** Nanoseconds an element: ours, and the baseline's. */
  readonly ours: number;
  readonly theirs: number;
  /** The median of the rounds' ratios. */
  readonly ratio: number;
  /** What the ratio may be at most. */
  readonly limit: number;
}

type Run = (passes: number) => Sample | Promise<Sample>;

async function compare(
  what: string,
  baseline: string,
  runs: { ours: Run; theirs: Run },
  options: { elements: number; limit: number; passes?: number; rounds?: number },
): Promise<Row> {
  const { elements, limit, passes = 1, rounds = ROUNDS } = options;
  const costs = { ours: [] as number[], theirs: [] as number[] };
  let expected: number | undefined;
  for (let round = -2; round < rounds; round++) {
    for (const who of (round & 1) === 0 ? ["ours", "theirs"] as const : ["theirs", "ours"] as const) {
      const { nanoseconds, sum } = await runs[who](passes);
      expected ??= sum;
      if (sum !== expected) throw new Error(`Cannot trust ${what} of ${who}: it saw ${sum}, not ${expected}`);
      // The first rounds warm up.
      if (round >= 0) costs[who].push(nanoseconds / (passes * elements));
    }
  }
  const ratio = median(costs.ours.map((cost, round) => cost / costs.theirs[round]));
  return { what, baseline, ours: median(costs.ours), theirs: median(costs.theirs), ratio, limit };
}

async function maps(token: PermissionToken<"CAP_BPF">): Promise<Row[]> {
  using hash = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: ENTRIES, name: "bench" });
  using array = BpfMap.create(token, { type: "array", value: u64, maxEntries: ELEMENTS, flags: ["mmapable"] });
  await using c = new Baseline("maps.c", [hash.fd, array.fd, ENTRIES, ELEMENTS], {
    inherit: [hash.descriptor, array.descriptor],
    libraries: ["bpf"],
  });
  const values = Array.from({ length: ENTRIES }, (_, key) => BigInt(key));
  const ours = {
    get: () => {
      let sum = 0n;
      for (let key = 0; key < ENTRIES; key++) sum += hash.get(key)!;
      return Number(sum);
    },
    set: () => {
      let sum = 0;
      for (let key = 0; key < ENTRIES; key++) {
        hash.set(key, values[key]);
        sum += key;
      }
      return sum;
    },
    entries: () => {
      let sum = 0;
      for (const [key, value] of hash.entries()) sum += value === 0n ? 0 : key;
      return sum;
    },
    memory: () => {
      const memory = array.view(Uint32Array);
      let sum = 0;
      for (let index = 0; index < ELEMENTS; index++) sum += memory[2 * index];
      return sum;
    },
    bigMemory: () => {
      const memory = array.view(BigUint64Array);
      let sum = 0n;
      for (let index = 0; index < ELEMENTS; index++) sum += memory[index];
      return Number(sum);
    },
  };
  ours.set();
  array.setAll(Array.from({ length: ELEMENTS }, (_, index) => [index, BigInt(index)] as const));
  const here = (name: keyof typeof ours): Run => (passes) => measure(ours[name], passes);
  const inC = (name: string): Run => (passes) => c.run(name, passes);
  const all = { elements: ENTRIES };
  return [
    await compare("hash get", "bpf_map_lookup_elem()", { ours: here("get"), theirs: inC("get") }, {
      ...all,
      limit: 1.15,
    }),
    await compare("hash set", "bpf_map_update_elem()", { ours: here("set"), theirs: inC("set") }, {
      ...all,
      limit: 1.15,
    }),
    await compare("hash entries()", "bpf_map_lookup_batch()", { ours: here("entries"), theirs: inC("batch") }, {
      ...all,
      limit: 1.5,
      passes: 5,
    }),
    await compare("hash entries()", "get_next_key() + lookup_elem()", { ours: here("entries"), theirs: inC("walk") }, {
      ...all,
      limit: 1 / 5,
    }),
    await compare("mapped array, BigUint64Array", "bpf_map_lookup_elem()", {
      ours: here("bigMemory"),
      theirs: inC("array"),
    }, { elements: ELEMENTS, limit: 1 / 30, passes: 10 }),
    await compare(
      "mapped array, Uint32Array",
      "bpf_map_lookup_elem()",
      { ours: here("memory"), theirs: inC("array") },
      {
        elements: ELEMENTS,
        limit: 1 / 30,
        passes: 10,
      },
    ),
  ];
}

/** A program that writes a record with each run: `{u64 time; u32 pid; u32 uid; …}` of 64 bytes. */
function producer(token: PermissionToken<"CAP_BPF">, ring: { fd: number }): Fd {
  return progLoad(token, {
    type: "socket_filter",
    license: "GPL",
    insns: asm`
      r1 = map_fd ${ring.fd} ll
      r2 = ${RECORD_SIZE}
      r3 = 0
      call ringbuf_reserve
      if r0 == 0 goto out
      r6 = 1
      *(u64 *)(r0 +0) = r6
      *(u32 *)(r0 +8) = 2
      *(u32 *)(r0 +12) = 3
      r1 = r0
      r2 = 1
      call ringbuf_submit
    out:
      r0 = 0
      exit
    `,
  });
}

const event = struct({ time: u64, pid: u32, uid: u32 });

async function rings(token: PermissionToken<"CAP_BPF">): Promise<Row[]> {
  using map = BpfMap.create(token, { type: "ringbuf", maxEntries: RING_SIZE });
  using prog = producer(token, map);
  using ring = new RingBuffer(token, map.descriptor);
  /** How long the kernel's program took to write all records. */
  const produce = (): number => {
    const { durationNs: duration } = progTestRun(token, prog, { data: new Uint8Array(64), repeat: RECORDS });
    return duration * RECORDS;
  };
  const drain = (): number => {
    let [sum, last] = [0, 0n];
    ring.drain((record) => {
      last = record.getBigUint64(0);
      sum += record.getUint32(8) + record.getUint32(12);
    });
    return sum + Number(last);
  };
  const iterate = async (): Promise<number> => {
    let [sum, last, count] = [0, 0n, 0];
    for await (const { time, pid, uid } of ring.events(event)) {
      last = time;
      sum += pid + uid;
      if (++count === RECORDS) break;
    }
    return sum + Number(last);
  };
  const expected = RECORDS * 5 + 1;
  const rows: Row[] = [];
  for (const [what, limit, read] of [["ring drain()", 0.5, drain], ["ring events()", 3, iterate]] as const) {
    const costs = { ours: [] as number[], theirs: [] as number[] };
    for (let round = -2; round < RING_ROUNDS; round++) {
      const theirs = produce();
      const start = performance.now();
      const sum = await read();
      const ours = (performance.now() - start) * 1e6;
      if (sum !== expected) throw new Error(`Cannot trust ${what}: it saw ${sum}, not ${expected}`);
      if (round < 0) continue;
      costs.ours.push(ours / RECORDS);
      costs.theirs.push(theirs / RECORDS);
    }
    const ratio = median(costs.ours.map((cost, round) => cost / costs.theirs[round]));
    const baseline = "the program that writes them";
    rows.push({ what, baseline, ours: median(costs.ours), theirs: median(costs.theirs), ratio, limit });
  }
  return rows;
}

const [what, baseline, number] = [30, 32, 9];

function print({ what: name, baseline: other, ours, theirs, ratio, limit }: Row): void {
  const numbers = [ours.toFixed(1), theirs.toFixed(1), ratio.toFixed(3), limit.toFixed(3)];
  console.log(`${name.padEnd(what)}${other.padEnd(baseline)}${numbers.map((one) => one.padStart(number)).join("")}`);
}

async function main(check: boolean): Promise<number> {
  const token = acquire("CAP_BPF");
  const heads = ["ours, ns", "its, ns", "ratio", "limit"].map((one) => one.padStart(number)).join("");
  console.log(`${"".padEnd(what)}${"beside".padEnd(baseline)}${heads}`);
  let bad = 0;
  for (const part of [maps, rings]) {
    for (const row of await part(token)) {
      print(row);
      if (row.ratio > row.limit) bad++;
    }
  }
  if (!check || bad === 0) return 0;
  console.error(`${bad} rows are above their limits`);
  return 1;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));
