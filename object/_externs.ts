/**
 * What an object leaves to the kernel: values of its configuration, its variables and its functions. They are collected
 * from the symbols, and their places in BTF are written as the kernel wants them.
 */

import type { Btf } from "../btf/mod.ts";
import type { Elf, ElfSymbol } from "../elf/mod.ts";
import type { BtfEditor } from "./_btf_editor.ts";
import { btfInfo } from "./_btf_editor.ts";
import type { ExternSpec } from "./spec.ts";

/** Linkage of a var that has memory; of a global func. */
const GLOBAL = 1;
/** Bytes of what stands for a symbol of the kernel in BTF. */
const SYMBOL_SIZE = 4;

interface Collected {
  readonly externs: ExternSpec[];
  /** The number of each extern by its symbol's. */
  readonly bySymbol: ReadonlyMap<number, number>;
}

function isExtern({ sectionIndex, binding, type }: ElfSymbol): boolean {
  return sectionIndex === 0 && (binding === "global" || binding === "weak") && type === "notype";
}

/** The extern variables and functions by name, with the section that BTF has them in. */
function declarations(btf: Btf): Map<string, { id: number; section: string }> {
  const found = new Map<string, { id: number; section: string }>();
  for (const section of [".kconfig", ".ksyms"]) {
    const id = btf.find("datasec", section);
    const datasec = id === undefined ? undefined : btf.type(id);
    if (datasec?.kind !== "datasec") continue;
    for (const { typeId } of datasec.vars) {
      const type = btf.type(typeId);
      if ((type.kind === "var" || type.kind === "func") && type.linkage === "extern") {
        found.set(type.name, { id: typeId, section });
      }
    }
  }
  return found;
}

/** Those of the configuration come first, the most aligned ones before others, as libbpf lays them out. */
function order(btf: Btf, a: ExternSpec, b: ExternSpec): number {
  if ((a.kind === "kconfig") !== (b.kind === "kconfig")) return a.kind === "kconfig" ? -1 : 1;
  if (a.kind === "kconfig") {
    const [alignA, alignB] = [a, b].map(({ btfId }) => alignOf(btf, btfId));
    if (alignA !== alignB) return alignB - alignA;
    if (a.size !== b.size) return a.size - b.size;
  }
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function alignOf(btf: Btf, varId: number): number {
  const type = btf.type(varId);
  return type.kind === "var" ? btf.alignOf(type.typeId) ?? 1 : 1;
}

/**
 * Collects the externs of an object.
 *
 * @param elf The file.
 * @param btf Its types.
 * @param fail Makes the error of a symbol that makes no sense.
 * @returns The externs, in the order in which their values are laid out.
 */
export function collectExterns(
  elf: Elf,
  btf: Btf | undefined,
  fail: (symbol: ElfSymbol, reason: string) => Error,
): Collected {
  const symbols = elf.symbols.filter((symbol) => symbol.name !== "" && isExtern(symbol));
  if (symbols.length === 0) return { externs: [], bySymbol: new Map() };
  if (btf === undefined) throw fail(symbols[0], `extern ${symbols[0].name} is of no type: the object has no BTF`);
  const declared = declarations(btf);
  const found = symbols.map((symbol): [number, ExternSpec] => {
    const place = declared.get(symbol.name);
    if (place === undefined) {
      throw fail(symbol, `extern ${symbol.name} is in neither .kconfig nor .ksyms of the object's BTF`);
    }
    const type = btf.type(place.id);
    const inner = type.kind === "var" || type.kind === "func" ? type.typeId : 0;
    const kind = place.section === ".kconfig" ? "kconfig" : type.kind === "func" ? "kfunc" : "ksym";
    const size = kind === "kconfig" ? btf.sizeOf(inner) ?? 0 : 0;
    if (kind === "kconfig" && size === 0) throw fail(symbol, `extern ${symbol.name} has no size`);
    const weak = symbol.binding === "weak";
    const typeId = btf.resolve(inner);
    return [symbol.index, { name: symbol.name, kind, weak, btfId: place.id, typeId, size, offset: 0 }];
  });
  found.sort(([, a], [, b]) => order(btf, a, b));
  let end = 0;
  const externs = found.map(([, extern]) => {
    if (extern.kind !== "kconfig") return extern;
    const align = alignOf(btf, extern.btfId);
    const offset = Math.ceil(end / align) * align;
    end = offset + extern.size;
    return { ...extern, offset };
  });
  return { externs, bySymbol: new Map(found.map(([symbol], index) => [symbol, index])) };
}

/**
 * Writes the places of externs into BTF: the kernel takes no extern variables, so those become variables with memory,
 * and symbols become integers.
 *
 * @param btf The types, which are changed.
 * @param externs The externs.
 */
export function fixupExterns(btf: BtfEditor, externs: readonly ExternSpec[]): void {
  if (externs.length === 0) return;
  const byName = new Map(externs.map((extern) => [extern.name, extern]));
  for (let id = 1, end = btf.nextId; id < end; id++) {
    if (btf.kind(id) !== "datasec") continue;
    const name = btf.name(id);
    if (name === ".kconfig") fixupKconfig(btf, id, byName);
    else if (name === ".ksyms") fixupKsyms(btf, id);
  }
}

function fixupKconfig(btf: BtfEditor, id: number, byName: ReadonlyMap<string, ExternSpec>): void {
  let end = 0;
  for (let index = 0; index < btf.count(id); index++) {
    const variable = btf.memberWord(id, index, 0);
    const extern = byName.get(btf.name(variable));
    if (btf.kind(variable) !== "var") continue;
    btf.setWord(variable, 3, GLOBAL);
    btf.setMemberWord(id, index, 1, extern?.offset ?? 0);
    if (extern !== undefined) end = Math.max(end, extern.offset + extern.size);
  }
  btf.setWord(id, 2, end);
}

/** What kinds of integers are signed: BTF_INT_SIGNED. */
const SIGNED = 1 << 24;

function fixupKsyms(btf: BtfEditor, id: number): void {
  const integer = btf.addType([btf.addString("int"), btfInfo("int"), SYMBOL_SIZE, SIGNED | 32]);
  let dummy: { id: number; name: number } | undefined;
  for (let index = 0; index < btf.count(id); index++) {
    const declared = btf.memberWord(id, index, 0);
    if (btf.kind(declared) === "func") {
      if (dummy === undefined) {
        const name = btf.addString("dummy_ksym");
        dummy = { id: btf.addType([name, btfInfo("var"), integer, GLOBAL]), name };
      }
      nameParams(btf, btf.word(declared, 2), dummy.name);
      btf.setKind(declared, "func", GLOBAL);
      btf.setMemberWord(id, index, 0, dummy.id);
    } else if (btf.kind(declared) === "var") {
      btf.setWord(declared, 3, GLOBAL);
      btf.setWord(declared, 2, integer);
    }
    btf.setMemberWord(id, index, 1, index * SYMBOL_SIZE);
    btf.setMemberWord(id, index, 2, SYMBOL_SIZE);
  }
  btf.setWord(id, 2, btf.count(id) * SYMBOL_SIZE);
}

/** A function has to have names for its parameters, which a declaration may leave out. */
function nameParams(btf: BtfEditor, proto: number, name: number): void {
  if (proto === 0 || proto >= btf.nextId || btf.kind(proto) !== "func_proto") return;
  for (let index = 0; index < btf.count(proto); index++) {
    if (btf.memberWord(proto, index, 1) !== 0 && btf.memberWord(proto, index, 0) === 0) {
      btf.setMemberWord(proto, index, 0, name);
    }
  }
}
