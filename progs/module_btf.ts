/**
 * The types of kernel modules as the kernel holds them.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";

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
  for (const { info, keep } of eachObject(privileged, "btf")) {
    const { kernelBtf, name } = info();
    if (kernelBtf && name === module) return keep();
  }
  throw new TypeError(`Cannot use attachTo: there is no module "${module}" with BTF`);
}
