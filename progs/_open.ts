/**
 * Opening programs that exist: by pin, id, name, tag or descriptor.
 *
 * @module
 */

import { progGetFdById, progGetNextId } from "../cmds/id.ts";
import type { ProgInfo } from "../cmds/info.ts";
import { objGet, objGetInfoByFd } from "../cmds/obj.ts";
import { SyscallError } from "../errors.ts";
import { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { ProgramSource } from "./open_options.ts";

const WAYS = ["path", "id", "name", "tag", "fd"] as const;

/** Opens a program; the descriptor is not yet known to be of one. */
export function openSource(token: AnyToken, source: ProgramSource): Fd {
  const given = WAYS.filter((way) => way in source);
  if (given.length !== 1) {
    throw new TypeError(`Cannot open a program: give one of ${WAYS.join(", ")}, not ${given.join(" and ") || "none"}`);
  }
  if ("path" in source) return objGet(token, source.path, { directory: source.directory });
  if ("fd" in source) return typeof source.fd === "number" ? token.adopt(Fd.own(source.fd)) : source.fd;
  // Ids ask for more than the type of a token tells here: the kernel's rules are checked when the command is made.
  const privileged = token as PermissionToken<"CAP_SYS_ADMIN">;
  if ("id" in source) return progGetFdById(privileged, source.id);
  return "name" in source
    ? openOnly(privileged, `name "${source.name}"`, (info) => info.name === source.name)
    : openOnly(privileged, `tag ${source.tag}`, (info) => info.tag === source.tag.toLowerCase());
}

/** The only program that something is true of. */
function openOnly(
  token: PermissionToken<"CAP_SYS_ADMIN">,
  what: string,
  matches: (info: ProgInfo) => boolean,
): Fd {
  const found: { id: number; fd: Fd }[] = [];
  try {
    for (let id = progGetNextId(token); id !== undefined; id = progGetNextId(token, id)) {
      const fd = tryOpen(token, id);
      if (fd === undefined) continue;
      if (matches(objGetInfoByFd(token, fd, { kind: "prog" }))) found.push({ id, fd });
      else fd.close();
    }
    if (found.length === 1) return found.pop()!.fd;
    const why = found.length === 0
      ? "there is none"
      : `programs ${found.map(({ id }) => id).join(", ")} have it; open one by its id`;
    throw new TypeError(`Cannot open a program by ${what}: ${why}`);
  } finally {
    for (const { fd } of found) fd.close();
  }
}

/** A program by its id; undefined where it is gone by now. */
function tryOpen(token: PermissionToken<"CAP_SYS_ADMIN">, id: number): Fd | undefined {
  try {
    return progGetFdById(token, id);
  } catch (error) {
    if (error instanceof SyscallError && error.errno === errnos.ENOENT) return undefined;
    throw error;
  }
}
