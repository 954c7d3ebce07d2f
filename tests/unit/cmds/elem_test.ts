import { assert, assertEquals, assertThrows } from "@std/assert";
import { type BatchError, mapDeleteBatch, mapLookupBatch, mapUpdateBatch } from "../../../cmds/map_batch.ts";
import {
  type ElemCommand,
  mapDeleteElem,
  MapElemCall,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
} from "../../../cmds/map_elem.ts";
import { PermissionError, SyscallError } from "../../../errors.ts";
import { Fd } from "../../../ffi/fd.ts";
import { type AuditedCall, grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { mapTypes } from "../../../uapi/enums.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { ALL, environment } from "../tokens/_environments.ts";

const token = grantToken(environment(), ALL);
const key = new Uint8Array(4);
const value = new Uint8Array(8);

Deno.test("element functions refuse buffers that are not as long as the map says", () => {
  using fake = new FakeKernel();
  const calls: readonly (readonly [() => unknown, string])[] = [
    [() => mapLookupElem(token, 5, { key: new Uint8Array(3) }), "Cannot use key: it has 3 bytes and needs 4"],
    [() => mapLookupElem(token, 5, { key: new Uint8Array(5) }), "Cannot use key: it has 5 bytes and needs 4"],
    [() => mapLookupElem(token, 5, {}), "Cannot use key: it has 0 bytes and needs 4"],
    [() => mapDeleteElem(token, 5, { key: value }), "Cannot use key"],
    [() => mapGetNextKey(token, 5, { key: value }), "Cannot use key"],
    [() => mapUpdateElem(token, 5, { key, value: key }), "Cannot use value: it has 4 bytes and needs 8"],
    [() => mapUpdateElem(token, 5, { key, value: new Uint8Array(9) }), "Cannot use value"],
    [() => mapLookupAndDeleteElem(token, 5), "Cannot use key"],
  ];
  for (const [call, message] of calls) assertThrows(call, RangeError, message);
  for (const wrong of ["abcd", [0, 0, 0, 0], new Uint32Array(1), new ArrayBuffer(4)] as never[]) {
    assertThrows(() => mapLookupElem(token, 5, { key: wrong }), TypeError, "Cannot use key: it is no Uint8Array");
    assertThrows(() => mapUpdateElem(token, 5, { key, value: wrong }), TypeError, "Cannot use value: it is no");
  }
  assertThrows(
    () => mapUpdateElem(token, 5, { key, value, mode: "create" as never }),
    TypeError,
    '"create" is none of',
  );
  assertThrows(() => mapUpdateElem(token, 5, { key, value, mode: "toString" as never }), TypeError);
  // Only the map's sizes were asked for.
  assertEquals([...new Set(fake.seen.map(({ command }) => command))], ["obj_get_info_by_fd"]);
});

Deno.test("element functions make room for every CPU's value of a per-CPU map", () => {
  using fake = new FakeKernel();
  fake.files.set("/sys/devices/system/cpu/possible", "0-2\n");
  fake.shape = { type: mapTypes.percpu_array, keySize: 4, valueSize: 12 };
  fake.answer = (call) => {
    if (call.command === "map_lookup_elem") call.memory("value", 48).fill(7);
    return undefined;
  };
  assertEquals(mapLookupElem(token, 5, { key }), new Uint8Array(48).fill(7));
  assertThrows(() => mapUpdateElem(token, 5, { key, value: new Uint8Array(12) }), RangeError, "needs 48");
  mapUpdateElem(token, 5, { key, value: new Uint8Array(48) });
  assertEquals(new MapElemCall(token, 5, "map_lookup_elem").value.length, 48);
});

Deno.test("element functions ask for the sizes of an owned map once", () => {
  using fake = new FakeKernel();
  using map = Fd.own(fake.newFd());
  for (let round = 0; round < 3; round++) mapLookupElem(token, map, { key });
  assertEquals(fake.of("obj_get_info_by_fd").length, 1);
  // A bare number may be another map each time.
  for (let round = 0; round < 3; round++) mapLookupElem(token, 5, { key });
  assertEquals(fake.of("obj_get_info_by_fd").length, 4);
});

Deno.test("element functions rely on no size of an object whose descriptor may have changed", () => {
  using fake = new FakeKernel();
  const source = { fd: 5 };
  assertEquals(mapLookupElem(token, source, { key })?.length, 8);
  source.fd = 6;
  fake.shape = { ...fake.shape, valueSize: 64 };
  assertEquals(mapLookupElem(token, source, { key })?.length, 64);
  assertThrows(() => mapUpdateElem(token, source, { key, value }), RangeError, "needs 64");
});

Deno.test("element functions take ENOENT for an answer", () => {
  using _ = new FakeKernel(({ command }) => command.startsWith("map_") ? -errnos.ENOENT : undefined);
  assertEquals(mapLookupElem(token, 5, { key }), undefined);
  assertEquals(mapLookupAndDeleteElem(token, 5, { key }), undefined);
  assertEquals(mapDeleteElem(token, 5, { key }), false);
  assertEquals([mapGetNextKey(token, 5, { key }), mapGetNextKey(token, 5)], [undefined, undefined]);
  // An update that must replace is none.
  assertThrows(() => mapUpdateElem(token, 5, { key, value, mode: "exist" }), SyscallError, "ENOENT");
});

Deno.test("element functions take no key for maps without keys", () => {
  using fake = new FakeKernel();
  fake.shape = { type: mapTypes.queue, keySize: 0, valueSize: 8 };
  assertEquals(mapLookupAndDeleteElem(token, 5), new Uint8Array(8));
  mapUpdateElem(token, 5, { value });
  assertEquals(fake.of("map_update_elem").length, 1);
});

const COMMANDS: readonly ElemCommand[] = [
  "map_lookup_elem",
  "map_update_elem",
  "map_delete_elem",
  "map_lookup_and_delete_elem",
  "map_get_next_key",
];

Deno.test("MapElemCall runs with what stands in its key and value then", () => {
  using fake = new FakeKernel();
  using map = Fd.own(fake.newFd());
  for (const command of COMMANDS) {
    const seen: [key: number, value: number][] = [];
    fake.answer = (call) => {
      if (call.command !== command) return undefined;
      assertEquals(call.get("map_fd"), BigInt(map.fd));
      const result = command === "map_get_next_key" ? "next_key" : "value";
      const memory = command === "map_delete_elem" ? undefined : call.memory(result, 4);
      seen.push([call.memory("key", 4)[0], memory?.[0] ?? 0]);
      if (memory !== undefined && command !== "map_update_elem") memory[0] = 100 + call.memory("key", 4)[0];
      return 0;
    };
    const call = new MapElemCall(token, map, command);
    assertEquals([call.key.length, call.value.length], [4, command === "map_get_next_key" ? 4 : 8]);
    const results: number[] = [];
    for (const number of [1, 2, 3]) {
      call.key[0] = number;
      call.value[0] = 10 * number;
      assertEquals(call.run(), true);
      results.push(call.value[0]);
    }
    assertEquals(seen.map(([key]) => key), [1, 2, 3]);
    const writes = command === "map_update_elem" || command === "map_delete_elem";
    assertEquals(results, writes ? [10, 20, 30] : [101, 102, 103], command);
    if (command === "map_update_elem") assertEquals(seen.map(([, given]) => given), [10, 20, 30]);
  }
});

Deno.test("MapElemCall.run() says whether there was such a key, and throws every other error", () => {
  for (const command of COMMANDS) {
    using fake = new FakeKernel();
    const call = new MapElemCall(token, 5, command);
    fake.answer = () => -errnos.ENOENT;
    if (command === "map_update_elem") assertThrows(() => call.run(), SyscallError, "ENOENT");
    else assertEquals(call.run(), false);
    fake.answer = () => -errnos.EPERM;
    assertEquals(assertThrows(() => call.run(), SyscallError).command, command);
  }
});

Deno.test("MapElemCall passes mode and flags of an update", () => {
  using fake = new FakeKernel();
  const flags: bigint[] = [];
  fake.answer = (call) => {
    if (call.command === "map_update_elem") flags.push(call.get("flags"));
    return undefined;
  };
  for (const options of [{}, { mode: "noexist" }, { mode: "exist", flags: 4 }, { flags: 4n }] as const) {
    new MapElemCall(token, 5, "map_update_elem", options).run();
  }
  assertEquals(flags, [0n, 1n, 6n, 4n]);
});

Deno.test("MapElemCall makes no call for a closed map, nor for a revoked token", () => {
  using fake = new FakeKernel();
  const mine = grantToken(environment(), ALL);
  const map = Fd.own(fake.newFd());
  const call = new MapElemCall(token, map, "map_lookup_elem");
  const revoked = new MapElemCall(mine, 5, "map_lookup_elem");
  const before = fake.seen.length;
  map.close();
  assertThrows(() => call.run(), TypeError, "Cannot use map: it is closed");
  mine.revoke();
  assertThrows(() => revoked.run(), PermissionError, "the token was revoked");
  assertEquals(fake.seen.length, before);
});

Deno.test("MapElemCall makes no call with memory that was given away", () => {
  using fake = new FakeKernel();
  const call = new MapElemCall(token, 5, "map_lookup_elem");
  call.run();
  const before = fake.seen.length;
  const taken = call.value.buffer.transfer();
  assertThrows(() => call.run(), TypeError, "their memory was transferred");
  assertEquals([fake.seen.length, taken.byteLength], [before, 16]);
});

Deno.test("MapElemCall asks the token before anything is prepared", () => {
  using fake = new FakeKernel();
  const reading = token.only({ readOnly: true });
  assertThrows(() => new MapElemCall(reading, 5, "map_update_elem"), PermissionError, "restricted to reading");
  assertEquals(fake.seen.length, 0);
  assertEquals(new MapElemCall(reading, 5, "map_lookup_elem").run(), true);
});

Deno.test("MapElemCall tells the token's listeners, who come and go", () => {
  using _ = new FakeKernel();
  const mine = grantToken(environment(), ALL);
  const call = new MapElemCall(mine, 5, "map_lookup_elem");
  const calls: AuditedCall[] = [];
  call.run();
  {
    using _listening = mine.audit((one) => calls.push(one));
    call.run();
  }
  call.run();
  assertEquals(calls.map(({ command, result }) => [command, result]), [["map_lookup_elem", 0]]);
  assert(calls[0].text.startsWith("bpf(BPF_MAP_LOOKUP_ELEM, {map_fd=5, "));
});

const keys = new Uint8Array(12);
const values = new Uint8Array(24);

Deno.test("batch functions refuse buffers that are too short", () => {
  using fake = new FakeKernel();
  const lookup = { keys, values, count: 3, outBatch: new Uint8Array(4) };
  const calls: readonly (readonly [() => unknown, string])[] = [
    [
      () => mapLookupBatch(token, 5, { ...lookup, keys: new Uint8Array(11) }),
      "Cannot use keys: it has 11 bytes and needs at least 12",
    ],
    [() => mapLookupBatch(token, 5, { ...lookup, values: new Uint8Array(23) }), "Cannot use values"],
    [() => mapLookupBatch(token, 5, { ...lookup, outBatch: new Uint8Array(3) }), "Cannot use outBatch"],
    [() => mapLookupBatch(token, 5, { ...lookup, inBatch: new Uint8Array(3) }), "Cannot use inBatch"],
    [() => mapLookupBatch(token, 5, { ...lookup, count: 4 }), "Cannot use keys"],
    [() => mapLookupBatch(token, 5, { ...lookup, count: -1 }), "Cannot use count"],
    [() => mapLookupBatch(token, 5, { ...lookup, count: 1.5 }), "Cannot use count"],
    [() => mapLookupBatch(token, 5, { ...lookup, count: 2 ** 32 }), "Cannot use count"],
    [() => mapUpdateBatch(token, 5, { keys, values: keys, count: 3 }), "Cannot use values"],
    [() => mapDeleteBatch(token, 5, { keys, count: 4 }), "Cannot use keys"],
  ];
  for (const [call, message] of calls) assertThrows(call, RangeError, message);
  // A batch may go on after a key, which is longer than a bucket's number.
  fake.shape = { type: 1, keySize: 16, valueSize: 8 };
  const long = { keys: new Uint8Array(48), values, count: 3 };
  assertThrows(() => mapLookupBatch(token, 5, { ...long, outBatch: new Uint8Array(4) }), RangeError, "at least 16");
  assertEquals(fake.of("map_lookup_batch").length, 0);
  // Longer ones are fine.
  mapLookupBatch(token, 5, { ...long, outBatch: new Uint8Array(64) });
});

Deno.test("batch functions tell how many elements were done, and whether they were the last", () => {
  using fake = new FakeKernel();
  const answering = (done: number, errno: number) => {
    fake.answer = (call) => {
      if (!call.command.endsWith("_batch")) return undefined;
      call.set("count", done);
      return -errno;
    };
  };
  const lookup = { keys, values, count: 3, outBatch: new Uint8Array(4) };
  answering(2, 0);
  assertEquals(mapLookupBatch(token, 5, lookup), { count: 2, done: false });
  answering(1, errnos.ENOENT);
  assertEquals(mapLookupBatch(token, 5, lookup), { count: 1, done: true });
  answering(3, 0);
  assertEquals(mapUpdateBatch(token, 5, { keys, values, count: 3 }), { count: 3, done: false });
  answering(2, errnos.E2BIG);
  const update = assertThrows(() => mapUpdateBatch(token, 5, { keys, values, count: 3 }), SyscallError, "E2BIG");
  assertEquals((update as unknown as BatchError).count, 2);
  answering(1, errnos.ENOENT);
  const remove = assertThrows(() => mapDeleteBatch(token, 5, { keys, count: 3 }), SyscallError, "ENOENT");
  assertEquals((remove as unknown as BatchError).count, 1);
  // An error before the start leaves the count as it was.
  answering(3, errnos.EINVAL);
  const early = assertThrows(() => mapUpdateBatch(token, 5, { keys, values, count: 3 }), Error);
  assertEquals((early as BatchError).count, 0);
});
