/**
 * BPF_OBJ_GET_INFO_BY_FD for links: asked once for the type and the sizes, and once more for names and arrays.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { structBuffer, textOf } from "../ffi/struct_buffer.ts";
import {
  BPF_PERF_EVENT_EVENT,
  BPF_PERF_EVENT_KPROBE,
  BPF_PERF_EVENT_KRETPROBE,
  BPF_PERF_EVENT_TRACEPOINT,
  BPF_PERF_EVENT_UNSPEC,
  BPF_PERF_EVENT_UPROBE,
  BPF_PERF_EVENT_URETPROBE,
} from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes, type LinkType, linkTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";

import { fillInfo, type InfoBuffer } from "./_info.ts";
import { nameOrNumber } from "./_types.ts";
import type { LinkInfo } from "./info.ts";

type Info = InfoBuffer<"bpf_link_info">;
type Field = Parameters<Info["getU32"]>[0];

/** How a field of a link's information is read. Arrays and texts name the field with their length. */
type Reading =
  | { readonly as: "u32" | "s32" | "u64" | "attachType"; readonly field: Field }
  | { readonly as: "text"; readonly field: Field; readonly length: Field }
  | { readonly as: "u32s" | "u64s"; readonly field: Field; readonly count: Field };

type Layout = Readonly<Record<string, Reading>>;

const u32 = (field: Field): Reading => ({ as: "u32", field });
const u64 = (field: Field): Reading => ({ as: "u64", field });
const attachType = (field: Field): Reading => ({ as: "attachType", field });
const text = (field: Field, length: Field): Reading => ({ as: "text", field, length });
const u64s = (field: Field, count: Field): Reading => ({ as: "u64s", field, count });

/** What there is to read for each type of link; types that are absent have nothing of their own. */
const LAYOUTS: { readonly [T in LinkType]?: Layout } = {
  raw_tracepoint: {
    tpName: text("raw_tracepoint.tp_name", "raw_tracepoint.tp_name_len"),
    cookie: u64("raw_tracepoint.cookie"),
  },
  tracing: {
    attachType: attachType("tracing.attach_type"),
    targetObjId: u32("tracing.target_obj_id"),
    targetBtfId: u32("tracing.target_btf_id"),
    cookie: u64("tracing.cookie"),
  },
  cgroup: { cgroupId: u64("cgroup.cgroup_id"), attachType: attachType("cgroup.attach_type") },
  iter: { targetName: text("iter.target_name", "iter.target_name_len") },
  netns: { netnsIno: u32("netns.netns_ino"), attachType: attachType("netns.attach_type") },
  xdp: { ifindex: u32("xdp.ifindex") },
  struct_ops: { mapId: u32("struct_ops.map_id") },
  netfilter: {
    pf: u32("netfilter.pf"),
    hooknum: u32("netfilter.hooknum"),
    priority: { as: "s32", field: "netfilter.priority" },
    flags: u32("netfilter.flags"),
  },
  kprobe_multi: {
    addrs: u64s("kprobe_multi.addrs", "kprobe_multi.count"),
    cookies: u64s("kprobe_multi.cookies", "kprobe_multi.count"),
    count: u32("kprobe_multi.count"),
    flags: u32("kprobe_multi.flags"),
    missed: u64("kprobe_multi.missed"),
  },
  uprobe_multi: {
    path: text("uprobe_multi.path", "uprobe_multi.path_size"),
    offsets: u64s("uprobe_multi.offsets", "uprobe_multi.count"),
    refCtrOffsets: u64s("uprobe_multi.ref_ctr_offsets", "uprobe_multi.count"),
    cookies: u64s("uprobe_multi.cookies", "uprobe_multi.count"),
    count: u32("uprobe_multi.count"),
    flags: u32("uprobe_multi.flags"),
    pid: u32("uprobe_multi.pid"),
  },
  tracing_multi: {
    attachType: attachType("tracing_multi.attach_type"),
    count: u32("tracing_multi.count"),
    btfObjId: u32("tracing_multi.btf_obj_id"),
    ids: { as: "u32s", field: "tracing_multi.ids", count: "tracing_multi.count" },
    addrs: u64s("tracing_multi.addrs", "tracing_multi.count"),
    cookies: u64s("tracing_multi.cookies", "tracing_multi.count"),
  },
  tcx: { ifindex: u32("tcx.ifindex"), attachType: attachType("tcx.attach_type") },
  netkit: { ifindex: u32("netkit.ifindex"), attachType: attachType("netkit.attach_type") },
  sockmap: { mapId: u32("sockmap.map_id"), attachType: attachType("sockmap.attach_type") },
};

const UPROBE: Layout = {
  fileName: text("perf_event.uprobe.file_name", "perf_event.uprobe.name_len"),
  offset: u32("perf_event.uprobe.offset"),
  cookie: u64("perf_event.uprobe.cookie"),
  refCtrOffset: u64("perf_event.uprobe.ref_ctr_offset"),
};
const KPROBE: Layout = {
  funcName: text("perf_event.kprobe.func_name", "perf_event.kprobe.name_len"),
  offset: u32("perf_event.kprobe.offset"),
  addr: u64("perf_event.kprobe.addr"),
  missed: u64("perf_event.kprobe.missed"),
  cookie: u64("perf_event.kprobe.cookie"),
};

