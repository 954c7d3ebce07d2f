/**
 * What compilers leave open in BTF: the sizes of sections of variables and the places of the variables, which the symbols
 * of the file tell.
 */

import type { Elf, ElfSymbol } from "../elf/mod.ts";
import type { BtfEditor } from "./_btf_editor.ts";

/** Sections whose variables the kernel has. */
const EXTERNS: ReadonlySet<string> = new Set([".kconfig", ".ksyms"]);

const STATIC = 0;

/** Words of a section's variable: type, offset, size. */
const [OFFSET, SIZE] = [1, 2];
/** Words of a type: its size; what a var adds, its linkage. */
const TYPE_SIZE = 2;
const LINKAGE = 3;

/** Fills in the sizes of sections and the places of their variables, and marks hidden ones as static. */
export function fixupDatasecs(elf: Elf, btf: BtfEditor): void {
  let symbols: Map<string, ElfSymbol> | undefined;
  const symbolOf = (name: string): ElfSymbol | undefined => {
    symbols ??= new Map(
      elf.symbols.filter(({ type, binding }) => type === "object" && (binding === "global" || binding === "weak"))
        .map((symbol) => [symbol.name, symbol]),
    );
    return symbols.get(name);
  };
  for (let id = 1; id < btf.nextId; id++) {
    if (btf.kind(id) !== "datasec") continue;
    const section = btf.name(id);
    if (!EXTERNS.has(section)) fixupDatasec(elf, btf, id, symbolOf);
    btf.sortMembers(id, OFFSET);
  }
}

function fixupDatasec(
  elf: Elf,
  btf: BtfEditor,
  id: number,
  symbolOf: (name: string) => ElfSymbol | undefined,
): void {
  // A linker may have filled all in already.
  const isOpen = btf.word(id, TYPE_SIZE) === 0;
  if (isOpen) btf.setWord(id, TYPE_SIZE, elf.section(btf.name(id))?.size ?? 0);
  for (let index = 0; index < btf.count(id); index++) {
    const variable = btf.memberWord(id, index, 0);
    if (variable === 0 || variable >= btf.nextId || btf.kind(variable) !== "var") continue;
    if (btf.word(variable, LINKAGE) === STATIC) continue;
    const symbol = symbolOf(btf.name(variable));
    if (symbol === undefined) continue;
    if (isOpen) btf.setMemberWord(id, index, OFFSET, symbol.value);
    // The kernel refuses a variable of no size, which C gives to arrays without a length.
    if (isOpen && btf.memberWord(id, index, SIZE) === 0) btf.setMemberWord(id, index, SIZE, symbol.size);
    if (symbol.visibility === "hidden" || symbol.visibility === "internal") btf.setWord(variable, LINKAGE, STATIC);
  }
}
