/**
 * Which processes hold which objects.
 *
 * @module
 */

import { KernelDirectory } from "../ffi/kernel_file.ts";
import { type Fields, fieldsOf, type Held, type HeldKind, type Holder } from "./_held.ts";
import { findInProc } from "./_proc_files.ts";
import type { HeldToken } from "./_session.ts";
import { TaskFiles } from "./_task_files.ts";

/** Looks for the holders of objects of one kind, among all other processes, any number of times. */
export class Holders implements Disposable {
  readonly #kind: HeldKind;
  readonly #files: TaskFiles | undefined;

  /** Prepares for a kind; the token may or may not allow iterators. */
  constructor(token: HeldToken, kind: HeldKind) {
    this.#kind = kind;
    this.#files = TaskFiles.tryOpen(token, kind);
  }

  /** What is known of the objects by their holders now, by the objects' ids. */
  find(): ReadonlyMap<number, Held> {
    return this.#files?.tryFind() ?? findInProc(this.#kind);
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.#files?.[Symbol.dispose]();
  }
}

/** What is known of objects of one kind by their holders, by the objects' ids. */
export function findHeld(token: HeldToken, kind: HeldKind): ReadonlyMap<number, Held> {
  using holders = new Holders(token, kind);
  return holders.find();
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
