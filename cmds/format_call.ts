/**
 * bpf(2) calls as strace(1) prints them.
 *
 * @module
 */

import type { Attr } from "../ffi/attr.ts";
import type { FieldValue } from "../ffi/struct_buffer.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import { errnoMeaning, errnoName } from "../errors.ts";
import * as constants from "../uapi/constants.gen.ts";
import { attachTypes, type CommandName, mapTypes, progTypes } from "../uapi/enums.gen.ts";

/** How a field is printed. */
type Printer = (value: number | bigint) => string;

const fromEnum = (table: Readonly<Record<string, number>>, prefix: string): Printer => (value) => {
  const name = Object.keys(table).find((key) => table[key] === Number(value));
  return name === undefined ? `${hex(value)} /* ${prefix}??? */` : `${prefix}${name.toUpperCase()}`;
};

const hex: Printer = (value) => Number(value) === 0 ? "0" : `0x${value.toString(16)}`;

/** Flags by name, in the order of strace's own lists; what has no name is added in hexadecimal. */
const flags = (...names: (keyof typeof constants)[]): Printer => (value) => {
  let rest = BigInt(value);
  if (rest === 0n) return "0";
  const known = names.filter((name) => {
    const bit = BigInt(constants[name]);
    if ((rest & bit) !== bit) return false;
    rest &= ~bit;
    return true;
  });
  if (known.length === 0) return hex(value);
  return [...known, ...(rest === 0n ? [] : [`0x${rest.toString(16)}`])].join("|");
};

const updateFlags: Printer = (value) => {
  const mode = ["BPF_ANY", "BPF_NOEXIST", "BPF_EXIST", "BPF_F_LOCK"][Number(value)] ??
    (Number(value) === 4 ? "BPF_F_LOCK" : undefined);
  if (Number(value) === 3) return "BPF_NOEXIST|BPF_EXIST";
  return mode ?? hex(value);
};

/** cmd-specific printers, by field; `*` holds for every command. */
const PRINTERS: Readonly<Record<string, Readonly<Record<string, Printer>>>> = {
  "*": {
    map_type: fromEnum(mapTypes, "BPF_MAP_TYPE_"),
    prog_type: fromEnum(progTypes, "BPF_PROG_TYPE_"),
    attach_type: fromEnum(attachTypes, "BPF_"),
    expected_attach_type: fromEnum(attachTypes, "BPF_"),
    map_flags: flags(
      "BPF_F_NO_PREALLOC",
      "BPF_F_NO_COMMON_LRU",
      "BPF_F_NUMA_NODE",
      "BPF_F_RDONLY",
      "BPF_F_WRONLY",
      "BPF_F_STACK_BUILD_ID",
      "BPF_F_ZERO_SEED",
      "BPF_F_RDONLY_PROG",
      "BPF_F_WRONLY_PROG",
      "BPF_F_CLONE",
      "BPF_F_MMAPABLE",
      "BPF_F_PRESERVE_ELEMS",
      "BPF_F_INNER_MAP",
      "BPF_F_LINK",
      "BPF_F_PATH_FD",
      "BPF_F_VTYPE_BTF_OBJ_FD",
      "BPF_F_TOKEN_FD",
    ),
    prog_flags: flags(
      "BPF_F_STRICT_ALIGNMENT",
      "BPF_F_ANY_ALIGNMENT",
      "BPF_F_TEST_RND_HI32",
      "BPF_F_TEST_STATE_FREQ",
      "BPF_F_SLEEPABLE",
      "BPF_F_XDP_HAS_FRAGS",
      "BPF_F_XDP_DEV_BOUND_ONLY",
    ),
    attach_flags: flags("BPF_F_ALLOW_OVERRIDE", "BPF_F_ALLOW_MULTI", "BPF_F_REPLACE"),
    file_flags: flags("BPF_F_RDONLY", "BPF_F_WRONLY"),
    open_flags: flags("BPF_F_RDONLY", "BPF_F_WRONLY"),
    query_flags: flags("BPF_F_QUERY_EFFECTIVE"),
    elem_flags: updateFlags,
  },
  map_update_elem: { flags: updateFlags },
  map_lookup_elem: { flags: updateFlags },
  map_lookup_and_delete_elem: { flags: updateFlags },
  prog_test_run: { flags: flags("BPF_F_TEST_RUN_ON_CPU", "BPF_F_TEST_XDP_LIVE_FRAMES") },
  link_update: { flags: flags("BPF_F_REPLACE") },
  enable_stats: { type: (value) => Number(value) === 0 ? "BPF_STATS_RUN_TIME" : hex(value) },
};

/** Pointers that strace prints as the text that they point at. */
const TEXTS: ReadonlySet<string> = new Set(["license", "pathname", "name"]);

/** Fields that are other names for the same bytes as a field before them: left out unless they alone were written. */
function visible(attr: Attr, field: FieldValue): boolean {
  const written = new Set(attr.written);
  const at = attr.offset(field.name as never);
  const twins = [...attr.entries()].filter(({ name }) => attr.offset(name as never) === at).map(({ name }) => name);
  const chosen = twins.find((name) => written.has(name)) ?? twins[0];
  return chosen === field.name;
}

const escape = (text: string): string =>
  // deno-lint-ignore no-control-regex
  text.replace(/[\\"\u0000-\u001f\u007f-\uffff]/g, (char) => char === '"' || char === "\\" ? `\\${char}` : octal(char));

function octal(char: string): string {
  return [...new TextEncoder().encode(char)].map((byte) => `\\${byte.toString(8)}`).join("");
}

function print(command: CommandName, { name, value, buffer }: FieldValue): string {
  if (value instanceof Uint8Array) return `"${escape(textOf(value))}"`;
  const short = name.slice(name.lastIndexOf(".") + 1);
  if (buffer !== undefined) {
    return TEXTS.has(short) && buffer.length > 0
      ? `"${escape(textOf(buffer))}"`
      : Number(value) === 0
      ? "NULL"
      : hex(value);
  }
  const printer = PRINTERS[command]?.[name] ?? PRINTERS["*"][name];
  return printer === undefined ? `${value}` : printer(value);
}

/**
 * A bpf(2) call as strace(1) prints it, with the fields that are set.
 *
 * @param attr The call's attr.
 * @param result What the kernel answered: ≥ 0, or −errno.
 * @returns Such as `bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_HASH, key_size=4, …}, 92) = 3`.
 */
export function formatCall<C extends CommandName>(attr: Attr<C>, result: number): string {
  const any = attr as unknown as Attr;
  const fields = [...any.entries()].filter((field) => visible(any, field) && !isZero(field));
  const text = fields.map((field) => `${nest(field.name)}${print(any.command, field)}`).join(", ");
  const answer = result < 0 ? `-1 ${errnoName(-result)} (${errnoMeaning(-result)})` : `${result}`;
  return `bpf(BPF_${any.command.toUpperCase()}, {${text}}, ${any.bytes.length}) = ${answer}`;
}

function nest(name: string): string {
  return `${name}=`;
}

/** Types are printed even where they are 0, as a number that means something. */
function isZero({ name, value, buffer }: FieldValue): boolean {
  if (/(^|_)type$/.test(name)) return false;
  if (value instanceof Uint8Array) return value[0] === 0;
  return Number(value) === 0 && buffer === undefined;
}
