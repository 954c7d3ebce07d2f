import { assert, assertEquals, assertGreater, assertInstanceOf, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  BtfBuilder,
  btfLoad,
  Codec,
  type CommandName,
  ipv4,
  mapCreate,
  type MapHandle,
  mapUpdateElem,
  PermissionError,
  port,
  progLoad,
  progTestRun,
  struct,
  SyscallError,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { bpftoolJson } from "../_tools.ts";
import { BtfBytes } from "./_btf_bytes.ts";
import { interpose, place, rootToken, u32s, u64s } from "./_objects.ts";

function hits(maxEntries = 1000) {
  return BpfMap.create(rootToken(), { type: "hash", key: u32, value: u64, maxEntries, name: "hits" });
}

function pairs(count: number, from = 0): [number, bigint][] {
  return Array.from({ length: count }, (_, index) => [from + index, BigInt(index)]);
}

function byKey<K, V>(entries: Iterable<[K, V]>): [K, V][] {
  return [...entries].sort(([a], [b]) => a < b ? -1 : 1);
}

/** The commands that a function calls. */
function commandsOf(map: MapHandle, fn: () => unknown): CommandName[] {
  const seen: CommandName[] = [];
  using _listening = map.token.audit(({ command }) => void seen.push(command));
  fn();
  return seen;
}

kernelTest("BpfMap behaves as Map does: get, set, has, delete, clear, iteration", {}, () => {
  using map = hits();
  assertEquals([map.get(1), map.has(1), map.delete(1), map.count()], [undefined, false, false, 0]);
  assertEquals(map.set(1, 2n), map);
  map.set(1, 3n).set(2, 4n);
  assertEquals([map.get(1), map.has(1), map.count()], [3n, true, 2]);
  const entries: [number, bigint][] = [];
  for (const [key, value] of map) entries.push([key, value]);
  assertEquals(byKey(entries), [[1, 3n], [2, 4n]]);
  assertEquals([...map.keys()].sort(), [1, 2]);
  assertEquals([...map.values()].sort(), [3n, 4n]);
  assertEquals([map.delete(1), map.has(1)], [true, false]);
  assertEquals([map.clear(), map.count(), map.clear()], [1, 0, 0]);
});

kernelTest("BpfMap.set() makes and replaces by its mode", {}, () => {
  using map = hits();
  map.set(1, 1n, { mode: "noexist" });
  assertThrows(() => map.set(1, 2n, { mode: "noexist" }), SyscallError, "EEXIST");
  map.set(1, 3n, { mode: "exist" });
  assertThrows(() => map.set(2, 2n, { mode: "exist" }), SyscallError, "ENOENT");
  assertEquals(byKey(map), [[1, 3n]]);
  assertThrows(() => map.set(1, 1n, { mode: "all" as "any" }), TypeError, '"all" is none of any, noexist, exist');
});

kernelTest("BpfMap.getAndDelete() takes an element out", {}, () => {
  using map = hits();
  map.set(1, 2n);
  assertEquals([map.getAndDelete(1), map.getAndDelete(1), map.has(1)], [2n, undefined, false]);
});

kernelTest("BpfMap keeps structs with padding apart by their fields only", {}, () => {
  const flow = struct({ protocol: u8, source: ipv4, port });
  using map = BpfMap.create(rootToken(), { type: "hash", key: flow, value: struct({ n: u8, m: u64 }), maxEntries: 8 });
  const key = { protocol: 6, source: "192.0.2.1", port: 443 };
  map.set(key, { n: 1, m: 2n });
  assertEquals(map.get({ ...key }), { n: 1, m: 2n });
  assertEquals([...map], [[key, { n: 1, m: 2n }]]);
  assertEquals(map.has({ ...key, port: 444 }), false);
  assertThrows(() => map.get({ ...key, port: 65536 }), RangeError, "Cannot encode port: 65536");
  assertThrows(() => map.set(key, { n: 256, m: 0n }), RangeError, "Cannot encode n: 256");
});

kernelTest("BpfMap.entries() reads in batches, one held at a time", {}, () => {
  using map = hits(50_000);
  assertEquals(map.setAll(pairs(50_000)), 50_000);
  const seen = commandsOf(map, () => assertEquals(byKey(map).length, 50_000));
  assertEquals(new Set(seen), new Set(["map_lookup_batch"]));
  assert(seen.length < 10, `${seen.length} calls`);
  assertEquals(byKey(map), pairs(50_000));
});

kernelTest("BpfMap.entries() goes on with a larger buffer where a bucket does not fit", {}, () => {
  // As many elements in a bucket as a key that collides makes: with 1 byte of value and a hash of 2 buckets.
  using map = BpfMap.create(rootToken(), { type: "hash", key: u32, value: u64, maxEntries: 64, flags: ["zero_seed"] });
  map.setAll(pairs(64));
  const asked: number[] = [];
  using _kernel = interpose((_command, attr) => {
    // The first batch is cut to 1: a bucket of 64 elements in 64 buckets holds more somewhere.
    const view = new DataView(attr.buffer, attr.byteOffset);
    if (attr.length >= 56 && _command === 24) {
      asked.push(view.getUint32(32, true));
      if (asked.length === 1) view.setUint32(32, 1, true);
    }
  });
  assertEquals(byKey(map), pairs(64));
  assertGreater(asked.length, 1);
});

kernelTest("BpfMap.entries() falls back to single elements where batches are not allowed", {}, () => {
  const token = rootToken().only({
    commands: ["map_create", "map_update_elem", "map_lookup_elem", "map_get_next_key", "map_delete_elem"],
  });
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 300 });
  const seen: CommandName[] = [];
  using _listening = token.audit(({ command }) => void seen.push(command));
  assertEquals(map.setAll(pairs(300)), 300);
  assertEquals(byKey(map), pairs(300));
  assertEquals(map.deleteAll([1, 2, 3, 999]), 3);
  assertEquals(map.clear(), 297);
  assertEquals(seen.filter((command) => command.includes("batch")), []);
});

