/** The error of an object file that makes no sense. */

import type { ElfSection } from "../elf/mod.ts";

/** An error with the section that it is about, and the place in the file. */
export type MalformedObject = SyntaxError & { readonly offset: number; readonly section: string };

/**
 * The error of a malformed object.
 *
 * @param section The section.
 * @param offset Bytes from its start.
 * @param reason What is wrong.
 * @returns A SyntaxError with `offset`, from the start of the file, and `section`.
 */
export function malformedObject(section: ElfSection, offset: number, reason: string): MalformedObject {
  const at = section.offset + offset;
  const message = `Cannot read object at byte ${at} (section ${section.name || section.index}): ${reason}`;
  return Object.assign(new SyntaxError(message), { offset: at, section: section.name });
}

/** A record whose keys come from a file: any name is only a name. */
export function emptyRecord<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}
