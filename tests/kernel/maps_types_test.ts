import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  btfLoad,
  bytes,
  type CgroupStorageKey,
  enumOf,
  ipv4Prefix,
  ipv6Prefix,
  type MapHandle,
  type MapType,
  mapTypes,
  objGetInfoByFd,
  openPath,
  openPidfd,
  type OperationsOf,
  type PerCpuMap,
  progAttach,
  progDetach,
  progLoad,
  progTestRun,
  struct,
  SyscallError,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { onlineCpus, possibleCpus } from "../../ffi/cpus.ts";
import { kernelTest } from "../_kernel_test.ts";
import { vmlinuxId } from "./_btf_bytes.ts";
import { keyValueBtf, minimalMap, tcpOpsSize } from "./_map_types.ts";
import {
  assertLacking,
  clockEvent,
  lackingFor,
  makeCgroup,
  place,
  rootToken,
  simpleProg,
  trying,
  veth,
} from "./_objects.ts";
import { cookieOf, listeningSocket, reusePortSocket, xdpSocket } from "./_sockets.ts";
import { congestionControls, tcpOps } from "./_struct_ops.ts";

/** The map types that a test here has made; the last test asks for all. */
const tested = new Set<MapType>();

/** A test of some types, told which of them the kernel has; skipped where it has none. */
function typeTest(
  name: string,
  types: readonly MapType[],
  fn: (has: (type: MapType) => boolean) => void | Promise<void>,
  needs: "cgroup"[] = [],
): void {
  const lacking = new Map<MapType, string>();
  const probe = (): string | undefined => {
    for (const type of types) {
      const lack = trying((token) => minimalMap(token, type))();
      if (lack !== undefined) lacking.set(type, lack);
    }
    return lacking.size === types.length ? lacking.get(types[0]) : undefined;
  };
  kernelTest(name, { needs: [probe, ...needs] }, async () => {
    const there = types.filter((type) => !lacking.has(type));
    for (const type of there) tested.add(type);
    await fn((type) => there.includes(type));
  });
}

typeTest("array: elements are always there, by index and in batches", ["array"], () => {
  using map = BpfMap.create(rootToken(), { type: "array", value: u64, maxEntries: 1000 });
  assertEquals([map.length, map.size, map.get(0), map.get(1000), map.has(999)], [1000, 1000, 0n, undefined, true]);
  map.set(3, 7n);
  assertEquals([map.get(3), [...map].length, [...map][3]], [7n, 1000, [3, 7n]]);
  assertThrows(() => map.set(1000, 1n), SyscallError, "the array's index is not below max_entries");
  assertEquals(map.setAll(Array.from({ length: 1000 }, (_, index) => [index, BigInt(index)] as const)), 1000);
  assertEquals([...map.values()][999], 999n);
  // @ts-expect-error Elements of arrays cannot be deleted.
  assertThrows(() => map.delete(3), TypeError, "its elements are always there; set one to zero");
  // @ts-expect-error Nor taken out.
  assertThrows(() => map.drain(), TypeError, "Cannot take an element out of a map of type array");
  // @ts-expect-error Nor all deleted.
  assertThrows(() => map.clear(), TypeError, "Cannot delete an element of a map of type array");
});

