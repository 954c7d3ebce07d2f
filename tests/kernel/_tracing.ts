/**
 * What tests of programs that trace, change or replace functions need.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { mapCreate } from "../../cmds/map.ts";
import { mapLookupElem } from "../../cmds/map_elem.ts";
import { progLoad, type ProgLoadOptions } from "../../cmds/prog.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { kernel } from "../../ffi/kernel.ts";
import { openPerfEvent } from "../../ffi/perf_event.ts";
import { structBuffer } from "../../ffi/struct_buffer.ts";
import type { AttachType } from "../../uapi/enums.gen.ts";
import type { Probe } from "../_kernel_test.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import { place, returning, type RootToken, rootToken, toU64s, u32s } from "./_objects.ts";

/** Numbers that a program writes, and the test reads. */
export interface Notes extends Disposable {
  /** The map's descriptor, for `map_value … ll`. */
  readonly fd: number;
  /** What is in it. */
  read(): bigint[];
}

/** An array of one element, of 64-bit numbers. */
export function notes(token: RootToken, count: number): Notes {
  const map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8 * count, maxEntries: 1 });
  return {
    fd: map.fd,
    read: () => toU64s(mapLookupElem(token, map, { key: u32s(0) }) ?? new Uint8Array()),
    [Symbol.dispose]: () => map.close(),
  };
}

/** Loads a program that says by the kernel's BTF to which function it goes. */
export function tracing(
  token: RootToken,
  expectedAttachType: AttachType,
  fn: string,
  insns: ProgLoadOptions["insns"],
): Fd {
  const type = expectedAttachType === "lsm_mac" || expectedAttachType === "lsm_cgroup" ? "lsm" : "tracing";
  return progLoad(token, {
    type,
    license: "GPL",
    expectedAttachType,
    attachBtfId: needVmlinuxId("func", fn),
    insns,
  });
}

/** Notes the runs, and the sum of the cookies. */
export function summingCookies(seen: Notes): Uint8Array<ArrayBuffer> {
  return asm`
    call get_attach_cookie
    r1 = map_value ${seen.fd} + 0 ll
    lock *(u64 *)(r1 +8) += r0
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    r0 = 0
    exit
  `;
}

/** The same, of this process's calls only. */
export function summingOwnCookies(seen: Notes): Uint8Array<ArrayBuffer> {
  return asm`
      r6 = r1
      call get_current_pid_tgid
      r0 >>= 32
      if r0 != ${Deno.pid} goto out
      r1 = r6
      call get_attach_cookie
      r1 = map_value ${seen.fd} + 0 ll
      lock *(u64 *)(r1 +8) += r0
      r2 = 1
      lock *(u64 *)(r1 +0) += r2
    out:
      r0 = 0
      exit
  `;
}

/** Loads a program for kprobes or uprobes. */
export function probing(
  token: RootToken,
  expectedAttachType: AttachType,
  insns: ProgLoadOptions["insns"],
): Fd {
  return progLoad(token, { type: "kprobe", license: "GPL", expectedAttachType, insns });
}

/** The names of this library's probes that are defined in tracefs: none where the kernel has no such probes. */
export function tracefsProbes(kind: "uprobe" | "kprobe"): string[] {
  let text: string;
  try {
    text = Deno.readTextFileSync(`${place("TRACEFS")}/${kind}_events`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  return text.split("\n").filter((line) => line.includes("bpf_deno/")).map((line) => line.split(" ")[0]);
}

/** The kernels of tests/vm all have trampolines, so that nothing is skipped there. */
const IN_VM = Deno.env.get("BPF_TEST_VM") !== undefined;

/**
 * A probe that tries something, and gives what the kernel says where it refuses.
 *
 * @param fn Tries it. What it gives is closed.
 */
export function refusal(fn: (token: RootToken) => unknown): Probe {
  return () => {
    if (IN_VM) return undefined;
    try {
      const made = fn(rootToken());
      if (made instanceof Fd) made.close();
      return undefined;
    } catch (error) {
      const cause = error instanceof PermissionError ? error.cause : error;
      if (cause instanceof SyscallError) return `this kernel refuses it: ${cause.message}`;
      throw error;
    }
  };
}

/** Whether functions can be traced by trampolines. */
export const attachesToFunctions: Probe = refusal((token) => {
  using prog = tracing(token, "trace_fentry", "bpf_fentry_test1", returning(0));
  return rawTracepointOpen(token, prog);
});

/** A perf event that calls a program where a function begins, or ends. */
export function kprobeEvent(fn: string, isReturn = false): Fd {
  const pmu = "/sys/bus/event_source/devices/kprobe";
  const type = Number(Deno.readTextFileSync(`${pmu}/type`));
  const bit = Number(/config:(\d+)/.exec(Deno.readTextFileSync(`${pmu}/format/retprobe`))?.[1]);
  const attr = structBuffer("perf_event_attr").u32("type", type).string("kprobe_func", fn);
  attr.u64("config", isReturn ? 1n << BigInt(bit) : 0n);
  return openPerfEvent(attr, { cpu: 0 });
}

/** Whether there are such events. */
export const hasKprobes: Probe = () => {
  try {
    Deno.statSync("/sys/bus/event_source/devices/kprobe/type");
    return undefined;
  } catch {
    return "this kernel has no perf events of kprobes";
  }
};

/** Calls getpgid(2) and getsid(2) about this process by its id, as security modules see it: −1 where it is refused. */
export function ownIds(): { pgid: number; sid: number } {
  const libc = Deno.dlopen("libc.so.6", {
    getpgid: { parameters: ["i32"], result: "i32" },
    getsid: { parameters: ["i32"], result: "i32" },
  });
  const ids = { pgid: libc.symbols.getpgid(Deno.pid), sid: libc.symbols.getsid(Deno.pid) };
  libc.close();
  return ids;
}

/** What the instructions of {@linkcode refusingGetpgid} do for a call of this process. */
export const REFUSED = -1;

/**
 * Refuses getpgid(2) to this process with EPERM, and counts that in the notes; lets all others do as they like.
 *
 * @param seen Where it counts.
 */
export function refusingGetpgid(seen: Notes): ProgLoadOptions["insns"] {
  return asm`
      call get_current_pid_tgid
      r0 >>= 32
      if r0 != ${Deno.pid} goto others
      r1 = map_value ${seen.fd} + 0 ll
      r2 = 1
      lock *(u64 *)(r1 +0) += r2
      r0 = -1
      exit
    others:
      r0 = 0
      exit
  `;
}

/** Reads a descriptor's result of an ioctl(2) of perf events, or throws. */
export function perfIoctl(event: Fd, request: number, argument: number): void {
  const result = kernel().ioctl(event.fd, request, argument);
  if (result < 0) throw new SyscallError({ command: "ioctl", errno: -result, action: "attach to a perf event" });
}
