/**
 * Opening maps that exist: by pin, id, name or descriptor.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { mapGetFdById } from "../cmds/id.ts";
import { type MapShape, mapShape } from "../cmds/map_shape.ts";
import { objGet } from "../cmds/obj.ts";
import { bytes, type Codec } from "../codec.ts";
import { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import { familyOf } from "./_families.ts";
import type { MapParts } from "./map_handle.ts";
import { type OwnCodecs, ownCodecs } from "./_own_btf.ts";
import { defaultKey } from "./map_options.ts";
import type { OpenOptions, OpenSource } from "./open_options.ts";
import { typeName } from "./operations.ts";

/** Opens a map, and finds out its type and codecs. */
export function openParts(
  token: AnyToken,
  source: OpenSource,
  options: {
    type?: MapType | number | undefined;
    key?: Codec<unknown> | undefined;
    value?: Codec<unknown> | undefined;
  },
): MapParts<unknown, unknown> {
  const fd = openSource(token, source);
  try {
    const shape = mapShape(token, fd);
    const type = typeName(shape.type);
    if (options.type !== undefined && options.type !== type && options.type !== shape.type) {
      throw new TypeError(`Cannot open a map as ${options.type}: it is of type ${type}`);
    }
    return { token, fd, type, ...codecsOf(type, shape, options, ownOf(token, fd, options)) };
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** What the map's BTF says, where it is asked at all. */
function ownOf(token: AnyToken, fd: Fd, { key, value }: OpenOptions): OwnCodecs {
  return key !== undefined && value !== undefined ? {} : ownCodecs(token, fd);
}

/** The codecs of a map: what its type always has comes before what BTF says. */
export function codecsOf(
  type: MapType | number,
  { keySize, elementSize, flags }: MapShape,
  options: OpenOptions,
  own: OwnCodecs,
): { key: Codec<unknown>; value: Codec<unknown> } {
  const family = familyOf(type);
  const fitting = (made: Codec<unknown> | undefined, size: number): Codec<unknown> | undefined =>
    made?.size === size ? made : undefined;
  // What a type always has comes before what its BTF says: descriptors go in where ids come out.
  const key = options.key ?? fitting(family.defaultKey?.(keySize), keySize) ?? fitting(defaultKey(type), keySize) ??
    fitting(own.key, keySize) ?? bytes(keySize);
  const element = options.value ?? fitting(family.defaultValue?.(elementSize, flags), elementSize) ??
    fitting(own.value, elementSize) ?? bytes(elementSize);
  return { key, value: family.value?.(element) ?? element };
}

function openSource(token: AnyToken, source: OpenSource): Fd {
  const given = (["path", "id", "name", "fd"] as const).filter((name) => name in source);
  if (given.length !== 1) {
    throw new TypeError(`Cannot open a map: give one of path, id, name and fd, not ${given.join(" and ") || "none"}`);
  }
  if ("path" in source) return objGet(token, source.path, { directory: source.directory });
  if ("fd" in source) return typeof source.fd === "number" ? token.adopt(Fd.own(source.fd)) : source.fd;
  // Ids ask for more than the type of a token tells here: the kernel's rules are checked when the command is made.
  const privileged = token as PermissionToken<"CAP_SYS_ADMIN">;
  return "id" in source ? mapGetFdById(privileged, source.id) : openByName(privileged, source.name);
}

/** The only map of a name. */
function openByName(token: PermissionToken<"CAP_SYS_ADMIN">, name: string): Fd {
  const found: { id: number; fd: Fd }[] = [];
  try {
    for (const { id, info, keep } of eachObject(token, "map")) {
      if (info().name === name) found.push({ id, fd: keep() });
    }
    if (found.length === 1) return found.pop()!.fd;
    const why = found.length === 0
      ? "no map has this name"
      : `maps ${found.map(({ id }) => id).join(", ")} have this name; open one by its id`;
    throw new TypeError(`Cannot open a map by name "${name}": ${why}`);
  } finally {
    for (const { fd } of found) fd.close();
  }
}
