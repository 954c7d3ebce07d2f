/**
 * The file system that objects are pinned on: it is mounted where there is none yet.
 *
 * @module
 */

import { objPin } from "../cmds/obj.ts";
import { SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { listKernelDirectory, pathExists } from "../ffi/kernel_file.ts";
import { mountsOf } from "./_pins.ts";
import { orSay, type Session } from "./_session.ts";
import { CommandError } from "./_words.ts";

/** The folder that a path is in. */
function folderOf(path: string): string {
  const end = path.replace(/\/+$/, "").lastIndexOf("/");
  return end < 0 ? "." : end === 0 ? "/" : path.slice(0, end);
}

/** Whether a folder is on a bpffs: below the place where one is mounted. */
function isOnBpffs(folder: string): boolean {
  return mountsOf("bpf").some((mount) => folder === mount || folder.startsWith(mount === "/" ? "/" : `${mount}/`));
}

/** Mounts a bpffs on a folder, which has to be empty: what is in it would be hidden. */
function mountBpffs(folder: string, path: string): void {
  if (listKernelDirectory(folder).length > 0) {
    throw new CommandError(`can't pin the object (${path}): ${folder} is on no bpf file system, and not empty`);
  }
  const result = kernel().mount("bpf", folder, "bpf", 0, "mode=0700");
  if (result < 0) {
    const error = new SyscallError({
      command: "mount",
      errno: -result,
      action: `mount a bpf file system on ${folder}`,
    });
    throw new CommandError(`can't mount BPF file system to pin the object (${path}): ${error.message}`, 255, {
      cause: error,
    });
  }
}

/**
 * Makes sure that something can be pinned: its folder is on a bpffs, which is mounted where it is empty and `--nomount`
 * was not given.
 *
 * @param session The command line.
 * @param path Where it is pinned.
 */
export function prepareBpffs(session: Session, path: string): void {
  const folder = folderOf(path);
  if (!folder.startsWith("/")) return;
  if (!pathExists(folder)) throw new CommandError(`can't pin the object (${path}): there is no folder ${folder}`);
  if (isOnBpffs(folder)) return;
  if (session.options.noMount) {
    throw new CommandError("no BPF file system found, not mounting it due to --nomount option");
  }
  mountBpffs(folder, path);
}

/**
 * Pins an object.
 *
 * @param session The command line.
 * @param object The object.
 * @param path Where.
 */
export function pin(session: Session, object: FdSource, path: string): void {
  prepareBpffs(session, path);
  orSay(`can't pin the object (${path})`, () => objPin(session.token, object, { path }));
}