kernelTest("BpfMap falls back by itself where a type has no batches", {}, () => {
  using map = BpfMap.create(rootToken(), { type: "devmap_hash", maxEntries: 200 });
  for (let index = 0; index < 150; index++) map.set(index, { ifindex: 1 });
  const seen = commandsOf(map, () => assertEquals([...map.keys()].length, 150));
  assertEquals(seen.filter((command) => command === "map_lookup_batch").length, 1);
  assertGreater(seen.filter((command) => command === "map_get_next_key").length, 100);
  assertEquals(map.clear(), 150);
});

kernelTest("BpfMap.entries() sees what is there throughout exactly once while others come and go", {}, () => {
  for (const batches of [true, false]) {
    const commands: CommandName[] = ["map_create", "map_update_elem", "map_lookup_elem", "map_get_next_key"];
    const token = rootToken().only({
      commands: [...commands, "map_delete_elem", ...(batches ? ["map_lookup_batch" as const] : [])],
    });
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 30_000 });
    // The even ones stay, the odd ones come and go.
    for (let key = 0; key < 4000; key += 2) map.set(key, 0n);
    const seen = new Map<number, number>();
    let step = 0;
    for (const [key] of map) {
      seen.set(key, (seen.get(key) ?? 0) + 1);
      const odd = (step++ * 7919 % 4000) | 1;
      if (step % 3 === 0) map.delete((odd + 2) % 4000 | 1);
      else map.set(odd, 1n);
      // What was just seen goes and comes back, too, if it is an odd one.
      if ((key & 1) === 1) map.delete(key);
    }
    const staying = [...seen].filter(([key]) => (key & 1) === 0);
    assertEquals([staying.length, staying.every(([, times]) => times === 1)], [2000, true], `batches: ${batches}`);
  }
});

kernelTest("BpfMap iteration ends although every element it sees is deleted, and holds its place", {}, () => {
  using map = hits(5000);
  map.setAll(pairs(5000));
  let count = 0;
  for (const [key] of map) {
    assertEquals(map.delete(key), true);
    count++;
  }
  assertEquals([count, map.count()], [5000, 0]);
  const iterator = map.entries();
  assertEquals([iterator.next().done, iterator.next().done], [true, true]);
});

