/**
 * How often is a file opened on this machine, over three seconds? `sudo deno run --allow-ffi examples/count_opens.ts`
 *
 * @module
 */

import { acquire, asm, BpfMap, progLoad, rawTracepointOpen, u64 } from "@bpf/deno";

// A token for what this script needs, not for what root could do.
const token = acquire("CAP_BPF", "CAP_PERFMON");

using counts = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1, name: "opens" });
using prog = progLoad(token, {
  type: "raw_tracepoint",
  name: "count_opens",
  license: "GPL",
  insns: asm`
      r1 = *(u64 *)(r1 +8)          ; the system call's number
      if r1 != 257 goto out         ; openat on x86-64
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${counts} ll
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
using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
console.log(`watching by link ${link.fd}`);

await new Promise((resolve) => setTimeout(resolve, 3000));
console.log(counts.get(0));
