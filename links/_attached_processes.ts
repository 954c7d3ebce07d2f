/**
 * What the file descriptors of all processes hold: perf events and raw tracepoints with programs.
 *
 * @module
 */

import { taskFdQuery } from "../cmds/task.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { listKernelDirectory, tryReadKernelLink, tryReadKernelText } from "../ffi/kernel_file.ts";
import type { AskingToken } from "./_attached_places.ts";
import type { AttachedByProcess } from "./attached_types.ts";

/** What /proc calls the descriptors that may hold a program. */
const HOLDS = /^anon_inode:\[?(perf_event|bpf[_-](link|raw-tracepoint))/;

/** What a process's descriptor holds; undefined where that is no program. */
function heldBy(token: AskingToken, pid: number, fd: number): AttachedByProcess | undefined {
  try {
    const { progId, ...about } = taskFdQuery(token, { pid, fd });
    if (progId === 0) return undefined;
    const linkId = /^link_id:\s*(\d+)/m.exec(tryReadKernelText(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
    return { where: "process", pid, fd, progId, linkId: linkId === undefined ? undefined : Number(linkId), ...about };
  } catch (error) {
    // No program there, or the process is gone by now.
    if (error instanceof SyscallError || error instanceof NotSupportedError) return undefined;
    throw error;
  }
}

/** What all processes hold. */
export function attachedByProcesses(token: AskingToken): AttachedByProcess[] {
  const found: AttachedByProcess[] = [];
  for (const { name } of listKernelDirectory("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    for (const { name: fd } of listKernelDirectory(`/proc/${name}/fd`)) {
      if (!HOLDS.test(tryReadKernelLink(`/proc/${name}/fd/${fd}`) ?? "")) continue;
      const held = heldBy(token, Number(name), Number(fd));
      if (held !== undefined) found.push(held);
    }
  }
  return found;
}
