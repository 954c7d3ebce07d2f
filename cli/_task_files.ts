/**
 * Which processes hold which objects, as a program tells that the kernel runs over all open files of all processes: its
 * iterator `task_file`, which bpftool uses too. In /proc every file would cost calls of its own.
 *
 * @module
 */

import { add64, mov64 } from "../asm/alu.ts";
import { assemble } from "../asm/assemble.ts";
import { ldImm64 } from "../asm/imm64.ts";
import { type Item, label, r0, r1, r10, r2, r3, r6, r7, r8 } from "../asm/insn.ts";
import { call, exit, ja, jmp } from "../asm/jump.ts";
import { ldx, st, stx } from "../asm/mem.ts";
import type { Btf } from "../btf/mod.ts";
import { progLoad } from "../cmds/prog.ts";
import { NotSupportedError, PermissionError, SyscallError, VerifierError } from "../errors.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { tryReadKernelLink } from "../ffi/kernel_file.ts";
import { pageSize } from "../ffi/mapping.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import { attachIter, type IterLink } from "../links/iter.ts";
import type { Fields, Held, HeldKind, Holder } from "./_held.ts";
import type { HeldToken } from "./_session.ts";

/** The file system that descriptors without a file are on. C name: `ANON_INODE_FS_MAGIC`. */
const ANON_INODE_FS = 0x09041934;

/** How the files of a kind are told from others, and where their objects have an id. */
interface FileKind {
  /** What the kernel calls the files, which are told apart by 8 bytes of that, the NUL included. */
  readonly names: readonly string[];
  /** The members that lead from what a file holds to the id, pointers between them. */
  readonly id: readonly (readonly [struct: string, member: string])[];
}

const KINDS: Readonly<Record<HeldKind, FileKind>> = {
  prog: { names: ["bpf-prog"], id: [["bpf_prog", "aux"], ["bpf_prog_aux", "id"]] },
  map: { names: ["bpf-map"], id: [["bpf_map", "id"]] },
  // It has been written both ways.
  link: { names: ["bpf_link", "bpf-link"], id: [["bpf_link", "id"]] },
  btf: { names: ["btf"], id: [["btf", "id"]] },
};

/** Where the program's context has its parts, pointers all. C name: `struct bpf_iter__task_file`. */
const CONTEXT = { meta: 0, task: 8, file: 24 } as const;

/** The inode number that the kernel gives the initial PID namespace: PROC_PID_INIT_INO. */
const INITIAL_PID_NAMESPACE = "pid:[4026531836]";

/** A text's first 8 bytes, NULs after it, as a number. */
function asNumber(name: string): bigint {
  const bytes = new Uint8Array(8);
  new TextEncoder().encodeInto(name, bytes);
  return new DataView(bytes.buffer).getBigUint64(0, LITTLE_ENDIAN);
}

/** Where a member of a struct of the kernel's is, by a path such as `f_path.dentry`. */
function offsetOf(btf: Btf, struct: string, path: string): number {
  const id = btf.find("struct", struct);
  const member = id === undefined ? undefined : btf.member(id, path);
  if (member === undefined) throw new NotSupportedError(`struct ${struct}`, { reason: `it has no member ${path}` });
  return member.bitsOffset / 8;
}

/** Where what the program writes has its parts. */
const RECORD = { id: 0, pid: 4, pages: 8, comm: 16, size: 32 } as const;
/** Where the program keeps the record, and what it reads before that. */
const [RECORD_AT, READ_AT] = [-RECORD.size, -RECORD.size - 8];

/** Reads memory whose address is in r3 to a place of the stack. */
const readTo = (place: number, size: number): Item[] => [
  mov64(r1, r10),
  add64(r1, place),
  mov64(r2, size),
  call("probe_read_kernel"),
];

