/**
 * Opening programs that exist: by pin, id, name, tag or descriptor.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { progGetFdById } from "../cmds/id.ts";
import type { ProgInfo } from "../cmds/info.ts";
import { objGet } from "../cmds/obj.ts";
import { Fd } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
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
    for (const { id, info, keep } of eachObject(token, "prog")) {
      if (matches(info())) found.push({ id, fd: keep() });
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
