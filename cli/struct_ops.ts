/**
 * Commands of struct_ops: `bpf struct_ops …`.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { mapDeleteElem } from "../cmds/map_elem.ts";
import { mapLookupElem } from "../cmds/map_elem.ts";
import type { MapInfo } from "../cmds/info.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { type Btf, formatValue } from "../btf/mod.ts";
import { mapTypes } from "../uapi/enums.gen.ts";
import type { CommandGroup } from "./_command.ts";
import { RawJson, type Writable } from "./_json.ts";
import { orSay, type Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, parseNumber, type Words } from "./_words.ts";

const VALUE_PREFIX = "bpf_struct_ops_";

/** What a map is a table of: `tcp_congestion_ops`. */
function kernelStruct({ btfVmlinuxValueTypeId }: MapInfo): string {
  return kernelBtf().nameOf(btfVmlinuxValueTypeId).slice(VALUE_PREFIX.length);
}

/** The key of the one element. */
function firstKey(): Uint8Array<ArrayBuffer> {
  const key = allocate(4);
  new DataView(key.buffer).setUint32(0, 0, LITTLE_ENDIAN);
  return key;
}

/** The struct_ops maps that the words name; all where they name none. */
function* chosen(session: Session, words: Words): Generator<{ fd: number; info: MapInfo }, void> {
  let test = (_info: MapInfo): boolean => true;
  let what = "";
  if (words.accept("id")) {
    const word = words.next("ID");
    const id = parseNumber(word);
    if (id === undefined) throw new CommandError(`invalid id ${word}`);
    [test, what] = [(info) => info.id === id, `id ${id}`];
  } else if (words.accept("name")) {
    const name = words.next("a name");
    [test, what] = [(info) => info.name === name, name];
  } else if (words.left > 0) throw new CommandError(`expected 'id' or 'name', got: '${words.peek}'?`);
  words.end();
  let found = 0;
  for (const { fd, info: ask } of eachObject(session.token, "map")) {
    const info = ask();
    if (info.type !== "struct_ops" || !test(info)) continue;
    found++;
    yield { fd, info };
  }
  if (found === 0 && what !== "") throw new CommandError(`no struct_ops found for ${what}`);
}

function show(session: Session, words: Words): void {
  const shown = [...chosen(session, words)].map(({ info }) => ({
    id: info.id,
    name: info.name,
    struct: kernelStruct(info),
  }));
  session.answer({
    json: () => shown.map(({ id, name, struct }) => ({ id, name, kernel_struct_ops: struct })),
    v1: ["struct_ops.show", () => shown],
    text: () =>
      shown.map(({ id, name, struct }) =>
        `${session.style.id(`${id}`)}: ${session.style.name(safe(name).padEnd(15))} ${struct.padEnd(32)}\n`
      ).join(""),
  });
}

/** What the kernel tells of a map, by the kernel's own names, as bpftool formats the struct by its BTF. */
function infoJson(info: MapInfo): Writable {
  return {
    type: mapTypes.struct_ops,
    id: info.id,
    key_size: info.keySize,
    value_size: info.valueSize,
    max_entries: info.maxEntries,
    map_flags: info.flags,
    name: info.name,
    ifindex: info.ifindex,
    btf_vmlinux_value_type_id: info.btfVmlinuxValueTypeId,
    netns_dev: info.netnsDev,
    netns_ino: info.netnsIno,
    btf_id: info.btfId,
    btf_key_type_id: info.btfKeyTypeId,
    btf_value_type_id: info.btfValueTypeId,
    btf_vmlinux_id: info.btfVmlinuxId,
    map_extra: info.mapExtra,
  };
}

function dump(session: Session, words: Words): void {
  const btf = kernelBtf();
  const dumped: { info: MapInfo; value: Uint8Array }[] = [];
  for (const { fd, info } of chosen(session, words)) {
    const value = orSay(
      "can't lookup struct_ops map",
      () => mapLookupElem(session.token, fd, { key: firstKey() }),
    );
    if (value !== undefined) dumped.push({ info, value });
  }
  const json = (): Writable =>
    dumped.flatMap(({ info, value }) => [
      { bpf_map_info: infoJson(info) },
      {
        [btf.nameOf(info.btfVmlinuxValueTypeId)]: new RawJson(
          formatValue(btf, info.btfVmlinuxValueTypeId, value, { style: "json" }),
        ),
      },
    ]);
  session.answer({
    json,
    v1: ["struct_ops.dump", () => dumped.map(({ info, value }) => ({ ...info, value }))],
    text: () => dumped.length === 0 ? "[]\n" : textOf(dumped, btf),
  });
}

function textOf(
  dumped: readonly { info: MapInfo; value: Uint8Array }[],
  btf: Btf,
): string {
  const parts = dumped.flatMap(({ info, value }) => {
    const fields = Object.entries(infoJson(info) as Record<string, unknown>)
      .map(([name, member]) =>
        `            "${name}": ${typeof member === "string" ? JSON.stringify(member) : member}`
      );
    const id = info.btfVmlinuxValueTypeId;
    return [
      `{\n        "bpf_map_info": {\n${fields.join(",\n")}\n        }\n    }`,
      `{\n        "${btf.nameOf(id)}": ${formatValue(btf, id, value, { depth: 2 })}\n    }`,
    ];
  });
  return `[${parts.join(",")}\n]\n`;
}

function unregister(session: Session, words: Words): void {
  if (words.left === 0) throw new CommandError("expected 'id' or 'name', got: ''?");
  const done: MapInfo[] = [];
  for (const { fd, info } of chosen(session, words)) {
    const removed = orSay(
      `can't unregister ${safe(info.name)}`,
      () => mapDeleteElem(session.token, fd, { key: firstKey() }),
    );
    if (!removed) throw new CommandError(`can't unregister ${safe(info.name)}: it is not registered`);
    done.push(info);
  }
  session.answer({
    json: () => null,
    v1: ["struct_ops.unregister", () => done.map(({ id, name }) => ({ id, name }))],
    text: () => done.map((info) => `Unregistered ${kernelStruct(info)} ${safe(info.name)} id ${info.id}\n`).join(""),
  });
}

/** Commands of struct_ops. */
export const group: CommandGroup = {
  usage: `Usage: {} struct_ops { show | list } [STRUCT_OPS_MAP]
       {} struct_ops dump [STRUCT_OPS_MAP]
       {} struct_ops register OBJ [LINK_DIR]
       {} struct_ops unregister STRUCT_OPS_MAP

       STRUCT_OPS_MAP := [ id STRUCT_OPS_MAP_ID | name STRUCT_OPS_MAP_NAME ]
       OBJ := /a/file/of/bpf_struct_ops.o
`,
  commands: {
    show,
    list: show,
    dump,
    register: async (session, words) => (await import("./_struct_ops_register.ts")).register(session, words),
    unregister,
  },
};