/** The program: it writes a record for every file of a kind. */
function programOf(btf: Btf, kind: HeldKind): Bytes {
  const { names, id } = KINDS[kind];
  const at = (struct: string, path: string): number => offsetOf(btf, struct, path);
  const [[idStruct, idMember]] = id.slice(-1);
  return assemble([
    mov64(r6, r1),
    ldx("dw", r7, r6, CONTEXT.file),
    jmp("jeq", r7, 0, "out"),
    // Users can name their files as they like, but not on this file system.
    ldx("dw", r1, r7, at("file", "f_inode")),
    ldx("dw", r1, r1, at("inode", "i_sb")),
    ldx("dw", r1, r1, at("super_block", "s_magic")),
    jmp("jne", r1, ANON_INODE_FS, "out"),
    ldx("dw", r1, r7, at("file", "f_path.dentry")),
    ldx("dw", r3, r1, at("dentry", "d_name.name")),
    st("dw", r10, READ_AT, 0),
    // What stands behind a NUL is anything.
    ...readTo(READ_AT, Math.min(8, names[0].length + 1)),
    ldx("dw", r1, r10, READ_AT),
    ...names.flatMap((name) => [ldImm64(r2, asNumber(name)), jmp("jeq", r1, r2, "found")]),
    ja("out"),
    label("found"),
    ...[0, 8, 16, 24].map((part) => st("dw", r10, RECORD_AT + part, 0)),
    ldx("dw", r8, r7, at("file", "private_data")),
    ...kind === "prog"
      ? [mov64(r3, r8), add64(r3, at("bpf_prog", "pages")), ...readTo(RECORD_AT + RECORD.pages, 2)]
      : [],
    ...id.slice(0, -1).flatMap(([struct, member]) => [
      mov64(r3, r8),
      add64(r3, at(struct, member)),
      ...readTo(READ_AT, 8),
      ldx("dw", r8, r10, READ_AT),
    ]),
    mov64(r3, r8),
    add64(r3, at(idStruct, idMember)),
    ...readTo(RECORD_AT + RECORD.id, 4),
    ldx("dw", r7, r6, CONTEXT.task),
    jmp("jeq", r7, 0, "out"),
    ldx("w", r1, r7, at("task_struct", "tgid")),
    stx("w", r10, r1, RECORD_AT + RECORD.pid),
    // The process's name, not that of one of its threads.
    ldx("dw", r3, r7, at("task_struct", "group_leader")),
    add64(r3, at("task_struct", "comm")),
    ...readTo(RECORD_AT + RECORD.comm, 16),
    ldx("dw", r1, r6, CONTEXT.meta),
    ldx("dw", r1, r1, at("bpf_iter_meta", "seq")),
    mov64(r2, r10),
    add64(r2, RECORD_AT),
    mov64(r3, RECORD.size),
    call("seq_write"),
    label("out"),
    mov64(r0, 0),
    exit(),
  ]);
}

/** The errors of a kernel or a token that does not let this process do it. */
function isRefusal(error: unknown): boolean {
  return error instanceof SyscallError || error instanceof PermissionError || error instanceof NotSupportedError ||
    error instanceof VerifierError;
}

/** The program, ready to be run over all open files any number of times. */
export class TaskFiles implements Disposable {
  readonly #kind: HeldKind;
  readonly #link: IterLink;

  private constructor(kind: HeldKind, link: IterLink) {
    this.#kind = kind;
    this.#link = link;
  }

  /**
   * Loads the program.
   *
   * @param token A token that may run iterators.
   * @param kind The kind of objects that is looked for.
   * @returns The program; undefined where the kernel has no such iterator, tells no types, does not let this process, or
   * counts processes otherwise than this process does, in a PID namespace.
   */
  static tryOpen(token: HeldToken, kind: HeldKind): TaskFiles | undefined {
    if (tryReadKernelLink("/proc/self/ns/pid") !== INITIAL_PID_NAMESPACE) return undefined;
    try {
      const btf = kernelBtf();
      const attachBtfId = btf.find("func", "bpf_iter_task_file");
      if (attachBtfId === undefined) return undefined;
      using prog = progLoad(token, {
        type: "tracing",
        license: "GPL",
        name: "who_holds",
        expectedAttachType: "trace_iter",
        attachBtfId,
        insns: programOf(btf, kind),
      });
      return new TaskFiles(kind, attachIter(token, prog));
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }

  /** The holders by the objects' ids; undefined where the kernel breaks off. */
  tryFind(): Map<number, Held> | undefined {
    try {
      return heldOf(this.#read(), this.#kind);
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }

  #read(): Bytes {
    const chunks = [...this.#link.chunks()];
    const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    chunks.reduce((place, chunk) => (all.set(chunk, place), place + chunk.length), 0);
    return all;
  }

  /** Unloads the program. */
  [Symbol.dispose](): void {
    this.#link.close();
  }
}

function heldOf(records: Bytes, kind: HeldKind): Map<number, Held> {
  const found = new Map<number, { holders: Holder[]; fields: Fields | undefined }>();
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const pageBytes = kind === "prog" ? pageSize() : 0;
  const holders = new Map<number, Holder>();
  for (let place = 0; place + RECORD.size <= records.length; place += RECORD.size) {
    const pid = view.getUint32(place + RECORD.pid, LITTLE_ENDIAN);
    // What this process holds is held to be looked at.
    if (pid === Deno.pid) continue;
    let holder = holders.get(pid);
    if (holder === undefined) {
      holder = { pid, comm: textOf(records.subarray(place + RECORD.comm, place + RECORD.size)) };
      holders.set(pid, holder);
    }
    const id = view.getUint32(place + RECORD.id, LITTLE_ENDIAN);
    const known = found.get(id);
    if (known === undefined) {
      const memlock = view.getUint16(place + RECORD.pages, LITTLE_ENDIAN) * pageBytes;
      const fields = kind === "prog"
        ? { get: (name: string) => name === "memlock" ? `${memlock}` : undefined }
        : undefined;
      found.set(id, { holders: [holder], fields });
    } else if (!known.holders.includes(holder)) insert(known.holders, holder);
  }
  return found;
}

/** Adds a holder in its place: threads that have files of their own come after the processes that began meanwhile. */
function insert(holders: Holder[], holder: Holder): void {
  let at = holders.length;
  while (at > 0 && holders[at - 1].pid > holder.pid) at--;
  holders.splice(at, 0, holder);
}
