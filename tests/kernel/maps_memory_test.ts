import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  asm,
  BpfMap,
  type ElemCommand,
  KernelSymbols,
  mapCreate,
  mapDeleteBatch,
  mapDeleteElem,
  MapElemCall,
  mapGetNextKey,
  mapLookupAndDeleteBatch,
  mapLookupAndDeleteElem,
  mapLookupBatch,
  mapLookupElem,
  mapUpdateBatch,
  mapUpdateElem,
  PermissionError,
  progLoad,
  progTestRun,
  stackOf,
  struct,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import { kernelTest } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { interpose, rootToken, trying } from "./_objects.ts";

const PACKET = new Uint8Array(64);

kernelTest("ArrayMap.view() is the kernel's memory, shared with programs", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1000, flags: ["mmapable"] });
  const memory = map.view(BigUint64Array);
  assertEquals([memory.length, memory[3]], [1000, 0n]);
  map.set(3, 7n);
  assertEquals(memory[3], 7n);
  memory[4] = 9n;
  assertEquals(map.get(4), 9n);
  using prog = progLoad(token, {
    type: "socket_filter",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 4
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
  progTestRun(token, prog, { data: PACKET, repeat: 5 });
  assertEquals(memory[4], 14n);
  const calls = interpose();
  const same = map.view(BigUint64Array);
  for (let index = 0; index < 1000; index++) same[index] += 1n;
  assertEquals([memory[4], calls.calls.length], [15n, 0]);
  calls[Symbol.dispose]();
  map.close();
  assertEquals([memory.length, same.length, memory[4]], [0, 0, undefined]);
});

kernelTest("ArrayMap.view() gives each kind of typed array, elements at multiples of 8 bytes", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "array", value: u32, maxEntries: 5, flags: ["mmapable"] });
  map.set(2, 0x01020304);
  const words = map.view(Uint32Array);
  assertEquals([words.length, words[4], words[5]], [10, 0x01020304, 0]);
  assertEquals([...map.view(Uint8Array).subarray(16, 20)], [4, 3, 2, 1]);
  using wide = BpfMap.create(token, {
    type: "array",
    value: struct({ a: u64, b: u64 }),
    maxEntries: 4096,
    flags: ["mmapable"],
  });
  wide.set(4095, { a: 1n, b: 2n });
  const pairs = wide.view(BigInt64Array);
  assertEquals([pairs.length, pairs[8190], pairs[8191]], [8192, 1n, 2n]);
});

kernelTest("ArrayMap.view() refuses what cannot be written, and ends with the token", {}, () => {
  const token = rootToken();
  using plain = BpfMap.create(token, { type: "array", value: u64, maxEntries: 4 });
  assertThrows(() => plain.view(BigUint64Array), TypeError, "it was not made with the flag mmapable");
  using rdonly = BpfMap.create(token, { type: "array", value: u64, maxEntries: 4, flags: ["mmapable", "rdonly"] });
  assertThrows(() => rdonly.view(BigUint64Array), SyscallError, "EACCES");
  using frozen = BpfMap.create(token, { type: "array", value: u64, maxEntries: 4, flags: ["mmapable"] });
  frozen.freeze();
  assertThrows(() => frozen.view(BigUint64Array), SyscallError, "EPERM");
  using mapped = BpfMap.create(token, { type: "array", value: u64, maxEntries: 4, flags: ["mmapable"] });
  const memory = mapped.view(BigUint64Array);
  assertThrows(() => mapped.freeze(), SyscallError, "EBUSY");
  using reading = BpfMap.open(token.only({ readOnly: true }), { fd: mapped.descriptor.dup() }, {
    type: "array",
    value: u64,
  });
  assertThrows(() => reading.view(BigUint64Array), PermissionError, "mapped memory can be written");
  const own = rootToken();
  const revoked = BpfMap.create(own, { type: "array", value: u64, maxEntries: 4, flags: ["mmapable"] });
  const view = revoked.view(BigUint64Array);
  own.revoke();
  assertEquals([view.length, memory.length], [0, 4]);
});

