/**
 * Just enough of bpf(2) to show programs to the verifier and read what it says. It stands by itself, so that the tests
 * of asm/ do not lean on code that stands above it.
 *
 * @module
 */

import { attrLayouts } from "../../uapi/attr.gen.ts";
import { commands, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import { syscallNames } from "../../uapi/syscalls.gen.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A field of an attr: a number, or bytes whose address is meant. */
type Value = number | bigint | Bytes;

const libc = Deno.dlopen("libc.so.6", {
  // long syscall(long number, ...)
  syscall: { parameters: ["i64", "i64", "buffer", "i64"], result: "i64" },
  // int *__errno_location(void)
  __errno_location: { parameters: [], result: "pointer" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
});

const BPF = BigInt((syscallNames[Deno.build.arch] as readonly string[]).indexOf("bpf"));

function errno(): number {
  const pointer = libc.symbols.__errno_location() as Deno.PointerObject;
  // SAFETY: libc's errno of this thread, an int that lives as long as the thread.
  return new Deno.UnsafePointerView(pointer).getInt32();
}

function bpf(command: "map_create" | "prog_load" | "btf_load", values: Readonly<Record<string, Value>>): number {
  const layout = attrLayouts[command];
  const attr = new Uint8Array(layout.size);
  const view = new DataView(attr.buffer);
  const fields: Readonly<Record<string, { readonly offset: number; readonly size: number }>> = layout.fields;
  for (const [name, value] of Object.entries(values)) {
    const { offset, size } = fields[name];
    if (value instanceof Uint8Array) {
      // SAFETY: `values` keeps the bytes alive until the call below has returned.
      view.setBigUint64(offset, Deno.UnsafePointer.value(Deno.UnsafePointer.of(value)), true);
    } else if (size === 8) view.setBigUint64(offset, BigInt(value), true);
    else view.setUint32(offset, Number(value), true);
  }
  const result = Number(libc.symbols.syscall(BPF, BigInt(commands[command]), attr, BigInt(attr.length)));
  return result === -1 ? -errno() : result;
}

/** A map, or another thing that a descriptor stands for. */
export interface Owned extends Disposable {
  readonly fd: number;
}

function own(fd: number): Owned {
  return { fd, [Symbol.dispose]: () => void libc.symbols.close(fd) };
}

/**
 * Makes a map.
 *
 * @param type Its type.
 * @param values The other fields of the attr.
 * @returns The map.
 */
export function createMap(type: keyof typeof mapTypes, values: Readonly<Record<string, Value>>): Owned {
  const fd = bpf("map_create", { map_type: mapTypes[type], ...values });
  if (fd < 0) throw new Error(`Cannot create a map of type ${type}: errno ${-fd}`);
  return own(fd);
}

/** A word of BTF: its info has the kind and, of a function, the linkage. */
const kind = (number: number, rest: number = 0): number => (number << 24) | rest;

/**
 * Loads BTF with two functions of no arguments.
 *
 * @returns The BTF; type 3 is a global function, type 4 a static one.
 */
export function loadFunctionBtf(): Owned {
  const strings = new TextEncoder().encode("\0int\0main\0callback\0");
  const types = [
    ...[1, kind(1), 4, 32], // 1: int
    ...[0, kind(13), 1], // 2: int ()
    ...[5, kind(12, 1), 2], // 3: int main()
    ...[10, kind(12, 0), 2], // 4: static int callback()
  ];
  const header = [0x0001_eb9f, 24, 0, types.length * 4, types.length * 4, strings.length];
  const btf = new Uint8Array([...new Uint8Array(new Uint32Array([...header, ...types]).buffer), ...strings]);
  const fd = bpf("btf_load", { btf, btf_size: btf.length });
  if (fd < 0) throw new Error(`Cannot load BTF: errno ${-fd}`);
  return own(fd);
}

/** How a program is shown to the verifier. */
export interface VerifyOptions {
  /** @default {"socket_filter"} */
  readonly type?: keyof typeof progTypes;
  /** Descriptors that the program names by their place. */
  readonly fdArray?: readonly number[];
  /** The program's functions: BTF, and the first slot and the type of each. */
  readonly functions?: { readonly btf: Owned; readonly places: readonly (readonly [number, number])[] };
}

/** What the verifier said. */
export interface Verdict {
  /** Negative where it refused the program: −errno. */
  readonly result: number;
  readonly log: string;
}

function functionInfo({ btf, places }: NonNullable<VerifyOptions["functions"]>): Record<string, Value> {
  return {
    prog_btf_fd: btf.fd,
    func_info_rec_size: 8,
    func_info: new Uint8Array(new Uint32Array(places.flat()).buffer),
    func_info_cnt: places.length,
  };
}

/**
 * Loads a program, closes it, and hands back the verifier's log at level 2.
 *
 * @param insns The program's bytes.
 * @param options How it is loaded.
 * @returns What the verifier said.
 */
export function verify(insns: Bytes, options: VerifyOptions = {}): Verdict {
  const log = new Uint8Array(4 << 20);
  const result = bpf("prog_load", {
    prog_type: progTypes[options.type ?? "socket_filter"],
    insn_cnt: insns.length / 8,
    insns,
    license: new TextEncoder().encode("GPL\0"),
    log_level: 2,
    log_size: log.length,
    log_buf: log,
    ...(options.functions ? functionInfo(options.functions) : {}),
    ...(options.fdArray ? { fd_array: new Uint8Array(new Int32Array(options.fdArray).buffer) } : {}),
  });
  if (result >= 0) libc.symbols.close(result);
  return { result, log: new TextDecoder().decode(log.subarray(0, log.indexOf(0))) };
}

/**
 * The instructions in a verifier's log.
 *
 * @param log The log.
 * @returns The text of each instruction by its slot, without the state of the registers.
 */
export function logInsns(log: string): Map<number, string> {
  const insns = new Map<number, string>();
  for (const line of log.split("\n")) {
    const match = /^(\d+): (\([0-9a-f]{2}\) .*?)\s*(?:;.*)?$/.exec(line);
    if (match !== null) insns.set(Number(match[1]), match[2]);
  }
  return insns;
}
