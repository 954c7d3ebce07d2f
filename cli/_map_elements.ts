/**
 * Elements of maps: as they are read, and as they are shown.
 *
 * @module
 */

import type { MapInfo } from "../cmds/info.ts";
import { mapGetNextKey, mapLookupElem } from "../cmds/map_elem.ts";
import { PermissionError, SyscallError } from "../errors.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import type { Fd } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { errnoMeaning } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { hexText } from "./_bytes.ts";
import { hexBytes, type Writable } from "./_json.ts";
import type { MapTypes } from "./_map_btf.ts";
import type { HeldToken } from "./_session.ts";

/** Types that have a value for each CPU. */
const PER_CPU: ReadonlySet<string | number> = new Set([
  "percpu_hash",
  "percpu_array",
  "lru_percpu_hash",
  "percpu_cgroup_storage",
]);

/** Whether a map has a value for each CPU. */
export function isPerCpu({ type }: MapInfo): boolean {
  return PER_CPU.has(type);
}

/** Types whose elements may be empty: nothing is said of those. */
const SPARSE: ReadonlySet<string | number> = new Set(["prog_array", "array_of_maps", "hash_of_maps"]);

/** Whether a map holds other maps. */
export function holdsMaps({ type }: MapInfo): boolean {
  return type === "array_of_maps" || type === "hash_of_maps";
}

/** An element: a value, or why there is none. */
export interface Element {
  readonly key: Bytes;
  readonly value: Bytes | undefined;
  readonly error: string | undefined;
  /** The errno of that. */
  readonly errno?: number;
}

/** Numbers from here on are the kernel's own: strerror(3) has no words for them. C name: ERESTARTSYS. */
const FIRST_INTERNAL = 512;

function meaning(errno: number): string {
  return errno >= FIRST_INTERNAL ? `Unknown error ${errno}` : errnoMeaning(errno);
}

/** Reads an element; undefined where it is empty. */
export function readElement(token: HeldToken, map: Fd, info: MapInfo, key: Bytes): Element | undefined {
  try {
    const value = mapLookupElem(token, map, { key });
    if (value !== undefined) return { key, value, error: undefined };
    return SPARSE.has(info.type)
      ? undefined
      : { key, value: undefined, error: errnoMeaning(errnos.ENOENT), errno: errnos.ENOENT };
  } catch (error) {
    if (error instanceof PermissionError) throw error;
    if (!(error instanceof SyscallError)) {
      const { cause } = error as Error;
      if (!(cause instanceof SyscallError)) throw error;
      return { key, value: undefined, error: meaning(cause.errno), errno: cause.errno };
    }
    return { key, value: undefined, error: meaning(error.errno), errno: error.errno };
  }
}

/** The elements of a map, in the order of their keys in the kernel. */
export function* elementsOf(token: HeldToken, map: Fd, info: MapInfo): Generator<Element, void> {
  // Keys that go while they are gone over would start it anew: each is told once for as long as the map has room.
  let seen = 0;
  for (let key = mapGetNextKey(token, map); key !== undefined && seen < Math.max(info.maxEntries, 1) * 2; seen++) {
    const element = readElement(token, map, info, key);
    if (element !== undefined) yield element;
    key = mapGetNextKey(token, map, { key });
  }
}

/** The value of each CPU. */
export function perCpuValues(value: Bytes, { valueSize }: MapInfo): Bytes[] {
  const step = Math.ceil(valueSize / 8) * 8;
  return Array.from({ length: possibleCpus() }, (_, cpu) => value.subarray(cpu * step, cpu * step + valueSize));
}

/** An element in bpftool's JSON. */
export function elementJson({ key, value, error }: Element, info: MapInfo, types: MapTypes | undefined): Writable {
  if (value === undefined) return { key: hexBytes(key), value: { error: error ?? "" } };
  if (!isPerCpu(info)) {
    return {
      key: hexBytes(key),
      value: hexBytes(value),
      formatted: types === undefined ? undefined : {
        key: types.hasKey ? types.json("key", key) : undefined,
        value: types.json("value", value),
      },
    };
  }
  const values = perCpuValues(value, info);
  return {
    key: hexBytes(key),
    values: values.map((one, cpu) => ({ cpu, value: hexBytes(one) })),
    formatted: types === undefined ? undefined : {
      key: types.hasKey ? types.json("key", key) : undefined,
      values: values.map((one, cpu) => ({ cpu, value: types.json("value", one) })),
    },
  };
}

/** An element as the library's JSON has it. */
export function elementValue({ key, value, error }: Element, info: MapInfo, types: MapTypes | undefined): unknown {
  const shown = (what: "key" | "value", bytes: Bytes): unknown =>
    types === undefined ? bytes : types.value(what, bytes);
  if (value === undefined) return { key: shown("key", key), error };
  if (!isPerCpu(info)) return { key: shown("key", key), value: shown("value", value) };
  return { key: shown("key", key), values: perCpuValues(value, info).map((one) => shown("value", one)) };
}

/** What stands in the place of a value that cannot be read. */
function absence({ error, errno }: Element, { type }: MapInfo): string {
  if (errno === errnos.ENOENT) return "<no entry>";
  // Sockets have numbers of 8 bytes, which smaller values have no room for.
  if (errno === errnos.ENOSPC && type === "reuseport_sockarray") return "<cannot read>";
  return error ?? "";
}

/** An element as text. Typed ones are objects at some depth of what is around them. */
export function elementText(element: Element, info: MapInfo, types: MapTypes | undefined, depth: number): string {
  const { key, value } = element;
  if (types !== undefined && value !== undefined) {
    return typedText(element as Element & { value: Bytes }, info, types, depth);
  }
  if (isPerCpu(info) && value !== undefined) {
    let text = key.length === 0 ? "" : `key:\n${hexText(key)}\n`;
    for (const [cpu, one] of perCpuValues(value, info).entries()) {
      text += `value (CPU ${`${cpu}`.padStart(2, "0")}):${info.valueSize > 16 ? "\n" : " "}${hexText(one)}\n`;
    }
    return text;
  }
  const said = absence(element, info);
  const size = value?.length ?? said.length;
  // What is long stands below its name, and short ones share a line.
  const apart = key.length > 16 || size > 16;
  const shared = !apart && key.length + size <= 24;
  const after = apart ? "\n" : " ";
  const keyText = key.length === 0 ? "" : `key:${after}${hexText(key)}${shared ? "  " : "\n"}`;
  return `${keyText}${size === 0 ? "" : `value:${after}${value === undefined ? said : hexText(value)}`}\n`;
}

function typedText({ key, value }: Element & { value: Bytes }, info: MapInfo, types: MapTypes, depth: number): string {
  const indent = (at: number): string => "    ".repeat(at);
  const inner = indent(depth + 1);
  const keyText = types.hasKey ? `${inner}"key": ${types.text("key", key, depth + 1)},\n` : "";
  if (!isPerCpu(info)) {
    return `{\n${keyText}${inner}"value": ${types.text("value", value, depth + 1)}\n${indent(depth)}}`;
  }
  const values = perCpuValues(value, info).map((one, cpu) =>
    `{\n${indent(depth + 3)}"cpu": ${cpu},\n${indent(depth + 3)}"value": ${types.text("value", one, depth + 3)}\n${
      indent(depth + 2)
    }}`
  );
  return `{\n${keyText}${inner}"values": [${values.join(",")}\n${inner}]\n${indent(depth)}}`;
}
