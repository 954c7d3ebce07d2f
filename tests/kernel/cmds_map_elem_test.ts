import { assert, assertEquals, assertThrows } from "@std/assert";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import {
  type ElemCommand,
  mapDeleteElem,
  MapElemCall,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
  type UpdateMode,
} from "../../cmds/map_elem.ts";
import { NotSupportedError, PermissionError, type SyscallError } from "../../errors.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import type { AuditedCall } from "../../tokens/token.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { bpftoolJson, run } from "../_tools.ts";
import { minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertLacking,
  assertRefused,
  constant,
  fdinfo,
  hashMap,
  interpose,
  lackingFor,
  rootToken,
  simpleProg,
  toU32s,
  toU64s,
  trying,
  u32s,
  u64s,
} from "./_objects.ts";

/** The elements of a map as bpftool prints them: key and value in hexadecimal, separated by a colon. */
async function dump(map: number): Promise<string[]> {
  const found = await bpftoolJson(["map", "dump", "id", fdinfo(map).get("map_id") ?? ""]);
  assert(Array.isArray(found));
  const hex = (bytes: string[]): string => bytes.map((byte) => byte.slice(2)).join("");
  return found.map(({ key, value }) => `${hex(key)}:${hex(value)}`).sort();
}

kernelTest("mapUpdateElem() writes what bpftool reads, and mapLookupElem() reads what bpftool writes", {
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using map = hashMap(token);
  mapUpdateElem(token, map, { key: u32s(0x01020304), value: u64s(0x1122334455667788n) });
  mapUpdateElem(token, map, { key: u32s(7), value: u64s(9n) });
  assertEquals(await dump(map.fd), ["04030201:8877665544332211", "07000000:0900000000000000"]);
  const id = fdinfo(map.fd).get("map_id") ?? "";
  const update = ["map", "update", "id", id, "key", "hex", "01", "00", "00", "00"];
  const { code } = await run("bpftool", [...update, "value", "hex", "ef", "cd", "ab", "00", "00", "00", "00", "80"]);
  assertEquals(code, 0);
  assertEquals(mapLookupElem(token, map, { key: u32s(1) }), u64s(0x8000000000abcdefn));
  assertEquals(mapLookupElem(token, map, { key: u32s(2) }), undefined);
});

kernelTest("mapUpdateElem() creates and replaces by its mode", {}, () => {
  const token = rootToken();
  using map = hashMap(token, { maxEntries: 2, flags: constant("BPF_F_NO_PREALLOC") });
  const [key, value] = [u32s(1), u64s(1n)];
  assertRefused(() => mapUpdateElem(token, map, { key, value, mode: "exist" }), "ENOENT", /does not exist/);
  mapUpdateElem(token, map, { key, value, mode: "noexist" });
  assertRefused(() => mapUpdateElem(token, map, { key, value, mode: "noexist" }), "EEXIST", /noexist/);
  mapUpdateElem(token, map, { key, value: u64s(2n), mode: "exist" });
  assertEquals(mapLookupElem(token, map, { key }), u64s(2n));
  mapUpdateElem(token, map, { key, value: u64s(3n), mode: "any" });
  mapUpdateElem(token, map, { key: u32s(2), value });
  assertRefused(() => mapUpdateElem(token, map, { key: u32s(3), value }), "E2BIG", /full/);
  assertThrows(() => mapUpdateElem(token, map, { key, value, mode: "maybe" as UpdateMode }), TypeError, "maybe");
});

