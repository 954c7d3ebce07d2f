/**
 * Commands of perf events: `bpf perf …`.
 *
 * @module
 */

import { attached, type AttachedByProcess } from "../links/mod.ts";
import type { CommandGroup } from "./_command.ts";
import type { Writable } from "./_json.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import type { Words } from "./_words.ts";

function json(
  { pid, fd, progId, fdType: type, name, probeOffset: offset, probeAddress: address }: AttachedByProcess,
): Writable {
  const head = { pid, fd, prog_id: progId, fd_type: `${type}` };
  switch (type) {
    case "raw_tracepoint":
    case "tracepoint":
      return { ...head, tracepoint: name };
    case "kprobe":
    case "kretprobe":
      return name === "" ? { ...head, addr: address, offset: undefined } : { ...head, func: name, offset };
    default:
      return { ...head, filename: name, offset };
  }
}

function text(
  { pid, fd, progId, fdType: type, name, probeOffset: offset, probeAddress: address }: AttachedByProcess,
  { style }: Session,
): string {
  const place = type === "kprobe" || type === "kretprobe"
    ? name === "" ? `addr ${address}` : `func ${safe(name)}  offset ${offset}`
    : type === "uprobe" || type === "uretprobe"
    ? `filename ${safe(name)}  offset ${offset}`
    : safe(name);
  return `pid ${style.id(`${pid}`)}  fd ${fd}: prog_id ${progId}  ${style.type(`${type}`)}  ${place}\n`;
}

function show(session: Session, words: Words): void {
  words.end();
  const found = attached(session.token, { processes: true })
    .filter((one): one is AttachedByProcess => one.where === "process" && one.pid !== Deno.pid);
  session.answer({
    json: () => found.map(json),
    v1: ["perf.show", () => found],
    text: () => found.map((one) => text(one, session)).join(""),
  });
}

/** Commands of perf events. */
export const group: CommandGroup = { usage: "Usage: {} perf { show | list }\n", commands: { show, list: show } };
