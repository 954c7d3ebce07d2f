/**
 * How the kernel compiles programs to machine code.
 *
 * @module
 */

import { tryReadKernelText } from "../ffi/kernel_file.ts";

/** The settings of the compiler; undefined where they cannot be read. */
export interface JitSettings {
  /** Whether programs are compiled; `"debug"` where the code is printed to the kernel's log too. */
  readonly enabled: boolean | "debug" | undefined;
  /** Whether the constants of programs are hidden: of unprivileged ones only, or of all. */
  readonly harden: "off" | "unprivileged" | "all" | undefined;
  /** Whether compiled programs are among the kernel's symbols. */
  readonly kallsyms: boolean | undefined;
  /** Bytes of machine code that the unprivileged may have. */
  readonly limit: number | undefined;
  /** Whether the kernel was built without an interpreter (CONFIG_BPF_JIT_ALWAYS_ON). */
  readonly alwaysOn: boolean | undefined;
}

const FOLDER = "/proc/sys/net/core";

function setting(name: string): number | undefined {
  const text = tryReadKernelText(`${FOLDER}/${name}`);
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

let alwaysOn: boolean | undefined;

/** The interpreter is a function of the kernel, whose name anybody may read. */
function isAlwaysOn(): boolean | undefined {
  if (alwaysOn !== undefined) return alwaysOn;
  const symbols = tryReadKernelText("/proc/kallsyms");
  if (symbols === undefined || !symbols.includes(" __bpf_call_base")) return undefined;
  return alwaysOn = !symbols.includes(" ___bpf_prog_run");
}

/**
 * How the running kernel compiles programs: the sysctls net.core.bpf_jit_enable, _harden, _kallsyms and _limit. They are
 * read each time, since they may change.
 *
 * @example
 * ```ts
 * import { jitSettings } from "@bpf/deno";
 *
 * console.log(jitSettings().enabled);
 * ```
 *
 * @returns The settings; only root may read some of them, and only the first network namespace has them.
 */
export function jitSettings(): JitSettings {
  const [enable, harden, kallsyms, limit] = ["enable", "harden", "kallsyms", "limit"].map((name) =>
    setting(`bpf_jit_${name}`)
  );
  return {
    enabled: enable === undefined ? undefined : enable === 2 ? "debug" : enable === 1,
    harden: harden === undefined ? undefined : (["off", "unprivileged", "all"] as const)[harden],
    kallsyms: kallsyms === undefined ? undefined : kallsyms !== 0,
    limit,
    alwaysOn: isAlwaysOn(),
  };
}
