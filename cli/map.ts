/**
 * Commands of maps: `bpf map …`.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { mapCreate, type MapCreateOptions, mapFreeze } from "../cmds/map.ts";
import {
  mapDeleteElem,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
  type UpdateMode,
} from "../cmds/map_elem.ts";
import type { MapInfo } from "../cmds/info.ts";
import { errnoMeaning } from "../errors.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { type MapType, mapTypes } from "../uapi/enums.gen.ts";
import { hexText, parseBytes } from "./_bytes.ts";
import { pin as pinAt } from "./_bpffs.ts";
import type { CommandGroup } from "./_command.ts";
import { hexBytes, type Writable } from "./_json.ts";
import { MapTypes } from "./_map_btf.ts";
import {
  type Element,
  elementJson,
  elementsOf,
  elementText,
  elementValue,
  holdsMaps,
  isPerCpu,
  readElement,
} from "./_map_elements.ts";
import { headText, mapJson, mapText, MapViewer, type ShownMap } from "./_map_show.ts";
import { MAPS, type Opened, parseRef, parseRefs, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { CommandError, exitCodeOf, isPrefix, NOT_FOUND, QuietFailure, type Words } from "./_words.ts";

function show(session: Session, words: Words): void {
  const viewer = new MapViewer(session);
  const shown: ShownMap[] = [];
  const one = words.left > 0;
  if (one) {
    using stack = new DisposableStack();
    const found = parseRefs(MAPS, session, words).map((map) => stack.use(map));
    if (found.length === 0) throw new CommandError("no map matches this handle");
    words.end();
    for (const { fd, info } of found) shown.push(viewer.look(fd, info));
  } else for (const { fd, info } of eachObject(session.token, "map")) shown.push(viewer.look(fd, info()));
  session.answer({
    json: () => one && shown.length === 1 ? mapJson(shown[0]) : shown.map(mapJson),
    v1: ["map.show", () => shown.map(({ info, ...rest }) => ({ ...info, ...rest }))],
    text: () => shown.map((map) => mapText(map, session)).join(""),
  });
}

function create(session: Session, words: Words): void {
  const path = words.next("a path");
  const given: { -readonly [K in keyof MapCreateOptions]?: MapCreateOptions[K] } = {};
  using stack = new DisposableStack();
  while (words.left > 0) {
    if (words.accept("type")) {
      const name = words.next("a map type");
      if (!Object.hasOwn(mapTypes, name)) throw new CommandError(`unrecognized map type: ${name}`);
      given.type = name as MapType;
    } else if (words.accept("name")) given.name = words.next("a name");
    else if (words.accept("key")) given.keySize = words.number("key size");
    else if (words.accept("value")) given.valueSize = words.number("value size");
    else if (words.accept("entries")) given.maxEntries = words.number("max entries");
    else if (words.accept("flags")) given.flags = words.number("flags");
    else if (words.accept("dev")) given.ifindex = interfaceIndex(words.next("an interface"));
    else if (words.accept("inner_map")) given.innerMap = stack.use(parseRef(MAPS, session, words)).fd;
    else throw new CommandError(`unknown arg ${words.peek}`);
  }
  const { type, name } = given;
  if (type === undefined) throw new CommandError("map type not specified");
  if (name === undefined) throw new CommandError("map name not specified");
  const options = {
    ...given,
    type,
    keySize: given.keySize ?? 0,
    valueSize: given.valueSize ?? 0,
    maxEntries: given.maxEntries ?? 0,
  };
  using map = orSay("map create failed", () => mapCreate(session.token, options), 255);
  pinAt(session, map, path);
  session.done();
}

function dump(session: Session, words: Words): void {
  using stack = new DisposableStack();
  const maps = parseRefs(MAPS, session, words).map((map) => stack.use(map));
  if (maps.length === 0) throw new CommandError("no map matches this handle");
  words.end();
  const dumps = maps.map(({ fd, info }) => {
    const types = MapTypes.of(session.token, info);
    let failure: number | undefined;
    const elements: Element[] = [];
    try {
      for (const element of elementsOf(session.token, fd, info)) elements.push(element);
    } catch (error) {
      // Types without keys to go over: what was found is shown, and the code tells.
      failure = (error as { errno?: number }).errno ?? (error as { cause?: { errno?: number } }).cause?.errno;
      if (failure === undefined) throw error;
    }
    return { info, types, elements, failure };
  });
  const several = dumps.length > 1;
  session.answer({
    json: () => {
      const all = dumps.map(({ info, types, elements }) => elements.map((one) => elementJson(one, info, types)));
      return several ? dumps.map(({ info }, index) => ({ ...mapHead(info), elements: all[index] })) : all[0];
    },
    v1: [
      "map.dump",
      () =>
        dumps.map(({ info, types, elements }) => ({
          id: info.id,
          name: info.name,
          type: info.type,
          elements: elements.map((one) => elementValue(one, info, types)),
        })),
    ],
    // Several stand below what each is.
    text: () =>
      dumps.map((one) => (several ? headText(one.info, session) : "") + dumpText(one)).join(several ? "\n" : ""),
  });
  const failed = dumps.find(({ failure }) => failure !== undefined)?.failure;
  if (failed !== undefined) throw new QuietFailure(exitCodeOf(failed));
}

/** What stands above the elements of a map, where several are dumped. */
function mapHead({ id, type, name, flags }: MapInfo): Readonly<Record<string, Writable | undefined>> {
  return { id, type, name: name === "" ? undefined : name, flags };
}

