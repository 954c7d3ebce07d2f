import { assertEquals, assertThrows } from "@std/assert";
import { mapGetNextId, progGetNextId } from "../../../cmds/id.ts";
import { linkCreate, type LinkCreateOptions, linkUpdate } from "../../../cmds/link.ts";
import { mapCreate, type MapCreateOptions } from "../../../cmds/map.ts";
import { objGet, objGetInfoByFd, objPin } from "../../../cmds/obj.ts";
import { progAttach, progQuery } from "../../../cmds/prog_attach.ts";
import { progStreamRead, progTestRun } from "../../../cmds/prog_run.ts";
import { enableStats } from "../../../cmds/stats.ts";
import { taskFdQuery } from "../../../cmds/task.ts";
import { PermissionError, SyscallError } from "../../../errors.ts";
import { Fd } from "../../../ffi/fd.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel, integer } from "../_fake_kernel.ts";
import { ALL, environment } from "../tokens/_environments.ts";

const token = grantToken(environment(), ALL);

type Refusal = readonly [() => unknown, new (...args: never[]) => Error, string];

function refuses(...refusals: readonly Refusal[]): void {
  using fake = new FakeKernel();
  for (const [call, kind, message] of refusals) assertThrows(call, kind, message);
  assertEquals(fake.seen, [], "the kernel was asked");
}

Deno.test("mapCreate() refuses what the kernel need not see", () => {
  const create = (options: Partial<MapCreateOptions>) => (): unknown => mapCreate(token, { type: "hash", ...options });
  refuses(
    [create({ keySize: -1 }), RangeError, "Cannot set key_size: -1 is not an integer"],
    [create({ valueSize: 1.5 }), RangeError, "Cannot set value_size: 1.5"],
    [create({ maxEntries: 2 ** 32 }), RangeError, "Cannot set max_entries"],
    [create({ flags: NaN }), RangeError, "Cannot set map_flags"],
    [create({ extra: -1n }), RangeError, "Cannot set map_extra"],
    [create({ name: "x".repeat(16) }), RangeError, "Cannot use name: 16 characters are more than the limit of 15"],
    [create({ name: "a b" }), TypeError, 'Cannot use name "a b"'],
    [create({ name: "ü" }), TypeError, "only letters, digits"],
    [create({ type: "hsah" as never }), TypeError, 'Cannot use type: "hsah" is unknown'],
    [create({ type: "constructor" as never }), TypeError, '"constructor" is unknown'],
    [create({ type: -1 }), RangeError, "Cannot use type: -1"],
    [create({ innerMap: -1 }), TypeError, "Cannot use inner_map_fd: -1 is not a file descriptor"],
    [create({ btf: { fd: "5" as never, valueTypeId: 1 } }), TypeError, "Cannot use btf_fd"],
    [create({ exclusiveProgHash: "abc" as never }), TypeError, "Cannot set excl_prog_hash: it is no Uint8Array"],
  );
});

Deno.test("functions refuse closed descriptors, and name the argument", () => {
  using fake = new FakeKernel();
  const closed = Fd.own(fake.newFd());
  closed.close();
  const target = { fd: 6 };
  refuses(
    [
      () => mapCreate(token, { type: "hash_of_maps", innerMap: closed }),
      TypeError,
      "Cannot use inner_map_fd: it is closed",
    ],
    [() => objPin(token, closed, { path: "/x" }), TypeError, "it is closed"],
    [() => progTestRun(token, closed), TypeError, "it is closed"],
    [() => progAttach(token, closed, { target, attachType: "cgroup_device" }), TypeError, "it is closed"],
    [
      () => progAttach(token, 5, { target: { fd: closed }, attachType: "cgroup_device" }),
      TypeError,
      "Cannot use target_fd",
    ],
    [() => linkCreate(token, { prog: closed, attachType: "xdp" }), TypeError, "Cannot use prog_fd"],
    [() => linkUpdate(token, 5, { prog: closed }), TypeError, "it is closed"],
    [() => objGetInfoByFd(token, closed, { kind: "map" }), TypeError, "Cannot use bpf_fd"],
  );
});

