/**
 * Which processes hold which objects, and under which names objects are pinned.
 *
 * @module
 */

import { listKernelDirectory, tryReadKernelLink, tryReadKernelText } from "../ffi/kernel_file.ts";

/** A process that holds an object. */
export interface Holder {
  /** The process. */
  readonly pid: number;
  /** Its name. */
  readonly comm: string;
}

/** The kinds of objects, as /proc/PID/fdinfo names their ids. */
export type HeldKind = "prog" | "map" | "link" | "btf";

/** What /proc calls the descriptors of BPF objects. */
const BPF_LINK = /^anon_inode:\[?(bpf[-_](prog|map|link)|btf)/;

/**
 * Looks for the holders of objects of one kind, in the descriptors of all processes.
 *
 * @param kind The kind.
 * @returns The holders by the objects' ids, each process once, in the order of their numbers.
 */
export function findHolders(kind: HeldKind): Map<number, Holder[]> {
  const holders = new Map<number, Holder[]>();
  const pids = listKernelDirectory("/proc").map(({ name }) => Number(name)).filter((pid) => pid > 0);
  for (const pid of pids.sort((one, other) => one - other)) {
    let comm: string | undefined;
    for (const { name: fd } of listKernelDirectory(`/proc/${pid}/fd`)) {
      const found = BPF_LINK.exec(tryReadKernelLink(`/proc/${pid}/fd/${fd}`) ?? "");
      if ((found?.[2] ?? found?.[1]) !== kind) continue;
      const id = new RegExp(`^${kind}_id:\\s*(\\d+)`, "m").exec(tryReadKernelText(`/proc/${pid}/fdinfo/${fd}`) ?? "")
        ?.[1];
      if (id === undefined) continue;
      const list = holders.get(Number(id)) ?? [];
      holders.set(Number(id), list);
      if (list.at(-1)?.pid === pid) continue;
      comm ??= tryReadKernelText(`/proc/${pid}/comm`) ?? "";
      list.push({ pid, comm });
    }
  }
  return holders;
}

/** Fields of a descriptor of this process, as /proc/self/fdinfo shows them. */
export function fdinfoOf(fd: number): ReadonlyMap<string, string> {
  const lines = (tryReadKernelText(`/proc/self/fdinfo/${fd}`) ?? "").split("\n");
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

/** Holders as text: `bpftool(7), systemd(1)`. */
export function holdersText(holders: readonly Holder[]): string {
  return holders.map(({ pid, comm }) => `${comm}(${pid})`).join(", ");
}
