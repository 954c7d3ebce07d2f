/**
 * The code of an object: its functions by the symbols that name them, and what their instructions have to be given, by
 * the relocations of their sections.
 */

import type { Btf, BtfCoreRelo } from "../btf/mod.ts";
import type { Elf, ElfRelocation, ElfSection, ElfSymbol } from "../elf/mod.ts";
import { BPF_CALL, BPF_JMP, BPF_PSEUDO_CALL } from "../uapi/constants.gen.ts";
import { malformedObject } from "./_malformed.ts";
import type { FunctionSpec, Relocation } from "./spec.ts";

/** Bytes of a slot. */
export const SLOT = 8;
/** The opcode of the load of a 64-bit number, of two slots. */
export const LD_IMM64 = 0x18;
/** The opcode of calls. */
export const CALL: number = BPF_JMP | BPF_CALL;

const LORESERVE = 0xff00;

/** Where things are that instructions name. */
export interface Places {
  /** The map at a place of a section of maps. */
  mapAt(sectionIndex: number, offset: number): string | undefined;
  /** Whether a section is one of maps. */
  isMaps(sectionIndex: number): boolean;
  /** The map that holds a section's variables, and what is added to their places. */
  dataOf(sectionIndex: number): { map: string; offset: number } | undefined;
  /** The number of an extern by its symbol's. */
  externOf(symbol: number): number | undefined;
  /** Whether an extern is a function. */
  isKfunc(extern: number): boolean;
}

interface Draft {
  readonly symbol: ElfSymbol;
  readonly section: ElfSection;
  readonly start: number;
  readonly insns: Uint8Array;
}

/** The functions of some sections, by section and place. */
export class FunctionReader {
  readonly #elf: Elf;
  readonly #drafts: Draft[] = [];
  /** The numbers of the functions of each section, by their place. */
  readonly #bySection = new Map<number, number[]>();
  readonly #sections = new Map<number, ElfSection>();