Deno.test("linkCreate() refuses options that overlap, and lists of different lengths", () => {
  const create = (options: Partial<LinkCreateOptions>) => (): unknown =>
    linkCreate(token, { prog: 5, attachType: "trace_kprobe_multi", ...options });
  refuses(
    [create({ perfEvent: { cookie: 1n }, tracing: { cookie: 1n } }), TypeError, "its options overlap in memory"],
    [create({ targetBtfId: 1, tcx: {} }), TypeError, "overlap"],
    [create({ kprobeMulti: {} }), TypeError, "Cannot use kprobeMulti: give either symbols or addresses"],
    [create({ kprobeMulti: { symbols: ["a"], addresses: [1n] } }), TypeError, "either symbols or addresses"],
    [
      create({ kprobeMulti: { symbols: ["a", "b"], cookies: [1n] } }),
      RangeError,
      "Cannot use kprobeMulti.cookies: it has 1 elements, and there are 2 probes",
    ],
    [create({ uprobeMulti: { path: "/x", offsets: [1n], cookies: [] } }), RangeError, "uprobeMulti.cookies"],
    [
      create({ uprobeMulti: { path: "/x", offsets: [1n], refCtrOffsets: [] } }),
      RangeError,
      "uprobeMulti.refCtrOffsets",
    ],
    [create({ uprobeMulti: { path: "/x\0", offsets: [1n] } }), TypeError, "NUL"],
    [create({ uprobeMulti: { path: "/x", offsets: [-1n] } }), RangeError, "uprobe_multi.offsets: element 0"],
    [create({ tracingMulti: { ids: [1], cookies: [] } }), RangeError, "tracingMulti.cookies"],
    [create({ netfilter: { pf: 2, hooknum: 0, priority: 2 ** 31 } }), RangeError, "netfilter.priority"],
    [create({ attachType: "nothing" as never }), TypeError, 'Cannot use attachType: "nothing" is unknown'],
    [create({ target: { ifindex: -1 } }), RangeError, "Cannot set target_ifindex"],
  );
});

Deno.test("functions refuse other arguments that cannot be right", () => {
  refuses(
    [() => objPin(token, 5, { path: "" }), TypeError, "Cannot use path: it is empty"],
    [() => objGet(token, ""), TypeError, "Cannot use path: it is empty"],
    [() => objGet(token, "a\0b"), TypeError, "NUL"],
    [() => objGetInfoByFd(token, 5, { kind: "mpa" as never }), TypeError, 'Cannot use kind: "mpa" is none of'],
    [() => enableStats(token, { type: "time" as never }), TypeError, 'Cannot use type: "time" is unknown'],
    [
      () => progStreamRead(token, 5, { stream: "stdin" as never, buffer: new Uint8Array(1) }),
      TypeError,
      "Cannot use stream",
    ],
    [() => progTestRun(token, 5, { data: "packet" as never }), TypeError, "Cannot set data_in: it is no Uint8Array"],
    [() => progTestRun(token, 5, { repeat: -1 }), RangeError, "Cannot set repeat"],
    [() => progGetNextId(token, -1), RangeError, "Cannot set start_id"],
    [() => taskFdQuery(token, { pid: -1, fd: 1 }), RangeError, "Cannot set pid"],
  );
});

Deno.test("functions ask the token about the path, the type and the attach type", () => {
  const pinning = token.only({ pins: ["/sys/fs/bpf/mine"] });
  const typed = token.only({ mapTypes: ["array"], attachTypes: ["xdp"] });
  const target = { fd: 6 };
  refuses(
    [() => objPin(pinning, 5, { path: "/sys/fs/bpf/other" }), PermissionError, 'other paths than "/sys/fs/bpf/other"'],
    [() => objGet(pinning, "/sys/fs/bpf/mine/../x"), PermissionError, "other paths"],
    // Whatever directory it is relative to.
    [() => objGet(pinning, "mine", { directory: 5 }), PermissionError, "other paths"],
    [() => mapCreate(typed, { type: "hash" }), PermissionError, "other map types than hash"],
    [() => mapCreate(typed, { type: 1 }), PermissionError, "other map types than 1"],
    [() => progAttach(typed, 5, { target, attachType: "cgroup_device" }), PermissionError, "other attach types"],
    [() => linkCreate(typed, { prog: 5, attachType: "netfilter" }), PermissionError, "other attach types"],
    [() => progQuery(typed, { target, attachType: "cgroup_device" }), PermissionError, "other attach types"],
  );
});

