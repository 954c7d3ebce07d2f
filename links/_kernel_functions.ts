/**
 * Functions of the kernel by name and by pattern, from tracefs and /proc/kallsyms.
 *
 * @module
 */

import { readKernelFile, tryReadKernelText } from "../ffi/kernel_file.ts";
import { tracefsPlaces } from "./_tracefs.ts";

/** What the kernel's system calls are called before their names, the ones that take registers first. */
const SYSCALL_PREFIXES: readonly string[] = [
  Deno.build.arch === "aarch64" ? "__arm64_sys_" : "__x64_sys_",
  "__se_sys_",
  "sys_",
];

/** One line of /proc/kallsyms that is code. */
interface CodeSymbol {
  readonly address: bigint;
  readonly name: string;
}

/** The functions in /proc/kallsyms; without their addresses where the process may not see them. */
function* codeSymbols(): Generator<CodeSymbol, void, undefined> {
  const text = new TextDecoder().decode(readKernelFile("/proc/kallsyms"));
  for (const match of text.matchAll(/^([0-9a-f]+) [tTwW] (\S+)/gm)) {
    yield { address: BigInt(`0x${match[1]}`), name: match[2] };
  }
}

/** The function of the kernel that is a system call; a TypeError where there is none. */
export function syscallFunction(name: string): string {
  const wanted = SYSCALL_PREFIXES.map((prefix) => `${prefix}${name}`);
  const found = new Set<string>();
  for (const { name } of codeSymbols()) if (wanted.includes(name)) found.add(name);
  const best = wanted.find((one) => found.has(one));
  if (best === undefined) throw new TypeError(`Cannot attach to a system call: the kernel has no "${name}"`);
  return best;
}

/** A pattern as a test of names: `*` is any characters, `?` is one. */
export function globTest(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  const regex = new RegExp(`^${source}$`, "s");
  return (name) => regex.test(name);
}

/** Functions to probe, by address where those are known. */
export type FoundFunctions =
  | { readonly addresses: readonly bigint[]; readonly names: readonly string[] }
  | { readonly symbols: readonly string[] };

/** What a line of tracefs calls a function that was taken out of the kernel. */
const GONE = "__ftrace_invalid_address__";

/**
 * The functions that a pattern names. The kernel's list with addresses (since 6.5) is exact; its list of names is matched
 * with /proc/kallsyms; without tracefs all functions of /proc/kallsyms are tried.
 */
export function functionsLike(pattern: string, tracefs: string | undefined): FoundFunctions {
  const test = globTest(pattern);
  const matches = (name: string): boolean => test(name) && !name.startsWith(GONE);
  for (const place of tracefsPlaces(tracefs)) {
    const lines = tryReadKernelText(`${place}/available_filter_functions_addrs`);
    if (lines === undefined) continue;
    const found = [...lines.matchAll(/^([0-9a-f]+) (\S+)/gm)].filter(([, , name]) => matches(name));
    return { addresses: found.map(([, address]) => BigInt(`0x${address}`)), names: found.map(([, , name]) => name) };
  }
  const count = (names: Iterable<string>): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  };
  const symbols = [...codeSymbols()].filter(({ name }) => matches(name));
  const known = count(symbols.map(({ name }) => name));
  for (const place of tracefsPlaces(tracefs)) {
    const lines = tryReadKernelText(`${place}/available_filter_functions`);
    if (lines === undefined) continue;
    const names = count([...lines.matchAll(/^(\S+)/gm)].map(([name]) => name).filter(matches));
    // Of several functions with one name some may be out of reach: nobody could tell which.
    return {
      symbols: [...names].filter(([name, times]) => times === 1 && known.get(name) === 1).map(([name]) => name),
    };
  }
  return { symbols: [...known].filter(([, times]) => times === 1).map(([name]) => name) };
}
