/**
 * Objects that the tests of bpf(2) need: tokens, maps, programs, interfaces, cgroups, perf events.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { type Anchor, progQuery } from "../../cmds/prog_attach.ts";
import { mapCreate } from "../../cmds/map.ts";
import { progLoad } from "../../cmds/prog.ts";
import { NotSupportedError, SyscallError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { type Bytes, kernel, swapKernel } from "../../ffi/kernel.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { structBuffer } from "../../ffi/struct_buffer.ts";
import type { Capability } from "../../tokens/capabilities.ts";
import { acquire, type PermissionToken } from "../../tokens/token.ts";
import * as constants from "../../uapi/constants.gen.ts";
import type { AttachType, ProgType } from "../../uapi/enums.gen.ts";
import type { Probe } from "../_kernel_test.ts";
import { SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

/** A token with every capability that bpf(2) asks for. */
export type RootToken = PermissionToken<Capability>;

/** What root may do. */
export function rootToken(): RootToken {
  return acquire<Capability>("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYS_ADMIN");
}

/** 32-bit numbers as bytes of this machine. */
export function u32s(...numbers: number[]): Bytes {
  return new Uint8Array(new Uint32Array(numbers).buffer);
}

/** 64-bit numbers as bytes of this machine. */
export function u64s(...numbers: bigint[]): Bytes {
  return new Uint8Array(new BigUint64Array(numbers).buffer);
}

/** The 32-bit numbers in some bytes. */
export function toU32s(bytes: Uint8Array): number[] {
  return [...new Uint32Array(bytes.slice().buffer)];
}

/** The 64-bit numbers in some bytes. */
export function toU64s(bytes: Uint8Array): bigint[] {
  return [...new BigUint64Array(bytes.slice().buffer)];
}

/** A program that does nothing but return a number. */
export function returning(value = 0): Bytes {
  return asm`
    r0 = ${value}
    exit
  `;
}

/** A socket filter that returns a number. */
export function socketFilter(token: RootToken, value = 0, name = ""): Fd {
  return progLoad(token, { type: "socket_filter", insns: returning(value), license: "GPL", name });
}

/** A program of a type that returns a number. */
export function simpleProg(
  token: RootToken,
  type: ProgType,
  options: { value?: number; expectedAttachType?: AttachType; name?: string } = {},
): Fd {
  const { value = 0, expectedAttachType, name = "" } = options;
  return progLoad(token, { type, insns: returning(value), license: "GPL", name, expectedAttachType });
}

/** A hash map with 4-byte keys and 8-byte values, holding `{key: value}` as given. */
export function hashMap(token: RootToken, options: { maxEntries?: number; flags?: number; name?: string } = {}): Fd {
  const { maxEntries = 16, flags = 0, name = "" } = options;
  return mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries, flags, name });
}

/** An array with 8-byte values. */
export function arrayMap(token: RootToken, maxEntries = 4): Fd {
  return mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries });
}

/**
 * Asserts that a call fails as the kernel should refuse it.
 *
 * @param fn The call.
 * @param code The error number's name; several where kernels differ.
 * @param hint Words that the hint must have.
 * @returns The error.
 */
export function assertRefused(fn: () => unknown, code: string | readonly string[], hint?: RegExp): SyscallError {
  let error: unknown;
  try {
    const made = fn();
    if (made instanceof Fd) made.close();
  } catch (thrown) {
    error = thrown;
  }
  assert(error !== undefined, `the call succeeded, where ${code} was expected`);
  if (!(error instanceof SyscallError)) throw error;
  assertInstanceOf(error, SyscallError);
  if (typeof code === "string") assertEquals(error.code, code, error.message);
  else assert(code.includes(error.code), error.message);
  if (hint !== undefined) assert(hint.test(error.hint ?? ""), `hint of ${error.message}`);
  return error;
}

/**
 * What the library says where the kernel lacks something; undefined where it has it.
 *
 * @param fn Tries it. What it makes is closed.
 */
export function lackingFor(fn: () => unknown): NotSupportedError | undefined {
  try {
    const made = fn();
    if (made instanceof Fd) made.close();
    return undefined;
  } catch (error) {
    if (error instanceof NotSupportedError) return error;
    throw error;
  }
}