/** What there is to read for each kind of perf event link. */
const PERF_EVENTS: Readonly<Record<number, { readonly type: string; readonly layout: Layout }>> = {
  [BPF_PERF_EVENT_UNSPEC]: { type: "unspec", layout: {} },
  [BPF_PERF_EVENT_UPROBE]: { type: "uprobe", layout: UPROBE },
  [BPF_PERF_EVENT_URETPROBE]: { type: "uretprobe", layout: UPROBE },
  [BPF_PERF_EVENT_KPROBE]: { type: "kprobe", layout: KPROBE },
  [BPF_PERF_EVENT_KRETPROBE]: { type: "kretprobe", layout: KPROBE },
  [BPF_PERF_EVENT_TRACEPOINT]: {
    type: "tracepoint",
    layout: {
      tpName: text("perf_event.tracepoint.tp_name", "perf_event.tracepoint.name_len"),
      cookie: u64("perf_event.tracepoint.cookie"),
    },
  },
  [BPF_PERF_EVENT_EVENT]: {
    type: "event",
    layout: {
      eventType: u32("perf_event.event.type"),
      config: u64("perf_event.event.config"),
      cookie: u64("perf_event.event.cookie"),
    },
  },
};

/** Names that the kernel does not tell the length of beforehand are at most a path. */
const MAX_TEXT = 4096;

function readings(layout: Layout, info: Info): Record<string, unknown> {
  return Object.fromEntries(Object.entries(layout).map(([name, reading]) => [name, readOne(reading, info)]));
}

function readOne(reading: Reading, info: Info): unknown {
  const { field } = reading;
  switch (reading.as) {
    case "u32":
      return info.getU32(field);
    case "s32":
      return info.getU32(field) | 0;
    case "u64":
      return info.getU64(field);
    case "attachType":
      return nameOrNumber<AttachType>(attachTypes, info.getU32(field));
    case "text":
      return info.has(field) ? textOf(info.getBytes(field)) : "";
    case "u32s":
    case "u64s": {
      if (!info.has(field)) return [];
      const bytes = info.getBytes(field);
      const view = new DataView(bytes.buffer);
      return reading.as === "u32s"
        ? Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index, LITTLE_ENDIAN))
        : Array.from({ length: bytes.length / 8 }, (_, index) => view.getBigUint64(8 * index, LITTLE_ENDIAN));
    }
  }
}

/** A second struct with room for the names and arrays that the first one told the sizes of. */
function withRoom(layout: Layout, first: Info): Info {
  const info = structBuffer("bpf_link_info");
  for (const reading of Object.values(layout)) {
    if (reading.as === "text") {
      const length = first.getU32(reading.length) || MAX_TEXT;
      info.pointer(reading.field, allocate(length)).u32(reading.length, length);
    } else if (reading.as === "u32s" || reading.as === "u64s") {
      const count = first.getU32(reading.count);
      info.pointer(reading.field, allocate(count * (reading.as === "u32s" ? 4 : 8))).u32(reading.count, count);
    }
  }
  return info;
}

function layoutOf(info: Info): Layout {
  const type = nameOrNumber<LinkType>(linkTypes, info.getU32("type"));
  if (type === "perf_event") return PERF_EVENTS[info.getU32("perf_event.type")]?.layout ?? {};
  return typeof type === "string" ? LAYOUTS[type] ?? {} : {};
}

/** What an iterator was created for, besides its target's name: the kernel tells it for three of them. */
function iterParameters(target: unknown, info: Info): Record<string, unknown> {
  if (target === "bpf_map_elem" || target === "bpf_sk_storage_map") {
    return { map: { mapId: info.getU32("iter.map.map_id") } };
  }
  if (target === "cgroup") {
    return { cgroup: { cgroupId: info.getU64("iter.cgroup.cgroup_id"), order: info.getU32("iter.cgroup.order") } };
  }
  if (typeof target === "string" && target.startsWith("task")) {
    return { task: { tid: info.getU32("iter.task.tid"), pid: info.getU32("iter.task.pid") } };
  }
  return {};
}

/** What the kernel tells about a link. */
export function readLinkInfo(token: AnyToken, link: FdSource): LinkInfo {
  let info: Info = structBuffer("bpf_link_info");
  fillInfo<"bpf_link_info">(token, link, info);
  const layout = layoutOf(info);
  if (Object.values(layout).some(({ as }) => as === "text" || as === "u32s" || as === "u64s")) {
    info = withRoom(layout, info);
    fillInfo<"bpf_link_info">(token, link, info);
  }
  const base = {
    type: nameOrNumber<LinkType>(linkTypes, info.getU32("type")),
    id: info.getU32("id"),
    progId: info.getU32("prog_id"),
  };
  const details = readings(layout, info);
  if (base.type === "iter") return { ...base, ...details, ...iterParameters(details.targetName, info) } as LinkInfo;
  if (base.type !== "perf_event") return { ...base, ...details } as LinkInfo;
  const event = info.getU32("perf_event.type");
  return { ...base, event: { type: PERF_EVENTS[event]?.type ?? event, ...details } } as LinkInfo;
}
