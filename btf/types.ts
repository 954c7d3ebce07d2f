/**
 * BTF types as values: one interface a kind, told apart by `kind`. Fields are named as `bpftool btf dump -j` names them.
 *
 * @module
 */

/** How an integer is meant. C name: `BTF_INT_SIGNED`, `BTF_INT_CHAR`, `BTF_INT_BOOL`. */
export type BtfIntEncoding = "none" | "signed" | "char" | "bool";

/** How far a function or a variable can be seen. C name: `enum btf_func_linkage`, `BTF_VAR_*`. */
export type BtfLinkage = "static" | "global" | "extern";

/** Type 0: void. */
export interface BtfVoid {
  /** What kind of type it is. */
  readonly kind: "void";
  /** The empty name. */
  readonly name: "";
}

/** An integer. Since Linux 4.18. */
export interface BtfInt {
  /** What kind of type it is. */
  readonly kind: "int";
  /** Its name, such as `"unsigned int"`. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Where its bits start. C name: `BTF_INT_OFFSET`. */
  readonly bitsOffset: number;
  /** How many bits count. C name: `BTF_INT_BITS`. */
  readonly nrBits: number;
  /** How it is meant: `"none"` is unsigned. */
  readonly encoding: BtfIntEncoding;
}

/** What points to, or qualifies, one other type. Since Linux 4.18. */
export interface BtfModifier {
  /** What kind of type it is. */
  readonly kind: "ptr" | "volatile" | "const" | "restrict";
  /** The empty name. */
  readonly name: string;
  /** The other type's id. */
  readonly typeId: number;
}

/** An array. Since Linux 4.18. */
export interface BtfArray {
  /** What kind of type it is. */
  readonly kind: "array";
  /** The empty name. */
  readonly name: string;
  /** The type id of an element. */
  readonly typeId: number;
  /** The type id of an index, which compilers make an unsigned integer. */
  readonly indexTypeId: number;
  /** How many elements. */
  readonly nrElems: number;
}

/** A member of a struct or union. C name: `struct btf_member`. */
export interface BtfMember {
  /** Its name; empty for an anonymous struct or union. */
  readonly name: string;
  /** Its type's id. */
  readonly typeId: number;
  /** Its place in bits from the start. */
  readonly bitsOffset: number;
  /** Its width in bits; 0 where it is no bitfield. */
  readonly bitfieldSize: number;
}

/** A struct or a union. Since Linux 4.18. */
export interface BtfComposite {
  /** What kind of type it is. */
  readonly kind: "struct" | "union";
  /** Its name; empty where it has none. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Its members, by their place. */
  readonly members: readonly BtfMember[];
}

/** A value of an enum. C name: `struct btf_enum`. */
export interface BtfEnumValue<V extends number | bigint = number> {
  /** Its name. */
  readonly name: string;
  /** The value itself. */
  readonly val: V;
}

/** An enum of at most 32 bits. Since Linux 4.18. */
export interface BtfEnum {
  /** What kind of type it is. */
  readonly kind: "enum";
  /** Its name; empty where it has none. */
  readonly name: string;
  /** Bytes: 1, 2, 4 or 8. */
  readonly size: number;
  /** Whether values are signed. Told since Linux 6.0; older BTF always says false. */
  readonly signed: boolean;
  /** Its values; none where it is only declared. */
  readonly values: readonly BtfEnumValue[];
}

/** An enum of 64 bits. Since Linux 6.0. */
export interface BtfEnum64 {
  /** What kind of type it is. */
  readonly kind: "enum64";
  /** Its name; empty where it has none. */
  readonly name: string;
  /** Bytes: 1, 2, 4 or 8. */
  readonly size: number;
  /** Whether values are signed. */
  readonly signed: boolean;
  /** Its values. */
  readonly values: readonly BtfEnumValue<bigint>[];
}

/** A struct or union that is only declared. Since Linux 4.18. */
export interface BtfFwd {
  /** What kind of type it is. */
  readonly kind: "fwd";
  /** Its name. */
  readonly name: string;
  /** What is declared. */
  readonly fwdKind: "struct" | "union";
}

