/**
 * The running kernel's own types, read once and kept for as long as somebody uses them.
 *
 * @module
 */

import { Btf } from "../btf/btf.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { mapKernelFile } from "../ffi/kernel_file.ts";

const FOLDER = "/sys/kernel/btf";

const known = new Map<string, WeakRef<Btf>>();

/**
 * The types of the running kernel, or of one of its modules. They are read from /sys/kernel/btf once, and kept until the
 * garbage collector takes them.
 *
 * @example
 * ```ts
 * import { kernelBtf } from "@bpf/deno";
 *
 * const btf = kernelBtf();
 * console.log(btf.find("func", "do_unlinkat"));
 * ```
 *
 * @param module The module's name; the kernel itself where there is none.
 * @returns The types, which for a module continue the kernel's.
 * @throws {NotSupportedError} Where the kernel has none: it is built without CONFIG_DEBUG_INFO_BTF, older than 5.4 (5.11
 * for modules), or there is no such module.
 */
export function kernelBtf(module = "vmlinux"): Btf {
  if (!/^[\w.-]+$/.test(module)) throw new TypeError(`Cannot use module: "${module}" is no module's name`);
  const kept = known.get(module)?.deref();
  if (kept !== undefined) return kept;
  const base = module === "vmlinux" ? undefined : kernelBtf();
  let btf: Btf;
  try {
    // Nobody writes to the bytes of a Btf that is trusted.
    btf = Btf.parse(mapKernelFile(`${FOLDER}/${module}`), { base, trusted: true });
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const reason = base === undefined
      ? "the kernel was built without CONFIG_DEBUG_INFO_BTF"
      : "there is no such module, or it has no BTF";
    throw new NotSupportedError(`the BTF of ${module}`, { reason, cause: error });
  }
  known.set(module, new WeakRef(btf));
  return btf;
}