kernelTest("Arena.memory is shared with a program, which stores pointers into it", {
  needs: [trying((token) => minimalMap(token, "arena"))],
}, () => {
  const token = rootToken();
  using arena = BpfMap.create(token, { type: "arena", maxEntries: 4 });
  const words = new BigUint64Array(arena.memory);
  words[0] = 41n;
  words[600] = 5n;
  using prog = progLoad(token, {
    type: "syscall",
    license: "GPL",
    flags: 1 << 4,
    insns: asm`
      r1 = map_fd ${arena} ll
      r2 = ${arena.address & 0xffffffffn} ll
      r2 = addr_space_cast(r2, 0, 1)
      r3 = *(u64 *)(r2 +0)
      r3 += 1
      *(u64 *)(r2 +0) = r3
      r4 = *(u64 *)(r2 +4800)
      r4 += r4
      *(u64 *)(r2 +4800) = r4
      r0 = 0
      exit
    `,
  });
  assertEquals(progTestRun(token, prog).returnValue, 0);
  assertEquals([words[0], words[600]], [42n, 10n]);
  arena.close();
  assertEquals(words.length, 0);
  using faulty = BpfMap.create(token, { type: "arena", maxEntries: 1, flags: ["segv_on_fault"] });
  assertThrows(() => faulty.memory, TypeError, "a missing page would end the process");
  const address = 0x7000_0000_0000n;
  using placed = BpfMap.create(token, { type: "arena", maxEntries: 2, extra: address });
  new Uint8Array(placed.memory)[0] = 1;
  assertEquals(placed.address, address);
});

