/** Instructions adapted to the running kernel, and a memory of those that could not be. */

import { type Btf, type BtfCoreRelo, CoreResolver, patchCoreInsn } from "../btf/mod.ts";
import { NotSupportedError } from "../errors.ts";
import { SLOT } from "./_functions.ts";
import { type Modules, tryKernelBtf } from "./_modules.ts";
import type { FunctionSpec, ObjectSpec } from "./spec.ts";

/** An instruction that asks for what the kernel has not. */
export interface Poisoned {
  /** The instruction, in slots from the function's first. */
  readonly insn: number;
  /** What it asks for: the type, the field and the way there. */
  readonly text: string;
}

interface Adapted {
  readonly insns: Uint8Array;
  readonly poisoned: readonly Poisoned[];
}

/** Adapts the functions of an object, each once. */
export class CoreAdapter {
  readonly #functions: readonly FunctionSpec[];
  readonly #btf: Btf | undefined;
  readonly #modules: Modules;
  readonly #kernel: Btf | undefined;
  readonly #adapted = new Map<number, Adapted>();
  #resolver: CoreResolver | undefined;

  /**
   * Adapts to the running kernel, or to one whose types are given.
   *
   * @param spec The object.
   * @param modules The modules of the running kernel.
   * @param kernel The types of the kernel to adapt to; those of the running one where there are none.
   */
  constructor({ functions, btf }: ObjectSpec, modules: Modules, kernel: Btf | undefined) {
    this.#functions = functions;
    this.#btf = btf;
    this.#modules = modules;
    this.#kernel = kernel;
  }

  /** The instructions of a function, and which of them are poisoned. */
  adapted(number: number): Adapted {
    const known = this.#adapted.get(number);
    if (known !== undefined) return known;
    const { insns, coreRelos, start } = this.#functions[number];
    let adapted: Adapted = { insns, poisoned: [] };
    if (coreRelos.length > 0) {
      const copy = insns.slice();
      const poisoned: Poisoned[] = [];
      for (const relo of coreRelos) {
        const insn = relo.insnOff / SLOT - start;
        const result = this.#resolve(relo);
        if (patchCoreInsn(copy, insn, result)) poisoned.push({ insn, text: result.text });
      }
      adapted = { insns: copy, poisoned };
    }
    this.#adapted.set(number, adapted);
    return adapted;
  }

  #resolve(relo: BtfCoreRelo): ReturnType<CoreResolver["resolve"]> {
    if (this.#resolver === undefined) {
      const kernel = this.#kernel ?? tryKernelBtf();
      // Ids of the object's own types are told without a kernel, as libbpf tells them.
      if (kernel === undefined && relo.kind !== "type_id_local") {
        throw new NotSupportedError("CO-RE", {
          reason: "the kernel has no BTF: it was built without CONFIG_DEBUG_INFO_BTF. Pass kernelBtf",
        });
      }
      const modules = this.#kernel === undefined ? () => this.#modules.all.map(({ btf }) => btf) : () => [];
      if (kernel === undefined) return new CoreResolver(this.#btf!, { kernel: this.#btf! }).resolve(relo);
      this.#resolver = new CoreResolver(this.#btf!, { kernel, modules });
    }
    return this.#resolver.resolve(relo);
  }
}
