/**
 * How an object is loaded.
 *
 * @module
 */

import type { Btf } from "../btf/mod.ts";
import type { FdSource } from "../ffi/fd.ts";

/** What `BpfObject.load()` takes besides the token. */
export interface LoadOptions {
  /**
   * Maps that are used instead of new ones, by name. They stay the caller's: the object duplicates their descriptors.
   *
   * @default {{}}
   */
  maps?: Readonly<Record<string, FdSource>> | undefined;
  /**
   * What happens with programs of a type, or for a place, that the kernel does not have: loading fails, or they are left
   * out.
   *
   * @default {"throw"}
   */
  unsupported?: "throw" | "skip" | undefined;
  /** Lines of a kernel configuration, `CONFIG_NAME=value`, that come before the kernel's own. C name: `kconfig`. */
  kconfig?: string | undefined;
  /**
   * The types of the kernel, for kernels that have none themselves. CO-RE relocations are resolved by them. C name:
   * `btf_custom_path`. By default those of the running kernel.
   */
  kernelBtf?: Btf | undefined;
  /** Called with the verifier's log of each program that was loaded, where its `logLevel` is not 0. */
  onLog?: ((program: string, log: string) => void) | undefined;
}