Deno.test("mapGetNextId() ends where the kernel says ENOENT", () => {
  using fake = new FakeKernel();
  const ids = [3, 7, 20];
  fake.answer = (call) => {
    const id = ids.find((one) => one > Number(call.get("start_id")));
    if (id === undefined) return -errnos.ENOENT;
    call.set("next_id", id);
    return 0;
  };
  const found: number[] = [];
  for (let id = mapGetNextId(token); id !== undefined; id = mapGetNextId(token, id)) found.push(id);
  assertEquals(found, ids);
});

Deno.test("progQuery() makes room until all programs fit", () => {
  using fake = new FakeKernel();
  const all = Array.from({ length: 200 }, (_, index) => index + 1);
  const capacities: number[] = [];
  fake.answer = (call) => {
    const capacity = Number(call.get("prog_cnt"));
    capacities.push(capacity);
    call.set("prog_cnt", all.length);
    if (capacity < all.length) return -errnos.ENOSPC;
    all.forEach((id, index) => {
      call.memory("prog_ids", 4 * capacity).set(integer(id, 4), 4 * index);
      call.memory("link_ids", 4 * capacity).set(integer(1000 + id, 4), 4 * index);
    });
    call.set("attach_flags", 2);
    call.set("revision", 77);
    return 0;
  };
  const found = progQuery(token, { target: { ifindex: 1 }, attachType: "tcx_ingress" });
  assertEquals([capacities, found.progIds, found.linkIds], [[64, 128, 256], all, all.map((id) => 1000 + id)]);
  assertEquals([found.progAttachFlags, found.attachFlags, found.revision], [[], 2, 77n]);
});

Deno.test("taskFdQuery() makes room until the name fits", () => {
  using fake = new FakeKernel();
  const name = "x".repeat(700);
  fake.answer = (call) => {
    const size = Number(call.get("buf_len"));
    const bytes = new TextEncoder().encode(`${name}\0`);
    if (bytes.length > size) return -errnos.ENOSPC;
    call.memory("buf", size).set(bytes);
    const answers = [["prog_id", 9], ["fd_type", 2], ["probe_offset", 16n], ["probe_addr", 1n << 63n]] as const;
    for (const [field, value] of answers) call.set(field, value);
    return 0;
  };
  assertEquals(taskFdQuery(token, { pid: 1, fd: 2 }), {
    progId: 9,
    fdType: "kprobe",
    name,
    probeOffset: 16n,
    probeAddress: 1n << 63n,
  });
  assertEquals(fake.seen.length, 3);
  fake.answer = () => -errnos.EBADF;
  assertThrows(() => taskFdQuery(token, { pid: 1, fd: 2 }), SyscallError, "the process has no such file descriptor");
});

Deno.test("progTestRun() gives the parts of the buffers that the kernel wrote", () => {
  using fake = new FakeKernel();
  fake.answer = (call) => {
    call.memory("data_out", 3).set([1, 2, 3]);
    call.memory("ctx_out", 2).set([4, 5]);
    const answers = [["data_size_out", 3], ["ctx_size_out", 2], ["retval", 0xffffffff], ["duration", 12]] as const;
    for (const [field, value] of answers) call.set(field, value);
    return 0;
  };
  const result = progTestRun(token, 5, { dataOut: new Uint8Array(16), ctxOut: new Uint8Array(8) });
  assertEquals(result, {
    returnValue: 0xffffffff,
    durationNs: 12,
    data: new Uint8Array([1, 2, 3]),
    ctx: new Uint8Array([4, 5]),
  });
});
