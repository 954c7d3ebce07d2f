/**
 * Which processes hold which objects, as /proc shows their descriptors: for kernels and processes that cannot run an
 * iterator.
 *
 * @module
 */

import { KernelDirectory, listKernelDirectory, tryReadKernelText } from "../ffi/kernel_file.ts";
import { type Fields, fieldsOf, type Held, type HeldKind, type Holder } from "./_held.ts";

/** What /proc calls the descriptors of BPF objects; older kernels put it into brackets. */
const NAMES: Readonly<Record<HeldKind, readonly string[]>> = {
  prog: ["anon_inode:bpf-prog", "anon_inode:[bpf-prog"],
  map: ["anon_inode:bpf-map", "anon_inode:[bpf-map"],
  link: ["anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:[bpf_link", "anon_inode:[bpf-link"],
  btf: ["anon_inode:btf", "anon_inode:[btf"],
};

/**
 * Looks for the holders of objects of one kind, in the descriptors of all other processes.
 *
 * @param kind The kind.
 * @returns The holders by the objects' ids.
 */
export function findInProc(kind: HeldKind): Map<number, Held> {
  const found = new Map<number, { holders: Holder[]; fields: Fields }>();
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
