/**
 * Under which names objects are pinned, on all mounted bpffs.
 *
 * @module
 */

import type { Fd } from "../ffi/fd.ts";
import { listKernelDirectory, tryReadKernelLink, tryReadKernelText } from "../ffi/kernel_file.ts";
import { objGet } from "../cmds/obj.ts";
import { PermissionError, SyscallError } from "../errors.ts";
import type { HeldKind } from "./_held.ts";
import { fdinfoOf } from "./_holders.ts";
import type { HeldToken } from "./_session.ts";

/** Where file systems of a type are mounted. */
export function mountsOf(type: string): string[] {
  return (tryReadKernelText("/proc/self/mounts") ?? "").split("\n").map((line) => line.split(" "))
    .filter(([, , found]) => found === type)
    .map(([, path]) => path.replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8))));
}

/**
 * Looks for the names of objects of one kind.
 *
 * @param token A token that may open them.
 * @param kind The kind.
 * @returns The paths by the objects' ids.
 */
export function findPins(token: HeldToken, kind: Exclude<HeldKind, "btf">): Map<number, string[]> {
  const pins = new Map<number, string[]>();
  const visit = (folder: string): void => {
    for (const { name, isDirectory } of listKernelDirectory(folder)) {
      const path = `${folder === "/" ? "" : folder}/${name}`;
      if (isDirectory) visit(path);
      else {
        const id = idOfPin(token, kind, path);
        if (id !== undefined) pins.set(id, [...pins.get(id) ?? [], path]);
      }
    }
  };
  for (const mount of mountsOf("bpf")) visit(mount);
  return pins;
}

function idOfPin(token: HeldToken, kind: HeldKind, path: string): number | undefined {
  let fd: Fd;
  try {
    fd = objGet(token, path);
  } catch (error) {
    // Files of the kernel's own are there too, and pins that others may not open.
    if (error instanceof SyscallError || error instanceof PermissionError) return undefined;
    throw error;
  }
  using owned = fd;
  const link = tryReadKernelLink(`/proc/self/fd/${owned.fd}`) ?? "";
  if (!link.includes(`bpf-${kind}`) && !link.includes(`bpf_${kind}`)) return undefined;
  const id = fdinfoOf(owned.fd).get(`${kind}_id`);
  return id === undefined ? undefined : Number(id);
}