typeTest("percpu_array, percpu_hash, lru_percpu_hash: a value for each possible CPU", [
  "percpu_array",
  "percpu_hash",
  "lru_percpu_hash",
], () => {
  const token = rootToken();
  const cpus = possibleCpus();
  const value = struct({ packets: u32, flag: u8 });
  for (const type of ["percpu_array", "percpu_hash", "lru_percpu_hash"] as const) {
    using map = BpfMap.create(token, { type, key: u32, value: u32, maxEntries: 4 });
    const values = Array.from({ length: cpus }, (_, cpu) => 10 * (cpu + 1));
    map.set(1, values);
    assertEquals([map.get(1), map.sum(1), map.max(1)], [values, values.reduce((a, b) => a + b), 10 * cpus]);
    map.fill(2, 5);
    assertEquals([map.sum(2), map.sum(3)], [5 * cpus, type === "percpu_array" ? 0 : undefined]);
    assertEquals([...map].find(([key]) => key === 1)?.[1], values);
    assertThrows(() => map.set(1, [1, 2, 3].slice(0, cpus - 1)), RangeError, `${cpus} possible CPUs`);
    const last = cpus - 1;
    if (lackingFor(() => map.getCpu(1, last)) === undefined) {
      assertEquals([map.getCpu(1, last), map.getCpu(3, 0)], [values[last], type === "percpu_array" ? 0 : undefined]);
      map.setCpu(1, last, 77).setCpu(3, last, 78);
      const alone = values.map((_, cpu) => cpu === last ? 78 : 0);
      assertEquals([map.get(1), map.get(3)], [[...values.slice(0, last), 77], alone]);
      map.set(1, values);
    } else {
      for (const fn of [() => map.getCpu(1, last), () => map.setCpu(1, last, 77)]) {
        assertLacking(fn, "flag BPF_F_CPU of map elements", "7.0");
      }
    }
    for (const cpu of [-1, cpus, 0.5]) {
      assertThrows(() => map.getCpu(1, cpu), RangeError, `cpu: ${cpu} is not an integer from 0 to ${last}`);
    }
    assertThrows(() => map.setCpu(1, 0, 2 ** 32), RangeError, "4294967296 is not an integer");
    using odd = BpfMap.create(token, { type, key: u32, value, maxEntries: 4 });
    odd.fill(0, { packets: 1, flag: 2 });
    assertEquals(odd.get(0), Array.from({ length: cpus }, () => ({ packets: 1, flag: 2 })));
    assertThrows(() => (odd as unknown as typeof map).sum(0), TypeError, "object is no number");
    using again = BpfMap.open(token, { id: map.info.id }, { type, key: u32, value: u32 });
    assertEquals(again.get(1), values);
    using raw = BpfMap.open(token, { id: map.info.id }, { type });
    // Indexed types have numbers for keys even then.
    const key = (type === "percpu_array" ? 1 : new Uint8Array([1, 0, 0, 0])) as never;
    assertEquals(((raw as PerCpuMap<unknown, unknown>).get(key) as Uint8Array[]).map((one) => one[0]), values);
  }
});

/** Whether the kernel takes sizes, or says E2BIG. */
function takes(fn: () => void): boolean {
  try {
    fn();
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === "E2BIG") return false;
    throw error;
  }
}

typeTest("hash, lru_hash: with elements of any size", ["hash", "lru_hash"], () => {
  const token = rootToken();
  const make = (type: "hash" | "lru_hash", keySize: number, size: number) =>
    BpfMap.create(token, { type, key: bytes(keySize), value: bytes(size), maxEntries: 40 });
  // Keys had 512 bytes at most in older kernels: 5.10 is one.
  const largestKey = takes(() => make("hash", 4096, 8).close()) ? 4096 : 512;
  for (const type of ["hash", "lru_hash"] as const) {
    for (const size of [1, 3, 7, 8, 100, 4096]) {
      const keySize = Math.min(size, largestKey);
      using map = make(type, keySize, size);
      const [key, value] = [new Uint8Array(keySize).fill(7), new Uint8Array(size).fill(7)];
      map.set(key, value);
      assertEquals([map.get(key), [...map], map.drain()], [value, [[key, value]], [[key, value]]]);
    }
    if (largestKey === 512) assertThrows(() => make(type, 513, 8), SyscallError, "E2BIG");
  }
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u32, maxEntries: 4, flags: ["no_prealloc"] });
  assertEquals([map.info.flags & 1, map.set(1, 2).get(1)], [1, 2]);
});

