/**
 * What strace_test.ts runs under strace(1): every command of bpf(2), once to succeed and once to fail. It prints each
 * call as formatCall() does, one a line, in the order in which they were made.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import * as mod from "../../mod.ts";
import { Fd } from "../../ffi/fd.ts";
import { allocate } from "../../ffi/memory.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import { keyValueBtf } from "./_map_types.ts";
import {
  arrayMap,
  constant,
  hashMap,
  makeCgroup,
  place,
  returning,
  rootToken,
  simpleProg,
  u32s,
  u64s,
} from "./_objects.ts";

const NO_FD = 9999;
const NO_ID = 0x7fff_fff0;

const token = rootToken();
const lines: string[] = [];
using _listening = token.audit(({ text }) => void lines.push(text));

/** Makes a call that may fail; what it opens stays open, so that no descriptor's number is used twice. */
const opened: Fd[] = [];
function attempt(fn: () => unknown): void {
  try {
    const made = fn();
    if (made instanceof Fd) opened.push(made);
  } catch (error) {
    if (!(error instanceof Error) || !("command" in error || "cause" in error)) throw error;
  }
}

const key = u32s(1);
const value = u64s(7n);

// Maps.
using map = mod.mapCreate(token, {
  type: "hash",
  keySize: 4,
  valueSize: 8,
  maxEntries: 16,
  name: "straced",
  flags: constant("BPF_F_NO_PREALLOC"),
});
attempt(() => mod.mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 0 }));
attempt(() =>
  mod.mapCreate(token, {
    type: "array",
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    flags: constant("BPF_F_MMAPABLE") | constant("BPF_F_RDONLY_PROG"),
  })
);
attempt(() =>
  mod.mapCreate(token, {
    type: "array",
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    flags: constant("BPF_F_NUMA_NODE"),
    numaNode: 0,
    name: "numa",
  })
);
attempt(() => mod.mapCreate(token, { type: "bloom_filter", valueSize: 8, maxEntries: 9, extra: 3 }));
attempt(() => mod.mapCreate(token, { type: "array_of_maps", keySize: 4, valueSize: 4, maxEntries: 1, innerMap: map }));
attempt(() => mod.mapCreate(token, { type: 77, keySize: 4, valueSize: 4, maxEntries: 1 }));
attempt(() => mod.mapCreate(token, { type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, flags: 0x4000_0000 }));
attempt(() => mod.mapCreate(token, { type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, ifindex: 999 }));
using btf = mod.btfLoad(token, keyValueBtf());
attempt(() => mod.btfLoad(token, keyValueBtf().slice(0, 25)));
attempt(() =>
  mod.mapCreate(token, {
    type: "hash",
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 },
  })
);

// Elements.
attempt(() => mod.mapUpdateElem(token, map, { key, value }));
attempt(() => mod.mapUpdateElem(token, map, { key, value, mode: "noexist" }));
attempt(() => mod.mapUpdateElem(token, map, { key, value, mode: "exist" }));
attempt(() => mod.mapUpdateElem(token, map, { key, value, flags: constant("BPF_F_LOCK") }));
attempt(() => mod.mapLookupElem(token, map, { key }));
attempt(() => mod.mapLookupElem(token, map, { key: u32s(9) }));
attempt(() => mod.mapLookupElem(token, map, { key, flags: constant("BPF_F_LOCK") }));
attempt(() => mod.mapGetNextKey(token, map));
attempt(() => mod.mapGetNextKey(token, map, { key }));
attempt(() => mod.mapLookupAndDeleteElem(token, map, { key }));
attempt(() => mod.mapLookupAndDeleteElem(token, map, { key }));
attempt(() => mod.mapDeleteElem(token, map, { key }));
attempt(() => mod.mapUpdateBatch(token, map, { keys: u32s(1, 2, 3), values: u64s(1n, 2n, 3n), count: 3 }));
attempt(() => mod.mapUpdateBatch(token, map, { keys: u32s(1), values: u64s(1n), count: 1, elemFlags: 1 << 20 }));
attempt(() =>
  mod.mapLookupBatch(token, map, { keys: allocate(64), values: allocate(128), count: 16, outBatch: allocate(4) })
);
attempt(() =>
  mod.mapLookupBatch(token, map, {
    keys: allocate(64),
    values: allocate(128),
    count: 16,
    outBatch: allocate(4),
    inBatch: u32s(1),
    flags: 1,
  })
);
attempt(() => mod.mapDeleteBatch(token, map, { keys: u32s(1, 2), count: 2 }));
attempt(() => mod.mapDeleteBatch(token, map, { keys: u32s(8), count: 1 }));
attempt(() =>
  mod.mapLookupAndDeleteBatch(token, map, {
    keys: allocate(64),
    values: allocate(128),
    count: 16,
    outBatch: allocate(4),
  })
);
attempt(() => mod.mapFreeze(token, map));
attempt(() => mod.mapFreeze(token, map));

