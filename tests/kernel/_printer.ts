/**
 * A program that prints to its streams.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progStreamRead, progTestRun } from "../../cmds/prog_run.ts";
import type { Fd } from "../../ffi/fd.ts";
import { allocate } from "../../ffi/memory.ts";
import { needVmlinuxId, vmlinuxId } from "./_btf_bytes.ts";
import { constant, type RootToken, rootToken, trying, u32s } from "./_objects.ts";

/** Says where programs have no streams. */
const lacksStreams = trying((token) => progStreamRead(token, 9999, { stream: "stdout", buffer: allocate(1) }));

/** A program that prints the number 4711 and the stream's number to a stream, which its context says. */
export function printer(token: RootToken): Fd {
  const printk = vmlinuxId("func", "bpf_stream_vprintk") ?? needVmlinuxId("func", "bpf_stream_vprintk_impl");
  // The format has to lie in a map that nobody can change.
  using text = mapCreate(token, {
    type: "array",
    keySize: 4,
    valueSize: 32,
    maxEntries: 1,
    flags: constant("BPF_F_RDONLY_PROG"),
  });
  const format = allocate(32);
  format.set(new TextEncoder().encode("number %d on %d\n"));
  mapUpdateElem(token, text, { key: u32s(0), value: format });
  mapFreeze(token, text);
  return progLoad(token, {
    type: "syscall",
    license: "GPL",
    flags: constant("BPF_F_SLEEPABLE"),
    insns: asm`
      r6 = *(u64 *)(r1 +0)
      *(u64 *)(r10 -16) = 4711
      *(u64 *)(r10 -8) = r6
      r1 = r6
      r2 = map_value ${text} + 0 ll
      r3 = r10
      r3 += -16
      r4 = 16
      r5 = 0
      call kfunc ${printk}
      exit
    `,
  });
}

/** Whether the kernel has memory for what programs print: it takes it from a list that not every machine fills. */
export function streamMemory(): string | undefined {
  const lacking = lacksStreams();
  if (lacking !== undefined) return lacking;
  const token = rootToken();
  using prog = printer(token);
  const { returnValue } = progTestRun(token, prog, { ctx: u32s(1, 0) });
  return returnValue | 0 ? `no memory for program streams: bpf_stream_vprintk() returns ${returnValue | 0}` : undefined;
}