kernelTest("element functions pass flags on, and fail with the kernel's error number", {}, () => {
  const token = rootToken();
  using map = hashMap(token);
  const [key, value] = [u32s(1), u64s(1n)];
  mapUpdateElem(token, map, { key, value });
  // The map has no spin lock.
  const flags = constant("BPF_F_LOCK");
  assertRefused(() => mapUpdateElem(token, map, { key, value, flags }), "EINVAL", /flags/);
  assertRefused(() => mapLookupElem(token, map, { key, flags }), "EINVAL", /flags/);
  const take = (): unknown => mapLookupAndDeleteElem(token, map, { key, flags });
  const refused = assertThrows(take);
  // Kernels before 5.14 take no flags at all there.
  if (refused instanceof NotSupportedError) {
    assertEquals([refused.feature, refused.since], ["field flags of BPF_MAP_LOOKUP_AND_DELETE_ELEM", "5.14"]);
  } else assertRefused(take, "EINVAL", /flags/);
  using array = arrayMap(token);
  assertRefused(() => mapUpdateElem(token, array, { key: u32s(4), value }), "E2BIG");
  assertRefused(() => mapUpdateElem(token, array, { key, value, mode: "noexist" }), "EEXIST");
  assertRefused(() => mapDeleteElem(token, array, { key }), "EINVAL", /cannot be deleted/);
  assertRefused(() => mapLookupAndDeleteElem(token, array, { key }), "ENOTSUPP", /no such operation/);
  assertEquals(mapLookupElem(token, array, { key: u32s(4) }), undefined);
  using ringbuf = minimalMap(token, "ringbuf");
  assertRefused(() => mapLookupElem(token, ringbuf, { key: u32s() }), "ENOTSUPP");
  using readOnly = hashMap(token, { flags: constant("BPF_F_RDONLY") });
  assertRefused(() => mapUpdateElem(token, readOnly, { key, value }), "EPERM", /read-only/);
  assertRefused(() => mapDeleteElem(token, readOnly, { key }), "EPERM");
  using writeOnly = hashMap(token, { flags: constant("BPF_F_WRONLY") });
  assertRefused(() => mapLookupElem(token, writeOnly, { key }), "EPERM", /write-only/);
  assertRefused(() => mapGetNextKey(token, writeOnly), "EPERM");
  assertThrows(() => mapLookupElem(token, 9999, { key }), Error, "EBADF");
  // The kernel tells about a program too, and its tag read as sizes would be gigabytes.
  using prog = simpleProg(token, "socket_filter");
  using interposed = interpose();
  for (const fn of [mapLookupElem, mapDeleteElem, mapGetNextKey, mapLookupAndDeleteElem]) {
    assertThrows(() => fn(token, prog, { key }), TypeError, "is of no map, but of anon_inode:bpf-prog");
    assertThrows(() => fn(token, 2, { key }), TypeError, "is of no map");
  }
  assertThrows(() => new MapElemCall(token, prog, "map_lookup_elem"), TypeError, "is of no map");
  assertEquals(interposed.calls, []);
});

kernelTest("per-CPU values have a slot for each possible CPU", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  const cpus = possibleCpus();
  for (const type of ["percpu_array", "percpu_hash", "lru_percpu_hash"] as const) {
    using map = minimalMap(token, type, { valueSize: 4 });
    const value = u64s(...Array.from({ length: cpus }, (_, cpu) => BigInt(0x1000 + cpu)));
    mapUpdateElem(token, map, { key: u32s(3), value });
    assertEquals(mapLookupElem(token, map, { key: u32s(3) }), value, type);
    const shown = await bpftoolJson([
      "map",
      "lookup",
      "id",
      fdinfo(map.fd).get("map_id") ?? "",
      "key",
      "3",
      "0",
      "0",
      "0",
    ]);
    const { values } = shown as { values: { cpu: number; value: string[] }[] };
    assertEquals(values.length, cpus);
    for (const { cpu, value: bytes } of values) {
      assertEquals(toU32s(new Uint8Array(bytes.map(Number))), [0x1000 + cpu], `${type} CPU ${cpu}`);
    }
  }
});

kernelTest("mapGetNextKey() walks all keys, and starts anew after a key that is gone", {}, () => {
  const token = rootToken();
  using map = hashMap(token, { maxEntries: 100 });
  const wanted = Array.from({ length: 60 }, (_, index) => index * 3);
  for (const key of wanted) mapUpdateElem(token, map, { key: u32s(key), value: u64s(1n) });
  const seen: number[] = [];
  for (let key = mapGetNextKey(token, map); key !== undefined; key = mapGetNextKey(token, map, { key })) {
    seen.push(...toU32s(key));
  }
  assertEquals(seen.toSorted((a, b) => a - b), wanted);
  const first = mapGetNextKey(token, map);
  assertEquals(mapGetNextKey(token, map, { key: u32s(1) }), first);
  using empty = hashMap(token);
  assertEquals(mapGetNextKey(token, empty), undefined);
  using array = arrayMap(token, 2);
  assertEquals(mapGetNextKey(token, array, { key: u32s(0) }), u32s(1));
  assertEquals(mapGetNextKey(token, array, { key: u32s(1) }), undefined);
  const noBloom = lackingFor(() => minimalMap(token, "bloom_filter"));
  if (noBloom !== undefined) {
    assertEquals([noBloom.feature, noBloom.since], ["map type bloom_filter", "5.16"]);
    return;
  }
  using bloom = minimalMap(token, "bloom_filter");
  assertRefused(() => mapGetNextKey(token, bloom), "EOPNOTSUPP");
});