typeTest("lpm_trie: the longest prefix of an address matches", ["lpm_trie"], () => {
  const token = rootToken();
  using v4 = BpfMap.create(token, { type: "lpm_trie", key: ipv4Prefix, value: u32, maxEntries: 100 });
  v4.set("0.0.0.0/0", 0).set("10.0.0.0/8", 8).set("10.1.0.0/16", 16).set("10.1.2.3", 32);
  assertEquals(
    ["192.0.2.1", "10.2.0.1", "10.1.0.1", "10.1.2.3"].map((address) => v4.get(address)),
    [0, 8, 16, 32],
  );
  assertEquals([...v4].map(([prefix]) => prefix).sort(), ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"]);
  assertEquals([v4.delete("10.1.0.0/16"), v4.delete("10.1.0.0/16"), v4.get("10.1.0.1")], [true, false, 8]);
  assertThrows(() => v4.set("10.1.0.0/8", 1), RangeError, "bits set beyond the first 8");
  using v6 = BpfMap.create(token, { type: "lpm_trie", key: ipv6Prefix, value: u32, maxEntries: 100 });
  v6.set("2001:db8::/32", 32).set("2001:db8:1::/48", 48);
  assertEquals(["2001:db8:1::5", "2001:db8:2::5", "2001:db9::1"].map((address) => v6.get(address)), [
    48,
    32,
    undefined,
  ]);
  const many = Array.from({ length: 90 }, (_, index) => [`172.16.${index}.0/24`, index] as const);
  assertEquals([v4.setAll(many), v4.count(), v4.clear(), v4.count()], [90, 93, 93, 0]);
  // @ts-expect-error Nothing can be taken out in one step.
  assertThrows(() => v4.getAndDelete("10.0.0.0/8"), TypeError, "use get() and delete()");
});

typeTest("queue, stack: push, pop and peek", ["queue", "stack"], () => {
  const token = rootToken();
  for (const [type, order] of [["queue", [1, 2, 3]], ["stack", [3, 2, 1]]] as const) {
    using map = BpfMap.create(token, { type, value: u32, maxEntries: 3 });
    map.push(1).push(2).push(3);
    assertThrows(() => map.push(4), SyscallError, "E2BIG");
    assertEquals([map.peek(), map.pop(), map.pop(), map.pop(), map.pop(), map.peek()], [
      order[0],
      ...order,
      undefined,
      undefined,
    ]);
    map.push(1).push(2).push(3).push(4, { replace: true });
    assertEquals([map.pop(), map.pop(), map.pop()], type === "queue" ? [2, 3, 4] : [4, 3, 2]);
    assertThrows(() => map.push(2 ** 32), RangeError);
    using again = BpfMap.open(token, { id: map.info.id }, { type, value: u32 });
    again.push(9);
    assertEquals(map.pop(), 9);
  }
});

typeTest("bloom_filter: never no to what was added", ["bloom_filter"], () => {
  using map = BpfMap.create(rootToken(), { type: "bloom_filter", value: u64, maxEntries: 1000, extra: 4 });
  for (let value = 0n; value < 1000n; value++) map.add(value);
  const present = Array.from({ length: 1000 }, (_, value) => map.mayHave(BigInt(value)));
  assertEquals(present.every(Boolean), true);
  const wrong = Array.from({ length: 1000 }, (_, value) => map.mayHave(BigInt(value) + 1_000_000n)).filter(Boolean);
  assert(wrong.length < 300, `${wrong.length} of 1000 that were never added`);
  assertEquals(map.info.mapExtra, 4n);
});

typeTest("prog_array: programs go in, their ids come out", ["prog_array"], () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "prog_array", maxEntries: 4 });
  using prog = simpleProg(token, "xdp");
  const { id } = objGetInfoByFd(token, prog, { kind: "prog" });
  map.set(2, prog);
  assertEquals([map.get(2), map.get(0), [...map], map.count()], [id, undefined, [[2, id]], 1]);
  assertEquals([map.delete(2), map.delete(2), [...map]], [true, false, []]);
  using tracing = simpleProg(token, "raw_tracepoint");
  map.set(0, prog);
  assertThrows(() => map.set(1, tracing), SyscallError, "EINVAL");
  assertThrows(() => map.set(1, { fd: -1 }), TypeError, "-1 is not a file descriptor");
  // @ts-expect-error Programs are not taken out in one step.
  assertThrows(() => map.getAndDelete(0), TypeError, "no such operation");
});