kernelTest("BpfMap iteration gives up where the map changes faster than it can be read", {}, () => {
  using map = BpfMap.create(rootToken(), { type: "devmap_hash", maxEntries: 64 });
  for (let index = 0; index < 10; index++) map.set(index, { ifindex: 1 });
  // A kernel in which the key that was seen last is always gone: the next one is the first again, without end.
  using watched = interpose(() => {}, (command, attr) => {
    // As if the kernel did not have the key.
    if (command === 4) new DataView(attr.buffer, attr.byteOffset).setBigUint64(8, 0n, true);
    return undefined;
  });
  assertThrows(() => [...map.keys()], Error, "it changes faster than it can be read");
  assertGreater(watched.calls.filter((command) => command === 4).length, 1000);
});

kernelTest("BpfMap.setAll() tells how many were written where one fails", {}, () => {
  using map = hits(1000);
  const error = assertThrows(() => map.setAll(pairs(1500)), SyscallError, "E2BIG");
  assertEquals([(error as SyscallError & { count: number }).count, map.count()], [1000, 1000]);
  using other = hits(1000);
  const entries: [number, bigint][] = [...pairs(700), [2 ** 32, 1n], ...pairs(100, 800)];
  const range = assertThrows(() => other.setAll(entries), RangeError, "4294967296 is not");
  assertEquals([(range as RangeError & { count: number }).count, other.count()], [700, 700]);
  assertEquals(other.setAll(pairs(10, 2000), { mode: "noexist" }), 10);
  const exists = assertThrows(() => other.setAll(pairs(10, 2005), { mode: "noexist" }), SyscallError, "EEXIST");
  assertEquals([(exists as SyscallError & { count: number }).count, other.count()], [0, 710]);
  assertEquals(other.setAll([]), 0);
});

kernelTest("BpfMap.deleteAll() passes over keys that there are not, and BpfMap.drain() takes all", {}, () => {
  using map = hits(2000);
  map.setAll(pairs(2000));
  const wanted = Array.from({ length: 3000 }, (_, index) => index * 2);
  const seen = commandsOf(map, () => assertEquals(map.deleteAll(wanted), 1000));
  assertEquals(new Set(seen), new Set(["map_delete_batch"]));
  assertEquals(map.count(), 1000);
  const drained = byKey(map.drain());
  assertEquals(drained, pairs(2000).filter(([key]) => key % 2 === 1));
  assertEquals([map.count(), map.drain()], [0, []]);
});

kernelTest("BpfMap.drain() loses nothing where the kernel fails in the middle", {}, () => {
  using map = hits(60_000);
  map.setAll(pairs(60_000));
  let batches = 0;
  const interposed = interpose(() => {}, (command) => command === 25 && ++batches === 3 ? -12 : undefined);
  let error: unknown;
  try {
    map.drain();
  } catch (thrown) {
    error = thrown;
  } finally {
    interposed[Symbol.dispose]();
  }
  assertInstanceOf(error, SyscallError);
  const { count, entries } = error as SyscallError & { count: number; entries: [number, bigint][] };
  assertGreater(count, 0);
  assertEquals([entries.length, byKey([...entries, ...map])], [count, pairs(60_000)]);
});

kernelTest("BpfMap.get() and set() with lock take the value's bpf_spin_lock", {}, () => {
  const token = rootToken();
  const btf = new BtfBytes();
  btf.int("int", 4, 1);
  btf.struct("bpf_spin_lock", 4, [{ name: "val", type: 1, bit: 0 }]);
  btf.struct("value", 8, [{ name: "lock", type: 2, bit: 0 }, { name: "n", type: 1, bit: 32 }]);
  using types = btfLoad(token, btf.bytes());
  const value = struct({ lock: u32, n: u32 });
  using map = BpfMap.create(token, {
    type: "hash",
    key: u32,
    value,
    maxEntries: 4,
    btf: { fd: types, keyTypeId: 1, valueTypeId: 3 },
  });
  map.set(1, { lock: 0, n: 7 }, { mode: "noexist" });
  map.set(1, { lock: 99, n: 8 }, { lock: true });
  // The lock itself is neither read nor written.
  assertEquals(map.get(1, { lock: true }), { lock: 0, n: 8 });
  assertEquals(map.getAndDelete(1, { lock: true }), { lock: 0, n: 8 });
  using plain = hits();
  assertThrows(() => plain.set(1, 1n, { lock: true }), SyscallError, "EINVAL");
});

