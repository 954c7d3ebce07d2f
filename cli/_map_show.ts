/**
 * Maps as `map show` has them.
 *
 * @module
 */

import type { MapInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import type { FdSource } from "../ffi/fd.ts";
import { type ProgType, progTypes } from "../uapi/enums.gen.ts";
import type { Writable } from "./_json.ts";
import type { Session } from "./_session.ts";
import { Finder, idText, pidsJson, pidsText, pinsText, type Whereabouts } from "./_shown.ts";
import { safe } from "./_style.ts";

/** A map, and what is known of it from elsewhere. */
export interface ShownMap extends Whereabouts {
  /** What the kernel tells. */
  readonly info: MapInfo;
  /** Bytes that count against RLIMIT_MEMLOCK, or against the cgroup. */
  readonly memlock: number | undefined;
  /** Whether user space may no longer write it; undefined where the kernel does not tell. */
  readonly frozen: boolean | undefined;
  /** The type of the programs in it, of prog arrays. */
  readonly ownerProgType: ProgType | number | undefined;
  /** Whether those are compiled. */
  readonly ownerJited: boolean | undefined;
}

function progTypeName(number: number): ProgType | number {
  return (Object.keys(progTypes) as ProgType[]).find((name) => progTypes[name] === number) ?? number;
}

/** Looks at maps for one answer. */
export class MapViewer {
  readonly #session: Session;
  readonly #finder: Finder;

  /** Looks at maps. */
  constructor(session: Session) {
    this.#session = session;
    this.#finder = new Finder(session, "map");
  }

  /** What is shown of a map. */
  look(fd: FdSource, info?: MapInfo): ShownMap {
    info ??= objGetInfoByFd(this.#session.token, fd, { kind: "map" });
    const fields = this.#finder.fields(info.id, fd);
    const number = (name: string): number | undefined =>
      fields.get(name) === undefined ? undefined : Number(fields.get(name));
    const owner = info.type === "prog_array" ? number("owner_prog_type") : undefined;
    const jited = info.type === "prog_array" ? number("owner_jited") : undefined;
    const frozen = number("frozen");
    return {
      info,
      memlock: number("memlock"),
      frozen: frozen === undefined ? undefined : frozen !== 0,
      ownerProgType: owner === undefined ? undefined : progTypeName(owner),
      ownerJited: jited === undefined ? undefined : jited !== 0,
      ...this.#finder.find(info.id),
    };
  }
}

/** A map in bpftool's JSON. */
export function mapJson({ info, memlock, frozen, ownerProgType, ownerJited, pinned, pids }: ShownMap): Writable {
  return {
    id: info.id,
    type: info.type,
    name: info.name === "" ? undefined : info.name,
    flags: info.flags,
    bytes_key: info.keySize,
    bytes_value: info.valueSize,
    max_entries: info.maxEntries,
    bytes_memlock: memlock,
    owner_prog_type: ownerProgType,
    owner_jited: ownerJited,
    frozen: frozen === undefined ? undefined : Number(frozen),
    btf_id: info.btfId > 0 ? info.btfId : undefined,
    pinned: pinned.length > 0 ? pinned : undefined,
    pids: pidsJson(pids),
  };
}

/** The line that says which map it is. */
export function headText(info: MapInfo, session: Session): string {
  const { style } = session;
  const type = typeof info.type === "number" ? `type ${info.type}` : info.type;
  const name = info.name === "" ? "" : `name ${style.name(safe(info.name))}  `;
  return `${idText(info.id, session)}: ${style.type(type)}  ${name}flags 0x${info.flags.toString(16)}\n`;
}

/** A map for people, as bpftool prints it. */
export function mapText(shown: ShownMap, session: Session): string {
  const { info, memlock, frozen, ownerProgType, ownerJited, pinned, pids } = shown;
  let text = headText(info, session);
  text += `\tkey ${info.keySize}B  value ${info.valueSize}B  max_entries ${info.maxEntries}`;
  if (memlock !== undefined) text += `  memlock ${memlock}B`;
  if (ownerProgType !== undefined || ownerJited !== undefined) {
    text += "\n\t";
    if (ownerProgType !== undefined) text += `owner_prog_type ${ownerProgType}  `;
    if (ownerJited !== undefined) text += `owner${ownerJited ? "" : " not"} jited`;
  }
  text += pinsText(pinned);
  if (frozen || info.btfId > 0) {
    const parts = [...(info.btfId > 0 ? [`btf_id ${info.btfId}`] : []), ...(frozen ? ["frozen"] : [])];
    text += `\n\t${parts.join("  ")}`;
  }
  text += pidsText(pids, session);
  return `${text}\n`;
}