typeTest("perf_event_array, cgroup_array: descriptors go in", ["perf_event_array", "cgroup_array"], () => {
  const token = rootToken();
  using events = BpfMap.create(token, { type: "perf_event_array", maxEntries: 2 });
  using event = clockEvent();
  events.set(0, event);
  assertEquals([events.delete(0), events.delete(0)], [true, false]);
  // @ts-expect-error Perf events cannot be read back.
  assertThrows(() => events.get(0), TypeError, "the kernel does not tell which perf events it holds");
  using cgroups = BpfMap.create(token, { type: "cgroup_array", maxEntries: 2 });
  using cgroup = makeCgroup();
  cgroups.set(1, cgroup);
  assertThrows(() => cgroups.set(2, cgroup), SyscallError, "E2BIG");
  // @ts-expect-error Nor cgroups.
  assertThrows(() => cgroups.keys(), TypeError, "Cannot go through a map of type cgroup_array");
  assertEquals([cgroups.delete(1), cgroups.delete(1)], [true, false]);
}, ["cgroup"]);

typeTest("array_of_maps, hash_of_maps: maps go in, their ids come out, and can be opened", [
  "array_of_maps",
  "hash_of_maps",
], () => {
  const token = rootToken();
  using inner = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 8 });
  inner.set(1, 2n);
  const { id } = inner.info;
  using array = BpfMap.create(token, { type: "array_of_maps", maxEntries: 4, innerMap: inner });
  array.set(3, inner);
  assertEquals([array.get(3), array.get(0), [...array]], [id, undefined, [[3, id]]]);
  using hash = BpfMap.create(token, { type: "hash_of_maps", key: u64, maxEntries: 4, innerMap: inner });
  hash.set(77n, inner);
  assertEquals([hash.get(77n), [...hash]], [id, [[77n, id]]]);
  using again = array.open(3, { type: "hash", key: u32, value: u64 });
  assertEquals([again?.get(1), array.open(0), hash.delete(77n), array.delete(3)], [2n, undefined, true, true]);
  using other = BpfMap.create(token, { type: "hash", key: u32, value: u32, maxEntries: 8 });
  assertThrows(() => array.set(0, other), SyscallError, "EINVAL");
  assertThrows(() => BpfMap.create(token, { type: "array_of_maps", maxEntries: 4 }), TypeError, "innerMap is missing");
});

typeTest("devmap, devmap_hash: interfaces with a program each", ["devmap", "devmap_hash"], async () => {
  const token = rootToken();
  await using pair = await veth();
  const [ifindex] = pair.ifindexes;
  using prog = simpleProg(token, "xdp", { value: 2, expectedAttachType: "xdp_devmap" });
  const { id } = objGetInfoByFd(token, prog, { kind: "prog" });
  for (const type of ["devmap", "devmap_hash"] as const) {
    using map = BpfMap.create(token, { type, maxEntries: 4 });
    map.set(1, { ifindex });
    map.set(2, { ifindex, prog });
    assertEquals([map.get(1), map.get(2), map.get(3)], [{ ifindex, progId: 0 }, { ifindex, progId: id }, undefined]);
    assertEquals([...map].length, 2);
    assertThrows(() => map.set(1, { ifindex: 0x7fffff }), SyscallError);
    assertEquals([map.delete(1), map.get(1)], [true, undefined]);
    using short = BpfMap.open(token, { fd: minimalMap(token, type) }, { type });
    short.set(1, { ifindex });
    assertEquals(short.get(1), { ifindex, progId: 0 });
    assertThrows(() => short.set(1, { ifindex, prog }), RangeError, "no room for a program");
  }
});

typeTest("cpumap: queues with a program each", ["cpumap"], () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "cpumap", maxEntries: 2 });
  using prog = simpleProg(token, "xdp", { value: 2, expectedAttachType: "xdp_cpumap" });
  const { id } = objGetInfoByFd(token, prog, { kind: "prog" });
  const [cpu] = onlineCpus();
  map.set(cpu, { queueSize: 192, prog });
  assertEquals([map.get(cpu), [...map]], [{ queueSize: 192, progId: id }, [[cpu, { queueSize: 192, progId: id }]]]);
  assertThrows(() => map.set(cpu, { queueSize: 1 << 20 }), SyscallError, "EOVERFLOW");
  map.set(cpu, { queueSize: 0 });
  assertEquals(map.get(cpu), undefined);
});