kernelTest("StackTraceMap gives addresses that kallsyms knows", {}, () => {
  const token = rootToken();
  using traces = BpfMap.create(token, { type: "stack_trace", value: stackOf(32), maxEntries: 64 });
  using ids = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
  using prog = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      r2 = map_fd ${traces} ll
      r3 = 0
      call get_stackid
      r6 = r0
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${ids} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      *(u64 *)(r0 +0) = r6
    out:
      r0 = 0
      exit
    `,
  });
  progTestRun(token, prog, { ctx: new Uint8Array(8) });
  const id = Number(ids.get(0));
  const addresses = traces.addresses(id);
  assert(addresses !== undefined, `no trace ${id}`);
  assertGreater(addresses.length, 2);
  assertEquals(traces.get(id)?.length, 32);
  const symbols = KernelSymbols.read();
  assertGreater(symbols.count, 1000);
  const names = addresses.map((address) => symbols.find(address)?.name ?? "?");
  // The innermost frames are the program's, the outermost the system call's.
  assert(names.some((name) => /bpf_prog_test_run_raw_tp|bpf_prog_test_run/.test(name)), names.join(" "));
  assert(names.some((name) => /sys_bpf|do_syscall_64/.test(name)), names.join(" "));
  assertEquals([...traces.keys()].includes(id), true);
  assertEquals([traces.delete(id), traces.addresses(id)], [true, undefined]);
});

Deno.test("KernelSymbols finds the function that an address is in", () => {
  const symbols = new KernelSymbols(
    [
      "ffffffff81000100 T second",
      "ffffffff81000000 T _text",
      "0000000000000000 A zero",
      "ffffffff81000180 D data",
      "ffffffffc0000000 t inside\t[module]",
      "ffffffffc0001000 t bpf_prog_1234_name\t[bpf]",
      "not a line",
    ].join("\n"),
  );
  assertEquals(symbols.count, 4);
  assertEquals(symbols.find(0xffffffff81000000n), { name: "_text", module: undefined, offset: 0n });
  assertEquals(symbols.find(0xffffffff81000190n), { name: "second", module: undefined, offset: 0x90n });
  assertEquals(symbols.find(0xffffffffc0000010n), { name: "inside", module: "module", offset: 0x10n });
  assertEquals(symbols.find(0xffffffffc0001001n)?.module, "bpf");
  assertEquals(symbols.find(0x1000n), undefined);
});

const GUARD = 0xa5;

/** A buffer of some length with guards around it. */
class Guarded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #whole: Uint8Array<ArrayBuffer>;

  constructor(length: number, fill = 0) {
    this.#whole = new Uint8Array(64 + length + 64).fill(GUARD);
    this.bytes = this.#whole.subarray(64, 64 + length).fill(fill);
  }

  /** Whether nothing was written outside. */
  get intact(): boolean {
    const outside = [...this.#whole.subarray(0, 64), ...this.#whole.subarray(64 + this.bytes.length)];
    return outside.every((byte) => byte === GUARD);
  }
}

/** Lengths that are wrong where one is wanted. */
function wrongLengths(wanted: number): number[] {
  return [0, wanted - 1, wanted + 1, 2 * wanted].filter((length) => length !== wanted && length >= 0);
}

kernelTest("no operation on elements takes a wrong length, or writes outside of a right one", {}, () => {
  const token = rootToken();
  const COUNT = 4;
  for (const type of ["hash", "percpu_hash", "array", "percpu_array", "lru_hash"] as const) {
    const [keySize, elementSize] = [4, 12];
    const valueSize = type.startsWith("percpu") ? 16 * possibleCpus() : elementSize;
    using map = mapCreate(token, { type, keySize, valueSize: elementSize, maxEntries: 8 });
    const made: Guarded[] = [];
    const guarded = (length: number, fill = 0): Uint8Array<ArrayBuffer> => {
      const one = new Guarded(length, fill);
      made.push(one);
      return one.bytes;
    };
    let refused = 0;
    const refuses = (fn: () => unknown): void => {
      using watched = interpose();
      assertThrows(fn, RangeError, "bytes and needs");
      assertEquals(watched.calls, [], "the kernel was asked");
      refused++;
    };
    // The sizes are asked for once, before.
    mapLookupElem(token, map, { key: guarded(keySize) });
    const singles = {
      map_lookup_elem: (key: number) => mapLookupElem(token, map, { key: guarded(key) }),
      map_delete_elem: (key: number) => mapDeleteElem(token, map, { key: guarded(key) }),
      map_lookup_and_delete_elem: (key: number) => mapLookupAndDeleteElem(token, map, { key: guarded(key) }),
      map_get_next_key: (key: number) => mapGetNextKey(token, map, { key: guarded(key) }),
      map_update_elem: (key: number) => mapUpdateElem(token, map, { key: guarded(key), value: guarded(valueSize) }),
    } satisfies Record<ElemCommand, (key: number) => unknown>;
    for (const call of Object.values(singles)) for (const length of wrongLengths(keySize)) refuses(() => call(length));
    for (const length of wrongLengths(valueSize)) {
      refuses(() => mapUpdateElem(token, map, { key: guarded(keySize), value: guarded(length) }));
    }
    const batches = [
      (keys: number, values: number, resume: number) =>
        mapLookupBatch(token, map, {
          keys: guarded(keys),
          values: guarded(values),
          count: COUNT,
          outBatch: guarded(resume),
        }),
      (keys: number, values: number, resume: number) =>
        mapLookupAndDeleteBatch(token, map, {
          keys: guarded(keys),
          values: guarded(values),
          count: COUNT,
          outBatch: guarded(resume),
        }),
      (keys: number, values: number) =>
        mapUpdateBatch(token, map, { keys: guarded(keys), values: guarded(values), count: COUNT }),
      (keys: number) => mapDeleteBatch(token, map, { keys: guarded(keys), count: COUNT }),
    ];
    batches.forEach((batch, index) => {
      for (const keys of [0, COUNT * keySize - 1]) refuses(() => batch(keys, COUNT * valueSize, 4));
      if (index < 3) {
        for (const values of [0, COUNT * valueSize - 1]) refuses(() => batch(COUNT * keySize, values, 4));
      }
      if (index < 2) { for (const resume of [0, 3]) refuses(() => batch(COUNT * keySize, COUNT * valueSize, resume)); }
    });
    assertGreater(refused, 30);
    // Right lengths inside of guards: the kernel writes there, and only there.
    for (let key = 0; key < COUNT; key++) {
      const keyBytes = guarded(keySize);
      keyBytes[0] = key;
      mapUpdateElem(token, map, { key: keyBytes, value: guarded(valueSize, 0x11) });
      assertEquals(mapLookupElem(token, map, { key: keyBytes })?.[0], 0x11);
      mapGetNextKey(token, map, { key: keyBytes });
    }
    const [keys, values, outBatch] = [guarded(COUNT * keySize), guarded(COUNT * valueSize), guarded(4)];
    let count = 0;
    try {
      ({ count } = mapLookupBatch(token, map, { keys, values, count: COUNT, outBatch }));
    } catch (error) {
      // Per-CPU arrays have no batches before 5.13; one bucket of a hash may hold more.
      if (!(error instanceof Error)) throw error;
    }
    if (count > 0) assertEquals(values[0] === 0x11 || type.endsWith("array"), true);
    const call = new MapElemCall(token, map, "map_lookup_elem");
    call.run();
    assertEquals([call.key.length, call.value.length], [keySize, valueSize]);
    assertEquals(made.every((one) => one.intact), true, `${type}: something was written outside`);
    assertGreater(made.length, 60);
  }
});

kernelTest("BpfMap refuses codecs of another size than the map's, and closes what it took over", {}, () => {
  const token = rootToken();
  const make = () => mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 4 });
  const [first, second] = [make(), make()];
  const wrongKey = { type: "hash", key: u64, value: u64 } as const;
  assertThrows(() => BpfMap.open(token, { fd: first }, wrongKey), RangeError, "key: u64 has 8 bytes");
  const wrongValue = { type: "hash", key: u32, value: u32 } as const;
  assertThrows(() => BpfMap.open(token, { fd: second }, wrongValue), RangeError, "value: u32 has 4 bytes");
  assertEquals([first.closed, second.closed], [true, true]);
});