const KEY_OF_ALL = u32s(0);

/** Says where lookups that delete are not for hashes. */
function lacksTaking(): NotSupportedError | undefined {
  const token = rootToken();
  using map = hashMap(token);
  return lackingFor(() => mapLookupAndDeleteElem(token, map, { key: KEY_OF_ALL }));
}

kernelTest("mapLookupAndDeleteElem() says which kernel can where this one cannot for hashes", {}, () => {
  const token = rootToken();
  for (const type of ["hash", "percpu_hash", "lru_hash", "lru_percpu_hash"] as const) {
    using map = minimalMap(token, type);
    const error = lackingFor(() => mapLookupAndDeleteElem(token, map, { key: KEY_OF_ALL }));
    if (error === undefined) continue;
    const feature = `BPF_MAP_LOOKUP_AND_DELETE_ELEM on maps of type ${type}`;
    assertEquals([error.feature, error.since], [feature, "5.14"]);
    assertEquals((error.cause as SyscallError).code, "ENOTSUPP");
    assert(kernelSince("5.14")() !== undefined, "the kernel should have it");
    const call = new MapElemCall(token, map, "map_lookup_and_delete_elem");
    assertLacking(() => call.run(), feature, "5.14");
  }
});

kernelTest("mapDeleteElem() and mapLookupAndDeleteElem() take elements out", {}, () => {
  const token = rootToken();
  using map = hashMap(token);
  const key = u32s(1);
  assertEquals(mapDeleteElem(token, map, { key }), false);
  mapUpdateElem(token, map, { key, value: u64s(5n) });
  assertEquals(mapDeleteElem(token, map, { key }), true);
  assertEquals(mapLookupElem(token, map, { key }), undefined);
  mapUpdateElem(token, map, { key, value: u64s(6n) });
  if (lacksTaking() !== undefined) return;
  assertEquals(mapLookupAndDeleteElem(token, map, { key }), u64s(6n));
  assertEquals(mapLookupAndDeleteElem(token, map, { key }), undefined);
  assertEquals(mapGetNextKey(token, map), undefined);
});

kernelTest("queues and stacks have no keys: update pushes, lookup peeks, lookup and delete pops", {}, () => {
  const token = rootToken();
  for (const type of ["queue", "stack"] as const) {
    using map = mapCreate(token, { type, valueSize: 8, maxEntries: 3 });
    assertEquals(mapLookupElem(token, map, {}), undefined);
    for (const value of [1n, 2n, 3n]) mapUpdateElem(token, map, { value: u64s(value) });
    assertRefused(() => mapUpdateElem(token, map, { value: u64s(4n) }), "E2BIG");
    const order = type === "queue" ? [1n, 2n, 3n] : [3n, 2n, 1n];
    assertEquals(mapLookupElem(token, map, {}), u64s(order[0]));
    for (const value of order) assertEquals(mapLookupAndDeleteElem(token, map), u64s(value), type);
    assertEquals(mapLookupAndDeleteElem(token, map), undefined);
    assertThrows(() => mapUpdateElem(token, map, { key: u32s(1), value: u64s(1n) }), RangeError, "needs 0");
  }
});

kernelTest("a bloom filter is asked with MapElemCall, whose value goes in", {
  needs: [trying((token) => minimalMap(token, "bloom_filter"))],
}, () => {
  const token = rootToken();
  using map = mapCreate(token, { type: "bloom_filter", valueSize: 8, maxEntries: 100 });
  mapUpdateElem(token, map, { value: u64s(77n) });
  const lookup = new MapElemCall(token, map, "map_lookup_elem");
  lookup.value.set(u64s(77n));
  assertEquals(lookup.run(), true);
  lookup.value.set(u64s(78n));
  assertEquals(lookup.run(), false);
});

kernelTest("mapLookupElem() asks a bloom filter about a value", {
  needs: [trying((token) => minimalMap(token, "bloom_filter"))],
}, () => {
  const token = rootToken();
  using map = mapCreate(token, { type: "bloom_filter", valueSize: 8, maxEntries: 100 });
  mapUpdateElem(token, map, { value: u64s(77n) });
  assertEquals(mapLookupElem(token, map, { value: u64s(77n) }), u64s(77n));
  assertEquals(mapLookupElem(token, map, { value: u64s(78n) }), undefined);
  assertThrows(() => mapLookupElem(token, map, { value: new Uint8Array(7) }), RangeError, "value");
});

