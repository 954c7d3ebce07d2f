/** The members of a struct or union as C sees them: those of anonymous members among their parent's. */

import type { Btf } from "./btf.ts";

/** A member of a struct, its place counted from the start of the outermost type. */
export interface FlatMember {
  readonly name: string;
  readonly typeId: number;
  readonly bitsOffset: number;
  readonly bitfieldSize: number;
  /** Members of one anonymous union have a number in common; undefined where a member has its place alone. */
  readonly group: number | undefined;
}

/**
 * Flattens a struct, a union or a section of variables.
 *
 * @param btf The types.
 * @param id The id of a struct, union or datasec.
 * @returns The members that have a name.
 * @throws {SyntaxError} If a member is outside of its type, or two have one name.
 */
export function flatMembers(btf: Btf, id: number): FlatMember[] {
  const found: FlatMember[] = [];
  const names = new Set<string>();
  const end = 8 * (btf.sizeOf(id) ?? 0);
  let groups = 0;
  const add = (member: FlatMember): void => {
    const { name, typeId, bitsOffset, bitfieldSize } = member;
    const bits = bitfieldSize || 8 * (btf.sizeOf(typeId) ?? NaN);
    const isPlaced = bitfieldSize > 0 || bitsOffset % 8 === 0;
    if (!(bitsOffset + bits <= end) || !isPlaced) throw btf.malformedType(id, `member "${name}" is outside of it`);
    // An object's own field of this name would be its prototype.
    if (names.has(name) || name === "__proto__") throw btf.malformedType(id, `member "${name}" cannot be a field`);
    names.add(name);
    found.push(member);
  };
  const walk = (composite: number, base: number, group: number | undefined): void => {
    const isUnion = btf.kindOf(btf.resolve(composite)) === "union";
    if (isUnion) group ??= groups++;
    for (const { name, typeId, bitsOffset, bitfieldSize } of btf.members(composite)) {
      if (name !== "") add({ name, typeId, bitsOffset: base + bitsOffset, bitfieldSize, group });
      else if (btf.composite(typeId) !== undefined) walk(typeId, base + bitsOffset, group);
    }
  };
  const type = btf.type(btf.resolve(id));
  if (type.kind !== "datasec") walk(id, 0, undefined);
  else {
    for (const { typeId, offset } of type.vars) {
      add({ name: btf.nameOf(typeId), typeId, bitsOffset: 8 * offset, bitfieldSize: 0, group: undefined });
    }
  }
  return found;
}

/**
 * Whether an array is of characters, which are read as a string. As for bpftool, a typedef of char is another type.
 *
 * @param btf The types.
 * @param elementId The type id of an element.
 * @returns Whether an element is a char.
 */
export function isChar(btf: Btf, elementId: number): boolean {
  let id = elementId;
  for (let step = 0; step < 32; step++) {
    const type = btf.type(id);
    if (type.kind === "int") return type.size === 1 && (type.encoding === "char" || type.name === "char");
    if (type.kind !== "const" && type.kind !== "volatile" && type.kind !== "restrict") return false;
    id = type.typeId;
  }
  return false;
}