/**
 * A probe that tries something, and gives what the library says where the kernel lacks it. A kernel that has it may
 * refuse the try for another reason: most need no more than descriptors that are none.
 */
export function trying(fn: (token: RootToken) => unknown): Probe {
  return () => {
    try {
      return lackingFor(() => fn(rootToken()))?.message;
    } catch {
      return undefined;
    }
  };
}

/** Asserts that a call says what the kernel lacks, and since when kernels have it. */
export function assertLacking(fn: () => unknown, feature: string, since: string): NotSupportedError {
  const error = lackingFor(fn);
  assert(error !== undefined, `the call succeeded, where the kernel should lack ${feature}`);
  assertEquals([error.feature, error.since], [feature, since]);
  assertInstanceOf(error.cause, SyscallError);
  return error;
}

/** The value of an environment variable that the sandbox set. */
export function place(name: "BPFFS" | "TRACEFS" | "CGROUP"): string {
  const value = Deno.env.get(`BPF_TEST_${name}`);
  if (value === undefined) throw new Error(`BPF_TEST_${name} is not set: the test needs it in its options`);
  return value;
}

/** A pair of virtual interfaces in the test's network namespace. */
export interface Veth extends AsyncDisposable {
  /** Their names. */
  readonly names: readonly [string, string];
  /** Their interface indexes. */
  readonly ifindexes: readonly [number, number];
}

async function must(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`Cannot run ${command} ${args.join(" ")}: ${stderr || stdout}`);
  return stdout;
}

/** Makes a pair of virtual interfaces, which is up; the tests' network namespace is their own. */
export async function veth(): Promise<Veth> {
  assert(Deno.env.get("BPF_TEST_NETNS") === "1", "veth() needs a network namespace of the run's own");
  const names = ["bpftest0", "bpftest1"] as const;
  await must("ip", ["link", "add", names[0], "type", "veth", "peer", "name", names[1]]);
  for (const name of names) await must("ip", ["link", "set", name, "up"]);
  const indexes: number[] = [];
  for (const name of names) {
    const [{ ifindex }] = JSON.parse(await must("ip", ["-j", "link", "show", "dev", name]));
    indexes.push(ifindex);
  }
  return {
    names,
    ifindexes: [indexes[0], indexes[1]],
    [Symbol.asyncDispose]: async () => void await must("ip", ["link", "del", names[0]]),
  };
}

/** A cgroup below the tests' own, and a descriptor of it. */
export interface TestCgroup extends Disposable {
  /** Its path. */
  readonly path: string;
  /** Its descriptor. */
  readonly fd: number;
  /** Its id, which is its inode number. */
  readonly id: bigint;
}

/** Makes a cgroup. */
export function makeCgroup(name = "one", parent: string = place("CGROUP")): TestCgroup {
  const path = `${parent}/${name}`;
  Deno.mkdirSync(path);
  const directory = openPath(path);
  return {
    path,
    fd: directory.fd,
    id: BigInt(Deno.statSync(path).ino ?? 0),
    [Symbol.dispose]: () => {
      directory.close();
      Deno.removeSync(path);
    },
  };
}

/** PERF_FLAG_FD_CLOEXEC */
const PERF_CLOEXEC = 8;
const PERF_TYPE_SOFTWARE = 1;
const PERF_TYPE_TRACEPOINT = 2;
/** PERF_COUNT_SW_CPU_CLOCK, which every machine has. */
const CPU_CLOCK = 0;

function perfEvent(type: number, config: number): Fd {
  const attr = structBuffer("perf_event_attr");
  attr.u32("type", type).u32("size", attr.bytes.length).u64("config", config).u64("sample_period", 1n);
  const fd = kernel().perfEventOpen(attr.bytes, -1, 0, -1, PERF_CLOEXEC);
  if (fd < 0) throw new SyscallError({ command: "perf_event_open", errno: -fd, action: "open a perf event" });
  return Fd.own(fd);
}

/** A perf event of a tracepoint on CPU 0, such as `syscalls/sys_enter_getpgid`. */
export function tracepointEvent(name: string): Fd {
  const id = Number(Deno.readTextFileSync(`${place("TRACEFS")}/events/${name}/id`));
  return perfEvent(PERF_TYPE_TRACEPOINT, id);
}

