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
  const idLine = new RegExp(`^${kind}_id:\\s*(\\d+)`, "m");
  const pids = listKernelDirectory("/proc").map(({ name }) => Number(name)).filter((pid) => pid > 0);
  for (const pid of pids.sort((one, other) => one - other)) {
    // What this process holds is held to be looked at.
    if (pid === Deno.pid) continue;
    let comm: string | undefined;
    for (const { name: fd } of listKernelDirectory(`/proc/${pid}/fd`)) {
      // Most descriptors are of something else, which the shortest look tells.
      const link = tryReadKernelLink(`/proc/${pid}/fd/${fd}`);
      if (link === undefined || !link.startsWith("anon_inode:")) continue;
      const found = BPF_LINK.exec(link);
      if ((found?.[2] ?? found?.[1]) !== kind) continue;
      const id = idLine.exec(tryReadKernelText(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
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

/** What /proc/self/fdinfo shows of a descriptor of this process: a field by its name. */
export function fdinfoOf(fd: number): { get(name: string): string | undefined } {
  const text = tryReadKernelText(`/proc/self/fdinfo/${fd}`) ?? "";
  return {
    get: (name) => {
      const start = text.indexOf(`\n${name}:\t`);
      if (start < 0) return undefined;
      const end = text.indexOf("\n", start + 1);
      return text.slice(start + name.length + 3, end < 0 ? undefined : end);
    },
  };
}

/** Holders as text: `bpftool(7), systemd(1)`. */
export function holdersText(holders: readonly Holder[]): string {
  return holders.map(({ pid, comm }) => `${comm}(${pid})`).join(", ");
}
