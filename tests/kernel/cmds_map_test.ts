import { assert, assertEquals, assertGreaterOrEqual, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { btfLoad } from "../../cmds/btf.ts";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { progLoad } from "../../cmds/prog.ts";
import { asm } from "../../asm/mod.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import { addressOf } from "../../ffi/memory.ts";
import { attrLayouts } from "../../uapi/attr.gen.ts";
import { commands, type MapType, mapTypes } from "../../uapi/enums.gen.ts";
import { mapTypeSince } from "../../uapi/since.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { keyValueBtf, MAP_TYPES, minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertLacking,
  assertRefused,
  constant,
  fdinfo,
  hashMap,
  interpose,
  lackingFor,
  returning,
  rootToken,
  trying,
  u32s,
  u64s,
} from "./_objects.ts";

/** Whether the running kernel is at least of a release. */
function has(release: string): boolean {
  return kernelSince(release)() === undefined;
}

kernelTest("mapCreate() creates a map of every type that the kernel has, as fdinfo shows it", {
  needs: ["btf"],
}, () => {
  const token = rootToken();
  const made: string[] = [];
  const lacking: string[] = [];
  for (const type of MAP_TYPES) {
    if (!has(mapTypeSince[type])) {
      const error = assertLacking(() => minimalMap(token, type), `map type ${type}`, mapTypeSince[type]);
      assertEquals((error.cause as SyscallError).code, "EINVAL", type);
      lacking.push(type);
      continue;
    }
    using map = minimalMap(token, type);
    assertEquals(fdinfo(map.fd).get("map_type"), `${mapTypes[type]}`, type);
    made.push(type);
  }
  console.log(`map types: ${made.length} made; absent from this kernel: ${lacking.join(", ") || "none"}`);
  assertEquals(made.length + lacking.length, MAP_TYPES.length);
  if (has("6.9")) assertGreaterOrEqual(made.length, 33);
});

kernelTest("mapCreate() passes sizes, flags, extra and name on to the kernel", {}, async () => {
  const token = rootToken();
  const flags = constant("BPF_F_NO_PREALLOC") | constant("BPF_F_RDONLY_PROG");
  using map = mapCreate(token, { type: "hash", keySize: 6, valueSize: 10, maxEntries: 33, flags, name: "a.b_9" });
  const info = fdinfo(map.fd);
  assertEquals(
    ["key_size", "value_size", "max_entries", "map_flags", "frozen"].map((name) => info.get(name)),
    ["6", "10", "33", `0x${flags.toString(16)}`, "0"],
  );
  const { bpftoolJson } = await import("../_tools.ts");
  const shown = await bpftoolJson(["map", "show", "id", `${info.get("map_id")}`]) as { name: string };
  assertEquals(shown.name, "a.b_9");
  const bloomFilter = { type: "bloom_filter", valueSize: 8, maxEntries: 10, extra: 5 } as const;
  if (lackingFor(() => mapCreate(token, bloomFilter)) !== undefined) {
    assertLacking(() => mapCreate(token, bloomFilter), "map type bloom_filter", "5.16");
  } else {
    assertEquals(info.get("map_extra"), "0x0");
    using bloom = mapCreate(token, bloomFilter);
    assertEquals(fdinfo(bloom.fd).get("map_extra"), "0x5");
  }
  using numa = mapCreate(token, {
    type: "hash",
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
    flags: constant("BPF_F_NUMA_NODE"),
    numaNode: 0,
  });
  assertEquals(fdinfo(numa.fd).get("map_flags"), `0x${constant("BPF_F_NUMA_NODE").toString(16)}`);
});

