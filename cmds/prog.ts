/**
 * Loading programs, and tying maps to them: BPF_PROG_LOAD, BPF_PROG_BIND_MAP and BPF_PROG_ASSOC_STRUCT_OPS.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { CommandToken, ProgToken } from "../tokens/requirements.ts";
import type { ProgFeature } from "../tokens/rules.ts";
import { BPF_F_TOKEN_FD } from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes, type ProgType, progTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call } from "./_call.ts";
import { callWithLogForFd, type LogOptions } from "./log.ts";
import { scanProgram } from "./_scan.ts";
import { numberOf } from "./_types.ts";
import { checkObjectName } from "./map.ts";

/** An array of records whose size the kernel has to be told. */
export interface RecordArray {
  /** The records, one after the other. */
  records: Bytes;
  /** Bytes of one record. */
  size: number;
}

/** What the kernel has to know of a program's BTF. */
export interface ProgBtf {
  /** The BTF object, as `btfLoad()` returns it. C name: `prog_btf_fd`. */
  fd: FdSource;
  /** `struct bpf_func_info` records. C names: `func_info`, `func_info_rec_size`, `func_info_cnt`. */
  funcInfo?: RecordArray | undefined;
  /** `struct bpf_line_info` records. C names: `line_info`, `line_info_rec_size`, `line_info_cnt`. */
  lineInfo?: RecordArray | undefined;
  /** `struct bpf_core_relo` records. C names: `core_relos`, `core_relo_rec_size`, `core_relo_cnt`. Since 5.17. */
  coreRelos?: RecordArray | undefined;
}

/** What `progLoad()` takes. Its C name is the fourth struct of `union bpf_attr`. */
export interface ProgLoadOptions<T extends ProgType | number = ProgType | number> extends LogOptions {
  /** The type, by name or by number. C name: `prog_type`. */
  type: T;
  /** The instructions, 8 bytes each, as `asm` and `encode()` make them. C names: `insns`, `insn_cnt`. */
  insns: Bytes;
  /** The license, at most 127 bytes; many helpers need one that is compatible with the GPL. C name: `license`. */
  license: string;
  /** Letters, digits, `_` and `.`, at most 15. C name: `prog_name`. @default {""} */
  name?: string | undefined;
  /** How it will be attached, for the types that ask. C name: `expected_attach_type`. @default {0} */
  expectedAttachType?: AttachType | number | undefined;
  /** BPF_F_* flags, such as BPF_F_SLEEPABLE. C name: `prog_flags`. @default {0} */
  flags?: number | undefined;
  /** The kernel version that kprobes needed before 5.0. C name: `kern_version`. @default {0} */
  kernelVersion?: number | undefined;
  /** The interface index of the device that it is for. C name: `prog_ifindex`. @default {0} */
  ifindex?: number | undefined;
  /** Its BTF. */
  btf?: ProgBtf | undefined;
  /** What it attaches to: a type id of the kernel's BTF or of `attachTo`. C name: `attach_btf_id`. @default {0} */
  attachBtfId?: number | undefined;
  /** The program or the module's BTF that `attachBtfId` is of. C names: `attach_prog_fd`, `attach_btf_obj_fd`. */
  attachTo?: FdSource | undefined;
  /** Maps and BTF objects that instructions name by index. C name: `fd_array`. Since 5.14. */
  fdArray?: readonly FdSource[] | undefined;
  /** Whether the kernel binds all of `fdArray` to the program. C name: `fd_array_cnt`. Since 6.14. @default {false} */
  bindFdArray?: boolean | undefined;
  /** What it does that the permission rules ask about and its instructions do not show. */
  features?: readonly ProgFeature[] | undefined;
  /** A PKCS#7 signature over the instructions. C name: `signature`. Since 6.18. */
  signature?: Bytes | undefined;
  /** The keyring with the signature's key. C name: `keyring_id`. Since 6.18. @default {0} */
  keyringId?: number | undefined;
}

const INSN_SIZE = 8;
/** BPF_COMPLEXITY_LIMIT_INSNS. */
const MAX_INSNS = 1_000_000;
/** The kernel copies 128 bytes, NUL included. */
const MAX_LICENSE = 127;

function checkProgram(options: ProgLoadOptions): void {
  const { insns, license, name = "" } = options;
  if (!(insns instanceof Uint8Array)) throw new TypeError("Cannot use insns: it is no Uint8Array");
  if (insns.length === 0) throw new RangeError("Cannot use insns: there is no instruction");
  if (insns.length % INSN_SIZE !== 0) {
    throw new RangeError(`Cannot use insns: ${insns.length} bytes are no multiple of ${INSN_SIZE}`);
  }
  if (insns.length / INSN_SIZE > MAX_INSNS) {
    throw new RangeError(`Cannot use insns: ${insns.length / INSN_SIZE} are more than the limit of ${MAX_INSNS}`);
  }
  if (typeof license !== "string") throw new TypeError("Cannot use license: it is no string");
  if (license.includes("\0")) throw new TypeError("Cannot use license: it contains a NUL character");
  const licenseLength = new TextEncoder().encode(license).length;
  if (licenseLength > MAX_LICENSE) {
    throw new RangeError(`Cannot use license: ${licenseLength} bytes are more than the limit of ${MAX_LICENSE}`);
  }
  checkObjectName(name);
}

function recordCount({ records, size }: RecordArray, argument: string): number {
  if (!Number.isInteger(size) || size <= 0 || records.length % size !== 0) {
    throw new RangeError(`Cannot use ${argument}: ${records.length} bytes are no multiple of the record size ${size}`);
  }
  return records.length / size;
}

