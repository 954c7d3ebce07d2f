import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  asm,
  attachIter,
  type AttachIterOptions,
  BpfMap,
  kernelBtf,
  progLoad,
  SyscallError,
  u32,
  u64,
} from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { makeCgroup, rootToken } from "./_objects.ts";
import { notes } from "./_tracing.ts";

/** What kernels from 5.10 on iterate over, at the least: `bpf_iter_` goes in front. */
const EXPECTED = ["task", "task_file", "bpf_map", "bpf_map_elem", "bpf_prog", "tcp", "udp", "netlink"];

/** Iterators that have something to go through on every machine. */
const NEVER_EMPTY = new Set([
  "task",
  "task_file",
  "task_vma",
  "bpf_map",
  "bpf_map_elem",
  "bpf_prog",
  "bpf_link",
  "ksym",
  "cgroup",
]);

kernelTest(
  "attachIter() goes through each kind of object that the kernel has an iterator of",
  { needs: ["btf", "cgroup"] },
  () => {
    const token = rootToken();
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4 });
    map.set(1, 2n);
    using storage = BpfMap.create(token, { type: "sk_storage", value: u64 });
    using sockmap = BpfMap.create(token, { type: "sockmap", maxEntries: 1 });
    using cgroup = makeCgroup("iterated");
    const btf = kernelBtf();
    const parameters: Record<string, AttachIterOptions> = {
      bpf_map_elem: { map },
      bpf_sk_storage_map: { map: storage },
      sockmap: { map: sockmap },
      cgroup: { cgroup: { order: "self_only", fd: { fd: cgroup.fd } } },
      // All threads of the system would take long.
      task_vma: { task: { pid: Deno.pid } },
    };
    const seen: string[] = [];
    for (let id = 1; id < btf.typeCount; id++) {
      const type = btf.type(id);
      if (type.kind !== "func" || !type.name.startsWith("bpf_iter_")) continue;
      const name = type.name.slice("bpf_iter_".length);
      using counts = notes(token, 1);
      let prog;
      try {
        prog = progLoad(token, {
          type: "tracing",
          license: "GPL",
          expectedAttachType: "trace_iter",
          attachBtfId: id,
          insns: asm`
          r1 = map_value ${counts.fd} + 0 ll
          r2 = 1
          lock *(u64 *)(r1 +0) += r2
          r0 = 0
          exit
        `,
        });
      } catch (error) {
        // Kernel functions that only have such a name: no iterator is registered by it.
        assert(error instanceof SyscallError, String(error));
        continue;
      }
      using _prog = prog;
      let link;
      try {
        link = attachIter(token, prog, parameters[name] ?? {});
      } catch (error) {
        // Kernels before 6.1 know no task.
        if (name !== "task_vma") throw new Error(`${name}: ${error}`, { cause: error });
        link = attachIter(token, prog);
      }
      using iterated = link;
      assertEquals((iterated.info as never as { targetName: string }).targetName, name);
      assertEquals([...iterated.chunks()].length, 0);
      const first = counts.read()[0];
      if (NEVER_EMPTY.has(name)) assertGreater(first, 0n, name);
      // Each reading goes through all anew.
      assertEquals([...iterated.chunks()].length, 0);
      if (NEVER_EMPTY.has(name)) assertGreater(counts.read()[0], first, name);
      seen.push(name);
    }
    assertEquals(EXPECTED.filter((name) => !seen.includes(name)), []);
  },
);