kernelTest(
  "BpfMap.open() opens by pin, id, name and descriptor, and checks type and sizes",
  { needs: ["bpffs"] },
  () => {
    const token = rootToken();
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, name: "open_me" });
    map.set(1, 2n);
    const path = `${place("BPFFS")}/open_me`;
    map.pin(path);
    const as = { type: "hash", key: u32, value: u64 } as const;
    const { id } = map.info;
    try {
      using byPath = BpfMap.open(token, { path }, as);
      using byId = BpfMap.open(token, { id }, as);
      using byName = BpfMap.open(token, { name: "open_me" }, as);
      using byFd = BpfMap.open(token, { fd: map.descriptor.dup() }, as);
      for (const same of [byPath, byId, byName, byFd]) assertEquals([same.get(1), same.info.id], [2n, id]);
      byPath.set(5, 6n);
      assertEquals(map.get(5), 6n);
      assertThrows(
        () => BpfMap.open(token, { id }, { ...as, type: "array" } as never),
        TypeError,
        "it is of type hash",
      );
      assertThrows(
        () => BpfMap.open(token, { id }, { ...as, value: u32 }),
        RangeError,
        "u32 has 4 bytes, and the map's has 8",
      );
      assertThrows(
        () => BpfMap.open(token, { id }, { ...as, key: u64 }),
        RangeError,
        "u64 has 8 bytes, and the map's has 4",
      );
      using again = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, name: "open_me" });
      const several = `maps ${id}, ${again.info.id} have this name`;
      assertThrows(() => BpfMap.open(token, { name: "open_me" }, as), TypeError, several);
      assertThrows(() => BpfMap.open(token, { name: "no_such_map" }), TypeError, "no map has this name");
      assertThrows(() => BpfMap.open(token, { id: 0x7fffffff }), SyscallError, "ENOENT");
      assertThrows(() => BpfMap.open(token, { path: `${path}x` }), SyscallError, "ENOENT");
      assertThrows(() => BpfMap.open(token, {} as never), TypeError, "give one of path, id, name and fd, not none");
      assertThrows(() => BpfMap.open(token, { id, path } as never), TypeError, "not path and id");
    } finally {
      Deno.removeSync(path);
    }
  },
);

kernelTest("BpfMap.open() without codecs gives bytes, and every method", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4 });
  map.set(1, 2n);
  using raw = BpfMap.open(token, { id: map.info.id });
  assertEquals(raw.type, "hash");
  assertEquals(raw.get(u32s(1)), u64s(2n));
  raw.set(u32s(3), u64s(4n));
  assertEquals(map.get(3), 4n);
  assertEquals([...raw.keys()].length, 2);
});

kernelTest("BpfMap.open() without codecs decodes by the map's own BTF", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  const btf = new BtfBuilder();
  const word = btf.int("unsigned int", 4);
  const char = btf.int("char", 1, "char");
  const verdict = btf.enum("verdict", [{ name: "DROP", val: 1 }, { name: "PASS", val: 2 }]);
  const text = btf.array(char, 12, word);
  const value = btf.struct("value", 20, [
    { name: "verdict", typeId: verdict, bitsOffset: 0 },
    { name: "message", typeId: text, bitsOffset: 32 },
    { name: "low", typeId: word, bitsOffset: 128, bitfieldSize: 4 },
    { name: "high", typeId: word, bitsOffset: 132, bitfieldSize: 4 },
  ]);
  using types = btfLoad(token, btf.bytes());
  using made = mapCreate(token, {
    type: "hash",
    keySize: 4,
    valueSize: 20,
    maxEntries: 4,
    btf: { fd: types, keyTypeId: word, valueTypeId: value },
  });
  const bytes = new Uint8Array(20);
  bytes.set([2, 0, 0, 0, ...new TextEncoder().encode("hello")]);
  bytes[16] = 0x53;
  mapUpdateElem(token, made, { key: u32s(7), value: bytes });
  using map = BpfMap.open(token, { fd: made.dup() });
  const decoded = { verdict: "PASS", message: "hello", low: 3, high: 5 };
  assertEquals([...map], [[7, decoded]]);
  map.set(8, { ...decoded, verdict: "DROP" });
  assertEquals(map.get(8), { ...decoded, verdict: "DROP" });
  const dump = await bpftoolJson(["map", "dump", "id", `${map.info.id}`]) as {
    formatted: { key: number; value: unknown };
  }[];
  const told = dump.map(({ formatted }) => formatted).sort((a, b) => a.key - b.key);
  // bpftool prints bit-fields in hexadecimal.
  const asText = { ...decoded, low: "0x3", high: "0x5" };
  assertEquals(told, [{ key: 7, value: asText }, { key: 8, value: { ...asText, verdict: "DROP" } }]);
  // Without the right to read BTF they are bytes.
  using reading = BpfMap.open(token.only({ commands: ["obj_get_info_by_fd", "map_lookup_elem"] }), { fd: made.dup() });
  assertEquals(reading.get(u32s(7)), bytes);
});

