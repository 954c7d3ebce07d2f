import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { iterCreate } from "../../cmds/iter.ts";
import { linkCreate } from "../../cmds/link.ts";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGet, objPin } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernel } from "../../ffi/kernel.ts";
import { allocate } from "../../ffi/memory.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import {
  arrayMap,
  assertRefused,
  hashMap,
  place,
  type RootToken,
  rootToken,
  simpleProg,
  toU32s,
  u32s,
  u64s,
} from "./_objects.ts";

/** All that can be read from a descriptor, in reads of some size. */
function readAll(fd: number, size: number): Uint8Array {
  const parts: number[] = [];
  for (;;) {
    const buffer = allocate(size);
    const count = kernel().read(fd, buffer);
    assert(count >= 0, `read: ${count}`);
    if (count === 0) return new Uint8Array(parts);
    parts.push(...buffer.subarray(0, count));
  }
}

/** An iterator over a map's elements that writes each key. */
function keyWriter(token: RootToken): Fd {
  return progLoad(token, {
    type: "tracing",
    license: "GPL",
    expectedAttachType: "trace_iter",
    attachBtfId: needVmlinuxId("func", "bpf_iter_bpf_map_elem"),
    insns: asm`
      r6 = *(u64 *)(r1 +16)
      if r6 == 0 goto out
      r1 = *(u64 *)(r1 +0)
      r1 = *(u64 *)(r1 +0)
      r2 = r6
      r3 = 4
      call seq_write
    out:
      r0 = 0
      exit
    `,
  });
}

kernelTest("iterCreate() runs an iterator over a map's elements", { needs: ["btf", kernelSince("5.9")] }, () => {
  const token = rootToken();
  using map = hashMap(token, { maxEntries: 100 });
  const keys = Array.from({ length: 80 }, (_, index) => 7 * index + 1);
  for (const key of keys) mapUpdateElem(token, map, { key: u32s(key), value: u64s(0n) });
  using prog = keyWriter(token);
  using link = linkCreate(token, { prog, attachType: "trace_iter", iter: { map } });
  for (const size of [4096, 12]) {
    using iterator = iterCreate(token, link);
    assertEquals(toU32s(readAll(iterator.fd, size)).sort((a, b) => a - b), keys);
  }
});

kernelTest("iterCreate() runs an iterator over tasks", { needs: ["btf"] }, () => {
  const token = rootToken();
  const oracle = new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
  const tgid = (oracle.fieldsOf("task_struct")?.get("tgid")?.bit ?? 0) / 8;
  assertGreater(tgid, 0);
  using prog = progLoad(token, {
    type: "tracing",
    license: "GPL",
    expectedAttachType: "trace_iter",
    attachBtfId: needVmlinuxId("func", "bpf_iter_task"),
    insns: asm`
      r6 = *(u64 *)(r1 +8)
      if r6 == 0 goto out
      r3 = *(u32 *)(r6 +${tgid})
      *(u32 *)(r10 -4) = r3
      r1 = *(u64 *)(r1 +0)
      r1 = *(u64 *)(r1 +0)
      r2 = r10
      r2 += -4
      r3 = 4
      call seq_write
    out:
      r0 = 0
      exit
    `,
  });
  using link = linkCreate(token, { prog, attachType: "trace_iter" });
  using iterator = iterCreate(token, link);
  const pids = new Set(toU32s(readAll(iterator.fd, 4096)));
  assert(pids.has(Deno.pid) && pids.has(Deno.ppid));
  const listed = new Set(Deno.readDirSync("/proc").map(({ name }) => Number(name)));
  // Others come and go meanwhile.
  assertGreater([...pids].filter((pid) => listed.has(pid)).length, 0.8 * pids.size);
  const threads = Deno.readDirSync("/proc/self/task").toArray().length;
  if (kernelSince("6.1")() !== undefined) return;
  using own = linkCreate(token, { prog, attachType: "trace_iter", iter: { task: { pid: Deno.pid } } });
  using ownIterator = iterCreate(token, own);
  const ownPids = toU32s(readAll(ownIterator.fd, 4096));
  assertEquals(new Set(ownPids), new Set([Deno.pid]));
  assertGreater(ownPids.length, threads / 2);
});

kernelTest("iterCreate() is not needed where the link is pinned: reading the pin runs it", {
  needs: ["btf", "bpffs"],
}, () => {
  const token = rootToken();
  using map = hashMap(token);
  mapUpdateElem(token, map, { key: u32s(0x64636261), value: u64s(0n) });
  using prog = keyWriter(token);
  const path = `${place("BPFFS")}/iterator`;
  {
    using link = linkCreate(token, { prog, attachType: "trace_iter", iter: { map } });
    objPin(token, link, { path });
  }
  assertEquals(Deno.readTextFileSync(path), "abcd");
  using link = objGet(token, path);
  using iterator = iterCreate(token, link);
  assertEquals(new TextDecoder().decode(readAll(iterator.fd, 64)), "abcd");
  Deno.removeSync(path);
});

kernelTest("iterCreate() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
  using map = arrayMap(token);
  assertRefused(() => iterCreate(token, link), "EINVAL", /no iterator/);
  assertRefused(() => iterCreate(token, map), "EINVAL");
  assertRefused(() => iterCreate(token, 9999), "EBADF", /no file descriptor of a link/);
  assertRefused(() => iterCreate(token, link, { flags: 1 }), "EINVAL");
  assertThrows(() => iterCreate(token.only({ commands: ["link_create"] }), link).close(), PermissionError);
});