/** Another name for a type. Since Linux 4.18. */
export interface BtfTypedef {
  /** What kind of type it is. */
  readonly kind: "typedef";
  /** The new name. */
  readonly name: string;
  /** The other type's id. */
  readonly typeId: number;
}

/** A function. Since Linux 5.0. */
export interface BtfFunc {
  /** What kind of type it is. */
  readonly kind: "func";
  /** Its name. */
  readonly name: string;
  /** The id of its func_proto. */
  readonly typeId: number;
  /** How far it can be seen. Told since Linux 5.6; older BTF always says `"static"`. */
  readonly linkage: BtfLinkage;
}

/** A parameter of a function. C name: `struct btf_param`. */
export interface BtfParam {
  /** Its name; empty where the type of a function alone is told. */
  readonly name: string;
  /** Its type's id; 0 for the `...` at the end. */
  readonly typeId: number;
}

/** The type of a function. Since Linux 5.0. */
export interface BtfFuncProto {
  /** What kind of type it is. */
  readonly kind: "func_proto";
  /** The empty name. */
  readonly name: string;
  /** The type id of its result. */
  readonly retTypeId: number;
  /** Its parameters. */
  readonly params: readonly BtfParam[];
}

/** A global variable. Since Linux 5.2. */
export interface BtfVar {
  /** What kind of type it is. */
  readonly kind: "var";
  /** Its name. */
  readonly name: string;
  /** Its type's id. */
  readonly typeId: number;
  /** How far it can be seen. */
  readonly linkage: BtfLinkage;
}

/** A variable's place in a section. C name: `struct btf_var_secinfo`. */
export interface BtfSecVar {
  /** The id of the var; of a func among externs. */
  readonly typeId: number;
  /** Bytes from the section's start. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** A section of variables. Since Linux 5.2. */
export interface BtfDatasec {
  /** What kind of type it is. */
  readonly kind: "datasec";
  /** Its name, such as `".bss"`. */
  readonly name: string;
  /** Bytes; 0 where the linker has yet to tell. */
  readonly size: number;
  /** Its variables. */
  readonly vars: readonly BtfSecVar[];
}

/** A floating-point number. Since Linux 5.13. */
export interface BtfFloat {
  /** What kind of type it is. */
  readonly kind: "float";
  /** Its name. */
  readonly name: string;
  /** Bytes: 2, 4, 8, 12 or 16. */
  readonly size: number;
}

/** What `btf_decl_tag` says about a type, a member, a parameter or a function. Since Linux 5.16. */
export interface BtfDeclTag {
  /** What kind of type it is. */
  readonly kind: "decl_tag";
  /** The tag. */
  readonly name: string;
  /** The id of what is tagged. */
  readonly typeId: number;
  /** Which member or parameter is tagged; −1 for the whole. */
  readonly componentIdx: number;
  /** Whether the tag is an attribute of C by itself. Since 6.14. C name: `kind_flag`. */
  readonly attribute: boolean;
}

/** What `btf_type_tag` says about a pointer's target. Since Linux 5.17. */
export interface BtfTypeTag {
  /** What kind of type it is. */
  readonly kind: "type_tag";
  /** The tag. */
  readonly name: string;
  /** The id of the type that is tagged. */
  readonly typeId: number;
  /** Whether the tag is an attribute of C by itself. Since 6.14. C name: `kind_flag`. */
  readonly attribute: boolean;
}

/** A BTF type. C name: `struct btf_type` with what follows it. */
export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfModifier
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfEnum64
  | BtfFwd
  | BtfTypedef
  | BtfFunc
  | BtfFuncProto
  | BtfVar
  | BtfDatasec
  | BtfFloat
  | BtfDeclTag
  | BtfTypeTag;

/** A BTF type of one kind. */
export type BtfTypeOf<K extends BtfType["kind"]> = Extract<BtfType, { readonly kind: K }>;
