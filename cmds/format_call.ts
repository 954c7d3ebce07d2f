/**
 * bpf(2) calls as strace(1) prints them.
 *
 * @module
 */

import type { Attr } from "../ffi/attr.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { FieldValue } from "../ffi/struct_buffer.ts";
import { errnoMeaning, errnoName } from "../errors.ts";
import { attrLayouts } from "../uapi/attr.gen.ts";
import * as constants from "../uapi/constants.gen.ts";
import { attachTypes, type CommandName, mapTypes, progTypes } from "../uapi/enums.gen.ts";

/** How a field is printed. */
type Printer = (value: number | bigint) => string;

const hex: Printer = (value) => Number(value) === 0 ? "0" : `0x${value.toString(16)}`;

const unknown = (value: number | bigint, names: string): string => `${hex(value)} /* ${names}??? */`;

const fromEnum = (table: Readonly<Record<string, number>>, prefix: string): Printer => (value) => {
  const name = Object.keys(table).find((key) => table[key] === Number(value));
  return name === undefined ? unknown(value, prefix) : `${prefix}${name.toUpperCase()}`;
};

type ConstantName = keyof typeof constants;

/** Flags by name, in the order of their bits; what has no name is added in hexadecimal. */
const flags = (...names: ConstantName[]): Printer => (value) => {
  let rest = BigInt(value);
  if (rest === 0n) return "0";
  const known = names.filter((name) => {
    const bit = BigInt(constants[name]);
    if ((rest & bit) !== bit) return false;
    rest &= ~bit;
    return true;
  });
  if (known.length === 0) return unknown(value, names[0].startsWith("BPF_F_TEST_") ? "BPF_F_TEST_" : "BPF_F_");
  return [...known, ...(rest === 0n ? [] : [hex(rest)])].join("|");
};

/** The flags of single elements, which strace takes for an enumeration. */
const elemFlags: Printer = (value) => {
  const names: Readonly<Record<string, string>> = { 0: "BPF_ANY", 1: "BPF_NOEXIST", 2: "BPF_EXIST", 4: "BPF_F_LOCK" };
  return names[`${value}`] ?? unknown(value, "BPF_");
};

const kernelVersion: Printer = (value) => {
  const number = Number(value);
  return `KERNEL_VERSION(${number >>> 16}, ${(number >>> 8) & 0xff}, ${number & 0xff})`;
};

const FILE_FLAGS = flags("BPF_F_RDONLY", "BPF_F_WRONLY", "BPF_F_PATH_FD", "BPF_F_TOKEN_FD");
const ATTACH_FLAGS = flags(
  "BPF_F_ALLOW_OVERRIDE",
  "BPF_F_ALLOW_MULTI",
  "BPF_F_REPLACE",
  "BPF_F_BEFORE",
  "BPF_F_AFTER",
  "BPF_F_ID",
  "BPF_F_LINK",
);

/** Printers by command and by field; `*` holds for every command. Other integers are decimal. */
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
      "BPF_F_TOKEN_FD",
    ),
    attach_flags: ATTACH_FLAGS,
    file_flags: FILE_FLAGS,
    open_flags: FILE_FLAGS,
    btf_flags: FILE_FLAGS,
    query_flags: flags("BPF_F_QUERY_EFFECTIVE"),
    elem_flags: elemFlags,
    kern_version: kernelVersion,
    fd_type: fromEnum(
      { raw_tracepoint: 0, tracepoint: 1, kprobe: 2, kretprobe: 3, uprobe: 4, uretprobe: 5 },
      "BPF_FD_TYPE_",
    ),
    probe_offset: hex,
    probe_addr: hex,
    revision: hex,
    cookie: hex,
    "perf_event.bpf_cookie": hex,
    "tracing.cookie": hex,
    "tcx.expected_revision": hex,
    "netkit.expected_revision": hex,
    "cgroup.expected_revision": hex,
  },
  map_update_elem: { flags: elemFlags },
  map_lookup_elem: { flags: elemFlags },
  map_lookup_and_delete_elem: { flags: elemFlags },
  map_lookup_batch: { flags: hex },
  map_lookup_and_delete_batch: { flags: hex },
  map_update_batch: { flags: hex },
  map_delete_batch: { flags: hex },
  prog_test_run: { flags: flags("BPF_F_TEST_RUN_ON_CPU", "BPF_F_TEST_XDP_LIVE_FRAMES") },
  link_create: { flags: ATTACH_FLAGS },
  link_update: { flags: flags("BPF_F_REPLACE") },
  enable_stats: { type: (value) => Number(value) === 0 ? "BPF_STATS_RUN_TIME" : unknown(value, "BPF_STATS_") },
};

/** Pointers that are printed as the text that they point at. */
const TEXTS: ReadonlySet<string> = new Set(["license", "pathname", "name", "buf", "uprobe_multi.path"]);