  constructor(elf: Elf, code: readonly ElfSection[]) {
    this.#elf = elf;
    for (const section of code) this.#sections.set(section.index, section);
    const bySection = new Map<number, ElfSymbol[]>();
    for (const symbol of elf.symbols) {
      if (symbol.type !== "func" || !this.#sections.has(symbol.sectionIndex)) continue;
      const list = bySection.get(symbol.sectionIndex);
      if (list === undefined) bySection.set(symbol.sectionIndex, [symbol]);
      else list.push(symbol);
    }
    for (const section of code) {
      const numbers: number[] = [];
      this.#bySection.set(section.index, numbers);
      const symbols = (bySection.get(section.index) ?? []).sort((a, b) => a.value - b.value);
      let end = 0;
      for (const [index, symbol] of symbols.entries()) {
        // A symbol without a size is a mark in the code, and no function.
        if (symbol.size === 0) continue;
        const before = symbols[index - 1];
        // Two names of one function are two functions, as libbpf has them.
        const isAlias = before?.value === symbol.value && before.size === symbol.size;
        this.#check(section, symbol, isAlias ? 0 : end);
        end = symbol.value + symbol.size;
        numbers.push(this.#drafts.length);
        const insns = section.data.subarray(symbol.value, end);
        this.#drafts.push({ symbol, section, start: symbol.value / SLOT, insns });
      }
    }
  }

  #check(section: ElfSection, { name, value, size }: ElfSymbol, end: number): void {
    const fail = (reason: string): SyntaxError => malformedObject(section, value, `function ${name} ${reason}`);
    if (value % SLOT !== 0 || size % SLOT !== 0) {
      throw fail(`at ${value}, of ${size} bytes, is not made of whole slots`);
    }
    if (value + size > section.data.length) throw fail(`ends at ${value + size} of ${section.data.length} bytes`);
    if (value < end) throw fail("begins inside of another");
  }

  /** The number of the function that has a slot of a section. */
  at(sectionIndex: number, slot: number): number | undefined {
    const numbers = this.#bySection.get(sectionIndex);
    if (numbers === undefined) return undefined;
    let [low, high] = [0, numbers.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#drafts[numbers[middle]].start <= slot) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const { start, insns } = this.#drafts[numbers[low - 1]];
    return slot < start + insns.length / SLOT ? numbers[low - 1] : undefined;
  }

  /** The functions with all that is known of them. */
  read(places: Places, coreRelos: ReadonlyMap<string, readonly BtfCoreRelo[]>, btf: Btf | undefined): FunctionSpec[] {
    const relocations = this.#drafts.map((): Relocation[] => []);
    const relos = this.#drafts.map((): BtfCoreRelo[] => []);
    const named = new Set<string>();
    for (const section of this.#sections.values()) {
      for (const relocation of this.#elf.relocations(section)) this.#place(section, relocation, places, relocations);
      const functions = this.#bySection.get(section.index)!;
      // Of several sections of a name the first one is meant.
      if (named.has(section.name)) continue;
      named.add(section.name);
      for (const relo of functions.length === 0 ? [] : coreRelos.get(section.name) ?? []) {
        if (relo.insnOff % SLOT !== 0 || relo.insnOff >= section.data.length) {
          throw malformedObject(section, 0, `a CO-RE relocation is at ${relo.insnOff}, where no instruction is`);
        }
        const number = this.at(section.index, relo.insnOff / SLOT);
        // Linkers leave those of functions behind that another file's took the place of.
        if (number !== undefined) relos[number].push(relo);
      }
    }
    const localCalls = this.#drafts.map((draft, number) => this.#localCalls(draft, relocations[number]));
    const callbacks = btf === undefined ? new Map<number, string>() : exceptionCallbacks(btf);
    const byName = new Map(this.#drafts.map(({ symbol }, number) => [symbol.name, number]));
    return this.#drafts.map(({ symbol, section, start, insns }, number) => {
      const all = [...relocations[number], ...localCalls[number]].sort((a, b) => a.insn - b.insn);
      const { visibility, binding } = symbol;
      return {
        name: symbol.name,
        section: section.name,
        sectionIndex: section.index,
        ...{ start, insns, relocations: all, coreRelos: relos[number].sort((a, b) => a.insnOff - b.insnOff) },
        local: binding === "local",
        hidden: binding !== "local" && (visibility === "hidden" || visibility === "internal"),
        exceptionCallback: callbackOf(symbol.name, callbacks, byName, btf),
      };
    });
  }

  /** One relocation: what the instruction and the symbol say together. */
  #place(
    section: ElfSection,
    { offset, symbol: index, addend }: ElfRelocation,
    places: Places,
    all: Relocation[][],
  ): void {
    const fail = (reason: string): SyntaxError => malformedObject(section, offset, reason);
    if (offset % SLOT !== 0) throw fail("a relocation is not at an instruction");
    if (addend !== undefined && addend !== 0) {
      throw fail(`a relocation adds ${addend}, which stands in instructions instead`);
    }
    const number = this.at(section.index, offset / SLOT);
    if (number === undefined) return;
    const symbol = this.#elf.symbols[index];
    const { start, insns } = this.#drafts[number];
    const insn = offset / SLOT - start;
    const code = insns[insn * SLOT];
    const imm = new DataView(insns.buffer, insns.byteOffset + insn * SLOT, SLOT).getInt32(4, this.#elf.littleEndian);
    if (symbol === undefined) throw fail(`there is no symbol ${index}`);
    const what = symbol.name || this.#elf.sections[symbol.sectionIndex]?.name || `symbol ${index}`;
    if (code !== CALL && code !== LD_IMM64) {
      throw fail(`instruction 0x${code.toString(16)} cannot be given the address of ${what}`);
    }
    if (code === LD_IMM64 && (insn + 2) * SLOT > insns.length) {
      throw fail("the second slot of an instruction is missing");
    }
    all[number].push(
      this.#meaning({ insn, code, imm, source: this.#source(insns, insn * SLOT) }, symbol, what, places, fail),
    );
  }

  #meaning(
    { insn, code, imm, source }: { insn: number; code: number; imm: number; source: number },
    symbol: ElfSymbol,
    what: string,
    places: Places,
    fail: (reason: string) => SyntaxError,
  ): Relocation {
    const { sectionIndex, value } = symbol;
    const extern = places.externOf(symbol.index);
    if (extern !== undefined) {
      if (code === CALL && !places.isKfunc(extern)) throw fail(`${what} is called, and no function`);
      return { kind: code === CALL ? "kfunc" : "extern", insn, extern };
    }
    if (sectionIndex === 0 || sectionIndex >= LORESERVE) throw fail(`${what} is nowhere in the object`);
    const isCode = this.#sections.has(sectionIndex);
    if (code === CALL) {
      if (source !== BPF_PSEUDO_CALL || !isCode) throw fail(`${what} is called, and no function of the object`);
      const target = this.at(sectionIndex, value / SLOT + imm + 1);
      if (target === undefined) {
        throw fail(`a call goes to slot ${value / SLOT + imm + 1} of ${what}, where no function is`);
      }
      return { kind: "call", insn, target };
    }
    if (isCode) {
      const target = this.at(sectionIndex, (value + imm) / SLOT);
      if (target === undefined || this.#drafts[target].start !== (value + imm) / SLOT) {
        throw fail(`the address of byte ${value + imm} of ${what} is taken, where no function begins`);
      }
      return { kind: "func", insn, target };
    }
    if (places.isMaps(sectionIndex)) {
      const at = symbol.type === "section" ? value + imm : value;
      const map = places.mapAt(sectionIndex, at);
      if (map === undefined) throw fail(`no map begins at byte ${at} of ${what}`);
      return { kind: "map", insn, map };
    }
    const data = places.dataOf(sectionIndex);
    if (data === undefined) {
      throw fail(
        `${what} is in section ${this.#elf.sections[sectionIndex]?.name ?? sectionIndex}, which holds no variables`,
      );
    }
    return { kind: "data", insn, map: data.map, offset: value + data.offset };
  }

  /** The source register of an instruction: its half of the byte depends on the byte order. */
  #source(insns: Uint8Array, at: number): number {
    return this.#elf.littleEndian ? insns[at + 1] >> 4 : insns[at + 1] & 0x0f;
  }

