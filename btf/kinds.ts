/**
 * The kinds of BTF types, by the names that `bpftool btf dump` and libbpf give them, in lower case.
 *
 * @module
 */

/** The kinds in the order of their numbers: BTF_KIND_UNKN (void) is 0, BTF_KIND_ENUM64 is 19. */
export const btfKinds = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
] as const;

/** The name of a kind of BTF type. C name: `BTF_KIND_*`. */
export type BtfKind = typeof btfKinds[number];

/**
 * The number of a kind.
 *
 * @param kind The kind's name.
 * @returns Its number, as BTF_KIND_* counts them; −1 for a name that is none.
 */
export function btfKindNumber(kind: BtfKind): number {
  return btfKinds.indexOf(kind);
}