function dumpText(
  { info, types, elements }: { info: MapInfo; types: MapTypes | undefined; elements: readonly Element[] },
): string {
  if (types !== undefined) {
    return `[${elements.map((one) => elementText(one, info, types, 1)).join(",")}\n]\n`.replace("[\n]", "[]");
  }
  const count = elements.filter(({ value }) => value !== undefined).length;
  return `${elements.map((one) => elementText(one, info, types, 0)).join("")}Found ${count} element${
    count === 1 ? "" : "s"
  }\n`;
}

function parseKey(words: Words, { keySize }: MapInfo): Bytes {
  if (keySize === 0) {
    if (isPrefix(words.peek, "key")) throw new CommandError("this map has no keys");
    return allocate(0);
  }
  if (!words.accept("key")) throw new CommandError(`expected 'key', got: '${words.peek ?? ""}'?`);
  return parseBytes(words, keySize, "key");
}

/** A value: bytes, a map for maps of maps, a program for prog arrays; one value goes to every CPU. */
function parseValue(session: Session, words: Words, info: MapInfo): Bytes {
  const id = (object: Opened<unknown>): Bytes => {
    const bytes = allocate(4);
    new DataView(bytes.buffer).setUint32(0, object.fd.fd, LITTLE_ENDIAN);
    return bytes;
  };
  // The descriptor has to be open when the kernel reads it: it is closed with the command line.
  if (holdsMaps(info)) return id(keep(session, parseRef(MAPS, session, words)));
  if (info.type === "prog_array") return id(keep(session, parseRef(PROGS, session, words)));
  const one = parseBytes(words, info.valueSize, "value");
  if (!isPerCpu(info)) return one;
  const step = Math.ceil(info.valueSize / 8) * 8;
  const each = allocate(step * possibleCpus());
  for (let at = 0; at < each.length; at += step) each.set(one, at);
  return each;
}

function keep<T>(session: Session, object: Opened<T>): Opened<T> {
  session.token.adopt(object.fd);
  return object;
}

const MODES: readonly UpdateMode[] = ["any", "noexist", "exist"];

function update(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  const { fd, info } = map;
  let key: Bytes | undefined = info.keySize === 0 ? allocate(0) : undefined;
  let value: Bytes | undefined;
  let mode: UpdateMode | undefined;
  while (words.left > 0) {
    const named = MODES.find((one) => words.peek === one) ?? MODES.find((one) => one.startsWith(words.peek ?? " "));
    if (words.peek === "key" || (key === undefined && words.peek?.startsWith("k"))) {
      words.next("key");
      if (info.keySize === 0) throw new CommandError("this map has no keys");
      key = parseBytes(words, info.keySize, "key");
    } else if (words.accept("value")) value = parseValue(session, words, info);
    else if (named !== undefined) {
      words.next("a mode");
      if (mode !== undefined) throw new CommandError(`flags specified multiple times: ${named}`);
      mode = named;
    } else throw new CommandError(`expected key or value, got: ${words.peek}`);
  }
  if (key === undefined) throw new CommandError("did not find key");
  if (value === undefined) throw new CommandError("did not find value");
  const options = { ...(info.keySize === 0 ? {} : { key }), value, mode: mode ?? "any" } as const;
  orSay("update failed", () => mapUpdateElem(session.token, fd, options));
  session.done();
}

function lookup(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  const { fd, info } = map;
  const { token } = session;
  const key = parseKey(words, info);
  words.end();
  if (info.keySize === 0) return showValue(session, info, orSay("lookup failed", () => mapLookupElem(token, fd, {})));
  const element = readElement(token, fd, info, key);
  const types = MapTypes.of(token, info);
  if (element?.value === undefined) {
    const errno = element?.errno ?? errnos.ENOENT;
    if (errno !== errnos.ENOENT) throw new CommandError(`lookup failed: ${element?.error}`, exitCodeOf(errno));
    session.answer({
      json: () => null,
      v1: ["map.lookup", () => null],
      text: () => `key:\n${hexText(key)}\n\nNot found\n`,
    });
    throw new QuietFailure(NOT_FOUND);
  }
  session.answer({
    json: () => elementJson(element, info, types),
    v1: ["map.lookup", () => elementValue(element, info, types)],
    text: () => elementText(element, info, types, 0) + (types === undefined ? "" : "\n"),
  });
}