kernelTest("mapCreate() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  const base = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 } as const;
  assertRefused(() => mapCreate(token, { ...base, valueSize: 0 }), "EINVAL", /size/);
  assertRefused(() => mapCreate(token, { ...base, maxEntries: 0 }), "EINVAL");
  assertRefused(() => mapCreate(token, { ...base, flags: 0x4000_0000 }), "EINVAL");
  assertRefused(() => mapCreate(token, { ...base, keySize: 0x7fff_ffff }), "E2BIG", /larger/);
  // With common attributes the kernel itself says what is wrong.
  assertRefused(() => mapCreate(token, { ...base, type: 4242 }), "EINVAL", /lacks the type|says: Invalid map_type/);
  if (has("5.16")) assertRefused(() => mapCreate(token, { ...base, extra: 1 }), "EINVAL");
  else assertLacking(() => mapCreate(token, { ...base, extra: 1 }), "field map_extra of BPF_MAP_CREATE", "5.16");
  assertRefused(
    () => mapCreate(token, { ...base, flags: constant("BPF_F_NUMA_NODE"), numaNode: 4000 }),
    "EINVAL",
  );
  const outer = { type: "array_of_maps", keySize: 4, valueSize: 4, maxEntries: 1 } as const;
  assertRefused(() => mapCreate(token, { ...outer, innerMap: 9999 }), "EBADF", /innerMap/);
  // Standard input is no map.
  assertRefused(() => mapCreate(token, outer), "EINVAL");
  assertRefused(() => mapCreate(token, { ...base, btf: { fd: 1, valueTypeId: 1 } }), "EINVAL");
  assertRefused(() => mapCreate(token, { ...base, maxEntries: 0xffff_ffff, valueSize: 1 << 20 }), "E2BIG");
});

kernelTest("mapCreate() takes the BTF of keys and values", {}, () => {
  const token = rootToken();
  using btf = btfLoad(token, keyValueBtf());
  using map = mapCreate(token, {
    type: "hash",
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 },
  });
  assert(map.fd > 2);
  // The key's type has 4 bytes, and the key 8.
  const options = { type: "hash", keySize: 8, valueSize: 8, maxEntries: 1 } as const;
  assertRefused(() => mapCreate(token, { ...options, btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 } }), "EINVAL");
});

kernelTest("mapCreate() refuses what cannot be right before it calls the kernel", {}, () => {
  const token = rootToken();
  const base = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 } as const;
  const closed = hashMap(token);
  closed.close();
  using interposed = interpose();
  assertThrows(() => mapCreate(token, { ...base, name: "sixteen_letters_" }), RangeError, "limit of 15");
  assertThrows(() => mapCreate(token, { ...base, name: "no spaces" }), TypeError, "only letters");
  assertThrows(() => mapCreate(token, { ...base, keySize: -1 }), RangeError, "key_size");
  assertThrows(() => mapCreate(token, { ...base, valueSize: 1.5 }), RangeError, "value_size");
  assertThrows(() => mapCreate(token, { ...base, maxEntries: 2 ** 32 }), RangeError, "max_entries");
  assertThrows(() => mapCreate(token, { ...base, type: "nonsense" as MapType }), TypeError, "nonsense");
  assertThrows(() => mapCreate(token, { ...base, innerMap: closed }), TypeError, "it is closed");
  assertThrows(() => mapCreate(token, { ...base, innerMap: -1 }), TypeError, "inner_map_fd");
  assertThrows(() => mapCreate(token.only({ mapTypes: ["array"] }), base), PermissionError);
  assertThrows(() => mapCreate(token.only({ commands: ["prog_load"] }), base), PermissionError);
  assertEquals(interposed.calls, []);
  mapCreate(token, base).close();
  assertEquals(interposed.calls, [commands.map_create]);
});

