/**
 * The types of kernel modules as the kernel holds them.
 *
 * @module
 */

import { btfGetFdById, btfGetNextId } from "../cmds/id.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { SyscallError } from "../errors.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";

/**
 * A descriptor of a module's BTF, for programs that name its types or functions.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param module The module's name.
 * @returns The descriptor.
 * @throws {TypeError} Where there is no such module, or it has no BTF.
 */
export function openModuleBtf(token: AnyToken, module: string): Fd {
  const privileged = token as PermissionToken<"CAP_SYS_ADMIN">;
  for (let id = btfGetNextId(privileged); id !== undefined; id = btfGetNextId(privileged, id)) {
    let fd: Fd;
    try {
      fd = btfGetFdById(privileged, id);
    } catch (error) {
      // It is gone by now.
      if (error instanceof SyscallError && error.errno === errnos.ENOENT) continue;
      throw error;
    }
    try {
      const { kernelBtf, name } = objGetInfoByFd(token, fd, { kind: "btf" });
      if (kernelBtf && name === module) return fd;
    } catch (error) {
      fd.close();
      throw error;
    }
    fd.close();
  }
  throw new TypeError(`Cannot use attachTo: there is no module "${module}" with BTF`);
}
