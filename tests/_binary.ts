/**
 * Where symbols are in programs, by binutils: what the library's own reading is held against.
 *
 * @module
 */

import { run } from "./_tools.ts";

async function lines(args: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run("readelf", ["-W", ...args]);
  if (code !== 0) throw new Error(`Cannot run readelf: ${stderr}`);
  return stdout.split("\n");
}

/**
 * The offset of a symbol in its file.
 *
 * @param path The file.
 * @param name The symbol.
 * @returns Bytes from the file's start.
 */
export async function readBinary(path: string, name: string): Promise<number> {
  const symbols = await lines(["-s", path]);
  const found = symbols.map((line) => line.trim().split(/\s+/)).find((parts) =>
    parts[7] === name && parts[6] !== "UND"
  );
  if (found === undefined) throw new Error(`Cannot find ${name} in ${path}`);
  const address = parseInt(found[1], 16);
  for (const line of await lines(["-l", path])) {
    const match = /^\s*LOAD\s+(0x\w+)\s+(0x\w+)\s+0x\w+\s+0x\w+\s+(0x\w+)/.exec(line);
    if (match === null) continue;
    const [offset, start, size] = match.slice(1).map(Number);
    if (address >= start && address < start + size) return address - start + offset;
  }
  throw new Error(`Cannot find the segment of ${name} in ${path}`);
}
