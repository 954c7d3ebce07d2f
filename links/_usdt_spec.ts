/**
 * What BPF programs are told of a USDT probe's arguments: the maps of libbpf's usdt.bpf.h.
 *
 * @module
 */

import { mapDeleteElem, mapUpdateElem } from "../cmds/map_elem.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { NotSupportedError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import { registerOffset, type UsdtArgument, type UsdtMachine } from "./usdt_args.ts";

/** BPF_USDT_MAX_ARG_CNT */
const MAX_ARGUMENTS = 12;

/** `enum __bpf_usdt_arg_type` */
const KINDS = { constant: 0, register: 1, memory: 2, indexed: 3 } as const;

/** Where the members of `struct __bpf_usdt_arg_spec` are; those of the index came with libbpf 1.7. */
interface ArgumentLayout {
  readonly size: number;
  readonly register: number;
  readonly signed: number;
  readonly shift: number;
  /** 12 bits of the index's register, then 4 bits of the scale's logarithm. */
  readonly index: number | undefined;
}

const LAYOUTS: readonly ArgumentLayout[] = [
  { size: 16, register: 12, signed: 14, shift: 15, index: undefined },
  { size: 24, register: 14, signed: 16, shift: 17, index: 10 },
];

/** Behind the arguments: the cookie, and the number of arguments, padded. */
const TAIL_SIZE = 16;

/** `struct __bpf_usdt_spec` of the size that the map's values have. */
export function encodeUsdtSpec(
  args: readonly UsdtArgument[],
  options: { cookie: bigint; valueSize: number; machine?: UsdtMachine },
): Bytes {
  const { cookie, valueSize, machine = Deno.build.arch } = options;
  const layout = LAYOUTS.find(({ size }) => size * MAX_ARGUMENTS + TAIL_SIZE === valueSize);
  if (layout === undefined) {
    const sizes = LAYOUTS.map(({ size }) => size * MAX_ARGUMENTS + TAIL_SIZE).join(" or ");
    throw new TypeError(`Cannot use specs: its values have ${valueSize} bytes, and those of usdt.bpf.h have ${sizes}`);
  }
  if (args.length > MAX_ARGUMENTS) {
    throw new NotSupportedError(`USDT probes of ${args.length} arguments`, {
      reason: `programs read ${MAX_ARGUMENTS}`,
    });
  }
  const bytes = allocate(valueSize);
  const view = new DataView(bytes.buffer);
  args.forEach((argument, index) => encodeArgument(view, layout.size * index, argument, { layout, machine }));
  view.setBigUint64(layout.size * MAX_ARGUMENTS, cookie, LITTLE_ENDIAN);
  view.setInt16(layout.size * MAX_ARGUMENTS + 8, args.length, LITTLE_ENDIAN);
  return bytes;
}

function unreadable(text: string, reason: string): NotSupportedError {
  return new NotSupportedError(`the USDT argument "${text}"`, { reason });
}

function encodeArgument(
  view: DataView,
  at: number,
  argument: UsdtArgument,
  { layout, machine }: { layout: ArgumentLayout; machine: UsdtMachine },
): void {
  const { text } = argument;
  if (argument.kind === "unknown") throw unreadable(text, "programs cannot read it from where it is");
  const offsetOf = (register: string): number => {
    const offset = registerOffset(register, machine);
    if (offset === undefined) throw unreadable(text, `${machine} has no register ${register}`);
    return offset;
  };
  const indexed = argument.kind === "memory" && argument.index !== undefined;
  const kind = indexed ? KINDS.indexed : KINDS[argument.kind];
  const value = argument.kind === "constant" ? argument.value : argument.kind === "memory" ? argument.offset : 0n;
  view.setBigInt64(at, BigInt.asIntN(64, value), LITTLE_ENDIAN);
  if (layout.index === undefined) view.setUint32(at + 8, kind, LITTLE_ENDIAN);
  else view.setUint8(at + 8, kind);
  if (argument.kind !== "constant") {
    view.setInt16(at + layout.register, offsetOf(argument.register), LITTLE_ENDIAN);
  }
  if (argument.kind === "memory" && argument.index !== undefined) {
    if (layout.index === undefined) throw unreadable(text, "the program was built with a libbpf older than 1.7");
    const shift = Math.log2(argument.scale ?? 1);
    view.setUint16(at + layout.index, offsetOf(argument.index) | shift << 12, LITTLE_ENDIAN);
  }
  view.setUint8(at + layout.signed, argument.signed ? 1 : 0);
  view.setUint8(at + layout.shift, 64 - 8 * argument.size);
}

/** The specs of a map that are in use, by the map's id: a map has one list of them, whoever attaches. */
const used = new Map<number, Set<number>>();

/** Specs in a map, for as long as they are not given back. */
export class UsdtSpecs {
  readonly #token: AnyToken;
  readonly #map: FdSource;
  readonly #mapId: number;
  readonly #capacity: number;
  readonly #valueSize: number;
  readonly #ids = new Map<string, number>();

  /** Looks at the map. */
  constructor(token: AnyToken, map: FdSource) {
    const { id, maxEntries, valueSize } = objGetInfoByFd(token, map, { kind: "map" });
    this.#token = token;
    this.#map = map;
    this.#mapId = id;
    this.#capacity = maxEntries;
    this.#valueSize = valueSize;
  }

  /** The number of the spec of some arguments, which is written to the map where it is new. */
  idOf(args: readonly UsdtArgument[], cookie: bigint): number {
    const key = args.map(({ text }) => text).join(" ");
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const value = encodeUsdtSpec(args, { cookie, valueSize: this.#valueSize });
    const taken = used.get(this.#mapId) ?? new Set();
    let id = 0;
    while (taken.has(id)) id++;
    if (id >= this.#capacity) {
      throw new RangeError(`Cannot attach to a USDT probe: the map of specs has ${this.#capacity} entries, all in use`);
    }
    const numbered = allocate(4);
    new DataView(numbered.buffer).setUint32(0, id, LITTLE_ENDIAN);
    mapUpdateElem(this.#token, this.#map, { key: numbered, value });
    used.set(this.#mapId, taken.add(id));
    this.#ids.set(key, id);
    return id;
  }

  /** How to give them back, without this object. */
  releaser(): () => void {
    const [ids, mapId] = [[...this.#ids.values()], this.#mapId];
    return () => {
      const taken = used.get(mapId);
      for (const id of ids) taken?.delete(id);
      if (taken?.size === 0) used.delete(mapId);
    };
  }
}

const addressKey = (address: bigint): Bytes => {
  const key = allocate(8);
  new DataView(key.buffer).setBigUint64(0, address, LITTLE_ENDIAN);
  return key;
};

/** Tells programs of kernels without cookies which spec an address has. */
export function setAddressSpec(token: AnyToken, map: FdSource, address: bigint, id: number): void {
  const value = allocate(4);
  new DataView(value.buffer).setUint32(0, id, LITTLE_ENDIAN);
  mapUpdateElem(token, map, { key: addressKey(address), value });
}

/** Takes it back. */
export function clearAddressSpec(token: AnyToken, map: FdSource, address: bigint): void {
  mapDeleteElem(token, map, { key: addressKey(address) });
}
