/**
 * What the running kernel has for the externs of an object: values of its configuration, addresses and types of its
 * variables, functions that programs may call.
 */

import { parseConfig, readKernelConfig } from "../features/kernel_config.ts";
import { readKernelFile } from "../ffi/kernel_file.ts";
import { type Btf, coreEssentialName, coreTypesCompatible } from "../btf/mod.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import type { AnyToken } from "../tokens/token.ts";
import { ConfigWriter, virtualExtern } from "./_kernel_config.ts";
import type { Modules } from "./_modules.ts";
import type { ExternSpec, ObjectSpec } from "./spec.ts";

/** What an instruction is given for an extern. */
export type ResolvedExtern =
  | { readonly kind: "kconfig"; readonly offset: number }
  | { readonly kind: "address"; readonly address: bigint }
  | { readonly kind: "btf"; readonly id: number; readonly module: string | undefined }
  | { readonly kind: "missing" };

/** What resolving needs besides the object. */
export interface ExternSources {
  /** The modules of the kernel. */
  readonly modules: Modules;
  /** Lines of a configuration that come before the kernel's. */
  readonly kconfig?: string | undefined;
  /** The map of the configuration's values, which is filled. */
  readonly values: Uint8Array<ArrayBuffer> | undefined;
}

const VIRTUAL = /^LINUX_/;

function unresolved({ name }: ExternSpec, reason: string): NotSupportedError {
  return new NotSupportedError(`extern ${name}`, { reason });
}

/**
 * Finds what the kernel has for each extern.
 *
 * @param token A permission token.
 * @param spec The object.
 * @param sources Where to look, and where values go.
 * @returns What each extern is, by its number.
 * @throws {NotSupportedError} Where the kernel lacks one that is not weak.
 */
export function resolveExterns(token: AnyToken, spec: ObjectSpec, sources: ExternSources): ResolvedExtern[] {
  const { externs, btf } = spec;
  if (externs.length === 0 || btf === undefined) return [];
  const config = externs.some(({ kind }) => kind === "kconfig") ? configOf(token, spec, sources) : undefined;
  const untyped = externs.filter(({ kind, typeId }) => kind === "ksym" && typeId === 0);
  const addresses = untyped.length === 0 ? new Map<string, bigint>() : kernelAddresses(untyped);
  return externs.map((extern): ResolvedExtern => {
    const { kind, name, weak, offset } = extern;
    if (kind === "kconfig") {
      if (config?.written.has(name) !== true && !weak) throw unresolved(extern, config?.lacking ?? NO_CONFIG);
      return { kind: "kconfig", offset };
    }
    if (kind === "ksym" && extern.typeId === 0) {
      const address = addresses.get(name);
      if (address !== undefined) return { kind: "address", address };
      if (!weak) throw unresolved(extern, "the kernel has no such symbol, or /proc/kallsyms does not tell its address");
      return { kind: "missing" };
    }
    return typedExtern(extern, btf, sources.modules);
  });
}

/** What is said of a value that is not there, or that nobody can read. */
const NOT_SET = "the kernel's configuration does not have it";
const NO_CONFIG =
  "the kernel's configuration cannot be read: neither /boot/config-RELEASE nor /proc/config.gz is there. " +
  "Pass kconfig";

/** Writes the values of the configuration, and tells which of them there are. */
function configOf(
  token: AnyToken,
  { externs, btf }: ObjectSpec,
  { values, kconfig }: ExternSources,
): { written: Set<string>; lacking: string } {
  const written = new Set<string>();
  if (values === undefined) return { written, lacking: NO_CONFIG };
  const writer = new ConfigWriter(btf as Btf, values);
  const given = parseConfig(kconfig ?? "");
  let config: Map<string, string> | undefined;
  let lacking = NOT_SET;
  const fromKernel = (name: string): string | undefined => {
    if (config === undefined) {
      const read = readKernelConfig();
      if (read === undefined) lacking = NO_CONFIG;
      config = read ?? new Map();
    }
    return config.get(name);
  };
  for (const extern of externs) {
    if (extern.kind !== "kconfig") continue;
    const { name, weak } = extern;
    let value: string | undefined;
    if (VIRTUAL.test(name)) value = virtualExtern(token, name);
    else value = given.get(name) ?? (name.startsWith("CONFIG_") ? fromKernel(name) : undefined);
    if (value !== undefined) {
      writer.write(extern, value);
      written.add(name);
    } else if (!weak && VIRTUAL.test(name)) throw unresolved(extern, "this library knows no such value");
  }
  return { written, lacking };
}

/** The addresses of symbols, of code and of data. */
function kernelAddresses(externs: readonly ExternSpec[]): Map<string, bigint> {
  const wanted = new Set(externs.map(({ name }) => name));
  const found = new Map<string, bigint>();
  let text: string;
  try {
    text = new TextDecoder().decode(readKernelFile("/proc/kallsyms"));
  } catch (error) {
    if (error instanceof SyscallError) return found;
    throw error;
  }
  for (const [, digits, symbol] of text.matchAll(/^([0-9a-f]+) \S ([^\s]+)/gm)) {
    const name = symbol.replace(/\.llvm\..*$/, "");
    if (!wanted.has(name)) continue;
    const address = BigInt(`0x${digits}`);
    if (address === 0n) continue;
    const known = found.get(name);
    if (known !== undefined && known !== address) {
      throw new TypeError(`Cannot resolve extern ${name}: the kernel has several symbols of the name`);
    }
    found.set(name, address);
  }
  return found;
}

/** A variable or a function by its type: that of the object has to fit the kernel's. */
function typedExtern(extern: ExternSpec, btf: Btf, modules: Modules): ResolvedExtern {
  const isFunction = extern.kind === "kfunc";
  const found = modules.find(isFunction ? "func" : "var", isFunction ? coreEssentialName(extern.name) : extern.name);
  if (found === undefined) {
    if (extern.weak) return { kind: "missing" };
    throw unresolved(extern, `the kernel's BTF has no ${isFunction ? "function" : "variable"} of the name`);
  }
  const type = found.btf.type(found.id);
  const kernelType = type.kind === "func" || type.kind === "var" ? found.btf.resolve(type.typeId) : 0;
  const local = { btf, typeId: extern.typeId };
  if (!coreTypesCompatible(local, { btf: found.btf, typeId: kernelType })) {
    if (extern.weak && isFunction) return { kind: "missing" };
    throw unresolved(extern, `its type in the object is not compatible with the kernel's`);
  }
  return { kind: "btf", id: found.id, module: found.module };
}
