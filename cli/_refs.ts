/**
 * Programs, maps and links as command lines name them: by id, name, tag or pin.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { mapGetFdById, progGetFdById } from "../cmds/id.ts";
import type { MapInfo, ProgInfo } from "../cmds/info.ts";
import { objGet, objGetInfoByFd } from "../cmds/obj.ts";
import type { Fd } from "../ffi/fd.ts";
import { tryReadKernelLink } from "../ffi/kernel_file.ts";
import { type HeldToken, orSay, type Session } from "./_session.ts";
import { CommandError, parseNumber, type Words } from "./_words.ts";

/** An object that is open, and what the kernel tells of it. */
export interface Opened<I> extends Disposable {
  /** The descriptor. */
  readonly fd: Fd;
  /** What the kernel tells. */
  readonly info: I;
}

/** A kind of objects: how they are found. */
interface Kind<I> {
  readonly noun: "prog" | "map";
  /** The words that may name one, as an error lists them. */
  readonly words: string;
  readonly byId: (token: HeldToken, id: number) => Fd;
  readonly info: (token: HeldToken, fd: Fd) => I;
}

/** Programs. */
export const PROGS: Kind<ProgInfo> = {
  noun: "prog",
  words: "'id', 'tag', 'name' or 'pinned'",
  byId: progGetFdById,
  info: (token, fd) => objGetInfoByFd(token, fd, { kind: "prog" }),
};

/** Maps. */
export const MAPS: Kind<MapInfo> = {
  noun: "map",
  words: "'id', 'name' or 'pinned'",
  byId: mapGetFdById,
  info: (token, fd) => objGetInfoByFd(token, fd, { kind: "map" }),
};

function opened<I>(kind: Kind<I>, token: HeldToken, fd: Fd): Opened<I> {
  try {
    return { fd, info: kind.info(token, fd), [Symbol.dispose]: () => fd.close() };
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** All objects of a kind that a test passes, each open. */
function matching<I>(kind: Kind<I>, token: HeldToken, test: (info: I) => boolean): Opened<I>[] {
  using stack = new DisposableStack();
  const found: Opened<I>[] = [];
  for (const object of eachObject(token, kind.noun)) {
    const info = object.info() as I;
    if (!test(info)) continue;
    const fd = stack.use(object.keep());
    found.push({ fd, info, [Symbol.dispose]: () => fd.close() });
  }
  stack.move();
  return found;
}

const LINKS: Readonly<Record<"prog" | "map", RegExp>> = {
  prog: /^anon_inode:\[?bpf-prog/,
  map: /^anon_inode:\[?bpf-map/,
};

/** Opens a pin, which has to be of the kind. */
function pinned<I>(kind: Kind<I>, token: HeldToken, path: string): Opened<I> {
  const fd = orSay(`bpf obj get (${path})`, () => objGet(token, path), 255);
  const link = tryReadKernelLink(`/proc/self/fd/${fd.fd}`);
  if (link !== undefined && !LINKS[kind.noun].test(link)) {
    fd.close();
    const what = /bpf[-_](\w+)/.exec(link)?.[1];
    throw new CommandError(`incorrect object type: ${what === undefined ? "unknown" : what}`);
  }
  return opened(kind, token, fd);
}

/**
 * The objects that the next words name: one by id or pin, any number by name or tag.
 *
 * @param kind What is looked for.
 * @param session The command line.
 * @param words The words, of which two are taken.
 * @returns The objects, open; none where no object has the name.
 */
export function parseRefs<I extends ProgInfo | MapInfo>(kind: Kind<I>, session: Session, words: Words): Opened<I>[] {
  const { token } = session;
  const isProg = kind.noun === "prog";
  if (words.accept("id")) {
    const word = words.next("ID");
    const id = parseNumber(word);
    if (id === undefined || id < 0 || id > 0xffffffff) throw new CommandError(`can't parse ${word} as ID`);
    const fd = orSay(isProg ? `get by id (${id})` : `get map by id (${id})`, () => kind.byId(token, id), 255);
    return [opened(kind, token, fd)];
  }
  if (isProg && words.accept("tag")) {
    const tag = words.next("a tag").toLowerCase();
    if (!/^[0-9a-f]{16}$/.test(tag)) throw new CommandError("can't parse tag");
    return matching(kind, token, (info) => (info as ProgInfo).tag === tag);
  }
  if (words.accept("name")) {
    const name = words.next("a name");
    if (new TextEncoder().encode(name).length > 15) throw new CommandError("can't parse name");
    return matching(kind, token, (info) => info.name === name);
  }
  if (words.accept("pinned")) return [pinned(kind, token, words.next("a path"))];
  throw new CommandError(`expected ${kind.words}, got: '${words.peek ?? ""}'?`);
}

/**
 * The one object that the next words name.
 *
 * @param kind What is looked for.
 * @param session The command line.
 * @param words The words, of which two are taken.
 * @returns The object, open.
 */
export function parseRef<I extends ProgInfo | MapInfo>(kind: Kind<I>, session: Session, words: Words): Opened<I> {
  const found = parseRefs(kind, session, words);
  if (found.length === 1) return found[0];
  for (const object of found) object[Symbol.dispose]();
  throw new CommandError(
    found.length === 0
      ? `no ${kind.noun === "prog" ? "program" : "map"} matches this handle`
      : `several ${kind.noun === "prog" ? "programs" : "maps"} match this handle`,
  );
}
