/**
 * The sections of small ELF objects that tests compile: no more of ELF than that.
 *
 * @module
 */

/**
 * Reads the sections of a 64-bit ELF file of either byte order.
 *
 * @param bytes The file.
 * @returns The bytes of each section by its name.
 */
export function elfSections(bytes: Uint8Array<ArrayBuffer>): Map<string, Uint8Array<ArrayBuffer>> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const littleEndian = bytes[5] === 1;
  const tableAt = Number(view.getBigUint64(0x28, littleEndian));
  const [entrySize, count, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => view.getUint16(at, littleEndian));
  const section = (index: number): Uint8Array<ArrayBuffer> => {
    const at = tableAt + index * entrySize;
    const [start, size] = [0x18, 0x20].map((field) => Number(view.getBigUint64(at + field, littleEndian)));
    return bytes.slice(start, start + size);
  };
  const names = section(namesIndex);
  const sections = new Map<string, Uint8Array<ArrayBuffer>>();
  for (let index = 1; index < count; index++) {
    const at = view.getUint32(tableAt + index * entrySize, littleEndian);
    sections.set(new TextDecoder().decode(names.subarray(at, names.indexOf(0, at))), section(index));
  }
  return sections;
}
