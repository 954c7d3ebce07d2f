/**
 * Programs as objects: load, open, run, look at.
 *
 * @module
 */

import type { InfoDetail, ProgInfo } from "../cmds/info.ts";
import { objGetInfoByFd, objPin, type PathOptions } from "../cmds/obj.ts";
import { progBindMap, progLoad, type ProgLoadOptions } from "../cmds/prog.ts";
import type { ProgStream, ProgTestRunResult } from "../cmds/prog_run.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import { tryReadKernelLink } from "../ffi/kernel_file.ts";
import type { CommandToken, ProgToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { type ProgType, progTypes } from "../uapi/enums.gen.ts";
import { findTarget, type FoundTarget } from "./_attach_target.ts";
import { openSource } from "./_open.ts";
import { loadProgramBtf } from "./_program_btf.ts";
import { type DumpOptions, dumpProgram } from "./dump.ts";
import { insnBytes, progFlagBits, type ProgramOptions, type ProgramTarget } from "./load_options.ts";
import type {
  ProgramByFd,
  ProgramById,
  ProgramByName,
  ProgramByPath,
  ProgramByTag,
  ProgramSource,
} from "./open_options.ts";
import { type RunOptions, runProgram } from "./run.ts";
import { type OutputOptions, programOutput, readOutput } from "./stream.ts";

/** What a program is made of. */
export interface ProgramParts<T extends ProgType | number = ProgType | number> {
  /** The token that opened it. */
  readonly token: AnyToken;
  /** The descriptor, owned. */
  readonly fd: Fd;
  /** The type, by name where it has one. */
  readonly type: T;
}

/** Everything of a program's info: all its arrays. */
export type WholeProgInfo = ProgInfo & Required<Pick<ProgInfo, Exclude<InfoDetail, "btf">>>;

const ALL_DETAILS: readonly InfoDetail[] = [
  "mapIds",
  "xlatedInsns",
  "jitedInsns",
  "jitedKsyms",
  "jitedFuncLens",
  "funcInfo",
  "lineInfo",
  "jitedLineInfo",
  "progTags",
];

/** A type by its name, where it has one. */
function typeName(type: ProgType | number): ProgType | number {
  if (typeof type === "string") return type;
  return (Object.keys(progTypes) as ProgType[]).find((name) => progTypes[name] === type) ?? type;
}

function isNamed(target: string | ProgramTarget | FdSource): target is string | ProgramTarget {
  return typeof target === "string" || (typeof target === "object" && target !== null && "name" in target);
}

/**
 * A program of the kernel's. It is closed when its `using` ends, when its token is revoked, or by the garbage collector;
 * the kernel keeps it for as long as it is attached or pinned.
 *
 * @example
 * ```ts
 * import { acquire, asm, Program } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
 * using prog = Program.load(token, { type: "xdp", name: "drop", license: "GPL", insns: asm`
 *   r0 = 1
 *   exit
 * ` });
 * console.log(prog.run({ data: new Uint8Array(64) }).returnValue); // 1: XDP_DROP
 * console.log(prog.dump());
 * ```
 *
 * @typeParam T The type.
 */
export class Program<T extends ProgType | number = ProgType | number> implements Disposable {
  /** The type, by name where this library knows it. */
  readonly type: T;
  /** The token that opened it. */
  readonly token: AnyToken;
  /** The descriptor, which this program owns: commands take it as it is. */
  readonly descriptor: Fd;

  /**
   * Takes over an open program. Use {@link Program.load} and {@link Program.open}.
   *
   * @param parts The descriptor, the token and the type.
   */
  constructor(parts: ProgramParts<T>) {
    this.type = parts.type;
    this.token = parts.token;
    this.descriptor = parts.fd;
  }

  /**
   * Loads a program: BPF_PROG_LOAD. Type information and the target's name are turned into what the kernel takes; BTF
   * that is given as bytes is loaded for the call. Since Linux 3.18; fields that came later say so.
   *
   * @typeParam T The type's name.
   * @param token A token with what the type asks for, and CAP_BPF for BTF.
   * @param options The type, the instructions, the license, and more.
   * @returns The program.
   * @throws {TypeError | RangeError} For an argument that cannot be right, which the message names.
   * @throws {PermissionError} Where the token or the kernel does not allow it: more than 4096 instructions need CAP_BPF.
   * @throws {VerifierError} Where the verifier refuses the program, with its log.
   * @throws {NotSupportedError} For a type or a field that the kernel is too old for.
   * @throws {SyscallError} EBADF, ENOENT, ENOMEM: see bpf(2).
   */
  static load<const T extends ProgType | number>(token: ProgToken<T>, options: ProgramOptions<T>): Program<T> {
    const anyToken: AnyToken = token;
    const { insns, flags, attachTo, btf, ...rest } = options as ProgramOptions;
    const named = attachTo !== undefined && isNamed(attachTo);
    if (named && rest.attachBtfId !== undefined) {
      throw new TypeError("Cannot use attachTo: give either a name or attachBtfId");
    }
    const plain = { ...rest, insns: insnBytes(insns), flags: progFlagBits(flags) };
    const target: FoundTarget | undefined = named ? findTarget(anyToken, plain, attachTo) : undefined;
    using _target = target?.owned;
    const loaded = btf === undefined ? undefined : loadProgramBtf(anyToken, btf);
    using _btf = loaded?.owned;
    const fd = progLoad<T>(token, {
      ...plain,
      btf: loaded,
      attachTo: named ? target?.attachTo : attachTo,
      attachBtfId: target?.attachBtfId ?? plain.attachBtfId,
      expectedAttachType: target?.expectedAttachType ?? plain.expectedAttachType,
    } as ProgLoadOptions<T>);
    return new Program<T>({ token: anyToken, fd, type: typeName(options.type) as T });
  }

  /**
   * Opens a program by its pin or its descriptor, which is taken over: BPF_OBJ_GET.
   *
   * @typeParam T The type.
   * @param token A permission token.
   * @param source Where it is.
   * @param options The type that it has to have.
   * @returns The program.
   * @throws {TypeError} Where it is of another type, or no program.
   * @throws {SyscallError} ENOENT where there is no such program.
   */
  static open<const T extends ProgType | number = ProgType | number>(
    token: AnyToken,
    source: ProgramByPath | ProgramByFd,
    options?: { type?: T | undefined },
  ): Program<T>;
  /**
   * Opens a program by its id, or by its name or tag where only one has it: BPF_PROG_GET_FD_BY_ID.
   *
   * @typeParam T The type.
   * @param token A token with CAP_SYS_ADMIN.
   * @param source Which program.
   * @param options The type that it has to have.
   * @returns The program.
   * @throws {TypeError} Where it is of another type, or there are several of a name.
   * @throws {SyscallError} ENOENT where there is no such program.
   */
  static open<const T extends ProgType | number = ProgType | number>(
    token: CommandToken<"prog_get_fd_by_id">,
    source: ProgramById | ProgramByName | ProgramByTag,
    options?: { type?: T | undefined },
  ): Program<T>;
  static open<T extends ProgType | number>(
    token: AnyToken,
    source: ProgramSource,
    options: { type?: T | undefined } = {},
  ): Program<T> {
    const fd = openSource(token, source);
    try {
      const { type } = openInfo(token, fd);
      if (options.type !== undefined && typeName(options.type) !== type) {
        throw new TypeError(`Cannot open a program as ${options.type}: it is of type ${type}`);
      }
      return new Program({ token, fd, type: type as T });
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** The descriptor's number, for as long as the program is open. */
  get fd(): number {
    return this.descriptor.as("program");
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** What the kernel tells about it. C name: `struct bpf_prog_info`. */
  get info(): ProgInfo {
    return objGetInfoByFd(this.token, this.descriptor, { kind: "prog" });
  }

  /**
   * What the kernel tells about it, with all its arrays: instructions before and after compilation, functions, lines,
   * tags and the ids of its maps. What the caller may not see is empty.
   *
   * @returns The whole `struct bpf_prog_info`.
   * @throws {SyscallError} ENOMEM for more than half a million instructions: the kernel copies them in one piece.
   */
  inspect(): WholeProgInfo {
    return objGetInfoByFd(this.token, this.descriptor, { kind: "prog", details: ALL_DETAILS }) as WholeProgInfo;
  }

  /**
   * Its instructions after the verifier's changes, as `bpftool prog dump xlated` prints them: with its functions and
   * source lines where it has BTF, which opening takes CAP_SYS_ADMIN, and the names of helpers where the process may
   * read kernel symbols.
   *
   * @param options What is shown.
   * @returns A line an instruction, and a line break at the end.
   */
  dump(options: DumpOptions = {}): string {
    return dumpProgram(this.token, this.descriptor, options);
  }

  /**
   * Runs the program once or many times on data of the caller's: BPF_PROG_TEST_RUN. Since Linux 4.12; which types can
   * be run, and what they take, depends on the release.
   *
   * @param options What it sees, and how often it runs.
   * @returns What it returned, how long a run took, the packet and the context that it left.
   * @throws {SyscallError} ENOTSUPP for types that cannot be run; EINVAL for data or a context that does not suit the
   * type; ENOSPC where the packet outgrew `dataOutSize`.
   */
  run(options: RunOptions = {}): ProgTestRunResult {
    return runProgram(this.token, this.descriptor, this.type, options);
  }

  /**
   * What the program prints by bpf_stream_printk() (stdout) or the kernel says about its mistakes (stderr), as it comes.
   * It ends when the signal aborts or the program is closed. Since Linux 6.17.
   *
   * @param stream Which stream.
   * @param options What ends it, and how often it looks.
   * @returns Pieces of text, which may end in the middle of a line.
   */
  output(stream: ProgStream = "stdout", options: OutputOptions = {}): AsyncGenerator<string, void> {
    return programOutput(this.token, this.descriptor, stream, options);
  }

  /**
   * What the program has printed so far, which is gone from the kernel's buffer then. Since Linux 6.17.
   *
   * @param stream Which stream.
   * @returns The text; empty where there is none.
   */
  readOutput(stream: ProgStream = "stdout"): string {
    return readOutput(this.token, this.descriptor, stream);
  }

  /**
   * Ties a map to the program, so that it lives as long: BPF_PROG_BIND_MAP. Since Linux 5.10.
   *
   * @param map The map.
   * @throws {SyscallError} EBADF where it is no map.
   */
  bindMap(map: FdSource): void {
    progBindMap(this.token, this.descriptor, { map });
  }

  /**
   * Gives the program a name on a bpffs, which keeps it alive: BPF_OBJ_PIN.
   *
   * @param path The path.
   * @param options The directory that it is relative to.
   * @throws {SyscallError} EEXIST where the path exists; EPERM where it is not on a bpffs.
   */
  pin(path: string, options: PathOptions = {}): void {
    objPin(this.token, this.descriptor, { ...options, path });
  }

  /**
   * Closes the program; a second call does nothing. The kernel keeps it for as long as something else uses it.
   *
   * @param reason What a later use is told, after "Cannot use program:".
   */
  close(reason?: string): void {
    this.descriptor.close(reason);
  }

  /** Closes the program. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** What /proc calls the descriptors of programs. */
const PROG_LINK = "anon_inode:bpf-prog";

/** Asks a descriptor about its program: it may be of something else, about which the kernel tells in the same way. */
function openInfo(token: AnyToken, fd: Fd): ProgInfo {
  const link = tryReadKernelLink(`/proc/self/fd/${fd.fd}`);
  if (link !== undefined && link !== PROG_LINK) {
    throw new TypeError(`Cannot open a program: file descriptor ${fd.fd} is of none, but of ${link}`);
  }
  return objGetInfoByFd(token, fd, { kind: "prog" });
}
