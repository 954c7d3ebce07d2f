/**
 * Which processes hold which objects, and under which names objects are pinned.
 *
 * @module
 */

import { KernelDirectory, listKernelDirectory, tryReadKernelText } from "../ffi/kernel_file.ts";

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

/** The kind of object that a descriptor is of, by what /proc calls it. */
function kindOf(link: string | undefined): string | undefined {
  if (link === undefined || !link.startsWith("anon_inode:")) return undefined;
  const found = BPF_LINK.exec(link);
  return found?.[2] ?? found?.[1];
}

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
    using files = KernelDirectory.tryOpen(`/proc/${pid}/fd`);
    if (files === undefined) continue;
    // Most descriptors are of something else, which the shortest look tells.
    const held = files.list().filter(({ name }) => kindOf(files.link(name)) === kind);
    if (held.length === 0) continue;
    using infos = KernelDirectory.tryOpen(`/proc/${pid}/fdinfo`);
    const comm = tryReadKernelText(`/proc/${pid}/comm`) ?? "";
    for (const { name } of held) {
      const id = idLine.exec(infos?.text(name) ?? "")?.[1];
      if (id === undefined) continue;
      const list = holders.get(Number(id)) ?? [];
      holders.set(Number(id), list);
      if (list.at(-1)?.pid !== pid) list.push({ pid, comm });
    }
  }
  return holders;
}

/** The directory of this process's descriptors, open for as long as it lives. */
let ownInfos: KernelDirectory | undefined;

/** What /proc/self/fdinfo shows of a descriptor of this process: a field by its name. */
export function fdinfoOf(fd: number): { get(name: string): string | undefined } {
  ownInfos ??= KernelDirectory.tryOpen("/proc/self/fdinfo");
  const text = ownInfos?.text(`${fd}`) ?? "";
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