kernelTest("BpfMap.freeze() ends writing, info tells what bpftool tells", { tools: ["bpftool"] }, async () => {
  using map = BpfMap.create(rootToken(), { type: "hash", key: u32, value: u64, maxEntries: 7, name: "frozen" });
  map.set(1, 2n);
  map.freeze();
  const refused = assertThrows(() => map.set(1, 3n), SyscallError, "EPERM");
  assertEquals([refused.command, map.get(1), map.maxEntries], ["map_update_elem", 2n, 7]);
  const shown = await bpftoolJson(["map", "show", "id", `${map.info.id}`]) as Record<string, unknown>;
  assertEquals([shown.type, shown.name, shown.bytes_key, shown.bytes_value, shown.max_entries, shown.frozen], [
    "hash",
    "frozen",
    4,
    8,
    7,
    1,
  ]);
  const dump = await bpftoolJson(["map", "dump", "id", `${map.info.id}`]) as { key: string[]; value: string[] }[];
  assertEquals(dump[0].value.map(Number), [2, 0, 0, 0, 0, 0, 0, 0]);
});

kernelTest("BpfMap after close, revoke and with a token for reading is a clear error", {}, () => {
  const map = hits();
  map.close();
  map.close();
  assertEquals(map.closed, true);
  for (
    const use of [
      () => map.get(1),
      () => map.set(1, 1n),
      () => map.delete(1),
      () => map.has(1),
      () => [...map],
      () => map.clear(),
      () => map.drain(),
      () => map.setAll([[1, 1n]]),
      () => map.deleteAll([1]),
      () => map.info,
      () => map.maxEntries,
      () => map.freeze(),
      () => map.fd,
    ]
  ) assertThrows(use, TypeError, "is closed");
  const token = rootToken();
  const revoked = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4 });
  revoked.set(1, 1n);
  token.revoke();
  assertEquals(revoked.closed, true);
  assertThrows(() => revoked.get(1), TypeError, "its permission token was revoked");
  assertThrows(() => revoked.set(1, 1n), PermissionError, "the token was revoked");
  const reading = rootToken().only({ readOnly: true });
  using mine = hits();
  mine.set(1, 1n);
  using theirs = BpfMap.open(reading, { fd: mine.descriptor.dup() }, { type: "hash", key: u32, value: u64 });
  assertEquals(theirs.get(1), 1n);
  assertThrows(() => theirs.set(1, 2n), PermissionError, "restricted to reading");
  assertThrows(() => theirs.delete(1), PermissionError, "restricted to reading");
  assertThrows(() => theirs.drain(), PermissionError, "restricted to reading");
  assertThrows(() => theirs.setAll([[1, 2n]]), PermissionError, "restricted to reading");
  assertEquals([...theirs], [[1, 1n]]);
});

