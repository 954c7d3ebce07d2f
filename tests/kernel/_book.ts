/**
 * The program that a book on eBPF explains bpf(2) with: on each execve it sends who called, with a message that is
 * looked up by user id in a hash map `config`. Written there for bcc, assembled here.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { BtfBuilder } from "../../btf/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { type Codec, cstr, pad, struct, u32 } from "../../codec.ts";
import { onlineCpus } from "../../ffi/cpus.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernel } from "../../ffi/kernel.ts";
import { openPerfEvent } from "../../ffi/perf_event.ts";
import { structBuffer } from "../../ffi/struct_buffer.ts";
import { BpfMap, type PerfBuffer, type PerfEventArray } from "../../maps/mod.ts";
import { Program } from "../../progs/mod.ts";
import { PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF } from "../../uapi/constants.gen.ts";
import { type RootToken, tracepointEvent, u32s } from "./_objects.ts";

/** What was sent. */
export interface Data {
  readonly pid: number;
  readonly uid: number;
  readonly command: string;
  readonly message: string;
}

/** What the program sends: `struct data_t`. */
export const data: Codec<Data> = struct({ pid: u32, uid: u32, command: cstr(16), message: cstr(13), padding: pad(3) });

/** The messages, by user id. */
export const MESSAGES: readonly (readonly [uid: number, text: string])[] = [[0, "Hey root!"], [501, "Hi user 501!"]];

/** `struct user_msg_t { char message[13]; }` */
const userMessage = struct({ message: cstr(13) });

/** Where the program is attached: execve's tracepoint, or the kernel's function. */
export type Place = "tracepoint" | "kprobe";

/** The types, numbered as the book's program has them: 1 is the key, 4 the value. */
function types(): { builder: BtfBuilder; func: number } {
  const builder = new BtfBuilder();
  const key = builder.int("unsigned int", 4);
  const char = builder.int("char", 1, "signed");
  const text = builder.array(char, 13, key);
  builder.struct("user_msg_t", 13, [{ name: "message", typeId: text, bitsOffset: 0 }]);
  const int = builder.int("int", 4, "signed");
  const func = builder.func("hello", builder.funcProto(int, [{ name: "ctx", typeId: builder.ptr(0) }]), "global");
  return { builder, func };
}

const LINES: readonly (readonly [insn: number, line: number, text: string])[] = [
  [0, 19, "int hello(void *ctx) {"],
  [1, 20, "   struct data_t data = {};"],
  [7, 23, '   char message[12] = "Hello World";'],
  [12, 25, "   data.pid = bpf_get_current_pid_tgid() >> 32;"],
  [15, 26, "   data.uid = bpf_get_current_uid_gid() & 0xFFFFFFFF;"],
  [17, 28, "   bpf_get_current_comm(&data.command, sizeof(data.command));"],
  [21, 30, "   p = config.lookup(&data.uid);"],
  [27, 31, "   if (p != 0) {"],
  [30, 32, "      bpf_probe_read_kernel(&data.message, sizeof(data.message), p->message);"],
  [34, 37, "   output.perf_submit(ctx, &data, sizeof(data));"],
  [42, 39, "   return 0;"],
];

/** The program, its maps, and the reader of what it sends. */
export interface Book extends Disposable {
  readonly config: BpfMap<number, { message: string }>;
  readonly perf: PerfBuffer;
  readonly prog: Program;
}

function ioctl(event: Fd, request: number, argument: number): void {
  const result = kernel().ioctl(event.fd, request, argument);
  if (result < 0) throw new Error(`Cannot attach: ioctl says ${result}`);
}

/** A perf event of a kernel function. */
export function kprobeEvent(name: string): Fd {
  const type = Number(Deno.readTextFileSync("/sys/bus/event_source/devices/kprobe/type"));
  // A function's name stands where a file's does for uprobes.
  const attr = structBuffer("perf_event_attr").u32("type", type).string("uprobe_path", name).u64("probe_offset", 0n)
    .u64("sample_period", 1n);
  return openPerfEvent(attr, { cpu: 0 });
}

/** Makes the calls that the book shows, in its order. */
export function openBook(token: RootToken, place: Place): Book {
  using stack = new DisposableStack();
  const { builder, func } = types();
  const lines = LINES.flatMap(([insn, line, text]) => [
    insn,
    builder.string("/virtual/main.c"),
    builder.string(text),
    (line << 10) | 1,
  ]);
  using btf = btfLoad(token, builder.bytes());
  const output = stack.use(
    BpfMap.create(token, { type: "perf_event_array", maxEntries: onlineCpus().length, name: "output" }),
  ) as unknown as PerfEventArray;
  const config = stack.use(BpfMap.create(token, {
    type: "hash",
    key: u32,
    value: userMessage as Codec<{ message: string }>,
    maxEntries: 10240,
    name: "config",
    btf: { fd: btf, keyTypeId: 1, valueTypeId: 4 },
  })) as unknown as BpfMap<number, { message: string }>;
  const prog = stack.use(Program.load(token, {
    type: place,
    name: "hello",
    license: "GPL",
    btf: {
      fd: btf,
      funcInfo: { records: u32s(0, func), size: 8 },
      lineInfo: { records: u32s(...lines), size: 16 },
    },
    insns: asm`
      r6 = r1
      r1 = 0
      *(u64 *)(r10 -40) = r1
      *(u64 *)(r10 -32) = r1
      *(u64 *)(r10 -24) = r1
      *(u64 *)(r10 -16) = r1
      *(u64 *)(r10 -8) = r1
      r1 = ${0x6f57206f6c6c6548n} ll    ; "Hello Wo"
      *(u64 *)(r10 -56) = r1
      r1 = 0x646c72                     ; "rld"
      *(u64 *)(r10 -48) = r1
      call get_current_pid_tgid
      r0 >>= 32
      *(u32 *)(r10 -40) = r0
      call get_current_uid_gid
      *(u32 *)(r10 -36) = r0
      r1 = r10
      r1 += -32
      r2 = 16
      call get_current_comm
      r2 = r10
      r2 += -36
      r1 = map_fd ${config} ll
      call map_lookup_elem
      r3 = r0
      if r0 != 0 goto found
      r3 = r10
      r3 += -56
    found:
      r1 = r10
      r1 += -16
      r2 = 13
      call probe_read_kernel
      r1 = r6
      r2 = map_fd ${output} ll
      w3 = -1                           ; BPF_F_CURRENT_CPU
      r4 = r10
      r4 += -40
      r5 = 40
      call perf_event_output
      r0 = 0
      exit
    `,
  }));
  const event = stack.use(
    place === "kprobe" ? kprobeEvent("__x64_sys_execve") : tracepointEvent("syscalls/sys_enter_execve"),
  );
  ioctl(event, PERF_EVENT_IOC_SET_BPF, prog.fd);
  ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
  for (const [uid, message] of MESSAGES) config.set(uid, { message });
  const perf = stack.use(output.open());
  const all = stack.move();
  return { config, perf, prog, [Symbol.dispose]: () => all.dispose() };
}
