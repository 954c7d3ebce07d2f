/**
 * A program with USDT probes, as bytes: what compilers of this machine do not make.
 *
 * @module
 */

/** One note. */
export interface UsdtNote {
  /** The address of the instruction. */
  readonly location: number;
  /** Where `.stapsdt.base` was when the note was written. */
  readonly base: number;
  /** The address of the counter; 0 for none. */
  readonly semaphore: number;
  /** Provider, name and arguments. */
  readonly texts: readonly string[];
}

/** An ELF file of 64 bits with notes, a base section, and two segments: code at 0x1000, data at 0x4000. */
export function usdtElf(
  notes: readonly UsdtNote[],
  options: { machine?: number; base?: number } = {},
): Uint8Array<ArrayBuffer> {
  const { machine = 62, base = 0x2000 } = options;
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const encoder = new TextEncoder();
  const u32 = (at: number, ...values: number[]): void =>
    values.forEach((value, index) => view.setUint32(at + 4 * index, value, true));
  const u64 = (at: number, ...values: number[]): void =>
    values.forEach((value, index) => view.setBigUint64(at + 8 * index, BigInt(value), true));
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 3, true);
  view.setUint16(18, machine, true);
  u32(20, 1);
  u64(24, 0x1000, 64, 256);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 4, true);
  view.setUint16(62, 3, true);
  // PT_LOAD, executable and writable: type, flags, then offset, address, physical, sizes, alignment.
  u32(64, 1, 5);
  u64(72, 0x200, 0x1000, 0x1000, 0x100, 0x100, 4096);
  u32(120, 1, 6);
  u64(128, 0x300, 0x4000, 0x4000, 0x100, 0x200, 4096);
  let end = 1024;
  for (const { location, base, semaphore, texts } of notes) {
    const text = encoder.encode(texts.map((one) => `${one}\0`).join(""));
    u32(end, 8, 24 + text.length, 3);
    bytes.set(encoder.encode("stapsdt\0"), end + 12);
    u64(end + 20, location, base, semaphore);
    bytes.set(text, end + 44);
    end += (44 + text.length + 3) & ~3;
  }
  const names = "\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0";
  bytes.set(encoder.encode(names), 512);
  const section = (index: number, name: string, type: number, place: readonly [number, number, number]): void => {
    const at = 256 + 64 * index;
    u32(at, names.indexOf(name), type);
    u64(at + 8, 0, ...place);
    u64(at + 48, 4);
  };
  section(1, ".note.stapsdt", 7, [0, 1024, end - 1024]);
  section(2, ".stapsdt.base", 1, [base, 600, 1]);
  section(3, ".shstrtab", 3, [0, 512, names.length]);
  return bytes;
}
