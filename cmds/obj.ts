/**
 * What all BPF objects share: BPF_OBJ_PIN, BPF_OBJ_GET and BPF_OBJ_GET_INFO_BY_FD.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import { BPF_F_PATH_FD, BPF_F_RDONLY } from "../uapi/constants.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call, callForFd } from "./_call.ts";
import { readBtfInfo, readMapInfo } from "./_info.ts";
import { readLinkInfo } from "./_link_info.ts";
import { readProgInfo } from "./_prog_info.ts";
import type { BtfInfo, InfoDetail, LinkInfo, MapInfo, ProgInfo } from "./info.ts";

/** What `objPin()` and `objGet()` take besides the path. */
export interface PathOptions {
  /** The directory that a relative path starts from. C name: `path_fd`. Since 6.5. */
  directory?: FdSource | undefined;
}

/** What `objGet()` takes besides the path. */
export interface ObjGetOptions extends PathOptions {
  /** BPF_F_RDONLY or BPF_F_WRONLY, for maps. C name: `file_flags`. @default {0} */
  flags?: number | undefined;
}

function pathAttr(command: "obj_pin" | "obj_get", path: string, flags: number, directory?: FdSource): Attr<"obj_pin"> {
  if (path === "") throw new TypeError("Cannot use path: it is empty");
  const attr = (new Attr(command) as Attr<"obj_pin">).string("pathname", path);
  if (directory === undefined) return attr.u32("file_flags", flags);
  return attr.fd("path_fd", directory).u32("file_flags", flags | BPF_F_PATH_FD);
}

/**
 * Gives a map, program, BTF-less object or link a name on a bpffs, which keeps it alive until the name is removed:
 * BPF_OBJ_PIN. Since Linux 4.4; links since 5.7.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, objGet, objPin } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1 });
 * objPin(token, map, { path: "/sys/fs/bpf/counters" });
 * using same = objGet(token, "/sys/fs/bpf/counters");
 * console.log(same.fd);
 * ```
 *
 * @param token A permission token.
 * @param object The object.
 * @param options The path, and the directory that it is relative to. C names: `pathname`, `path_fd`.
 * @throws {SyscallError} EEXIST where the path exists; EPERM where it is not on a bpffs, or a name in it contains a dot;
 * ENOENT, EACCES as for any path.
 */
export function objPin(token: AnyToken, object: FdSource, options: PathOptions & { path: string }): void {
  const { path, directory } = options;
  const attr = pathAttr("obj_pin", path, 0, directory).fd("bpf_fd", object);
  call(token, attr, { request: { path }, action: `pin to ${path}` });
}

/**
 * Opens what is pinned at a path: BPF_OBJ_GET. Since Linux 4.4. With a token that was restricted to reading maps are
 * opened read-only, and programs and links not at all.
 *
 * @param token A permission token.
 * @param path The path. C name: `pathname`.
 * @param options Flags, and the directory that the path is relative to.
 * @returns The object's file descriptor.
 * @throws {SyscallError} ENOENT where nothing is pinned there; EACCES where the path is not on a bpffs.
 */
export function objGet(token: AnyToken, path: string, options: ObjGetOptions = {}): Fd {
  const flags = (options.flags ?? 0) | (token.readOnly ? BPF_F_RDONLY : 0);
  const attr = pathAttr("obj_get", path, flags, options.directory) as unknown as Attr<"obj_get">;
  return callForFd(token, attr, { request: { path }, action: `open ${path}` });
}

/** The kinds of objects that can be asked about. */
export type ObjectKind = "map" | "prog" | "btf" | "link";

/** What the kernel tells about an object of each kind. */
export interface InfoOf {
  /** Of a map. */
  map: MapInfo;
  /** Of a program. */
  prog: ProgInfo;
  /** Of a BTF object. */
  btf: BtfInfo;
  /** Of a link. */
  link: LinkInfo;
}

/** What `objGetInfoByFd()` takes besides the object. */
export interface ObjInfoOptions<K extends ObjectKind> {
  /** What kind of object it is. */
  kind: K;
  /** For programs: which of its arrays to fetch too. For BTF objects: `"btf"` for its bytes. @default {[]} */
  details?: readonly InfoDetail[] | undefined;
}

/**
 * What the kernel tells about an object: BPF_OBJ_GET_INFO_BY_FD. Since Linux 4.13; BTF since 4.18, links since 5.8.
 * Without CAP_BPF a program's instructions are left out.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, objGetInfoByFd } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, name: "counters" });
 * const { id, name, type } = objGetInfoByFd(token, map, { kind: "map" });
 * console.log(id, name, type);
 * ```
 *
 * @typeParam K The kind of object.
 * @param token A permission token.
 * @param object The object.
 * @param options The kind, and what to fetch.
 * @returns All that the kernel tells; fields that it does not know are zero or empty.
 * @throws {SyscallError} EINVAL where the descriptor is of no BPF object.
 */
export function objGetInfoByFd<K extends ObjectKind>(
  token: AnyToken,
  object: FdSource,
  options: ObjInfoOptions<K>,
): InfoOf[K] {
  const { kind, details = [] } = options;
  const read = (): MapInfo | ProgInfo | BtfInfo | LinkInfo => {
    switch (kind as ObjectKind) {
      case "map":
        return readMapInfo(token, object);
      case "prog":
        return readProgInfo(token, object, details);
      case "btf":
        return readBtfInfo(token, object, details);
      case "link":
        return readLinkInfo(token, object);
    }
    throw new TypeError(`Cannot use kind: "${kind}" is none of map, prog, btf, link`);
  };
  return read() as InfoOf[K];
}
