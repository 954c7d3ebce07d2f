/**
 * The records of `.BTF.ext` as they stand there, by section: the kernel takes them as they are once their instructions
 * are counted from the program's first.
 */

/** The records of one section. */
export interface RawRecords {
  /** Bytes of a record, the first four of which say which instruction it is about. */
  readonly size: number;
  /** The records. */
  readonly bytes: Uint8Array;
}

/** Where functions start, or lines, by section. */
export type RecordsBySection = ReadonlyMap<string, RawRecords>;

/** Both kinds of records. */
export interface ExtRecords {
  /** Where functions start. */
  readonly funcInfo: RecordsBySection;
  /** Where lines start. */
  readonly lineInfo: RecordsBySection;
}

/** None. */
export const NO_RECORDS: ExtRecords = { funcInfo: new Map(), lineInfo: new Map() };

/**
 * Reads the records. `parseBtfExt()` has found the section well-formed before.
 *
 * @param bytes The section `.BTF.ext`.
 * @param littleEndian Its byte order.
 * @param text A string of the BTF by its offset.
 * @returns The records.
 */
export function readExtRecords(bytes: Uint8Array, littleEndian: boolean, text: (offset: number) => string): ExtRecords {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, littleEndian);
  const header = u32(4);
  const part = (field: number): Map<string, RawRecords> => {
    const found = new Map<string, RawRecords>();
    const [start, length] = [header + u32(field), u32(field + 4)];
    if (length === 0) return found;
    const size = u32(start);
    for (let at = start + 4; at < start + length;) {
      const [name, count] = [text(u32(at)), u32(at + 4)];
      const end = at + 8 + count * size;
      if (!found.has(name)) found.set(name, { size, bytes: bytes.subarray(at + 8, end) });
      at = end;
    }
    return found;
  };
  return { funcInfo: part(8), lineInfo: part(16) };
}