typeTest("xskmap: XDP sockets go in", ["xskmap"], () => {
  using map = BpfMap.create(rootToken(), { type: "xskmap", maxEntries: 2 });
  using socket = xdpSocket();
  map.set(1, socket);
  using other = xdpSocket();
  assertThrows(() => map.set(1, other, { mode: "noexist" }), SyscallError, "EEXIST");
  assertEquals(map.delete(1), true);
  map.set(1, other, { mode: "noexist" });
  using tcp = listeningSocket();
  assertThrows(() => map.set(0, tcp), SyscallError, "EOPNOTSUPP");
  // @ts-expect-error Sockets cannot be read back.
  assertThrows(() => map.get(0), TypeError, "which sockets it holds");
});

typeTest("sockmap, sockhash: sockets go in, their cookies come out", ["sockmap", "sockhash"], () => {
  const token = rootToken();
  using socket = listeningSocket();
  const cookie = cookieOf(socket);
  using map = BpfMap.create(token, { type: "sockmap", maxEntries: 4 });
  map.set(2, socket);
  assertEquals([map.get(2), map.get(0), [...map]], [cookie, undefined, [[2, cookie]]]);
  assertEquals([map.delete(2), map.get(2)], [true, undefined]);
  const peer = struct({ address: u32, port: u32 });
  using hash = BpfMap.create(token, { type: "sockhash", key: peer, maxEntries: 4 });
  hash.set({ address: 1, port: 2 }, socket);
  assertEquals([...hash], [[{ address: 1, port: 2 }, cookie]]);
  assertEquals([hash.delete({ address: 1, port: 2 }), hash.count()], [true, 0]);
});

typeTest("reuseport_sockarray: sockets that share a port go in", ["reuseport_sockarray"], () => {
  using map = BpfMap.create(rootToken(), { type: "reuseport_sockarray", maxEntries: 4 });
  using first = reusePortSocket(9753);
  using second = reusePortSocket(9753);
  map.set(0, first).set(1, second);
  assertEquals([map.get(0), map.get(1), map.get(2)], [cookieOf(first), cookieOf(second), undefined]);
  assertThrows(() => map.set(2, first), SyscallError, "EBUSY");
  assertEquals([map.delete(0), map.count()], [true, 1]);
  using lonely = listeningSocket();
  assertThrows(() => map.set(3, lonely), SyscallError, "EINVAL");
});

typeTest(
  "sk_storage, task_storage, cgrp_storage: by descriptor",
  ["sk_storage", "task_storage", "cgrp_storage"],
  (has) => {
    const token = rootToken();
    using socket = listeningSocket();
    using self = openPidfd(Deno.pid);
    using cgroup = makeCgroup();
    const value = struct({ n: u64, flag: u8 });
    for (const [type, key] of [["sk_storage", socket], ["task_storage", self], ["cgrp_storage", cgroup]] as const) {
      if (!has(type)) continue;
      using map = BpfMap.create(token, { type, value });
      assertEquals([map.get(key), map.delete(key)], [undefined, false]);
      map.set(key, { n: 5n, flag: 1 });
      assertEquals([map.get(key), map.has(key)], [{ n: 5n, flag: 1 }, true]);
      assertThrows(() => map.set(key, { n: 6n, flag: 1 }, { mode: "noexist" }), SyscallError, "EEXIST");
      assertEquals([map.delete(key), map.get(key)], [true, undefined]);
      assertThrows(() => map.get({ fd: 0x7ffffff0 }), SyscallError, "EBADF");
      // @ts-expect-error The kernel does not tell its keys.
      assertThrows(() => map.keys(), TypeError, "the kernel does not tell its keys");
    }
  },
  ["cgroup"],
);

typeTest("inode_storage: by a file's descriptor, where BPF is a security module", ["inode_storage"], () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "inode_storage", value: u64 });
  using file = openPath("/");
  const modules = tryRead("/sys/kernel/security/lsm");
  if (modules === undefined || modules.split(",").includes("bpf")) {
    map.set(file, 5n);
    assertEquals([map.get(file), map.delete(file), map.get(file)], [5n, true, undefined]);
  } else {
    // The kernel keeps no storage with inodes then, and says so the same way for every file.
    assertThrows(() => map.set(file, 5n), SyscallError, "EBADF");
  }
});

