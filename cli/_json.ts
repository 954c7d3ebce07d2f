/**
 * JSON as bpftool writes it: numbers of 64 bits as they are, and laid out over lines where that is asked for.
 *
 * @module
 */

/** What can be written as JSON. Numbers of 64 bits are written digit by digit; what is undefined is left out. */
export type Json =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };

/** JSON that was written before, such as a value that was formatted by its BTF. */
export class RawJson {
  /** The text. */
  readonly text: string;

  /** Takes a text that is JSON. */
  constructor(text: string) {
    this.text = text;
  }
}

/** What {@linkcode writeJson} takes. */
export type Writable = Json | RawJson | readonly Writable[] | { readonly [name: string]: Writable | undefined };

const INDENT = "    ";

/**
 * Writes JSON.
 *
 * @param value What is written.
 * @param pretty Whether members of objects stand on lines of their own, as with bpftool's `-p`.
 * @param depth Objects and arrays around it.
 * @returns The text.
 */
export function writeJson(value: Writable, pretty = false, depth = 0): string {
  if (value instanceof RawJson) return pretty ? writeJson(parseExact(value.text), true, depth) : value.text;
  if (typeof value === "bigint") return `${value}`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const line = (at: number): string => pretty ? `\n${INDENT.repeat(at)}` : "";
  if (Array.isArray(value)) {
    const items = value as readonly Writable[];
    if (items.length === 0) return "[]";
    return `[${items.map((item) => writeJson(item, pretty, depth + 1)).join(",")}${line(depth)}]`;
  }
  const members = Object.entries(value as { readonly [name: string]: Writable | undefined })
    .filter((entry): entry is [string, Writable] => entry[1] !== undefined);
  if (members.length === 0) return "{}";
  const space = pretty ? " " : "";
  const texts = members.map(([name, member]) =>
    `${line(depth + 1)}${JSON.stringify(name)}:${space}${writeJson(member, pretty, depth + 1)}`
  );
  return `{${texts.join(",")}${line(depth)}}`;
}

/** Whole numbers outside of strings that a double may not hold. */
const LONG_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

const MARK = "\u0000number:";

/** Parses JSON and keeps long integers exact. */
function parseExact(text: string): Json {
  const marked = text.replace(LONG_NUMBER, (found) => found.startsWith('"') ? found : `"\\u0000number:${found}"`);
  return JSON.parse(
    marked,
    (_, member) => typeof member === "string" && member.startsWith(MARK) ? BigInt(member.slice(MARK.length)) : member,
  );
}

/** Bytes as bpftool's JSON has them: `["0x01","0xff"]`. */
export function hexBytes(bytes: Uint8Array): readonly string[] {
  return Array.from(bytes, (byte) => `0x${byte.toString(16).padStart(2, "0")}`);
}

/**
 * A value of the library's as version 1 of the schema has it: u64 as strings, bytes as hexadecimal text, maps as pairs.
 *
 * @param value The value.
 * @returns What JSON.stringify takes.
 */
export function toJsonV1(value: unknown): Json {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return [...value].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as ArrayLike<unknown>, toJsonV1);
  if (value instanceof Map || value instanceof Set) return [...value].map(toJsonV1);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).filter(([, member]) => member !== undefined).map((
        [name, member],
      ) => [name, toJsonV1(member)]),
    );
  }
  if (typeof value === "number" && !Number.isFinite(value)) return `${value}`;
  return (value ?? null) as Json;
}
