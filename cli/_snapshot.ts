/**
 * Everything that there is, and how it hangs together.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import type { MapInfo, ProgInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { type Attached, attached } from "../links/mod.ts";
import type { HeldToken } from "./_session.ts";
import type { Holder } from "./_held.ts";
import { findHolders } from "./_holders.ts";

/** Programs, maps, and what is attached where. */
export interface Snapshot {
  /** The programs, with the ids of their maps. */
  readonly progs: readonly (ProgInfo & { readonly mapIds: readonly number[] })[];
  /** The maps. */
  readonly maps: readonly MapInfo[];
  /** What is attached where. */
  readonly attached: readonly Attached[];
  /** Which processes hold which programs. */
  readonly holders: ReadonlyMap<number, readonly Holder[]>;
}

/** Looks at the system. */
export function takeSnapshot(token: HeldToken): Snapshot {
  const progs = readProgs(token);
  const maps: MapInfo[] = [];
  for (const { info } of eachObject(token, "map")) maps.push(info());
  return { progs, maps, attached: attached(token, "system"), holders: findHolders(token, "prog") };
}

function readProgs(token: HeldToken): Snapshot["progs"] {
  const progs: (ProgInfo & { mapIds: readonly number[] })[] = [];
  for (const { fd } of eachObject(token, "prog")) {
    const info = objGetInfoByFd(token, fd, { kind: "prog", details: ["mapIds"] });
    progs.push({ ...info, mapIds: info.mapIds ?? [] });
  }
  return progs;
}
