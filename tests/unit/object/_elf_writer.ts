/**
 * Objects made by hand, for what no compiler makes.
 *
 * @module
 */

/** A section. */
export interface WrittenSection {
  readonly name: string;
  /** SHT_*: 1 for bytes, 2 for symbols, 3 for strings, 9 for relocations. */
  readonly type?: number;
  /** SHF_*: 4 for instructions. */
  readonly flags?: number;
  readonly bytes: Uint8Array;
  readonly link?: number;
  readonly info?: number;
  readonly entrySize?: number;
}

/** A symbol. */
export interface WrittenSymbol {
  readonly name: string;
  /** STB_* << 4 | STT_*: 0x11 for a global variable, 0x12 for a global function. */
  readonly info: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

/** A relocation. */
export interface WrittenRelocation {
  readonly offset: number;
  readonly symbol: number;
}

const encoder = new TextEncoder();

/** Strings of a table, with their places. */
class StringTable {
  readonly #texts: Uint8Array[] = [new Uint8Array(1)];
  #length = 1;

  add(text: string): number {
    const at = this.#length;
    const bytes = encoder.encode(`${text}\0`);
    this.#texts.push(bytes);
    this.#length += bytes.length;
    return at;
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const text of this.#texts) {
      all.set(text, at);
      at += text.length;
    }
    return all;
  }
}

/** Relocations as bytes. */
export function relocationBytes(relocations: readonly WrittenRelocation[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 * relocations.length));
  relocations.forEach(({ offset, symbol }, index) => {
    view.setBigUint64(16 * index, BigInt(offset), true);
    view.setUint32(16 * index + 8, 1, true);
    view.setUint32(16 * index + 12, symbol, true);
  });
  return new Uint8Array(view.buffer);
}

/**
 * Writes an object: its sections start at number 3, after the strings (1) and the symbols (2), which start at number 1.
 *
 * @param sections The sections.
 * @param symbols The symbols.
 * @returns The file.
 */
export function writeObject(
  sections: readonly WrittenSection[],
  symbols: readonly WrittenSymbol[],
): Uint8Array<ArrayBuffer> {
  const strings = new StringTable();
  const table = new DataView(new ArrayBuffer(24 * (symbols.length + 1)));
  symbols.forEach(({ name, info, section, value, size }, index) => {
    const at = 24 * (index + 1);
    table.setUint32(at, strings.add(name), true);
    table.setUint8(at + 4, info);
    table.setUint16(at + 6, section, true);
    table.setBigUint64(at + 8, BigInt(value), true);
    table.setBigUint64(at + 16, BigInt(size), true);
  });
  const names = [".strtab", ".symtab", ...sections.map(({ name }) => name)].map((name) => strings.add(name));
  const all: WrittenSection[] = [
    { name: ".strtab", type: 3, bytes: strings.bytes() },
    { name: ".symtab", type: 2, bytes: new Uint8Array(table.buffer), link: 1, info: 1, entrySize: 24 },
    ...sections,
  ];
  const places: number[] = [];
  let end = 64;
  for (const { bytes } of all) {
    places.push(end);
    end = Math.ceil((end + bytes.length) / 8) * 8;
  }
  const file = new Uint8Array(end + 64 * (all.length + 1));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, 247, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(end), true);
  view.setUint16(52, 64, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, all.length + 1, true);
  view.setUint16(62, 1, true);
  all.forEach((section, index) => {
    const { type = 1, flags = 0, bytes, link = 0, info = 0, entrySize = type === 9 ? 16 : 0 } = section;
    file.set(bytes, places[index]);
    const at = end + 64 * (index + 1);
    [names[index], type].forEach((word, field) => view.setUint32(at + 4 * field, word, true));
    [flags, 0, places[index], bytes.length].forEach((word, field) =>
      view.setBigUint64(at + 8 + 8 * field, BigInt(word), true)
    );
    view.setUint32(at + 40, type === 9 ? 2 : link, true);
    view.setUint32(at + 44, info, true);
    view.setBigUint64(at + 48, 8n, true);
    view.setBigUint64(at + 56, BigInt(entrySize), true);
  });
  return file;
}
