/**
 * Links as `link show` has them.
 *
 * @module
 */

import type { LinkInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { SyscallError } from "../errors.ts";
import { deviceName } from "./_devices.ts";
import { KernelSymbols } from "../ffi/kallsyms.ts";
import { BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN } from "../uapi/constants.gen.ts";
import { progGetFdById } from "../cmds/id.ts";
import type { Json, Writable } from "./_json.ts";
import type { Session } from "./_session.ts";
import { idText, pidsJson, pidsText, pinsText, type Whereabouts } from "./_shown.ts";
import { safe } from "./_style.ts";

/** A link, and what is known of it from elsewhere. */
export interface ShownLink extends Whereabouts {
  /** What the kernel tells. */
  readonly info: LinkInfo;
}

/** What a type of link has of its own, in JSON; and as text, a line each. */
interface Details {
  readonly json: { readonly [name: string]: Json | undefined };
  readonly lines: readonly string[];
  /** What stands in the first line, behind the program. */
  readonly head?: string;
}

const NOTHING: Details = { json: {}, lines: [] };
const PROTOCOLS: Readonly<Record<number, string>> = { 2: "ip", 10: "ip6" };
const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"];

function deviceDetails(ifindex: number, attachType?: string | number): Details {
  const devname = deviceName(ifindex) ?? "(detached)";
  return {
    json: ifindex === 0
      ? { devname: "(detached)", ifindex, attach_type: attachType }
      : { devname, ifindex, attach_type: attachType },
    lines: [`ifindex ${safe(devname)}(${ifindex})${attachType === undefined ? "" : `  attach_type ${attachType}`}`],
  };
}

/** The name of a program's type, for links that say nothing else of their program. */
function progTypeOf(session: Session, progId: number): string | number | undefined {
  try {
    using fd = progGetFdById(session.token, progId);
    return objGetInfoByFd(session.token, fd, { kind: "prog" }).type;
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}

function perfEventDetails(event: Extract<LinkInfo, { type: "perf_event" }>["event"]): Details {
  switch (event.type) {
    case "kprobe":
    case "kretprobe": {
      const { funcName, offset, addr, missed, cookie } = event as Extract<typeof event, { funcName: string }>;
      const retprobe = event.type === "kretprobe";
      return {
        json: { retprobe, addr, func: funcName, offset, missed, cookie },
        lines: [
          `${event.type} ${addr.toString(16)} ${safe(funcName)}${offset > 0 ? `+0x${offset.toString(16)}` : ""}${
            missed > 0n ? `  missed ${missed}` : ""
          }${cookie > 0n ? `  cookie ${cookie}` : ""}`,
        ],
      };
    }
    case "uprobe":
    case "uretprobe": {
      const { fileName, offset, cookie, refCtrOffset } = event as Extract<typeof event, { fileName: string }>;
      return {
        json: { retprobe: event.type === "uretprobe", file: fileName, offset, cookie, ref_ctr_offset: refCtrOffset },
        lines: [`${event.type} ${safe(fileName)}+0x${offset.toString(16)}${cookie > 0n ? `  cookie ${cookie}` : ""}`],
      };
    }
    case "tracepoint": {
      const { tpName, cookie } = event as Extract<typeof event, { tpName: string }>;
      return {
        json: { tracepoint: tpName, cookie },
        lines: [`tracepoint ${safe(tpName)}${cookie > 0n ? `  cookie ${cookie}` : ""}`],
      };
    }
    case "event": {
      const { eventType, config, cookie } = event as Extract<typeof event, { eventType: number }>;
      return {
        json: { event_type: eventType, event_config: config, cookie },
        lines: [`event ${eventType}:${config}${cookie > 0n ? `  cookie ${cookie}` : ""}`],
      };
    }
    default:
      return NOTHING;
  }
}

function detailsOf(info: LinkInfo, session: Session): Details {
  // By their type's name: one that this library does not know has no details.
  const known = info as Exclude<LinkInfo, { type: number }>;
  switch (known.type) {
    case "raw_tracepoint":
      return {
        json: { tp_name: known.tpName, cookie: known.cookie || undefined },
        lines: [`tp '${safe(known.tpName)}'  `],
      };
    case "tracing": {
      const type = progTypeOf(session, info.progId);
      return {
        json: {
          prog_type: type,
          attach_type: known.attachType,
          target_obj_id: known.targetObjId,
          target_btf_id: known.targetBtfId,
          cookie: known.cookie || undefined,
        },
        lines: [
          `prog_type ${type}  attach_type ${known.attachType}  ${
            known.targetObjId === 0 && known.targetBtfId === 0
              ? ""
              : `\n\ttarget_obj_id ${known.targetObjId}  target_btf_id ${known.targetBtfId}  `
          }`.trimEnd() + "  ",
        ],
      };
    }
    case "cgroup":
      return {
        json: { cgroup_id: known.cgroupId, attach_type: known.attachType },
        lines: [`cgroup_id ${known.cgroupId}  attach_type ${known.attachType}  `],
      };
    case "iter": {
      const parts = [
        ...(known.map === undefined ? [] : [`map_id ${known.map.mapId}`]),
        ...(["tid", "pid"] as const).filter((id) => (known.task?.[id] ?? 0) > 0).slice(0, 1)
          .map((id) => `${id} ${known.task?.[id]}`),
        ...(known.cgroup === undefined ? [] : [`cgroup_id ${known.cgroup.cgroupId}  order ${known.cgroup.order}`]),
      ];
      return {
        json: {
          target_name: known.targetName,
          map_id: known.map?.mapId,
          tid: known.task !== undefined && known.task.tid > 0 ? known.task.tid : undefined,
          pid: known.task !== undefined && known.task.tid === 0 && known.task.pid > 0 ? known.task.pid : undefined,
          cgroup_id: known.cgroup?.cgroupId,
        },
        lines: [],
        head: `target_name ${safe(known.targetName)}  ${parts.map((part) => `${part}  `).join("")}`,
      };
    }
    case "netns":
      return {
        json: { netns_ino: known.netnsIno, attach_type: known.attachType },
        lines: [`netns_ino ${known.netnsIno}  attach_type ${known.attachType}  `],
      };
    case "xdp":
      return deviceDetails(known.ifindex);
    case "tcx":
    case "netkit":
      return deviceDetails(known.ifindex, known.attachType);
    case "sockmap":
      return {
        json: { map_id: known.mapId, attach_type: known.attachType },
        lines: [`map_id ${known.mapId}  attach_type ${known.attachType}`],
      };
    case "struct_ops":
      return { json: { map_id: known.mapId }, lines: [`map_id ${known.mapId}  `] };
    case "netfilter":
      return {
        json: { pf: known.pf, hook: known.hooknum, prio: known.priority, flags: known.flags },
        lines: [
          `${PROTOCOLS[known.pf] ?? `pf: ${known.pf}`} ${
            HOOKS[known.hooknum] ?? `hook ${known.hooknum}`
          } prio ${known.priority}${known.flags > 0 ? ` flags 0x${known.flags.toString(16)}` : ""}`,
        ],
      };
    case "kprobe_multi": {
      const retprobe = (known.flags & BPF_F_KPROBE_MULTI_RETURN) !== 0;
      const symbols = known.addrs.length > 0 ? KernelSymbols.read() : undefined;
      const name = (address: bigint): string => symbols?.find(address)?.name ?? "";
      return {
        json: {
          retprobe,
          func_cnt: known.count,
          missed: known.missed,
          funcs: known.addrs.map((addr, at) => ({
            addr,
            func: name(addr),
            module: null,
            cookie: known.cookies[at] ?? 0n,
          })),
        },
        lines: [
          `kprobe${retprobe ? "ret" : ""}.multi  func_cnt ${known.count}${
            known.missed > 0n ? `  missed ${known.missed}` : ""
          }`,
          ...known.addrs.map((addr, at) => `${addr.toString(16)} ${known.cookies[at] ?? 0n} ${safe(name(addr))}`),
        ],
      };
    }
    case "uprobe_multi": {
      const retprobe = (known.flags & BPF_F_UPROBE_MULTI_RETURN) !== 0;
      return {
        json: {
          retprobe,
          path: known.path,
          func_cnt: known.count,
          pid: known.pid,
          funcs: known.offsets.map((offset, at) => ({
            offset,
            ref_ctr_offset: known.refCtrOffsets[at] ?? 0n,
            cookie: known.cookies[at] ?? 0n,
          })),
        },
        lines: [
          `${retprobe ? "uretprobe" : "uprobe"}.multi  path ${safe(known.path)}  func_cnt ${known.count}${
            known.pid > 0 ? `  pid ${known.pid}` : ""
          }`,
          ...known.offsets.map((offset, at) => `0x${offset.toString(16)}  cookie ${known.cookies[at] ?? 0n}`),
        ],
      };
    }
    case "tracing_multi":
      return {
        json: { attach_type: known.attachType, func_cnt: known.count, btf_obj_id: known.btfObjId },
        lines: [`attach_type ${known.attachType}  func_cnt ${known.count}`],
      };
    case "perf_event":
      return perfEventDetails(known.event);
    default:
      return NOTHING;
  }
}

/** A link in bpftool's JSON. */
export function linkJson({ info, pinned, pids }: ShownLink, session: Session): Writable {
  return {
    id: info.id,
    type: info.type,
    prog_id: info.progId > 0 ? info.progId : undefined,
    ...detailsOf(info, session).json,
    pinned: pinned.length > 0 ? pinned : undefined,
    pids: pidsJson(pids),
  };
}

/** A link for people, as bpftool prints it. */
export function linkText({ info, pinned, pids }: ShownLink, session: Session): string {
  const { style } = session;
  const type = typeof info.type === "number" ? `type ${info.type}` : info.type;
  let text = `${idText(info.id, session)}: ${style.type(type)}  `;
  if (info.progId > 0) text += `prog ${info.progId}  `;
  const { head = "", lines } = detailsOf(info, session);
  text += head;
  for (const line of lines) text += `\n\t${line}`;
  text += pinsText(pinned);
  text += pidsText(pids, session);
  return `${text}\n`;
}
