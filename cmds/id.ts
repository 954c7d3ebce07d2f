/**
 * Objects by id: BPF_{PROG,MAP,BTF,LINK}_GET_NEXT_ID and BPF_{PROG,MAP,BTF,LINK}_GET_FD_BY_ID.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd } from "../ffi/fd.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import { BPF_F_RDONLY, BPF_F_TOKEN_FD } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, callForFd } from "./_call.ts";
import { failure } from "./_failure.ts";

type NextId = "prog_get_next_id" | "map_get_next_id" | "btf_get_next_id" | "link_get_next_id";

function nextId(token: AnyToken, command: NextId, after: number): number | undefined {
  const attr = (new Attr(command) as Attr<"prog_get_next_id">).u32("start_id", after);
  const context = { action: `look for the next ${command.slice(0, command.indexOf("_"))} id` };
  const result = attempt(token, attr, context);
  if (result === -errnos.ENOENT) return undefined;
  if (result < 0) throw failure(token, attr, -result, context);
  return attr.getU32("next_id");
}

/**
 * The lowest id of a program above another: BPF_PROG_GET_NEXT_ID. Since Linux 4.13.
 *
 * @example
 * ```ts
 * import { acquire, progGetNextId } from "@bpf/deno";
 *
 * const token = acquire("CAP_SYS_ADMIN");
 * for (let id = progGetNextId(token); id !== undefined; id = progGetNextId(token, id)) console.log(id);
 * ```
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further program.
 */
export function progGetNextId(token: CommandToken<"prog_get_next_id">, after = 0): number | undefined {
  return nextId(token, "prog_get_next_id", after);
}

/**
 * The lowest id of a map above another: BPF_MAP_GET_NEXT_ID. Since Linux 4.13.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further map.
 */
export function mapGetNextId(token: CommandToken<"map_get_next_id">, after = 0): number | undefined {
  return nextId(token, "map_get_next_id", after);
}

/**
 * The lowest id of a BTF object above another: BPF_BTF_GET_NEXT_ID. Since Linux 5.4.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further BTF object.
 */
export function btfGetNextId(token: CommandToken<"btf_get_next_id">, after = 0): number | undefined {
  return nextId(token, "btf_get_next_id", after);
}

/**
 * The lowest id of a link above another: BPF_LINK_GET_NEXT_ID. Since Linux 5.8.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further link.
 */
export function linkGetNextId(token: CommandToken<"link_get_next_id">, after = 0): number | undefined {
  return nextId(token, "link_get_next_id", after);
}

/**
 * Opens a program by its id: BPF_PROG_GET_FD_BY_ID. Since Linux 4.13.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param id The id.
 * @returns The program's file descriptor.
 * @throws {SyscallError} ENOENT where there is no such program (any more).
 */
export function progGetFdById(token: CommandToken<"prog_get_fd_by_id">, id: number): Fd {
  return callForFd(token, new Attr("prog_get_fd_by_id").u32("prog_id", id), { action: `open program ${id}` });
}

/**
 * Opens a map by its id: BPF_MAP_GET_FD_BY_ID. Since Linux 4.13. With a token that was restricted to reading the map is
 * opened read-only.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param id The id.
 * @param options BPF_F_RDONLY or BPF_F_WRONLY. C name: `open_flags`.
 * @returns The map's file descriptor.
 * @throws {SyscallError} ENOENT where there is no such map (any more).
 */
export function mapGetFdById(
  token: CommandToken<"map_get_fd_by_id">,
  id: number,
  options: { flags?: number } = {},
): Fd {
  const anyToken: AnyToken = token;
  const flags = (options.flags ?? 0) | (anyToken.readOnly ? BPF_F_RDONLY : 0);
  const attr = new Attr("map_get_fd_by_id").u32("map_id", id).u32("open_flags", flags);
  return callForFd(anyToken, attr, { action: `open map ${id}` });
}

/**
 * Opens a BTF object by its id: BPF_BTF_GET_FD_BY_ID. Since Linux 4.18.
 *
 * @param token A token with CAP_SYS_ADMIN; since 6.17 one with a BPF token that allows the command.
 * @param id The id.
 * @returns The BTF object's file descriptor.
 * @throws {SyscallError} ENOENT where there is no such BTF object (any more).
 */
export function btfGetFdById(token: CommandToken<"btf_get_fd_by_id">, id: number): Fd {
  const anyToken: AnyToken = token;
  const attr = new Attr("btf_get_fd_by_id").u32("btf_id", id);
  if (anyToken.bpfToken !== undefined) {
    attr.s32("fd_by_id_token_fd", anyToken.bpfToken.fd).u32("open_flags", BPF_F_TOKEN_FD);
  }
  return callForFd(anyToken, attr, { action: `open BTF object ${id}` });
}

/**
 * Opens a link by its id: BPF_LINK_GET_FD_BY_ID. Since Linux 5.8.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param id The id.
 * @returns The link's file descriptor.
 * @throws {SyscallError} ENOENT where there is no such link (any more).
 */
export function linkGetFdById(token: CommandToken<"link_get_fd_by_id">, id: number): Fd {
  return callForFd(token, new Attr("link_get_fd_by_id").u32("link_id", id), { action: `open link ${id}` });
}
