/**
 * The programs that the demo runs in the kernel, assembled here and now.
 *
 * @module
 */

import { asm } from "../mod.ts";

/** The PID namespace whose numbers are shown. */
export interface PidNamespace {
  /** Whether it is the initial one, in which every process has a number. */
  readonly initial: boolean;
  readonly device: bigint;
  readonly inode: bigint;
}

/** Bytes of a file name, its NUL included. */
export const FILENAME_SIZE = 128;
/** u32 hostPid, pid, uid, padding; char comm[16]; char filename[128]. */
const EVENT_SIZE = 32 + FILENAME_SIZE;

/** Where struct pt_regs has the first and the second argument of a system call. */
const ARGUMENTS: Readonly<Record<string, readonly [first: number, second: number]>> = {
  x86_64: [112, 104],
  aarch64: [0, 8],
};
/** execve takes the file as its first argument, execveat as its second. */
const EXECVE: Readonly<Record<string, readonly [execve: number, execveat: number]>> = {
  x86_64: [59, 322],
  aarch64: [221, 281],
};

/** r9 = the process's number in our PID namespace, 0 where it has none; r8 is its number in the initial one. */
function pidInNamespace({ initial, device, inode }: PidNamespace): string {
  return initial ? "r9 = r8" : `
    *(u64 *)(r10 -8) = 0
    r1 = ${device} ll
    r2 = ${inode} ll
    r3 = r10
    r3 += -8
    r4 = 8
    call get_ns_current_pid_tgid
    r9 = *(u32 *)(r10 -4)
  `;
}

/** The head of both programs: leaves early for the demo's own calls, and for all but one process where one was asked for. */
export function filter(ownPid: number, onlyPid: number | undefined, namespace: PidNamespace): string {
  return `
    r6 = r1
    call get_current_pid_tgid
    r0 >>= 32
    r8 = r0
    if r8 == ${ownPid} goto out
    ${pidInNamespace(namespace)}
    ${onlyPid === undefined ? "" : `if r9 != ${onlyPid} goto out`}
  `;
}

/** Counts system calls by process and number, and keeps the file of an execve for the other program. */
export function countingProgram(
  maps: Record<"counts" | "lost" | "files", { fd: number }>,
  head: string,
): Uint8Array<ArrayBuffer> {
  const [first, second] = ARGUMENTS[Deno.build.arch];
  const [execve, execveat] = EXECVE[Deno.build.arch];
  return asm`
      ${head}
      r7 = *(u64 *)(r6 +8)          ; the system call's number
      *(u32 *)(r10 -48) = r8        ; key: hostPid, nr
      *(u32 *)(r10 -44) = r7

      r1 = ${first}                 ; the file of an execve, for the program below
      if w7 == ${execve} goto file
      r1 = ${second}
      if w7 != ${execveat} goto count
    file:
      r3 = *(u64 *)(r6 +0)
      r3 += r1
      r1 = r10
      r1 += -8
      r2 = 8
      call probe_read_kernel
      *(u64 *)(r10 -184) = 0        ; a file name, zeroed
      *(u64 *)(r10 -176) = 0
      *(u64 *)(r10 -168) = 0
      *(u64 *)(r10 -160) = 0
      *(u64 *)(r10 -152) = 0
      *(u64 *)(r10 -144) = 0
      *(u64 *)(r10 -136) = 0
      *(u64 *)(r10 -128) = 0
      *(u64 *)(r10 -120) = 0
      *(u64 *)(r10 -112) = 0
      *(u64 *)(r10 -104) = 0
      *(u64 *)(r10 -96) = 0
      *(u64 *)(r10 -88) = 0
      *(u64 *)(r10 -80) = 0
      *(u64 *)(r10 -72) = 0
      *(u64 *)(r10 -64) = 0
      r1 = r10
      r1 += -184
      r2 = ${FILENAME_SIZE}
      r3 = *(u64 *)(r10 -8)
      call probe_read_user_str
      r1 = map_fd ${maps.files} ll
      r2 = r10
      r2 += -48
      r3 = r10
      r3 += -184
      r4 = 0
      call map_update_elem

    count:
      r1 = map_fd ${maps.counts} ll
      r2 = r10
      r2 += -48
      call map_lookup_elem
      if r0 != 0 goto add

      *(u64 *)(r10 -40) = 1         ; value: count, comm, pid
      r1 = r10
      r1 += -32
      r2 = 16
      call get_current_comm
      *(u64 *)(r10 -16) = r9
      r1 = map_fd ${maps.counts} ll
      r2 = r10
      r2 += -48
      r3 = r10
      r3 += -40
      r4 = 1                        ; BPF_NOEXIST
      call map_update_elem
      if r0 == 0 goto out
      r1 = map_fd ${maps.counts} ll ; another thread was faster, or the map is full
      r2 = r10
      r2 += -48
      call map_lookup_elem
      if r0 != 0 goto add
      *(u32 *)(r10 -48) = 0
      r1 = map_fd ${maps.lost} ll
      r2 = r10
      r2 += -48
      call map_lookup_elem
      if r0 == 0 goto out
    add:
      r1 = 1
      lock *(u64 *)(r0 +0) += r1
    out:
      r0 = 0
      exit
  `;
}

/** Reports each process that has begun to run a program. */
export function execProgram(
  maps: Record<"ring" | "lost" | "files", { fd: number }>,
  head: string,
): Uint8Array<ArrayBuffer> {
  const [execve, execveat] = EXECVE[Deno.build.arch];
  return asm`
      ${head}
      r1 = map_fd ${maps.ring} ll
      r2 = ${EVENT_SIZE}
      r3 = 0
      call ringbuf_reserve
      if r0 == 0 goto full
      r7 = r0
      *(u32 *)(r7 +0) = r8
      *(u32 *)(r7 +4) = r9
      call get_current_uid_gid
      *(u32 *)(r7 +8) = r0
      *(u32 *)(r7 +12) = 0
      r1 = r7
      r1 += 16
      r2 = 16
      call get_current_comm
      *(u8 *)(r7 +32) = 0
      *(u32 *)(r10 -16) = r8        ; the file that this process asked for by execve, or else by execveat
      *(u32 *)(r10 -12) = ${execve}
      r1 = map_fd ${maps.files} ll
      r2 = r10
      r2 += -16
      call map_lookup_elem
      if r0 != 0 goto copy
      *(u32 *)(r10 -12) = ${execveat}
      r1 = map_fd ${maps.files} ll
      r2 = r10
      r2 += -16
      call map_lookup_elem
      if r0 == 0 goto submit
    copy:
      r3 = r0
      r1 = r7
      r1 += 32
      r2 = ${FILENAME_SIZE}
      call probe_read_kernel
      r1 = map_fd ${maps.files} ll
      r2 = r10
      r2 += -16
      call map_delete_elem
    submit:
      r1 = r7
      r2 = 0
      call ringbuf_submit
      goto out
    full:
      *(u32 *)(r10 -16) = 1
      r1 = map_fd ${maps.lost} ll
      r2 = r10
      r2 += -16
      call map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 +0) += r1
    out:
      r0 = 0
      exit
  `;
}