  /** Calls inside of a section, which have no relocation: how far they go is how far it is in the section. */
  #localCalls({ section, start, insns }: Draft, relocations: readonly Relocation[]): Relocation[] {
    const known = new Set(relocations.map(({ insn }) => insn));
    const calls: Relocation[] = [];
    const view = new DataView(insns.buffer, insns.byteOffset, insns.length);
    for (let insn = 0; insn < insns.length / SLOT; insn++) {
      const at = insn * SLOT;
      if (insns[at] === LD_IMM64) insn++;
      else if (insns[at] === CALL && this.#source(insns, at) === BPF_PSEUDO_CALL && !known.has(insn)) {
        const slot = start + insn + 1 + view.getInt32(at + 4, this.#elf.littleEndian);
        const target = this.at(section.index, slot);
        if (target === undefined || this.#drafts[target].start !== slot) {
          throw malformedObject(
            section,
            (start + insn) * SLOT,
            `a call goes to slot ${slot}, where no function begins`,
          );
        }
        calls.push({ kind: "call", insn, target });
      }
    }
    return calls;
  }
}

const CALLBACK_TAG = "exception_callback:";

/** The names of exception callbacks, by the id of the function that has one. */
function exceptionCallbacks(btf: Btf): Map<number, string> {
  const found = new Map<number, string>();
  for (let id = btf.firstId; id < btf.typeCount; id++) {
    if (btf.kindOf(id) !== "decl_tag" || !btf.nameOf(id).startsWith(CALLBACK_TAG)) continue;
    const tag = btf.type(id);
    if (tag.kind === "decl_tag" && tag.componentIdx === -1) found.set(tag.typeId, tag.name.slice(CALLBACK_TAG.length));
  }
  return found;
}

/** The function that is called where another one throws. */
function callbackOf(
  name: string,
  callbacks: ReadonlyMap<number, string>,
  byName: ReadonlyMap<string, number>,
  btf: Btf | undefined,
): number | undefined {
  if (callbacks.size === 0) return undefined;
  const wanted = callbacks.get(btf!.find("func", name) ?? 0);
  return wanted === undefined ? undefined : byName.get(wanted);
}
