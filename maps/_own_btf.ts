/**
 * The codecs that a map brings along: by the BTF that it was made with.
 *
 * @module
 */

import { Btf, codecFrom } from "../btf/mod.ts";
import { btfGetFdById } from "../cmds/id.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import type { Codec } from "../codec.ts";
import { SyscallError } from "../errors.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";

/** The codecs that a map brings along. */
export interface OwnCodecs {
  readonly key?: Codec<unknown> | undefined;
  readonly value?: Codec<unknown> | undefined;
}

/** The codecs of a map's keys and values, as far as it has BTF for them and this process may read it. */
export function ownCodecs(token: AnyToken, map: Fd): OwnCodecs {
  const readable = token.check({ command: "obj_get_info_by_fd" }).allowed &&
    token.check({ command: "btf_get_fd_by_id" }).allowed;
  if (!readable) return {};
  const { btfId, btfKeyTypeId, btfValueTypeId } = objGetInfoByFd(token, map, { kind: "map" });
  if (btfId === 0) return {};
  const btf = tryRead(token, btfId);
  if (btf === undefined) return {};
  const codec = (typeId: number): Codec<unknown> | undefined => {
    try {
      return typeId === 0 ? undefined : codecFrom(btf, typeId);
    } catch (error) {
      // A type that has no values, or makes no sense: the map's bytes are still there.
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError) return undefined;
      throw error;
    }
  };
  return { key: codec(btfKeyTypeId), value: codec(btfValueTypeId) };
}

/** A BTF object of the kernel's; undefined where it is gone, or not this process's to read. */
function tryRead(token: AnyToken, id: number): Btf | undefined {
  try {
    using fd = btfGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, id);
    const { btf } = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
    return btf === undefined ? undefined : Btf.parse(btf);
  } catch (error) {
    if (error instanceof SyscallError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
