/**
 * Links of maps: struct_ops in force, and programs at the sockets of a map.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { Link } from "./link.ts";

/**
 * Puts a struct_ops map in force, for as long as the link is open. The map was made with the flag BPF_F_LINK and has its
 * value. Since Linux 6.4.
 *
 * @param token A permission token.
 * @param map The map, of type `struct_ops`.
 * @returns The link, which can be updated to another map.
 * @throws {SyscallError} EINVAL where the map has no value, or was made without the flag.
 */
export function attachStructOps(token: AnyToken, map: FdSource): Link {
  return new Link(token, linkCreate(token as never, { prog: map, attachType: "struct_ops" }));
}

/** What a program does at the sockets of a map. */
export type SockmapAttachType = "sk_skb_stream_parser" | "sk_skb_stream_verdict" | "sk_skb_verdict" | "sk_msg_verdict";

/** What `attachSockmap()` takes besides the program. */
export interface AttachSockmapOptions {
  /** The map, of type `sockmap` or `sockhash`. */
  map: FdSource;
  /** What the program does. */
  attachType: SockmapAttachType;
}

/**
 * Attaches a program to the sockets that are put in a map from then on: they keep it until they are taken out. Since Linux
 * 6.10.
 *
 * @param token A permission token.
 * @param prog The program, of type `sk_skb` or `sk_msg`.
 * @param options The map, and what the program does.
 * @returns The link.
 * @throws {SyscallError} EBUSY where the map has such a program.
 */
export function attachSockmap(token: AnyToken, prog: FdSource, options: AttachSockmapOptions): Link {
  const { map, attachType } = options;
  return new Link(token, linkCreate(token as never, { prog, target: { fd: map }, attachType }));
}
