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

/** What /proc calls the descriptors of BPF objects; older kernels put it into brackets. */
const NAMES: Readonly<Record<HeldKind, readonly string[]>> = {
  prog: ["anon_inode:bpf-prog", "anon_inode:[bpf-prog"],
  map: ["anon_inode:bpf-map", "anon_inode:[bpf-map"],
  link: ["anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:[bpf_link", "anon_inode:[bpf-link"],
  btf: ["anon_inode:btf", "anon_inode:[btf"],
};

/** What is known of an object by whoever holds it. */
export interface Held {
  /** The processes, each once, in the order of their numbers. */
  readonly holders: Holder[];
  /** What /proc shows of one of their descriptors. */
  readonly fields: Fields;
}

/** What /proc shows of a descriptor: a field by its name. */
export interface Fields {
  /** The text of a field. */
  get(name: string): string | undefined;
}

function fieldsOf(text: string): Fields {
  return {
    get: (name) => {
      const start = text.indexOf(`\n${name}:\t`);
      if (start < 0) return undefined;
      const end = text.indexOf("\n", start + 1);
      return text.slice(start + name.length + 3, end < 0 ? undefined : end);
    },
  };
}

/**
 * Looks for the holders of objects of one kind, in the descriptors of all other processes.
 *
 * @param kind The kind.
 * @returns The holders by the objects' ids.
 */
export function findHeld(kind: HeldKind): Map<number, Held> {
  const found = new Map<number, Held>();
  const pids = listKernelDirectory("/proc").map(({ name }) => Number(name)).filter((pid) => pid > 0);
  for (const pid of pids.sort((one, other) => one - other)) {
    // What this process holds is held to be looked at.
    if (pid === Deno.pid) continue;
    using files = KernelDirectory.tryOpen(`/proc/${pid}/fd`);
    if (files === undefined) continue;
    // Most descriptors are of something else, which the shortest look tells.
    const held = files.list().filter(({ name }) => files.pointsTo(name, NAMES[kind]));
    if (held.length === 0) continue;
    using infos = KernelDirectory.tryOpen(`/proc/${pid}/fdinfo`);
    const comm = tryReadKernelText(`/proc/${pid}/comm`) ?? "";
    for (const { name } of held) {
      const fields = fieldsOf(infos?.text(name) ?? "");
      const id = fields.get(`${kind}_id`);
      if (id === undefined) continue;
      const known = found.get(Number(id));
      if (known === undefined) found.set(Number(id), { holders: [{ pid, comm }], fields });
      else if (known.holders.at(-1)?.pid !== pid) known.holders.push({ pid, comm });
    }
  }
  return found;
}

/** The holders of objects of one kind, by the objects' ids. */
export function findHolders(kind: HeldKind): Map<number, readonly Holder[]> {
  return new Map([...findHeld(kind)].map(([id, { holders }]) => [id, holders]));
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
