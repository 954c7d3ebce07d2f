/**
 * Commands of type information: `bpf btf …`.
 *
 * @module
 */

import { Btf, type BtfType, printC } from "../btf/mod.ts";
import { eachObject } from "../cmds/each.ts";
import { btfGetFdById } from "../cmds/id.ts";
import type { BtfInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { Elf } from "../elf/mod.ts";
import type { CommandGroup } from "./_command.ts";
import { btfTypeJson, btfTypeText } from "./_btf_raw.ts";
import type { Holder } from "./_held.ts";
import { findHolders } from "./_holders.ts";
import type { Writable } from "./_json.ts";
import { MAPS, parseRef, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { idText, pidsJson, pidsText } from "./_shown.ts";
import { safe } from "./_style.ts";
import { CommandError, NOT_FOUND, parseNumber, type Words } from "./_words.ts";

/** A BTF object, and who uses it. */
interface ShownBtf {
  readonly info: BtfInfo;
  readonly progIds: readonly number[];
  readonly mapIds: readonly number[];
  readonly pids: readonly Holder[];
}

/** The ids of what uses BTF, by the BTF's ids. */
function usersOf<I extends { id: number; btfId: number }>(objects: Iterable<{ info: () => I }>): Map<number, number[]> {
  const users = new Map<number, number[]>();
  for (const { info } of objects) {
    const { id, btfId } = info();
    if (btfId > 0) users.set(btfId, [...users.get(btfId) ?? [], id]);
  }
  return users;
}

function parseId(words: Words): number {
  const word = words.next("ID");
  const id = parseNumber(word);
  if (id === undefined || id < 0 || id > 0xffffffff) throw new CommandError(`can't parse ${word} as ID`);
  return id;
}

function show(session: Session, words: Words): void {
  const { token } = session;
  const progs = usersOf(eachObject(token, "prog"));
  const maps = usersOf(eachObject(token, "map"));
  const holders = findHolders(token, "btf");
  const shown: ShownBtf[] = [];
  const look = (info: BtfInfo): void => {
    const { id } = info;
    shown.push({ info, progIds: progs.get(id) ?? [], mapIds: maps.get(id) ?? [], pids: holders.get(id) ?? [] });
  };
  const one = words.left > 0;
  if (one) {
    words.expect("id");
    const id = parseId(words);
    words.end();
    using fd = orSay(`can't get BTF object by id (${id})`, () => btfGetFdById(token, id), 255);
    look(objGetInfoByFd(token, fd, { kind: "btf" }));
  } else {
    for (const { info } of eachObject(token, "btf")) look(info());
  }
  const json = ({ info, progIds, mapIds, pids }: ShownBtf): Writable => ({
    id: info.id,
    size: info.btfSize,
    prog_ids: progIds,
    map_ids: mapIds,
    pids: pidsJson(pids),
    kernel: info.kernelBtf,
    name: info.name === "" ? undefined : info.name,
  });
  const text = ({ info, progIds, mapIds, pids }: ShownBtf): string => {
    const name = info.kernelBtf ? `name [${safe(info.name)}]` : `name ${info.name === "" ? "<anon>" : safe(info.name)}`;
    let line = `${idText(info.id, session)}: ${session.style.name(name)}  size ${info.btfSize}B`;
    if (progIds.length > 0) line += `  prog_ids ${progIds.join(",")}`;
    if (mapIds.length > 0) line += `  map_ids ${mapIds.join(",")}`;
    return `${line}${pidsText(pids, session)}\n`;
  };
  session.answer({
    json: () => one ? json(shown[0]) : shown.map(json),
    v1: ["btf.show", () => shown.map(({ info, ...rest }) => ({ ...info, ...rest }))],
    text: () => shown.map(text).join(""),
  });
}

/** The BTF of a file: BTF itself, or an object's or a kernel's section of it. */
async function readFile(path: string, base: Btf | undefined): Promise<Btf> {
  // The kernel's own files are not Deno's to read.
  const bytes = path.startsWith("/sys/kernel/btf/")
    ? (await import("../ffi/kernel_file.ts")).readKernelFile(path)
    : await Deno.readFile(path);
  const elf = bytes[0] === 0x7f ? Elf.parse(bytes) : undefined;
  if (elf === undefined) return Btf.parse(bytes, { base: base ?? await vmlinuxFor(path) });
  const section = elf.section(".BTF");
  if (section === undefined) throw new CommandError(`failed to load BTF from ${path}: No such file or directory`);
  return Btf.parse(section.data, { base });
}

/** Modules continue the kernel's BTF. */
async function vmlinuxFor(path: string): Promise<Btf | undefined> {
  if (!/^\/sys\/kernel\/btf\/(?!vmlinux$)/.test(path)) return undefined;
  return (await import("../features/kernel_btf.ts")).kernelBtf();
}

/** The BTF of an object by its id; that of a module stands on the kernel's. */
async function readId(session: Session, id: number): Promise<Btf> {
  const { token } = session;
  using fd = orSay(`can't get BTF object by id (${id})`, () => btfGetFdById(token, id), 255);
  const info = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
  const isModule = info.kernelBtf && info.name !== "vmlinux";
  const base = isModule ? (await import("../features/kernel_btf.ts")).kernelBtf() : undefined;
  return Btf.parse(info.btf as Uint8Array, { base });
}

/** What stands around types that are dumped as C, whether all or some. */
const GUARD_START = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

`;
const GUARD_END = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`;

/** What is dumped, and the types that were asked for; all where none were. */
interface Source {
  readonly btf: Btf;
  readonly roots: readonly number[];
}

async function parseSource(session: Session, words: Words): Promise<Source> {
  const { baseBtf } = session.options;
  const base = baseBtf === undefined ? undefined : await readFile(baseBtf, undefined);
  if (words.accept("id")) return { btf: await readId(session, parseId(words)), roots: [] };
  if (words.accept("prog")) {
    using prog = parseRef(PROGS, session, words);
    if (prog.info.btfId === 0) throw new CommandError("prog does not have btf");
    return { btf: await readId(session, prog.info.btfId), roots: [] };
  }
  if (words.accept("map")) {
    using map = parseRef(MAPS, session, words);
    const { btfId, btfKeyTypeId, btfValueTypeId } = map.info;
    if (btfId === 0) throw new CommandError("map does not have btf", NOT_FOUND);
    const btf = await readId(session, btfId);
    if (words.accept("key")) return { btf, roots: [btfKeyTypeId] };
    if (words.accept("value")) return { btf, roots: [btfValueTypeId] };
    if (words.accept("all")) return { btf, roots: [] };
    words.accept("kv");
    return { btf, roots: [btfKeyTypeId, btfValueTypeId] };
  }
  if (words.accept("file")) return { btf: await readFile(words.next("a file"), base), roots: [] };
  throw new CommandError(`unrecognized BTF source specifier: '${words.peek ?? ""}'`);
}

/** A header of types: all, or some with what they need. */
function headerOf(btf: Btf, roots: readonly number[]): string {
  if (roots.length === 0) return printC(btf);
  // Sections of variables are no types of C: bpftool says nothing of them.
  const text = printC(btf, roots.filter((id) => btf.kindOf(id) !== "datasec"));
  return `${GUARD_START}${text === "" ? "" : `${text}\n`}${GUARD_END}`;
}

async function dump(session: Session, words: Words): Promise<void> {
  const { btf, roots: named } = await parseSource(session, words);
  const roots = [...named];
  let format = "raw";
  while (words.left > 0) {
    if (words.accept("format")) {
      format = words.next("a format");
      if (format !== "raw" && format !== "c") {
        throw new CommandError(`unrecognized format specifier: '${format}', possible values: raw, c`);
      }
    } else if (words.accept("root_id")) roots.push(words.number("root_id"));
    else throw new CommandError(`unrecognized option: '${words.peek}'`);
  }
  for (const id of roots) if (id >= btf.typeCount) throw new CommandError(`invalid root ID: ${id}`);
  if (format === "c") {
    if (session.options.format === "json") throw new CommandError("JSON output for C-syntax dump is not supported");
    const text = headerOf(btf, roots);
    return session.answer({ json: () => null, v1: ["btf.dump.c", () => text], text: () => text });
  }
  const ids = roots.length > 0
    ? roots
    : Array.from({ length: btf.typeCount - btf.firstId }, (_, at) => btf.firstId + at);
  const each = function* <T>(show: (id: number, type: BtfType) => T): Generator<T> {
    for (const id of ids) yield show(id, btf.type(id));
  };
  session.answer({
    json: () => ({ types: [...each(btfTypeJson)] }),
    v1: ["btf.dump", () => [...each((id, type) => ({ id, ...type }))]],
    text: () => [...each((id, type) => btfTypeText(btf, id, type))].join(""),
  });
}

/** Commands of type information. */
export const group: CommandGroup = {
  usage: `Usage: {} btf { show | list } [id BTF_ID]
       {} btf dump BTF_SRC [format FORMAT] [root_id ROOT_ID]

       BTF_SRC := { id BTF_ID | prog PROG | map MAP [{key | value | kv | all}] | file FILE }
       FORMAT  := { raw | c }
       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
`,
  commands: { show, list: show, dump },
};
