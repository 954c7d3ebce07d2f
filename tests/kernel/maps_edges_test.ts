/**
 * Maps, rings and channels where something goes wrong in between: what is deleted, closed, revoked or refused meanwhile.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  BpfMap,
  cstr,
  FdChannel,
  FdListener,
  ipv4Prefix,
  type StackTraceMap,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import { interpose, type RootToken, rootToken, trying } from "./_objects.ts";

const GET_INFO = 15;
const TAKE_ELEM = 21;
const LOOKUP_BATCH = 24;

const ENOMEM = -12;
const EINTR = -4;

/** Fails where something takes longer than it ever should, so that a wait that never ends is told. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("still waiting")), 2000 * SLOWNESS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A token that has no batches. */
function oneByOne(): RootToken {
  return rootToken().only({
    commands: [
      ...["map_create", "map_update_elem", "map_lookup_elem", "map_get_next_key", "map_delete_elem"] as const,
      "map_lookup_and_delete_elem",
    ],
  });
}

kernelTest("BpfMap.entries() one by one gives no element twice where the key that comes next is deleted", {}, () => {
  using map = BpfMap.create(oneByOne(), { type: "hash", key: u32, value: u64, maxEntries: 500 });
  for (let key = 0; key < 300; key++) map.set(key, 0n);
  const order = [...map.keys()];
  assertEquals(order.length, 300);
  const seen: number[] = [];
  for (const [key] of map) {
    if (seen.length === 10) assertEquals(map.delete(order[64]), true);
    seen.push(key);
  }
  assertEquals(seen.toSorted((a, b) => a - b), order.filter((key) => key !== order[64]).sort((a, b) => a - b));
});

kernelTest("BpfMap.drain() one by one loses nothing where the kernel fails in the middle", {
  needs: [trying((token) => {
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 1 });
    map.getAndDelete(0);
  })],
}, () => {
  using map = BpfMap.create(oneByOne(), { type: "hash", key: u32, value: u64, maxEntries: 500 });
  for (let key = 0; key < 300; key++) map.set(key, 0n);
  let calls = 0;
  const interposed = interpose(() => {}, (command) => command === TAKE_ELEM && ++calls === 100 ? ENOMEM : undefined);
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
  assertEquals([count, entries.length, map.count()], [99, 99, 201]);
});

kernelTest("BpfMap.entries() goes on where a batch ends with EINTR, and gives no element twice", {}, () => {
  for (const failing of [1, 2]) {
    using map = BpfMap.create(rootToken(), { type: "lpm_trie", key: ipv4Prefix, value: cstr(4000), maxEntries: 100 });
    const prefixes = Array.from({ length: 100 }, (_, index) => `10.0.${index}.0/24`);
    for (const prefix of prefixes) map.set(prefix, prefix);
    let calls = 0;
    using _kernel = interpose(
      () => {},
      (command) => command === LOOKUP_BATCH && ++calls === failing ? EINTR : undefined,
    );
    assertEquals([...map.keys()].sort(), prefixes.toSorted());
    assert(calls >= 1);
  }
});

kernelTest("BpfMap.deleteAll() deletes what comes before a key that does not fit", {}, () => {
  using map = BpfMap.create(rootToken(), { type: "hash", key: u32, value: u64, maxEntries: 8 });
  map.set(1, 1n).set(2, 2n).set(3, 3n);
  const error = assertThrows(() => map.deleteAll([1, 2, -1, 3]), RangeError, "-1 is not an integer");
  assertEquals([(error as RangeError & { count: number }).count, [...map.keys()]], [2, [3]]);
});

kernelTest("BpfMap.open() by name closes what it opened where the kernel fails", {}, () => {
  const token = rootToken();
  using _map = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1, name: "edges" });
  using _kernel = interpose(() => {}, (command) => command === GET_INFO ? ENOMEM : undefined);
  // The descriptors that are left open are the test helper's to find.
  assertThrows(() => BpfMap.open(token, { name: "edges" }), SyscallError, "ENOMEM");
});

kernelTest("StackTraceMap of build ids has them as its values, and no addresses", {}, () => {
  const token = rootToken();
  const traces: StackTraceMap = BpfMap.create(token, {
    type: "stack_trace",
    maxEntries: 16,
    flags: ["stack_build_id"],
  });
  using _traces = traces;
  using again = BpfMap.open(token, { id: traces.info.id }, { type: "stack_trace" });
  for (const map of [traces, again]) assertEquals(map.value.name, "bpf_stack_build_id[127]");
});

kernelTest("UserRingBuffer.reserveBlocking() ends where it was aborted before, and where the token is revoked", {
  needs: [trying((token) => minimalMap(token, "user_ringbuf"))],
}, async () => {
  const token = rootToken();
  using ring = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
  const signal = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => soon(ring.reserveBlocking(8, { signal })), Error, "enough");
  assertEquals(ring.available, 4096);
  while (ring.write(u64, 1n));
  await assertRejects(() => soon(ring.reserveBlocking(8, { signal })), Error, "enough");
  setTimeout(() => token.revoke(), 20);
  await assertRejects(() => soon(ring.reserveBlocking(8)), TypeError, "revoked");
});

kernelTest("FdChannel.close() and FdListener.close() end waits", {}, async () => {
  const [here, there] = FdChannel.pair();
  using _here = here;
  setTimeout(() => there.close(), 20);
  await assertRejects(() => soon(there.receive()), TypeError, "Cannot use channel: it is closed");
  const listener = new FdListener(`@bpf-deno-edges-${Deno.pid}`);
  setTimeout(() => listener.close(), 20);
  await assertRejects(() => soon(listener.accept()), TypeError, "Cannot use listener: it is closed");
});

kernelTest("FdListener.accept() waits off the main thread where another wait took the connection", {}, async () => {
  const path = `@bpf-deno-edges-${Deno.pid}`;
  using listener = new FdListener(path);
  const waits = [listener.accept(), listener.accept()];
  using _first = FdChannel.connect(path);
  using _one = await soon(Promise.race(waits));
  using _second = FdChannel.connect(path);
  const [one, two] = await soon(Promise.all(waits));
  one.close();
  two.close();
});

kernelTest("FdChannel.connect() fails at once where too many wait to be accepted", {}, () => {
  const path = `@bpf-deno-edges-${Deno.pid}`;
  using _listener = new FdListener(path);
  using stack = new DisposableStack();
  let connected = 0;
  const error = assertThrows(() => {
    for (; connected < 100; connected++) stack.use(FdChannel.connect(path));
  }, SyscallError);
  assertEquals(error.code, "EAGAIN");
  assert(connected >= 16, `${connected} connections`);
});