function tryRead(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
}

typeTest("cgroup_storage, percpu_cgroup_storage: by cgroup and attach type", [
  "cgroup_storage",
  "percpu_cgroup_storage",
], () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  for (const type of ["cgroup_storage", "percpu_cgroup_storage"] as const) {
    using made = BpfMap.create(token, { type, value: u64 });
    const map = made as unknown as BpfMap<CgroupStorageKey, unknown, OperationsOf<"cgroup_storage">>;
    using prog = progLoad(token, {
      type: "cgroup_skb",
      license: "GPL",
      insns: asm`
        r1 = map_fd ${map} ll
        r2 = 0
        call get_local_storage
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
        r0 = 1
        exit
      `,
    });
    const where = { attachType: "cgroup_inet_egress", target: cgroup } as const;
    progAttach(token, prog, where);
    try {
      const key = { cgroupInodeId: cgroup.id, attachType: "cgroup_inet_egress" } as const;
      assertEquals([...map.keys()], [key]);
      const values = Array.from({ length: possibleCpus() }, (_, cpu) => BigInt(cpu));
      const value = type === "cgroup_storage" ? 40n : values;
      map.set(key, value);
      assertEquals(map.get(key), value);
      // @ts-expect-error Its elements come and go with attachments.
      assertThrows(() => map.delete(key), TypeError, "as long as the cgroup's attachment");
    } finally {
      progDetach(token, { ...where, prog });
    }
  }
}, ["cgroup"]);

typeTest("struct_ops: a value that is written is registered, one that is deleted is not", ["struct_ops"], () => {
  const token = rootToken();
  using ops = tcpOps(token, "deno_cc");
  using types = btfLoad(token, keyValueBtf());
  using map = BpfMap.create(token, {
    type: "struct_ops",
    value: bytes(tcpOpsSize()),
    vmlinuxValueTypeId: vmlinuxId("struct", "bpf_struct_ops_tcp_congestion_ops") ?? 0,
    btf: { fd: types, valueTypeId: 0 },
  });
  map.set(0, ops.value);
  assert(congestionControls().includes("deno_cc"));
  const state = enumOf({ INIT: 0, IN_USE: 1, TO_FREE: 2, READY: 3 });
  const read = map.get(0)!;
  assertEquals(state.decode(new DataView(read.buffer), 4), "IN_USE");
  assertThrows(() => map.set(0, ops.value), SyscallError, "EBUSY");
  assertEquals([map.delete(0), congestionControls().includes("deno_cc")], [true, false]);
});

typeTest("insn_array: places in a program that is yet to be loaded", ["insn_array"], () => {
  using map = BpfMap.create(rootToken(), { type: "insn_array", maxEntries: 2 });
  map.set(0, { origOff: 1, xlatedOff: 0, jittedOff: 0, reserved: 0 });
  assertEquals([map.get(0)?.origOff, map.get(2), [...map].length], [1, undefined, 2]);
});

typeTest("rhash: a hash that grows", ["rhash"], () => {
  using map = BpfMap.create(rootToken(), { type: "rhash", key: u32, value: u64, maxEntries: 5000 });
  const entries = Array.from({ length: 5000 }, (_, key) => [key, BigInt(key)] as const);
  assertEquals([map.setAll(entries), map.count(), map.get(77), map.delete(77), map.get(77)], [
    5000,
    5000,
    77n,
    true,
    undefined,
  ]);
  assertEquals([...map].map(([key]) => key).sort((a, b) => a - b).length, 4999);
  assertEquals(map.clear(), 4999);
});

typeTest("ringbuf, user_ringbuf, arena, stack_trace: what has no elements to write", [
  "ringbuf",
  "user_ringbuf",
  "arena",
  "stack_trace",
], (has) => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 4096 });
  assertEquals(ring.positions, { consumer: 0, producer: 0, available: 0, size: 4096, lost: 0 });
  if (has("user_ringbuf")) {
    using user = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
    assertEquals([user.available, user.write(u64, 1n), user.available], [4096, true, 4080]);
  }
  if (has("arena")) {
    using arena = BpfMap.create(token, { type: "arena", maxEntries: 2 });
    new Uint8Array(arena.memory)[0] = 7;
    assertEquals([arena.memory.byteLength, new Uint8Array(arena.memory)[0]], [8192, 7]);
  }
  using traces = BpfMap.create(token, { type: "stack_trace", maxEntries: 16 });
  assertEquals([traces.get(1), traces.count()], [undefined, 0]);
  // @ts-expect-error Only programs write it.
  assertThrows(() => traces.set(0, []), TypeError, "only programs write it");
});

