/** What the running kernel was configured with, and its version, as externs of `.kconfig` ask for them. */

import type { Btf } from "../btf/mod.ts";
import { NotSupportedError } from "../errors.ts";
import { hasHelper, kernelBtf } from "../features/mod.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { ExternSpec } from "./spec.ts";

/** The version that programs are compared with: KERNEL_VERSION(a, b, c), where c is at most 255. */
export function kernelVersion(): number {
  const release = tryReadKernelText("/proc/sys/kernel/osrelease") ?? "";
  // Debian's release has a name for the ABI where others have the version; Ubuntu tells it in a file of its own.
  const debian = /Debian (\d+)\.(\d+)\.(\d+)/.exec(tryReadKernelText("/proc/sys/kernel/version") ?? "");
  const ubuntu = /(\d+)\.(\d+)\.(\d+)\s*$/.exec(tryReadKernelText("/proc/version_signature") ?? "");
  const [, major = "0", minor = "0", patch = "0"] = ubuntu ?? debian ?? /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  return Number(major) * 65536 + Number(minor) * 256 + Math.min(Number(patch), 255);
}

/** What the kernel's own externs are. */
const VIRTUAL: Readonly<Record<string, (token: AnyToken) => bigint>> = {
  LINUX_KERNEL_VERSION: () => BigInt(kernelVersion()),
  LINUX_HAS_BPF_COOKIE: (token) => hasHelper(token, "kprobe", "get_attach_cookie") === true ? 1n : 0n,
  LINUX_HAS_SYSCALL_WRAPPER: () => hasSyscallWrapper() ? 1n : 0n,
};

/** Whether system calls are functions of their own names' architecture: since 4.17. */
function hasSyscallWrapper(): boolean {
  const name = Deno.build.arch === "aarch64" ? "__arm64_sys_bpf" : "__x64_sys_bpf";
  try {
    if (kernelBtf().find("func", name) !== undefined) return true;
  } catch (error) {
    if (!(error instanceof NotSupportedError)) throw error;
  }
  return new RegExp(` [tT] ${name}$`, "m").test(tryReadKernelText("/proc/kallsyms") ?? "");
}

/** How an extern's value is written. */
type ConfigType = "bool" | "char" | "tristate" | "int" | "string";

function configType(btf: Btf, id: number): { type: ConfigType; signed: boolean } | undefined {
  const type = btf.type(btf.resolve(id));
  switch (type.kind) {
    case "int": {
      const signed = type.encoding === "signed";
      if (type.encoding === "bool") return type.size === 1 ? { type: "bool", signed: false } : undefined;
      if (type.size === 1) return { type: "char", signed };
      return [2, 4, 8].includes(type.size) ? { type: "int", signed } : undefined;
    }
    case "enum":
    case "enum64":
      return type.size === 4 && type.name === "libbpf_tristate" ? { type: "tristate", signed: false } : undefined;
    case "array": {
      const element = type.nrElems === 0 ? undefined : configType(btf, type.typeId);
      return element?.type === "char" ? { type: "string", signed: false } : undefined;
    }
    default:
      return undefined;
  }
}

/** The numbers of `enum libbpf_tristate`. */
const TRISTATE: Readonly<Record<string, number>> = { n: 0, y: 1, m: 2 };

/** Writes values of the configuration where an object wants them. */
export class ConfigWriter {
  readonly #btf: Btf;
  readonly #view: DataView;

  constructor(btf: Btf, data: Uint8Array<ArrayBuffer>) {
    this.#btf = btf;
    this.#view = new DataView(data.buffer, data.byteOffset, data.length);
  }

  /**
   * Writes a value.
   *
   * @param extern Whose it is.
   * @param value What the configuration says: `y`, `n`, `m`, a number, or a string in quotes.
   * @throws {TypeError} Where the extern is of a type that cannot hold it.
   */
  write(extern: ExternSpec, value: string): void {
    const known = configType(this.#btf, extern.typeId);
    const fail = (reason: string): TypeError =>
      new TypeError(`Cannot resolve extern ${extern.name}: the configuration says ${value}, and ${reason}`);
    if (known === undefined) throw fail("its type is none of bool, char, an integer, libbpf_tristate and char[]");
    if (value in TRISTATE) this.#writeTristate(extern, known.type, value, fail);
    else if (value.startsWith('"')) this.#writeText(extern, known.type, value, fail);
    else this.#writeNumber(extern, known, value, fail);
  }

  #writeTristate({ offset }: ExternSpec, type: ConfigType, value: string, fail: (reason: string) => TypeError): void {
    if (type === "bool") {
      if (value === "m") throw fail("a bool cannot be m");
      this.#view.setUint8(offset, TRISTATE[value]);
    } else if (type === "tristate") this.#view.setUint32(offset, TRISTATE[value], LITTLE_ENDIAN);
    else if (type === "char") this.#view.setUint8(offset, value.charCodeAt(0));
    else throw fail("it is neither a bool, nor a char, nor a libbpf_tristate");
  }

  #writeText({ offset, size }: ExternSpec, type: ConfigType, value: string, fail: (reason: string) => TypeError): void {
    if (type !== "string") throw fail("it is no array of char");
    const end = value.lastIndexOf('"');
    if (end === 0) throw fail("that has no end");
    const text = new TextEncoder().encode(value.slice(1, end)).subarray(0, size - 1);
    text.forEach((byte, index) => this.#view.setUint8(offset + index, byte));
  }

  #writeNumber(
    { offset, size }: ExternSpec,
    { type, signed }: { type: ConfigType; signed: boolean },
    value: string,
    fail: (reason: string) => TypeError,
  ): void {
    if (type !== "int" && type !== "char" && type !== "bool") throw fail("it is no integer");
    const match = /^(-?)(0x[0-9a-f]+|\d+)$/i.exec(value);
    if (match === null) throw fail("that is no number");
    if (type === "bool" && value !== "0" && value !== "1") throw fail("a bool is 0 or 1");
    const number = match[1] === "-" ? -BigInt(match[2]) : BigInt(match[2]);
    const bits = 8 * size;
    const kept = signed ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number);
    // What fills 64 bits is taken whatever its sign.
    if (size < 8 && kept !== number) throw fail(`it has ${bits} bits`);
    const bytes = new BigUint64Array([BigInt.asUintN(64, number)]);
    const low = new Uint8Array(bytes.buffer);
    for (let index = 0; index < size; index++) {
      this.#view.setUint8(offset + index, low[LITTLE_ENDIAN ? index : 7 - index]);
    }
  }
}

/** The value of one of the kernel's own externs, as a configuration would write it; undefined for other names. */
export function virtualExtern(token: AnyToken, name: string): string | undefined {
  return Object.hasOwn(VIRTUAL, name) ? String(VIRTUAL[name](token)) : undefined;
}
