/**
 * Programs and libraries: found by name, and their functions by symbol.
 *
 * @module
 */

import { Elf, type ElfSymbol } from "../elf/mod.ts";
import { globTest } from "./_kernel_functions.ts";

const PT_LOAD = 1;
const PF_X = 1;

/** Where libraries are, besides LD_LIBRARY_PATH, and programs, besides PATH. */
const LIBRARIES: readonly string[] = [
  "/usr/lib64",
  "/usr/lib",
  `/usr/lib/${Deno.build.arch}-linux-gnu`,
  "/lib64",
  "/lib",
  `/lib/${Deno.build.arch}-linux-gnu`,
];
const PROGRAMS: readonly string[] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

function searchPath(variable: string): string[] {
  try {
    return (Deno.env.get(variable) ?? "").split(":").filter((folder) => folder !== "");
  } catch (error) {
    // Without --allow-env only the usual places are looked at.
    if (error instanceof Deno.errors.NotCapable) return [];
    throw error;
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  }
}

/** The file of a program or library: a path as it is, a name by where such files are. */
export function findBinary(name: string): string {
  if (typeof name !== "string" || name === "") throw new TypeError("Cannot use path: it is empty");
  if (name.includes("/")) return name;
  const isLibrary = /\.so(\.|$)/.test(name);
  const folders = isLibrary ? [...searchPath("LD_LIBRARY_PATH"), ...LIBRARIES] : [...searchPath("PATH"), ...PROGRAMS];
  for (const folder of folders) if (isFile(`${folder}/${name}`)) return `${folder}/${name}`;
  throw new TypeError(
    `Cannot use path: there is no ${isLibrary ? "library" : "program"} "${name}" where such files are`,
  );
}

/** Reads a program or library. */
export function readBinary(path: string): Elf {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new TypeError(`Cannot use path: there is no file "${path}"`, { cause: error });
  }
  return Elf.parse(bytes);
}

/** A place in a segment of a program: in its file, and whether it is code. */
export interface SegmentPlace {
  readonly offset: number;
  readonly executable: boolean;
}

/** Where an address of a program is in its file, counted on beyond the file's end as the kernel does. */
export function segmentPlace(elf: Elf, address: number): SegmentPlace | undefined {
  const segment = elf.segments.find((one) =>
    one.type === PT_LOAD && address >= one.address && address < one.address + one.memorySize
  );
  if (segment === undefined) return undefined;
  return { offset: address - segment.address + segment.offset, executable: (segment.flags & PF_X) !== 0 };
}

/** A function's name and version, as `name`, `name@VERSION` or `name@@VERSION`. */
interface Wanted {
  readonly name: string;
  readonly version: string | undefined;
  readonly isDefault: boolean;
}

function parseName(text: string): Wanted {
  const [, name, at, version] = /^(.*?)(?:(@@?)(.+))?$/s.exec(text)!;
  return { name, version, isDefault: at === "@@" };
}

/** The name and version of a symbol: tables that are not for the dynamic linker have both in the name. */
function nameOf({ name, version }: ElfSymbol): Wanted {
  return version === undefined ? parseName(name) : { name, version: version.name, isDefault: version.isDefault };
}

function matches(symbol: ElfSymbol, wanted: Wanted): boolean {
  const has = nameOf(symbol);
  if (has.name !== wanted.name) return false;
  if (wanted.version === undefined) return true;
  return has.version === wanted.version && (!wanted.isDefault || has.isDefault);
}

/** Functions that choose another one, which are called once when a program starts: nobody means to probe those. */
const CHOOSER = "gnu_ifunc";

const isDefined = ({ type, sectionIndex, value }: ElfSymbol): boolean =>
  (type === "func" || type === CHOOSER) && sectionIndex !== 0 && value !== 0;

/** Which of several symbols of a name is meant: what all may use, then the default version. */
function rank(symbol: ElfSymbol): number {
  const binding = symbol.binding === "global" ? 4 : symbol.binding === "weak" ? 2 : 0;
  return binding + (symbol.version?.isDefault === false ? 0 : 1);
}

function offsetOf(elf: Elf, symbol: ElfSymbol, path: string): number {
  const section = elf.sections[symbol.sectionIndex];
  // Files of debug information have the section's header without its segment.
  const offset = elf.fileOffset(symbol.value) ??
    (section === undefined ? undefined : symbol.value - section.address + section.offset);
  if (offset === undefined) throw new TypeError(`Cannot use symbol: "${symbol.name}" is nowhere in ${path}`);
  return offset;
}

/** Where a function starts in its file. */
export function functionOffset(elf: Elf, symbol: string, path: string): number {
  const wanted = parseName(symbol);
  for (const table of [elf.dynamicSymbols, elf.symbols]) {
    const found = table.filter((one) => isDefined(one) && matches(one, wanted));
    if (found.length === 0) continue;
    const best = Math.max(...found.map(rank));
    const meant = found.filter((one) => rank(one) === best);
    if (meant.some(({ type }) => type === CHOOSER)) {
      const why = "it is chosen among others when a program starts; name one of those";
      throw new TypeError(`Cannot use symbol: ${path} has no function "${symbol}": ${why}`);
    }
    const offsets = new Set(meant.map((one) => offsetOf(elf, one, path)));
    if (offsets.size > 1) {
      throw new TypeError(
        `Cannot use symbol: ${path} has ${offsets.size} functions "${symbol}"; name its version, or give an offset`,
      );
    }
    return [...offsets][0];
  }
  throw new TypeError(`Cannot use symbol: ${path} has no function "${symbol}"`);
}

/** Where the functions that a pattern names start in their file, each place once. */
export function functionOffsetsLike(elf: Elf, pattern: string, path: string): number[] {
  const test = globTest(pattern);
  const offsets = new Set<number>();
  for (const table of [elf.symbols, elf.dynamicSymbols]) {
    for (const symbol of table) {
      if (symbol.type === "func" && isDefined(symbol) && test(nameOf(symbol).name)) {
        offsets.add(offsetOf(elf, symbol, path));
      }
    }
  }
  if (offsets.size === 0) throw new TypeError(`Cannot use pattern: ${path} has no function "${pattern}"`);
  return [...offsets].sort((a, b) => a - b);
}