kernelTest("BpfMap has every map type of the kernel", {}, () => {
  const token = rootToken();
  const lacking: MapType[] = [];
  for (const type of Object.keys(mapTypes) as MapType[]) {
    if (tested.has(type)) continue;
    if (trying((root) => minimalMap(root, type))() === undefined) lacking.push(type);
  }
  assertEquals(lacking, []);
  // What is opened without a type is of the class that its type has.
  using queue: MapHandle = BpfMap.create(token, { type: "queue", value: u32, maxEntries: 2 });
  using again = BpfMap.open(token, { id: queue.info.id });
  assertEquals([again.constructor.name, again.type], ["QueueMap", "queue"]);
});

kernelTest(
  "prog_array: a tail call runs, falls through an empty slot, follows a slot that is replaced, and ends at 33",
  {},
  () => {
    const token = rootToken();
    using slots = BpfMap.create(token, { type: "prog_array", maxEntries: 4 });
    using calls = BpfMap.create(token, { type: "array", value: u32, maxEntries: 1 });
    const xdp = (text: Uint8Array<ArrayBuffer>) => progLoad(token, { type: "xdp", license: "GPL", insns: text });
    using entry = xdp(asm`
    r6 = r1
    r2 = map_fd ${slots} ll
    r3 = 1
    call tail_call
    r0 = 100
    exit
  `);
    using one = xdp(asm`
    r0 = 1
    exit
  `);
    using two = xdp(asm`
    r0 = 2
    exit
  `);
    // Counts itself, and calls itself until the kernel has had enough.
    using again = xdp(asm`
    r6 = r1
    *(u32 *)(r10 -4) = 0
    r1 = map_fd ${calls} ll
    r2 = r10
    r2 += -4
    call map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u32 *)(r0 +0)
    r1 += 1
    *(u32 *)(r0 +0) = r1
    r1 = r6
    r2 = map_fd ${slots} ll
    r3 = 2
    call tail_call
  out:
    r0 = 3
    exit
  `);
    const ran = (prog: typeof entry): number => progTestRun(token, prog, { data: new Uint8Array(64) }).returnValue;
    assertEquals(ran(entry), 100);
    slots.set(1, one);
    assertEquals(ran(entry), 1);
    slots.set(1, two);
    assertEquals(ran(entry), 2);
    slots.delete(1);
    assertEquals(ran(entry), 100);
    slots.set(2, again);
    assertEquals([ran(again), calls.get(0)], [3, 34]);
  },
);

kernelTest("cgroup_array: bpf_current_task_under_cgroup() asks it", { needs: ["cgroup"] }, async () => {
  const token = rootToken();
  using cgroup = makeCgroup();
  using cgroups = BpfMap.create(token, { type: "cgroup_array", maxEntries: 1 });
  using answers = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
  cgroups.set(0, cgroup);
  using prog = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      r1 = map_fd ${cgroups} ll
      r2 = 0
      call current_task_under_cgroup
      r6 = r0
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${answers} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r6 += 1
      *(u64 *)(r0 +0) = r6
    out:
      r0 = 0
      exit
    `,
  });
  const ask = (): bigint | undefined => {
    progTestRun(token, prog, { ctx: new Uint8Array(8) });
    return answers.get(0);
  };
  assertEquals(ask(), 1n);
  const procs = (path: string): void => Deno.writeTextFileSync(`${path}/cgroup.procs`, `${Deno.pid}`);
  const before = place("CGROUP").replace(/\/tests$/, "/runner");
  procs(cgroup.path);
  try {
    assertEquals(ask(), 2n);
  } finally {
    procs(before);
  }
  assertEquals(ask(), 1n);
  await Promise.resolve();
});
