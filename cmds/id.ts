/**
 * Objects by id: BPF_{PROG,MAP,BTF,LINK}_GET_NEXT_ID and BPF_{PROG,MAP,BTF,LINK}_GET_FD_BY_ID.
 *
 * @module
 */

import { Fd } from "../ffi/fd.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { ObjectIds } from "./_ids.ts";
import type { ObjectKind } from "./obj.ts";

function nextId(token: AnyToken, kind: ObjectKind, after: number): number | undefined {
  return new ObjectIds(token, kind).next(after);
}

function open(token: AnyToken, kind: ObjectKind, id: number, flags?: number): Fd {
  return token.adopt(Fd.own(new ObjectIds(token, kind, flags).open(id)));
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
  return nextId(token, "prog", after);
}

/**
 * The lowest id of a map above another: BPF_MAP_GET_NEXT_ID. Since Linux 4.13.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further map.
 */
export function mapGetNextId(token: CommandToken<"map_get_next_id">, after = 0): number | undefined {
  return nextId(token, "map", after);
}

/**
 * The lowest id of a BTF object above another: BPF_BTF_GET_NEXT_ID. Since Linux 5.4.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further BTF object.
 */
export function btfGetNextId(token: CommandToken<"btf_get_next_id">, after = 0): number | undefined {
  return nextId(token, "btf", after);
}

/**
 * The lowest id of a link above another: BPF_LINK_GET_NEXT_ID. Since Linux 5.8.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param after The id before; 0 for the first. C name: `start_id`.
 * @returns The id; undefined where there is no further link.
 */
export function linkGetNextId(token: CommandToken<"link_get_next_id">, after = 0): number | undefined {
  return nextId(token, "link", after);
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
  return open(token, "prog", id);
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
  return open(token, "map", id, options.flags);
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
  return open(token, "btf", id);
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
  return open(token, "link", id);
}