/** Types, which are printed even where they are 0: that is a type too. */
const TYPES: ReadonlySet<string> = new Set(["map_type", "prog_type", "attach_type", "fd_type", "type"]);

/** Lists of ids that the kernel wrote, with the field that has their number. */
const ID_LISTS: Readonly<Record<string, string>> = { prog_ids: "prog_cnt", link_ids: "prog_cnt" };

/** What a call was about, for the printing of one field. */
interface Context {
  readonly attr: Attr;
  readonly result: number;
}

/**
 * Whether a field is one of those that the call was made with. Fields of a union share bytes: what was written says
 * which of them is meant, and where nothing was, the first is.
 */
function visible({ attr }: Context, field: FieldValue): boolean {
  const written = new Set<string>(attr.written);
  if (written.has(field.name)) return true;
  const layout: Readonly<Record<string, { offset: number; size: number }>> = attrLayouts[attr.command].fields;
  const { offset, size } = layout[field.name];
  const names = Object.keys(layout);
  return !names.some((name) => {
    const other = layout[name];
    const overlaps = name !== field.name && other.offset < offset + size && offset < other.offset + other.size;
    return overlaps && (written.has(name) || names.indexOf(name) < names.indexOf(field.name));
  });
}

function isZero({ name, value }: FieldValue): boolean {
  if (TYPES.has(name)) return false;
  return value instanceof Uint8Array ? value[0] === 0 : Number(value) === 0;
}

const ESCAPES: Readonly<Record<number, string>> = {
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  92: "\\\\",
};

/** Bytes up to a NUL as a C string: what is not ASCII is octal, with as few digits as can be. */
function quote(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x37;
  const chars = [...text].map((byte, index) => {
    if (byte in ESCAPES) return ESCAPES[byte];
    if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
    const digits = byte.toString(8);
    return `\\${isDigit(text[index + 1]) ? digits.padStart(3, "0") : digits}`;
  });
  return `"${chars.join("")}"`;
}

function print({ attr, result }: Context, { name, value, buffer }: FieldValue): string {
  if (value instanceof Uint8Array) return quote(value);
  if (buffer !== undefined) {
    if (TEXTS.has(name)) return quote(buffer);
    const count = ID_LISTS[name];
    if (count === undefined || result < 0) return hex(value);
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    const length = Math.min(attr.getU32(count as never), buffer.length / 4);
    return `[${Array.from({ length }, (_, index) => view.getUint32(4 * index, LITTLE_ENDIAN)).join(", ")}]`;
  }
  if (attr.command === "link_create" && name === "flags" && isXdp(attr)) return hex(value);
  const printer = PRINTERS[attr.command]?.[name] ?? PRINTERS["*"][name];
  return printer === undefined ? `${value}` : printer(value);
}

/** The flags of XDP links are of linux/if_link.h, and their bits mean something else. */
function isXdp(attr: Attr): boolean {
  return (attr as unknown as Attr<"link_create">).getU32("attach_type") === attachTypes.xdp;
}

/** Puts fields `tcx.relative_fd` and so on into a struct `tcx`. */
function nest(fields: readonly (readonly [name: string, text: string])[]): string {
  const parts: string[] = [];
  let open: { name: string; parts: string[] } | undefined;
  const close = (): void => {
    if (open !== undefined) parts.push(`${open.name}={${open.parts.join(", ")}}`);
    open = undefined;
  };
  for (const [name, text] of fields) {
    const dot = name.indexOf(".");
    const struct = name.slice(0, Math.max(dot, 0));
    if (open?.name !== struct) close();
    if (dot < 0) parts.push(`${name}=${text}`);
    else (open ??= { name: struct, parts: [] }).parts.push(`${name.slice(dot + 1)}=${text}`);
  }
  close();
  return parts.join(", ");
}

/**
 * A bpf(2) call as strace(1) prints it: the fields that are not zero, as they are after the call.
 *
 * @param attr The call's attr.
 * @param result What the kernel answered: ≥ 0, or −errno.
 * @returns Such as `bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_HASH, key_size=4, …}, 92) = 3`.
 */
export function formatCall<C extends CommandName>(attr: Attr<C>, result: number): string {
  const context: Context = { attr: attr as unknown as Attr, result };
  const fields = [...attr.entries()].filter((field) => !isZero(field) && visible(context, field));
  const inner = nest(fields.map((field) => [field.name, print(context, field)]));
  const { member } = attrLayouts[attr.command];
  const text = member === "" ? inner : `${member}={${inner}}`;
  const answer = result < 0 ? `-1 ${errnoName(-result)} (${errnoMeaning(-result)})` : `${result}`;
  return `bpf(BPF_${attr.command.toUpperCase()}, {${text}}, ${attr.bytes.length}) = ${answer}`;
}
