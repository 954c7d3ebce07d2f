/**
 * A BTF with every kind of type, and a struct with every kind of value, for tests to build and read.
 *
 * @module
 */

import { BtfBuilder, type BtfMemberInit } from "../btf/mod.ts";

/** The BTF, and what of it is used by name. */
export interface Everything {
  readonly builder: BtfBuilder;
  /** The id of the struct with every kind of value. */
  readonly struct: number;
  /** Its size in bytes. */
  readonly size: number;
  /** The first byte of each of its members. */
  readonly offsets: ReadonlyMap<string, number>;
  /** The id of `unsigned int`. */
  readonly u32: number;
}

/**
 * Builds a struct with every kind of value that bpftool shows.
 *
 * @param byteOrder The byte order.
 * @returns The BTF.
 */
export function everyValue(byteOrder: "little" | "big" = "little"): Everything {
  const b = new BtfBuilder({ byteOrder });
  const int = b.int("int", 4, "signed");
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long", 8);
  const s64 = b.int("long", 8, "signed");
  const schar = b.int("signed char", 1, "signed");
  const char = b.int("char", 1, "signed");
  const letter = b.int("letter", 1, "char");
  const u8 = b.int("unsigned char", 1);
  const bool = b.int("_Bool", 1, "bool");
  const s16 = b.int("short", 2, "signed");
  const u128 = b.int("unsigned __int128", 16);
  const s128 = b.int("__int128", 16, "signed");
  const pointer = b.ptr(0);
  const color = b.enum("color", [{ name: "RED", val: 0 }, { name: "BLUE", val: 5 }, { name: "AZURE", val: 5 }]);
  const sign = b.enum("sign", [{ name: "MINUS", val: -1 }, { name: "ZERO", val: 0 }]);
  const small = b.enum("small", [{ name: "LOW", val: 1 }, { name: "HIGH", val: 100 }], 1);
  const large = b.enum64("large", [{ name: "HUGE", val: 1n << 40n }]);
  const text = b.array(char, 8, u32);
  const letters = b.array(letter, 4, u32);
  const constText = b.array(b.qualified("const", char), 4, u32);
  const typedefText = b.array(b.typedef("my_char", char), 4, u32);
  const octets = b.array(u8, 4, u32);
  const matrix = b.array(b.array(int, 2, u32), 2, u32);
  const none = b.array(int, 0, u32);
  const point = b.struct("", 8, [
    { name: "x", typeId: int, bitsOffset: 0 },
    { name: "y", typeId: int, bitsOffset: 32 },
  ]);
  const points = b.array(point, 2, u32);
  const either = b.union("either", 8, [
    { name: "whole", typeId: u64, bitsOffset: 0 },
    { name: "", typeId: point, bitsOffset: 0 },
  ]);
  const other = b.union("", 8, [
    { name: "word", typeId: u64, bitsOffset: 0 },
    { name: "octets", typeId: octets, bitsOffset: 0 },
  ]);

  const members: BtfMemberInit[] = [];
  const offsets = new Map<string, number>();
  let end = 0;
  const add = (name: string, typeId: number, size: number, align = size): void => {
    const start = Math.ceil(end / align) * align;
    members.push({ name, typeId, bitsOffset: 8 * start });
    offsets.set(name, start);
    end = start + size;
  };
  const plain: [name: string, typeId: number, size: number, align?: number][] = [
    ["i", int, 4],
    ["u", u32, 4],
    ["ul", u64, 8],
    ["l", s64, 8],
    ["minus", schar, 1],
    ["one_char", char, 1],
    ["letter", letter, 1],
    ["bell", letter, 1],
    ["octet", u8, 1],
    ["yes", bool, 1],
    ["short", s16, 2],
    ["u128", u128, 16],
    ["s128", s128, 16],
    ["pointer", pointer, 8],
    ["null", pointer, 8],
    ["color", color, 4],
    ["no_color", color, 4],
    ["sign", sign, 4],
    ["small", small, 1],
    ["large", large, 8],
    ["no_large", large, 8],
    ["text", text, 8, 1],
    ["no_text", text, 8, 1],
    ["full_text", text, 8, 1],
    ["letters", letters, 4, 1],
    ["const_text", constText, 4, 1],
    ["typedef_text", typedefText, 4, 1],
    ["octets", octets, 4, 1],
    ["matrix", matrix, 16, 4],
    ["point", point, 8, 4],
    ["points", points, 16, 4],
    ["either", either, 8],
    ["", other, 8],
    ["none", none, 0, 4],
  ];
  for (const [name, typeId, size, align] of plain) add(name === "octets" ? "bytes" : name, typeId, size, align);
  let bit = 8 * Math.ceil(end / 8) * 8;
  const bitfields: [name: string, typeId: number, bits: number][] = [
    ["b3", u32, 3],
    ["b7", u32, 7],
    ["sb5", int, 5],
    ["flag", bool, 1],
    ["hue", color, 4],
    ["b33", u64, 33],
  ];
  for (const [name, typeId, bits] of bitfields) {
    if (bits === 33) bit = Math.ceil(bit / 64) * 64;
    members.push({ name, typeId, bitsOffset: bit, bitfieldSize: bits });
    bit += bits;
  }
  const size = Math.ceil(bit / 128) * 16;
  return { builder: b, struct: b.struct("everything", size, members), size, offsets, u32 };
}

