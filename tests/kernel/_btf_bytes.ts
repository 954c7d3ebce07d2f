/**
 * BTF, written by hand for the tests of cmds/: independent of btf/, which stands above.
 *
 * @module
 */

const encoder = new TextEncoder();

/** A member of a struct. */
export interface MemberOf {
  /** Its name. */
  readonly name: string;
  /** Its type id. */
  readonly type: number;
  /** Its place in bits. */
  readonly bit: number;
}

/** BTF that grows type by type; each method gives the new type's id. */
export class BtfBytes {
  #strings = "\0";
  readonly #words: number[] = [];
  #count = 0;

  /** The offset of a text among the strings. */
  text(text: string): number {
    if (text === "") return 0;
    const at = this.#strings.length;
    this.#strings += `${text}\0`;
    return at;
  }

  #type(name: string, kind: number, vlen: number, sizeOrType: number, ...rest: number[]): number {
    this.#words.push(this.text(name), (kind << 24) | vlen, sizeOrType, ...rest);
    return ++this.#count;
  }

  /** An integer: `encoding` 1 is signed. */
  int(name: string, size: number, encoding = 0): number {
    return this.#type(name, 1, 0, size, (encoding << 24) | (size * 8));
  }

  /** A pointer. */
  pointer(type: number): number {
    return this.#type("", 2, 0, type);
  }

  /** A struct. */
  struct(name: string, size: number, members: readonly MemberOf[]): number {
    const words = members.flatMap((member) => [this.text(member.name), member.type, member.bit]);
    return this.#type(name, 4, members.length, size, ...words);
  }

  /** The type of a function. */
  funcProto(result: number, params: readonly (readonly [name: string, type: number])[]): number {
    return this.#type("", 13, params.length, result, ...params.flatMap(([name, type]) => [this.text(name), type]));
  }

  /** A function: linkage 0 is static, 1 global. */
  func(name: string, proto: number, linkage = 0): number {
    return this.#type(name, 12, linkage, proto);
  }

  /** Header, types and strings. */
  bytes(): Uint8Array<ArrayBuffer> {
    const strings = encoder.encode(this.#strings);
    const typeSize = 4 * this.#words.length;
    const bytes = new Uint8Array(new ArrayBuffer(24 + typeSize + strings.length));
    const view = new DataView(bytes.buffer);
    view.setUint16(0, 0xeb9f, true);
    view.setUint8(2, 1);
    [24, 0, typeSize, typeSize, strings.length].forEach((word, index) => view.setUint32(4 + 4 * index, word, true));
    this.#words.forEach((word, index) => view.setUint32(24 + 4 * index, word >>> 0, true));
    bytes.set(strings, 24 + typeSize);
    return bytes;
  }
}

/** Kinds of types that the kernel's BTF is searched for. */
const KINDS = { struct: 4, typedef: 8, func: 12 } as const;

/** How many bytes follow the header of a type: some per member, and some once. */
const TRAILERS: Readonly<Record<number, readonly [each: number, once: number]>> = {
  1: [0, 4],
  3: [0, 12],
  4: [12, 0],
  5: [12, 0],
  6: [8, 0],
  13: [8, 0],
  14: [0, 4],
  15: [12, 0],
  17: [0, 4],
  19: [12, 0],
};

/** The kernel's BTF, as far as types are looked up by name. */
interface Vmlinux {
  /** Types as words of this machine. */
  readonly words: Uint32Array;
  /** All strings, a character a byte. */
  readonly strings: string;
  /** What was looked up before. */
  readonly found: Map<string, number | undefined>;
}

let vmlinux: Vmlinux | undefined;

function readVmlinux(): Vmlinux {
  const bytes = Deno.readFileSync("/sys/kernel/btf/vmlinux");
  const view = new DataView(bytes.buffer);
  const header = view.getUint32(4, true);
  const typesAt = header + view.getUint32(8, true);
  const stringsAt = header + view.getUint32(16, true);
  const strings = bytes.subarray(stringsAt, stringsAt + view.getUint32(20, true));
  return {
    words: new Uint32Array(bytes.slice(typesAt, typesAt + view.getUint32(12, true)).buffer),
    strings: new TextDecoder("latin1").decode(strings),
    found: new Map(),
  };
}

/** Compares places in the table of strings, as decoding all names would take seconds in a VM. */
function findId({ words, strings }: Vmlinux, wantedKind: number, name: string): number | undefined {
  const place = strings.indexOf(`\0${name}\0`) + 1;
  if (place === 0) return undefined;
  let found: number | undefined;
  let id = 0;
  for (let at = 0; at < words.length;) {
    id++;
    const info = words[at + 1];
    const kind = (info >>> 24) & 0x1f;
    const [each, once] = TRAILERS[kind] ?? [0, 0];
    if (kind === wantedKind && words[at] === place) found = id;
    at += 3 + (once + each * (info & 0xffff)) / 4;
  }
  return found;
}

/**
 * The id of a type of the running kernel.
 *
 * @param kind Its kind.
 * @param name Its name.
 * @returns Its id, the last one where there are several; undefined where the kernel has none.
 */
export function vmlinuxId(kind: keyof typeof KINDS, name: string): number | undefined {
  vmlinux ??= readVmlinux();
  const key = `${kind} ${name}`;
  if (!vmlinux.found.has(key)) vmlinux.found.set(key, findId(vmlinux, KINDS[kind], name));
  return vmlinux.found.get(key);
}

/** The id of a type that the test needs. */
export function needVmlinuxId(kind: keyof typeof KINDS, name: string): number {
  const id = vmlinuxId(kind, name);
  if (id === undefined) throw new Error(`Cannot find ${kind} ${name} in the kernel's BTF`);
  return id;
}
