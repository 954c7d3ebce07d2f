/**
 * The generated layouts as one list of fields, for the tests that hold them against the kernel.
 *
 * @module
 */

import { attrLayouts } from "../uapi/attr.gen.ts";
import { structLayouts } from "../uapi/structs.gen.ts";
import type { OracleField } from "./_btf_oracle.ts";

/** The place of a field, as uapi/ has it. */
export interface Place {
  readonly offset: number;
  readonly size: number;
  readonly kind: string;
  readonly bit?: number;
  readonly bits?: number;
}

/** A field of uapi/ under its C name. */
export interface ListedField {
  /** Where it is listed: `bpf_attr of map_create`, or the struct's name. */
  readonly list: string;
  /** The C type that has it. */
  readonly type: string;
  /** Its dotted name in that type. */
  readonly path: string;
  readonly place: Place;
}

/** Every field of attrLayouts and structLayouts. */
export function listedFields(): ListedField[] {
  const fields: ListedField[] = [];
  for (const [command, { member, fields: places }] of Object.entries(attrLayouts)) {
    for (const [name, place] of Object.entries<Place>(places)) {
      const path = member === "" ? name : `${member}.${name}`;
      fields.push({ list: `bpf_attr of ${command}`, type: "bpf_attr", path, place });
    }
  }
  for (const [type, { fields: places }] of Object.entries(structLayouts)) {
    for (const [path, place] of Object.entries<Place>(places)) fields.push({ list: type, type, path, place });
  }
  return fields;
}

/**
 * What is wrong with a field's place.
 *
 * @param place The place as uapi/ has it.
 * @param field The field as the kernel has it.
 * @returns A description; undefined where they agree.
 */
export function disagreement(place: Place, field: OracleField): string | undefined {
  const bit = place.offset * 8 + (place.bit ?? 0);
  const bits = place.bits ?? place.size * 8;
  const isBitfield = place.bits !== undefined;
  if (bit === field.bit && bits === field.bits && isBitfield === field.isBitfield) return undefined;
  return `uapi/ has bit ${bit}, ${bits} bits${isBitfield ? " (bitfield)" : ""}; the kernel has bit ${field.bit}, ` +
    `${field.bits} bits${field.isBitfield ? " (bitfield)" : ""}`;
}