/** A perf event of the CPU's clock on CPU 0. */
export function clockEvent(): Fd {
  return perfEvent(PERF_TYPE_SOFTWARE, CPU_CLOCK);
}

/** A perf event of a uprobe, at an offset of a file. */
export function uprobeEvent(path: string, offset: bigint): Fd {
  const type = Number(Deno.readTextFileSync("/sys/bus/event_source/devices/uprobe/type"));
  const attr = structBuffer("perf_event_attr");
  attr.u32("type", type).u32("size", attr.bytes.length).string("uprobe_path", path).u64("probe_offset", offset);
  const fd = kernel().perfEventOpen(attr.bytes, -1, 0, -1, PERF_CLOEXEC);
  if (fd < 0) throw new SyscallError({ command: "perf_event_open", errno: -fd, action: "open a uprobe" });
  return Fd.own(fd);
}

/** The program ids in an ordered list of programs, first to last. */
export function attachedIds(token: RootToken, attachType: AttachType, ifindex: number): readonly number[] {
  return progQuery(token, { target: { ifindex }, attachType }).progIds;
}

/** Waits until a condition holds, at most for some milliseconds; tells whether it does. */
export async function eventually(condition: () => boolean, timeoutMs = 2000): Promise<boolean> {
  for (const end = Date.now() + timeoutMs * SLOWNESS; Date.now() < end;) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return condition();
}

/** A constant of the kernel's API by its C name, for tables of tests. */
export function constant(name: keyof typeof constants): number {
  return Number(constants[name]);
}

/** An anchor by descriptor or by id, for tables of tests. */
export type AnchorOf = (fd: Fd, id: number) => Anchor;

/** The file that libc is mapped from in this process, and the offset of one of its functions in it. */
export async function libcFunction(name: string): Promise<{ path: string; offset: bigint }> {
  const path = /(\/\S*libc\.so\.6)$/m.exec(Deno.readTextFileSync("/proc/self/maps"))?.[1];
  if (path === undefined) throw new Error("Cannot find libc in /proc/self/maps");
  const symbols = await must("readelf", ["-W", "--dyn-syms", path]);
  const value = new RegExp(`^\\s*\\d+:\\s+([0-9a-f]+)\\s+.*\\s${name}(@@\\S+)?(\\s|$)`, "m").exec(symbols)?.[1];
  if (value === undefined) throw new Error(`Cannot find ${name} in ${path}`);
  const address = BigInt(`0x${value}`);
  // A function's offset in the file is its address less where its segment is loaded, plus where that is in the file.
  for (const line of (await must("readelf", ["-W", "-l", path])).split("\n")) {
    const match = /^\s*LOAD\s+(0x\w+)\s+(0x\w+)\s+0x\w+\s+(0x\w+)/.exec(line);
    if (match === null) continue;
    const [offset, start, size] = match.slice(1).map(BigInt);
    if (address >= start && address < start + size) return { path, offset: address - start + offset };
  }
  throw new Error(`Cannot find the segment of ${name} in ${path}`);
}

/** A kernel in front of the running one, for as long as it is not disposed of. */
export interface Interposed extends Disposable {
  /** The bpf(2) calls that went through, by command number. */
  readonly calls: number[];
}

/**
 * Counts the calls of bpf(2), and may look at them before and after.
 *
 * @param before Called with the command's number and the attr, which it may change.
 * @param fake Answers in place of the kernel, where it gives a number.
 * @returns The numbers of the commands that were called.
 */
export function interpose(
  before: (command: number, attr: Bytes) => void = () => {},
  fake: (command: number, attr: Bytes) => number | undefined = () => undefined,
): Interposed {
  const real = kernel();
  const calls: number[] = [];
  const bpf = (command: number, attr: Bytes, size: number): number => {
    calls.push(command);
    before(command, attr);
    return fake(command, attr) ?? real.bpf(command, attr, size);
  };
  swapKernel(
    new Proxy(real, {
      get(target, name) {
        if (name === "bpf") return bpf;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    }),
  );
  return { calls, [Symbol.dispose]: () => void swapKernel(real) };
}

/** What /proc tells of a descriptor of this process: the kernel's own words, one field a line. */
export function fdinfo(fd: number): Map<string, string> {
  const text = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  return new Map(
    text.trimEnd().split("\n").map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1).trim()];
    }),
  );
}
