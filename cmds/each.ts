/**
 * All objects of a kind, one after the other: BPF_*_GET_NEXT_ID, BPF_*_GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD with attrs
 * that are made once; programs and maps, of which there are most, are told into one struct too.
 *
 * @module
 */

import { Fd } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { ObjectIds } from "./_ids.ts";
import { InfoQuery, mapInfoOf, readBtfInfo } from "./_info.ts";
import { readLinkInfo } from "./_link_info.ts";
import { progInfoOf } from "./_prog_info.ts";
import type { InfoOf, ObjectKind } from "./obj.ts";

/** An object that is open until the next one is asked for. */
export interface FoundObject<K extends ObjectKind> {
  /** Its id. */
  readonly id: number;
  /** Its descriptor. */
  readonly fd: number;
  /** Asks what the kernel tells about it. */
  readonly info: () => InfoOf[K];
  /** Leaves the descriptor to the caller, who closes it. */
  readonly keep: () => Fd;
}

/** What the kernel tells about objects of each kind, by their descriptors. */
const READERS: { readonly [K in ObjectKind]: (token: AnyToken) => (fd: number) => InfoOf[K] } = {
  prog: (token) => {
    const query = new InfoQuery(token, structBuffer("bpf_prog_info"));
    return (fd) => progInfoOf(query.askAnew(fd));
  },
  map: (token) => {
    const query = new InfoQuery(token, structBuffer("bpf_map_info"));
    return (fd) => mapInfoOf(query.askAnew(fd));
  },
  btf: (token) => (fd) => readBtfInfo(token, fd, []),
  link: (token) => (fd) => readLinkInfo(token, fd),
};

/**
 * Goes through all objects of a kind, by rising id; those that go meanwhile are left out. Each is closed when the next
 * one is asked for, and at the end.
 *
 * @typeParam K The kind.
 * @param token A token with CAP_SYS_ADMIN.
 * @param kind The kind.
 * @returns The objects.
 */
export function* eachObject<K extends ObjectKind>(
  token: CommandToken<`${K}_get_fd_by_id`>,
  kind: K,
): Generator<FoundObject<K>, void, undefined> {
  const anyToken: AnyToken = token;
  const ids = new ObjectIds(anyToken, kind);
  const read = READERS[kind](anyToken);
  for (let id = ids.next(0); id !== undefined; id = ids.next(id)) {
    const fd = ids.tryOpen(id);
    // ENOENT: it is gone since its id was told; EAGAIN: it is not there yet, or has been shut.
    if (fd === -errnos.ENOENT || fd === -errnos.EAGAIN) continue;
    if (fd < 0) throw ids.failure(id, -fd);
    let owner: Fd | undefined;
    try {
      yield { id, fd, info: () => read(fd), keep: () => owner ??= anyToken.adopt(Fd.own(fd)) };
    } finally {
      if (owner === undefined) kernel().close(fd);
    }
  }
}
