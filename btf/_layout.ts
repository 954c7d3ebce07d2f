/** Where things stand in BTF: the header, the kinds' numbers and the words of each kind. */

/** Bytes of the header that every version has; longer headers are newer. */
export const HEADER_SIZE = 24;

/** Words of a type before what its kind adds: name, info, and size or type. C name: `struct btf_type`. */
export const TYPE_WORDS = 3;

/** The last kind that exists. */
export const LAST_KIND = 19;

/** Members at most, and which bits of info count them: before Linux 7.1 the kernel knew the lower 16 only. */
export const VLEN_MASK = 0xffffff;

/** The kind's bits in info, after shifting by 24, and the flag above them. */
export const KIND_MASK = 0x7f;
export const KIND_FLAG: number = 0x8000_0000;

/** The numbers of kinds that have a special rule somewhere. */
export const VOID = 0;
export const INT = 1;
export const PTR = 2;
export const ARRAY = 3;
export const STRUCT = 4;
export const UNION = 5;
export const ENUM = 6;
export const FWD = 7;
export const TYPEDEF = 8;
export const VOLATILE = 9;
export const CONST = 10;
export const RESTRICT = 11;
export const FUNC = 12;
export const FUNC_PROTO = 13;
export const VAR = 14;
export const DATASEC = 15;
export const FLOAT = 16;
export const DECL_TAG = 17;
export const TYPE_TAG = 18;
export const ENUM64 = 19;

/** The kinds whose third word is the id of another type; that of the others is a size, or nothing. */
export const POINTING: readonly number[] = [
  PTR,
  TYPEDEF,
  VOLATILE,
  CONST,
  RESTRICT,
  FUNC,
  FUNC_PROTO,
  VAR,
  DECL_TAG,
  TYPE_TAG,
];

/** Words that follow a type once, by kind. */
export const WORDS_ONCE: readonly number[] = [0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
/** Words that follow a type for each member, by kind. */
export const WORDS_EACH: readonly number[] = [0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3];

/** Whether this machine is little-endian. */
export const LITTLE_ENDIAN_HOST: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