function writeBtf(attr: Attr<"prog_load">, btf: ProgBtf): void {
  attr.fd("prog_btf_fd", btf.fd);
  const { funcInfo, lineInfo, coreRelos } = btf;
  if (funcInfo !== undefined) {
    attr.pointer("func_info", funcInfo.records).u32("func_info_rec_size", funcInfo.size)
      .u32("func_info_cnt", recordCount(funcInfo, "funcInfo"));
  }
  if (lineInfo !== undefined) {
    attr.pointer("line_info", lineInfo.records).u32("line_info_rec_size", lineInfo.size)
      .u32("line_info_cnt", recordCount(lineInfo, "lineInfo"));
  }
  if (coreRelos !== undefined) {
    attr.pointer("core_relos", coreRelos.records).u32("core_relo_rec_size", coreRelos.size)
      .u32("core_relo_cnt", recordCount(coreRelos, "coreRelos"));
  }
}

/**
 * Loads a program: BPF_PROG_LOAD. The verifier checks it first. Since Linux 3.18; fields that came later say so.
 *
 * @example
 * ```ts
 * import { acquire, asm, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using prog = progLoad(token, { type: "socket_filter", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * console.log(prog.fd);
 * ```
 *
 * @typeParam T The type's name.
 * @param token A token with what the type asks for. What the program's helpers and features ask for besides is checked
 * when it is called.
 * @param options The type, the instructions, the license, and more.
 * @returns The program's file descriptor.
 * @throws {PermissionError} Where the token or the kernel does not allow it.
 * @throws {VerifierError} Where the verifier refuses the program, with its log.
 * @throws {RangeError | TypeError} For instructions, a license, a name or a descriptor that cannot be right.
 * @throws {NotSupportedError} For a field that the kernel is too old for.
 * @throws {SyscallError} EBADF, ENOENT, ENOMEM: see bpf(2).
 */
export function progLoad<const T extends ProgType | number>(token: ProgToken<T>, options: ProgLoadOptions<T>): Fd {
  checkProgram(options);
  const anyToken: AnyToken = token;
  const { type, insns, expectedAttachType = 0, fdArray } = options;
  const insnCount = insns.length / INSN_SIZE;
  let flags = options.flags ?? 0;
  const attr = new Attr("prog_load")
    .u32("prog_type", numberOf<ProgType>(progTypes, type, "type"))
    .u32("insn_cnt", insnCount)
    .pointer("insns", insns)
    .string("license", options.license)
    .u32("kern_version", options.kernelVersion ?? 0)
    .chars("prog_name", options.name ?? "")
    .u32("prog_ifindex", options.ifindex ?? 0)
    .u32("expected_attach_type", numberOf<AttachType>(attachTypes, expectedAttachType, "expectedAttachType"))
    .u32("attach_btf_id", options.attachBtfId ?? 0)
    .s32("keyring_id", options.keyringId ?? 0);
  if (options.btf !== undefined) writeBtf(attr, options.btf);
  if (options.attachTo !== undefined) attr.fd("attach_prog_fd", options.attachTo);
  if (fdArray !== undefined) {
    attr.fds("fd_array", fdArray).u32("fd_array_cnt", options.bindFdArray === true ? fdArray.length : 0);
  }
  if (options.signature !== undefined) {
    attr.pointer("signature", options.signature).u32("signature_size", options.signature.length);
  }
  if (anyToken.bpfToken !== undefined) {
    attr.s32("prog_token_fd", anyToken.bpfToken.fd);
    flags |= BPF_F_TOKEN_FD;
  }
  attr.u32("prog_flags", flags);
  const { helpers, features } = scanProgram(insns);
  return callWithLogForFd(anyToken, attr, options, {
    request: {
      progType: type,
      insnCount,
      helpers,
      progFeatures: [...features, ...options.features ?? []],
      attachType: expectedAttachType,
    },
    action: `load a program of type ${type}`,
  });
}

/**
 * Ties a map to a program that does not use it, so that it lives as long: BPF_PROG_BIND_MAP. Since Linux 5.10.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options The map, and flags, of which the kernel has none so far.
 * @throws {SyscallError} EBADF where one is no program or map.
 */
export function progBindMap(token: AnyToken, prog: FdSource, options: { map: FdSource; flags?: number }): void {
  const attr = new Attr("prog_bind_map").fd("prog_fd", prog).fd("map_fd", options.map).u32("flags", options.flags ?? 0);
  call(token, attr, { action: "bind a map to a program" });
}

/**
 * Tells which struct_ops map a program belongs to: BPF_PROG_ASSOC_STRUCT_OPS. Since Linux 7.0.
 *
 * @param token A permission token.
 * @param prog The program, of another type than struct_ops.
 * @param options The struct_ops map, and flags, of which the kernel has none so far.
 * @throws {NotSupportedError} On kernels before 7.0.
 * @throws {SyscallError} EINVAL where the map is no struct_ops map; EBUSY where the program has one already.
 */
export function progAssocStructOps(
  token: CommandToken<"prog_assoc_struct_ops">,
  prog: FdSource,
  options: { map: FdSource; flags?: number },
): void {
  const attr = new Attr("prog_assoc_struct_ops").fd("prog_fd", prog).fd("map_fd", options.map)
    .u32("flags", options.flags ?? 0);
  call(token, attr, { action: "associate a program with a struct_ops map" });
}
