/** The modules of the running kernel that have types. */

import type { Btf, BtfKind } from "../btf/mod.ts";
import { NotSupportedError } from "../errors.ts";
import { kernelBtf } from "../features/mod.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";

/** A module with its types, which continue the kernel's. */
export interface ModuleBtf {
  readonly name: string;
  readonly btf: Btf;
}

/** The kernel's types are read once a process: whoever loads one object loads others. */
let kept: Btf | undefined;

/** The kernel's own types; undefined where it has none. */
export function tryKernelBtf(module?: string): Btf | undefined {
  try {
    const btf = kernelBtf(module);
    if (module === undefined) kept = btf;
    return module === undefined ? kept : btf;
  } catch (error) {
    if (error instanceof NotSupportedError) return undefined;
    throw error;
  }
}

/** Modules are looked through once a load: what is loaded meanwhile is not seen. */
export class Modules {
  #found: readonly ModuleBtf[] | undefined;

  /** The modules that have types. */
  get all(): readonly ModuleBtf[] {
    return this.#found ??= this.#read();
  }

  #read(): ModuleBtf[] {
    const lines = (tryReadKernelText("/proc/modules") ?? "").split("\n");
    return lines.flatMap((line) => {
      const name = line.split(" ", 1)[0];
      const btf = name === "" ? undefined : tryKernelBtf(name);
      return btf === undefined ? [] : [{ name, btf }];
    });
  }

  /**
   * The first type of a name: of the kernel, or else of a module.
   *
   * @param kind The kind.
   * @param name The name.
   * @param only The module that has to have it.
   * @returns The type; undefined where there is none.
   */
  find(kind: BtfKind, name: string, only?: string): { id: number; btf: Btf; module: string | undefined } | undefined {
    const isKernel = only === undefined || only === "vmlinux";
    const kernel = isKernel ? tryKernelBtf() : undefined;
    const id = kernel?.find(kind, name);
    if (id !== undefined) return { id, btf: kernel!, module: undefined };
    if (only === "vmlinux") return undefined;
    const named = only === undefined ? undefined : tryKernelBtf(only);
    const places = only === undefined ? this.all : named === undefined ? [] : [{ name: only, btf: named }];
    for (const { name: module, btf } of places) {
      const own = btf.findAll(kind, name).find((one) => one >= btf.firstId);
      if (own !== undefined) return { id: own, btf, module };
    }
    return undefined;
  }
}
