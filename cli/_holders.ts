/**
 * Which processes hold which objects.
 *
 * @module
 */

import { KernelDirectory } from "../ffi/kernel_file.ts";
import { type Fields, fieldsOf, type Held, type HeldKind, type Holder } from "./_held.ts";
import { findInProc } from "./_proc_files.ts";
import type { HeldToken } from "./_session.ts";
import { findInTaskFiles } from "./_task_files.ts";

/**
 * Looks for the holders of objects of one kind, among all other processes.
 *
 * @param token A token, which may or may not allow iterators.
 * @param kind The kind.
 * @returns The holders by the objects' ids.
 */
export function findHeld(token: HeldToken, kind: HeldKind): ReadonlyMap<number, Held> {
  return findInTaskFiles(token, kind) ?? findInProc(kind);
}

/** The holders of objects of one kind, by the objects' ids. */
export function findHolders(token: HeldToken, kind: HeldKind): Map<number, readonly Holder[]> {
  return new Map([...findHeld(token, kind)].map(([id, { holders }]) => [id, holders]));
}

/** The directory of this process's descriptors, open for as long as it lives. */
let ownInfos: KernelDirectory | undefined;

/** What /proc/self/fdinfo shows of a descriptor of this process: a field by its name. */
export function fdinfoOf(fd: number): Fields {
  ownInfos ??= KernelDirectory.tryOpen("/proc/self/fdinfo");
  return fieldsOf(ownInfos?.text(`${fd}`) ?? "");
}

/** Holders as text: `bpftool(7), systemd(1)`. */
export function holdersText(holders: readonly Holder[]): string {
  return holders.map(({ pid, comm }) => `${comm}(${pid})`).join(", ");
}