/**
 * Bytes for the struct of {@linkcode everyValue}.
 *
 * @param everything The BTF, little-endian.
 * @returns A value that has something to show in each member.
 */
export function someValue({ size, offsets }: Everything): Uint8Array<ArrayBuffer> {
  const value = Uint8Array.from({ length: size }, (_, index) => (index * 37 + 11) & 0xff);
  const set = (name: string, ...bytes: number[]): void => value.set(bytes, offsets.get(name) as number);
  const text = (text: string): number[] => [...new TextEncoder().encode(text)];
  set("letter", 0x41);
  set("bell", 7);
  set("yes", 1);
  set("null", ...new Array(8).fill(0));
  set("color", 5, 0, 0, 0);
  set("sign", 255, 255, 255, 255);
  set("small", 100);
  set("large", 0, 0, 0, 0, 0, 1, 0, 0);
  set("text", ...text('hi"you\0'));
  set("no_text", 65, 10, 0);
  set("full_text", ...text("abcdefgh"));
  for (const name of ["letters", "const_text", "typedef_text"]) set(name, 65, 66, 0, 0);
  return value;
}

/**
 * Builds one type of each kind, as a whole that the kernel takes.
 *
 * @returns The BTF, whose last type is the section.
 */
export function everyKind(): BtfBuilder {
  const b = new BtfBuilder();
  const int = b.int("int", 4, "signed");
  const u32 = b.int("unsigned int", 4);
  const pointer = b.ptr(b.nextId + 1);
  const node = b.struct("node", 24, [
    { name: "next", typeId: pointer, bitsOffset: 0 },
    { name: "low", typeId: u32, bitsOffset: 64, bitfieldSize: 3 },
    { name: "high", typeId: int, bitsOffset: 67, bitfieldSize: 9 },
    { name: "values", typeId: b.nextId + 1, bitsOffset: 96 },
  ]);
  b.array(int, 2, u32);
  b.union("either", 4, [{ name: "i", typeId: int, bitsOffset: 0 }, { name: "u", typeId: u32, bitsOffset: 0 }]);
  b.enum("sign", [{ name: "MINUS", val: -1 }, { name: "PLUS", val: 1 }]);
  b.enum64("large", [{ name: "LARGE", val: 0xffff_ffff_ffff_ffffn }, { name: "ONE", val: 1n }]);
  b.fwd("elsewhere");
  b.fwd("elsewhere_too", "union");
  b.typedef("node_t", node);
  b.qualified("volatile", int);
  const constInt = b.qualified("const", int);
  const constPointer = b.ptr(constInt);
  b.qualified("restrict", constPointer);
  const proto = b.funcProto(int, [{ name: "first", typeId: u32 }, { name: "rest", typeId: 0 }].slice(0, 1));
  const func = b.func("work", proto);
  const variable = b.var("count", int);
  b.float("double", 8);
  b.declTag("important", func);
  b.declTag("first_one", func, 0);
  b.ptr(b.typeTag("user", int));
  b.datasec(".data", 4, [{ typeId: variable, offset: 0, size: 4 }]);
  return b;
}