kernelTest("MapElemCall makes the same calls again and again, in place", {}, () => {
  const token = rootToken();
  using map = hashMap(token, { maxEntries: 64 });
  const update = new MapElemCall(token, map, "map_update_elem");
  const lookup = new MapElemCall(token, map, "map_lookup_elem");
  const next = new MapElemCall(token, map, "map_get_next_key");
  const take = new MapElemCall(token, map, "map_lookup_and_delete_elem");
  const remove = new MapElemCall(token, map, "map_delete_elem");
  for (let index = 0; index < 50; index++) {
    update.key.set(u32s(index));
    update.value.set(u64s(BigInt(index) * 0x1_0000_0001n));
    assertEquals(update.run(), true);
  }
  for (let index = 0; index < 60; index++) {
    lookup.key.set(u32s(index));
    assertEquals(lookup.run(), index < 50);
    if (index < 50) assertEquals(toU64s(lookup.value), [BigInt(index) * 0x1_0000_0001n]);
  }
  next.key.set(u32s(0xffff));
  let count = 0;
  while (next.run()) {
    next.key.set(next.value);
    count++;
  }
  assertEquals(count, 50);
  take.key.set(u32s(5));
  if (lacksTaking() !== undefined) {
    assertThrows(() => take.run(), NotSupportedError, "5.14");
    mapDeleteElem(token, map, { key: u32s(5) });
  } else assertEquals([take.run(), toU64s(take.value), take.run()], [true, [5n * 0x1_0000_0001n], false]);
  remove.key.set(u32s(6));
  assertEquals([remove.run(), remove.run()], [true, false]);
  assertEquals([mapLookupElem(token, map, { key: u32s(5) }), mapLookupElem(token, map, { key: u32s(6) })], [
    undefined,
    undefined,
  ]);
});

kernelTest("MapElemCall takes a mode and flags, and throws what the kernel refuses", {}, () => {
  const token = rootToken();
  using map = hashMap(token);
  const create = new MapElemCall(token, map, "map_update_elem", { mode: "noexist" });
  assertEquals(create.run(), true);
  assertRefused(() => create.run(), "EEXIST");
  const replace = new MapElemCall(token, map, "map_update_elem", { mode: "exist" });
  replace.key.set(u32s(3));
  assertRefused(() => replace.run(), "ENOENT");
  const locked = new MapElemCall(token, map, "map_lookup_elem", { flags: constant("BPF_F_LOCK") });
  assertRefused(() => locked.run(), "EINVAL");
  mapFreeze(token, map);
  assertRefused(() => create.run(), "EPERM", /frozen/);
});

kernelTest("MapElemCall checks the token once, and refuses a closed map and a revoked token", {}, () => {
  const commands: ElemCommand[] = [
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "map_lookup_and_delete_elem",
    "map_get_next_key",
  ];
  for (const command of commands) {
    const token = rootToken();
    const map = hashMap(token);
    assertThrows(
      () => new MapElemCall(token.only({ commands: ["map_create", "obj_get_info_by_fd"] }), map, command),
      PermissionError,
    );
    const closed = new MapElemCall(token, map, command);
    map.close();
    {
      using interposed = interpose();
      assertThrows(() => closed.run(), TypeError, "it is closed");
      assertEquals(interposed.calls, [], command);
    }
    const other = rootToken();
    using kept = hashMap(token);
    const call = new MapElemCall(other, kept, command);
    other.revoke();
    {
      using interposed = interpose();
      assertThrows(() => call.run(), PermissionError, "revoked");
      assertEquals(interposed.calls, [], command);
    }
    // The map was opened with a token that is revoked: it is closed, and says why.
    const opener = rootToken();
    const opened = hashMap(opener);
    const prepared = new MapElemCall(token, opened, command);
    opener.revoke();
    assertThrows(() => prepared.run(), TypeError, "its permission token was revoked");
  }
});

kernelTest("MapElemCall tells the token's listeners of each call", {}, () => {
  const token = rootToken();
  using map = hashMap(token);
  const lookup = new MapElemCall(token, map, "map_lookup_elem");
  const heard: AuditedCall[] = [];
  lookup.run();
  {
    using _listening = token.audit((call) => void heard.push(call));
    lookup.run();
    mapUpdateElem(token, map, { key: u32s(0), value: u64s(1n) });
    lookup.run();
  }
  lookup.run();
  assertEquals(heard.map(({ command, result }) => [command, result]), [
    ["map_lookup_elem", -2],
    ["map_update_elem", 0],
    ["map_lookup_elem", 0],
  ]);
});
