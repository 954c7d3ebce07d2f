/**
 * Programs as `prog show` has them.
 *
 * @module
 */

import type { ProgInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import type { FdSource } from "../ffi/fd.ts";
import { localTime, wallClockSeconds } from "./_clock.ts";
import type { Writable } from "./_json.ts";
import type { Session } from "./_session.ts";
import { Finder, idText, pidsJson, pidsText, pinsText, type Whereabouts } from "./_shown.ts";
import { safe } from "./_style.ts";

/** A program, and what is known of it from elsewhere. */
export interface ShownProg extends Whereabouts {
  /** What the kernel tells. */
  readonly info: ProgInfo & { readonly mapIds?: readonly number[] };
  /** When it was loaded, in seconds since 1970; undefined where the kernel does not tell. */
  readonly loadedAt: number | undefined;
  /** Bytes that count against RLIMIT_MEMLOCK, or against the cgroup. */
  readonly memlock: number | undefined;
}

/** Looks at programs for one answer. */
export class ProgViewer {
  readonly #session: Session;
  readonly #finder: Finder;

  /** Looks at programs. */
  constructor(session: Session) {
    this.#session = session;
    this.#finder = new Finder(session, "prog");
  }

  /** What is shown of a program. */
  look(fd: FdSource, known: ProgInfo): ShownProg {
    const { token } = this.#session;
    const info = known.nrMapIds === 0 ? known : objGetInfoByFd(token, fd, { kind: "prog", details: ["mapIds"] });
    const memlock = this.#finder.fields(info.id, fd).get("memlock");
    return {
      info,
      loadedAt: info.loadTime === 0n ? undefined : wallClockSeconds(info.loadTime),
      memlock: memlock === undefined ? undefined : Number(memlock),
      ...this.#finder.find(info.id),
    };
  }
}

/** A program in bpftool's JSON. */
export function progJson({ info, loadedAt, memlock, pinned, pids }: ShownProg): Writable {
  const some = <T>(list: readonly T[]): readonly T[] | undefined => list.length > 0 ? list : undefined;
  return {
    id: info.id,
    type: info.type,
    name: info.name === "" ? undefined : info.name,
    tag: info.tag,
    gpl_compatible: info.gplCompatible,
    run_time_ns: info.runTimeNs > 0n ? info.runTimeNs : undefined,
    run_cnt: info.runTimeNs > 0n ? info.runCnt : undefined,
    recursion_misses: info.recursionMisses > 0n ? info.recursionMisses : undefined,
    loaded_at: loadedAt,
    uid: loadedAt === undefined ? undefined : info.createdByUid,
    bytes_xlated: info.xlatedProgLen,
    jited: info.jitedProgLen > 0,
    bytes_jited: info.jitedProgLen > 0 ? info.jitedProgLen : undefined,
    bytes_memlock: memlock,
    map_ids: some(info.mapIds ?? []),
    btf_id: info.btfId > 0 ? info.btfId : undefined,
    pinned: some(pinned),
    pids: pidsJson(pids),
  };
}

/** A program for people, as bpftool prints it. */
export function progText({ info, loadedAt, memlock, pinned, pids }: ShownProg, session: Session): string {
  const type = typeof info.type === "number" ? `type ${info.type}` : info.type;
  const { style } = session;
  let text = `${idText(info.id, session)}: ${style.type(type)}  `;
  if (info.name !== "") text += `name ${style.name(safe(info.name))}  `;
  text += `tag ${info.tag}`;
  if (info.gplCompatible) text += "  gpl";
  if (info.runTimeNs > 0n) text += ` run_time_ns ${info.runTimeNs} run_cnt ${info.runCnt}`;
  if (info.recursionMisses > 0n) text += ` recursion_misses ${info.recursionMisses}`;
  text += "\n";
  if (loadedAt !== undefined) text += `\tloaded_at ${localTime(loadedAt)}  uid ${info.createdByUid}\n`;
  text += `\txlated ${info.xlatedProgLen}B`;
  text += info.jitedProgLen > 0 ? `  jited ${info.jitedProgLen}B` : "  not jited";
  if (memlock !== undefined) text += `  memlock ${memlock}B`;
  const maps = info.mapIds ?? [];
  if (maps.length > 0) text += `  map_ids ${maps.join(",")}`;
  text += pinsText(pinned);
  if (info.btfId > 0) text += `\n\tbtf_id ${info.btfId}`;
  text += pidsText(pids, session);
  return `${text}\n`;
}