// Programs.
using prog = mod.progLoad(token, {
  type: "socket_filter",
  insns: returning(1),
  license: "Dual MIT/GPL",
  name: "straced",
});
using rawProg = simpleProg(token, "raw_tracepoint");
using cgroupProg = simpleProg(token, "cgroup_device", { value: 1 });
using connectProg = simpleProg(token, "cgroup_sock_addr", { value: 1, expectedAttachType: "cgroup_inet6_connect" });
attempt(() => mod.progLoad(token, { type: "xdp", insns: returning().slice(8), license: "GPL" }));
attempt(() =>
  mod.progLoad(token, {
    type: "syscall",
    insns: returning(),
    license: "GPL",
    flags: constant("BPF_F_SLEEPABLE"),
    logLevel: 1,
  })
);
attempt(() =>
  mod.progLoad(token, {
    type: "socket_filter",
    insns: returning(),
    license: 'q"\\\n\té',
    kernelVersion: 0x60102,
    flags: 0x4000_0000,
  })
);
attempt(() => mod.progLoad(token, { type: 99, insns: returning(), license: "GPL" }));
using iterator = mod.progLoad(token, {
  type: "tracing",
  insns: returning(),
  license: "GPL",
  expectedAttachType: "trace_iter",
  attachBtfId: needVmlinuxId("func", "bpf_iter_bpf_map_elem"),
});
attempt(() =>
  mod.progLoad(token, {
    type: "socket_filter",
    license: "GPL",
    fdArray: [map],
    insns: asm`
  r1 = map_idx 0 ll
  r0 = 0
  exit
`,
  })
);
attempt(() => mod.progBindMap(token, prog, { map }));
attempt(() => mod.progBindMap(token, prog, { map: NO_FD }));
attempt(() => mod.progTestRun(token, prog, { data: allocate(64), dataOut: allocate(80), repeat: 3 }));
attempt(() => mod.progTestRun(token, prog));
attempt(() => mod.progTestRun(token, rawProg, { flags: constant("BPF_F_TEST_RUN_ON_CPU"), cpu: 0 }));
attempt(() => mod.progStreamRead(token, prog, { stream: "stdout", buffer: allocate(16) }));
attempt(() => mod.progStreamRead(token, prog, { stream: 9, buffer: allocate(16) }));
attempt(() => mod.progAssocStructOps(token, rawProg, { map: NO_FD }));
attempt(() => mod.tokenCreate(token, NO_FD));

// Ids and information.
for (const name of ["progGetNextId", "mapGetNextId", "btfGetNextId", "linkGetNextId"] as const) {
  attempt(() => mod[name](token));
  attempt(() => mod[name](token, NO_ID));
}
attempt(() => mod.progGetFdById(token, mod.objGetInfoByFd(token, prog, { kind: "prog" }).id));
attempt(() =>
  mod.mapGetFdById(token, mod.objGetInfoByFd(token, map, { kind: "map" }).id, { flags: constant("BPF_F_RDONLY") })
);
attempt(() => mod.btfGetFdById(token, mod.objGetInfoByFd(token, btf, { kind: "btf" }).id));
for (const name of ["progGetFdById", "mapGetFdById", "btfGetFdById", "linkGetFdById"] as const) {
  attempt(() => mod[name](token, NO_ID));
}
attempt(() => mod.objGetInfoByFd(token, NO_FD, { kind: "map" }));
attempt(() => mod.enableStats(token));
attempt(() => mod.enableStats(token, { type: 9 }));

// Pins.
const pin = `${place("BPFFS")}/straced`;
attempt(() => mod.objPin(token, map, { path: pin }));
attempt(() => mod.objPin(token, map, { path: pin }));
attempt(() => mod.objGet(token, pin, { flags: constant("BPF_F_WRONLY") }));
attempt(() => mod.objGet(token, `${pin}.not "here"`));
{
  using directory = mod.openPath(place("BPFFS"));
  attempt(() => mod.objGet(token, "straced", { directory }));
}
Deno.removeSync(pin);

// Attachments and links.
{
  using cgroup = makeCgroup("straced");
  const target = { fd: cgroup.fd };
  const attachType = "cgroup_device";
  const flags = constant("BPF_F_ALLOW_MULTI");
  attempt(() => mod.progAttach(token, cgroupProg, { target, attachType, flags }));
  attempt(() => mod.progAttach(token, prog, { target, attachType, flags: constant("BPF_F_ALLOW_OVERRIDE") }));
  attempt(() => mod.progQuery(token, { target, attachType }));
  attempt(() =>
    mod.progQuery(token, { target, attachType, flags: constant("BPF_F_QUERY_EFFECTIVE"), progAttachFlags: false })
  );
  attempt(() => mod.progQuery(token, { target: { fd: NO_FD }, attachType }));
  attempt(() => mod.progDetach(token, { target, attachType, prog: cgroupProg }));
  attempt(() => mod.progDetach(token, { target, attachType, prog: cgroupProg }));
  using link = mod.linkCreate(token, { prog: connectProg, target, attachType: "cgroup_inet6_connect" });
  attempt(() => mod.linkCreate(token, { prog, target, attachType }));
  attempt(() => mod.linkUpdate(token, link, { prog: connectProg, expected: connectProg }));
  attempt(() => mod.linkUpdate(token, link, { prog }));
  attempt(() => mod.objGetInfoByFd(token, link, { kind: "link" }));
  attempt(() => mod.linkGetFdById(token, mod.objGetInfoByFd(token, link, { kind: "link" }).id));
  attempt(() => mod.linkDetach(token, link));
  attempt(() => mod.linkDetach(token, NO_FD));
  for (const fd of opened.splice(0)) fd.close();
}
using raw = mod.rawTracepointOpen(token, rawProg, { name: "sys_exit" });
attempt(() => mod.rawTracepointOpen(token, rawProg, { name: "no_such_one" }));
attempt(() => mod.taskFdQuery(token, { pid: Deno.pid, fd: raw.fd }));
attempt(() => mod.taskFdQuery(token, { pid: Deno.pid, fd: map.fd }));
{
  using elements = hashMap(token);
  using link = mod.linkCreate(token, { prog: iterator, attachType: "trace_iter", iter: { map: elements } });
  attempt(() => mod.iterCreate(token, link));
  attempt(() => mod.iterCreate(token, raw));
}
using _array = arrayMap(token);
for (const fd of opened) fd.close();
await Deno.writeTextFile(Deno.args[0], lines.join("\n"));