/** A value of a map without keys. */
function showValue(session: Session, info: MapInfo, value: Bytes | undefined): void {
  if (value === undefined) {
    session.answer({
      json: () => ({ error: "Error: empty map" }),
      v1: ["map.value", () => null],
      text: () => "Error: empty map\n",
    });
    return;
  }
  const types = MapTypes.of(session.token, info);
  session.answer({
    json: () => ({
      key: [],
      value: hexBytes(value),
      formatted: types === undefined ? undefined : { value: types.json("value", value) },
    }),
    v1: ["map.value", () => types?.value("value", value) ?? value],
    text: () =>
      types === undefined
        ? elementText({ key: allocate(0), value, error: undefined }, info, undefined, 0)
        : `${types.text("value", value, 0)}\n`,
  });
}

function getnext(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  const { fd, info } = map;
  const key = words.left > 0 ? parseKey(words, info) : undefined;
  words.end();
  const next = orSay("can't get next key", () => mapGetNextKey(session.token, fd, key === undefined ? {} : { key }));
  if (next === undefined) throw new CommandError(`can't get next key: ${errnoMeaning(errnos.ENOENT)}`, NOT_FOUND);
  session.answer({
    json: () => ({ key: key === undefined ? null : hexBytes(key), next_key: hexBytes(next) }),
    v1: ["map.getnext", () => ({ key: key ?? null, nextKey: next })],
    text: () => `${key === undefined ? "key: None\n" : `key:\n${hexText(key)}\n`}next key:\n${hexText(next)}\n`,
  });
}

function remove(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  const key = parseKey(words, map.info);
  words.end();
  const found = orSay("delete failed", () => mapDeleteElem(session.token, map.fd, { key }));
  if (!found) throw new CommandError(`delete failed: ${errnoMeaning(errnos.ENOENT)}`, NOT_FOUND);
  session.done();
}

function pin(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  const path = words.next("a path");
  words.end();
  pinAt(session, map.fd, path);
  session.done();
}

function freeze(session: Session, words: Words): void {
  using map = parseRef(MAPS, session, words);
  words.end();
  orSay("failed to freeze map", () => mapFreeze(session.token, map.fd));
  session.done();
}

/** The map that the next words name: one without keys, whose elements come in an order. */
function parseKeyless(session: Session, words: Words): Opened<MapInfo> {
  const map = parseRef(MAPS, session, words);
  if (map.info.keySize === 0) return map;
  map[Symbol.dispose]();
  throw new CommandError("did not find key: this map has keys");
}

function peek(session: Session, words: Words): void {
  using map = parseKeyless(session, words);
  words.end();
  showValue(session, map.info, orSay("lookup failed", () => mapLookupElem(session.token, map.fd, {})));
}

function take(session: Session, words: Words): void {
  using map = parseKeyless(session, words);
  words.end();
  showValue(session, map.info, orSay("pop failed", () => mapLookupAndDeleteElem(session.token, map.fd)));
}

/** Commands of maps. */
export const group: CommandGroup = {
  usage: `Usage: {} map { show | list }   [MAP]
       {} map create     FILE type TYPE key KEY_SIZE value VALUE_SIZE entries MAX_ENTRIES name NAME
                           [flags FLAGS] [inner_map MAP] [dev NAME]
       {} map dump       MAP
       {} map update     MAP [key DATA] [value VALUE] [UPDATE_FLAGS]
       {} map lookup     MAP [key DATA]
       {} map getnext    MAP [key DATA]
       {} map delete     MAP  key DATA
       {} map pin        MAP  FILE
       {} map event_pipe MAP [cpu N index M]
       {} map peek       MAP
       {} map push       MAP value VALUE
       {} map pop        MAP
       {} map enqueue    MAP value VALUE
       {} map dequeue    MAP
       {} map freeze     MAP

       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
       DATA := { [hex] BYTES }
       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
       VALUE := { DATA | MAP | PROG }
       UPDATE_FLAGS := { any | exist | noexist }
       TYPE := { ${Object.keys(mapTypes).join(" | ")} }
`,
  commands: {
    show,
    list: show,
    dump,
    update,
    lookup,
    getnext,
    delete: remove,
    pin,
    event_pipe: async (session, words) => (await import("./_event_pipe.ts")).eventPipe(session, words),
    peek,
    push: update,
    enqueue: update,
    pop: take,
    dequeue: take,
    freeze,
    create,
  },
};