kernelTest("mapCreate() takes the hash of the only program that may use the map", {
  needs: [
    trying((token) => {
      const exclusiveProgHash = new Uint8Array(32);
      return mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, exclusiveProgHash });
    }),
  ],
}, async () => {
  const token = rootToken();
  const insns = (map: number) =>
    asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${map} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      r0 = 0
      exit
    `;
  const exclusiveProgHash = new Uint8Array(await crypto.subtle.digest("SHA-256", returning(1)));
  using map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, exclusiveProgHash });
  const error = assertThrows(
    () => progLoad(token, { type: "socket_filter", insns: insns(map.fd), license: "GPL" }).close(),
    SyscallError,
  );
  assertEquals(error.code, "EACCES");
  assertRefused(
    () => mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, exclusiveProgHash: u32s(1) }),
    "EINVAL",
  );
});

kernelTest("mapFreeze() forbids updates from then on, not lookups", {}, () => {
  const token = rootToken();
  using map = hashMap(token);
  const key = u32s(1);
  mapUpdateElem(token, map, { key, value: u64s(5n) });
  mapFreeze(token, map);
  assertEquals(fdinfo(map.fd).get("frozen"), "1");
  const error = assertRefused(() => mapUpdateElem(token, map, { key, value: u64s(6n) }), "EPERM", /frozen/);
  assertInstanceOf(error, SyscallError);
  assertMatch(error.message, /^Cannot update a map element: EPERM/);
  assertEquals(mapLookupElem(token, map, { key }), u64s(5n));
  assertRefused(() => mapFreeze(token, map), has("6.5") ? "EPERM" : "EBUSY", /frozen already/);
  assertRefused(() => mapFreeze(token, 2), "EINVAL");
  using dummy = minimalMap(token, "struct_ops");
  assertRefused(() => mapFreeze(token, dummy), "ENOTSUPP");
});

/** Map types that user space can fill and read by any key, and the lookup's flags. */
const READABLE: readonly MapType[] = [
  "hash",
  "array",
  "percpu_hash",
  "percpu_array",
  "lru_hash",
  "lru_percpu_hash",
];

const GUARD = 0xa5;

kernelTest("mapLookupElem() gives a buffer that is as large as what the kernel writes, and no byte smaller", {}, () => {
  const token = rootToken();
  const offset = attrLayouts.map_lookup_elem.fields.value.offset;
  let checked = 0;
  for (const type of READABLE) {
    for (const valueSize of [1, 4, 7, 8, 13, 64]) {
      using map = minimalMap(token, type, { valueSize });
      const isPerCpu = type.includes("percpu");
      const expected = isPerCpu ? Math.ceil(valueSize / 8) * 8 * possibleCpus() : valueSize;
      const key = u32s(1);
      mapUpdateElem(token, map, { key, value: new Uint8Array(expected).fill(0x3c) });
      const guarded = new Uint8Array(new ArrayBuffer(expected + 256)).fill(GUARD);
      let length: number | undefined;
      {
        using _kernel = interpose((command, attr) => {
          if (command !== commands.map_lookup_elem) return;
          new DataView(attr.buffer).setBigUint64(offset, addressOf(guarded), true);
        });
        length = mapLookupElem(token, map, { key })?.length;
      }
      assertEquals(length, expected, `${type} ${valueSize}`);
      assertEquals(guarded.findIndex((byte) => byte === GUARD), expected, `${type} ${valueSize}: bytes written`);
      assert(guarded.subarray(expected).every((byte) => byte === GUARD), `${type} ${valueSize}: written past the end`);
      checked++;
    }
  }
  assertEquals(checked, READABLE.length * 6);
});

kernelTest("mapLookupElem() and mapUpdateElem() refuse wrong lengths before they call the kernel", {}, () => {
  const token = rootToken();
  for (const type of READABLE) {
    using map = minimalMap(token, type, { valueSize: 8 });
    const size = type.includes("percpu") ? 8 * possibleCpus() : 8;
    mapUpdateElem(token, map, { key: u32s(1), value: new Uint8Array(size) });
    using interposed = interpose();
    for (const length of [0, 3, 5, 8]) {
      assertThrows(() => mapLookupElem(token, map, { key: new Uint8Array(length) }), RangeError, "needs 4");
      const value = new Uint8Array(size);
      assertThrows(() => mapUpdateElem(token, map, { key: new Uint8Array(length), value }), RangeError, "needs 4");
    }
    for (const length of [0, size - 1, size + 1]) {
      const value = new Uint8Array(length);
      assertThrows(() => mapUpdateElem(token, map, { key: u32s(1), value }), RangeError, `needs ${size}`);
    }
    assertThrows(() => mapLookupElem(token, map, {}), RangeError, "needs 4");
    assertEquals(interposed.calls, [], type);
  }
});

kernelTest("mapCreate() keeps a map of maps' inner map, whose id a lookup gives", {}, () => {
  const token = rootToken();
  using inner = arrayMap(token);
  const innerId = Number(fdinfo(inner.fd).get("map_id"));
  using outer = mapCreate(token, { type: "array_of_maps", keySize: 4, valueSize: 4, maxEntries: 2, innerMap: inner });
  mapUpdateElem(token, outer, { key: u32s(0), value: u32s(inner.fd) });
  assertEquals(mapLookupElem(token, outer, { key: u32s(0) }), u32s(innerId));
  assertEquals(mapLookupElem(token, outer, { key: u32s(1) }), undefined);
});