kernelTest("BpfMap.create() names what is missing or wrong, and leaves nothing open", {}, () => {
  const token = rootToken();
  const wrong = (options: object, type: typeof TypeError | typeof RangeError, words: string): void => {
    assertThrows(() => BpfMap.create(token, options as never), type, words);
  };
  wrong({ type: "hash", value: u64, maxEntries: 1 }, TypeError, "of type hash: key is missing");
  wrong({ type: "array", maxEntries: 1 }, TypeError, "of type array: value is missing");
  wrong(
    { type: "hash", key: u32, value: u64, maxEntries: 1, flags: ["fast"] },
    TypeError,
    '"fast" is none of no_prealloc',
  );
  wrong({ type: "hash", key: u32, value: u64, maxEntries: -1 }, RangeError, "max_entries");
  wrong({ type: "hash", key: u32, value: u64, maxEntries: 1, name: "a b" }, TypeError, 'name "a b"');
  assertThrows(
    () => BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 0 }),
    SyscallError,
    "EINVAL",
  );
  wrong({ type: "mesh", key: u32, value: u64, maxEntries: 1 }, TypeError, '"mesh" is unknown');
});

kernelTest("BpfMap takes codecs of one's own, which see no more than their bytes", {}, () => {
  class Celsius extends Codec<number> {
    decode(view: DataView<ArrayBuffer>, offset: number): number {
      return view.getInt32(offset, true) / 1000;
    }
    encode(view: DataView<ArrayBuffer>, offset: number, value: number): void {
      view.setInt32(offset, value * 1000, true);
    }
  }
  using map = BpfMap.create(rootToken(), { type: "hash", key: u32, value: new Celsius("celsius", 4), maxEntries: 4 });
  map.set(1, 21.5);
  assertEquals([map.get(1), [...map]], [21.5, [[1, 21.5]]]);
});

kernelTest("BpfMap with rdonly and wronly is refused by the kernel, and programs by rdonly_prog", {}, () => {
  const token = rootToken();
  const make = (flag: "rdonly" | "wronly" | "rdonly_prog") =>
    BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, flags: [flag] });
  using rdonly = make("rdonly");
  assertThrows(() => rdonly.set(1, 1n), SyscallError, "EPERM");
  assertEquals(rdonly.get(1), undefined);
  using wronly = make("wronly");
  wronly.set(1, 1n);
  assertThrows(() => wronly.get(1), SyscallError, "EPERM");
  using prog = make("rdonly_prog");
  prog.set(1, 1n);
  const write = asm`
    *(u32 *)(r10 -4) = 1
    *(u64 *)(r10 -16) = 7
    r1 = map_fd ${prog} ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call map_update_elem
    r0 = 0
    exit
  `;
  assertThrows(() => progLoad(token, { type: "socket_filter", license: "GPL", insns: write }), SyscallError, "EACCES");
});

kernelTest("BpfMap of LRU types keeps the newest, with lists of its own for each CPU or one for all", {}, () => {
  const token = rootToken();
  for (const flags of [[], ["no_common_lru"]] as const) {
    using map = BpfMap.create(token, { type: "lru_hash", key: u32, value: u64, maxEntries: 512, flags });
    for (let key = 0; key < 5000; key++) map.set(key, BigInt(key));
    const kept = [...map.keys()];
    assertGreater(kept.length, 0);
    assert(kept.length <= 512, `${kept.length} elements`);
    assertEquals(map.has(4999), true);
  }
});

kernelTest("BpfMap shares its elements with a program", {}, () => {
  const token = rootToken();
  using map = hits();
  map.set(7, 41n);
  using prog = progLoad(token, {
    type: "socket_filter",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 7
      r1 = map_fd ${map} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 +0) += r1
    out:
      r0 = 0
      exit
    `,
  });
  progTestRun(token, prog, { data: new Uint8Array(64), repeat: 9 });
  assertEquals(map.get(7), 50n);
});

kernelTest("BpfMap.create() takes a numa node, and refuses one that there is not", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, numaNode: 0 });
  assertEquals(map.info.flags & 4, 4);
  assertThrows(
    () => BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, numaNode: 4000 }),
    SyscallError,
    "EINVAL",
  );
});

kernelTest("BpfMap takes over a descriptor, and is closed by the garbage collector with it", {}, () => {
  const token = rootToken();
  const fd = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 4 });
  mapUpdateElem(token, fd, { key: u32s(1), value: u64s(5n) });
  const map = BpfMap.open(token, { fd }, { type: "hash", key: u32, value: u64 });
  assertEquals([map.get(1), map.descriptor === fd], [5n, true]);
  map.close();
  assertEquals(fd.closed, true);
});
