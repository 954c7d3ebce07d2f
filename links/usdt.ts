/**
 * USDT probes: places that programs and libraries name for tracing, with their arguments.
 *
 * @module
 */

import type { Elf } from "../elf/mod.ts";
import { findBinary, readBinary, segmentPlace } from "./_binary.ts";
import { parseUsdtArguments, type UsdtArgument, type UsdtMachine } from "./usdt_args.ts";

/** A place of a USDT probe. One probe can have several. */
export interface UsdtProbe {
  /** Who defines it, such as `"libc"`. */
  readonly provider: string;
  /** Its name, such as `"memory_heap_new"`. */
  readonly name: string;
  /** The address of its instruction, as the file has it. */
  readonly address: number;
  /** Where that is in the file, in bytes. */
  readonly offset: number;
  /** The address of the counter that says whether somebody is there; undefined where it has none. */
  readonly semaphore: number | undefined;
  /** Where the counter is in the file, in bytes. */
  readonly semaphoreOffset: number | undefined;
  /** Its arguments. */
  readonly arguments: readonly UsdtArgument[];
}

const STAPSDT_TYPE = 3;

/** e_machine of the machines whose arguments can be read. */
const MACHINES: Readonly<Record<number, UsdtMachine>> = { 62: "x86_64", 183: "aarch64" };

const decoder = new TextDecoder();

function malformed(what: string): SyntaxError {
  return Object.assign(new SyntaxError(`Cannot read a USDT probe: ${what}`), { offset: 0 });
}

/** The three addresses and the three texts of a note. */
function readNote(elf: Elf, data: Uint8Array): { addresses: readonly number[]; texts: readonly string[] } {
  const size = elf.is64 ? 8 : 4;
  if (data.length < 3 * size + 3) throw malformed(`its note has ${data.length} bytes`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const addresses = [0, 1, 2].map((index) =>
    size === 8 ? Number(view.getBigUint64(index * 8, elf.littleEndian)) : view.getUint32(index * 4, elf.littleEndian)
  );
  const texts = decoder.decode(data.subarray(3 * size)).split("\0");
  if (texts.length < 4) throw malformed("its note lacks a provider, a name or its arguments");
  return { addresses, texts };
}

/**
 * Reads the USDT probes of a program or library.
 *
 * @param elf The file.
 * @returns Each place of each probe, in the order of the file.
 * @throws {SyntaxError} For a note that is malformed, or a probe that lies in no segment.
 */
export function readUsdtProbes(elf: Elf): UsdtProbe[] {
  const machine = MACHINES[elf.machine];
  const base = elf.section(".stapsdt.base")?.address;
  return elf.notes().filter(({ name, type }) => name === "stapsdt" && type === STAPSDT_TYPE).map(({ data }) => {
    const { addresses: [location, noteBase, noteSemaphore], texts: [provider, name, text] } = readNote(elf, data);
    // Sections move together when a file is prelinked, which leaves notes as they were.
    const moved = base === undefined ? 0 : base - noteBase;
    const address = location + moved;
    const place = segmentPlace(elf, address);
    if (place === undefined) throw malformed(`${provider}:${name} is at address ${address}, which no segment has`);
    const semaphore = noteSemaphore === 0 ? undefined : noteSemaphore + moved;
    const counter = semaphore === undefined ? undefined : segmentPlace(elf, semaphore);
    if (semaphore !== undefined && counter === undefined) {
      throw malformed(`the semaphore of ${provider}:${name} is at address ${semaphore}, which no segment has`);
    }
    return {
      provider,
      name,
      address,
      offset: place.offset,
      semaphore,
      semaphoreOffset: counter?.offset,
      arguments: machine === undefined ? [] : parseUsdtArguments(text, machine),
    };
  });
}

/**
 * The USDT probes of a program or library. The file is read with Deno's file API: it needs --allow-read for it.
 *
 * @example
 * ```ts
 * import { usdtProbes } from "@bpf/deno";
 *
 * for (const { provider, name, arguments: args } of usdtProbes("libc.so.6")) {
 *   console.log(`${provider}:${name}`, args.map(({ text }) => text).join(" "));
 * }
 * ```
 *
 * @param path The path of the file, or a name, as for `attachUprobe()`.
 * @returns Each place of each probe, in the order of the file.
 * @throws {TypeError} Where there is no such file.
 * @throws {SyntaxError} Where the file is no ELF file, or a note of it is malformed.
 */
export function usdtProbes(path: string): UsdtProbe[] {
  return readUsdtProbes(readBinary(findBinary(path)));
}
