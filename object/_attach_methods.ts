/** How each kind of program is attached: one function a method of the table of sections. */

import type { Btf } from "../btf/mod.ts";
import { NotSupportedError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import {
  attachCgroup,
  attachFreplace,
  attachIter,
  attachKprobe,
  attachKprobeMulti,
  attachKsyscall,
  attachNetfilter,
  attachNetkit,
  attachNetns,
  attachPerfEvent,
  attachPerfSampling,
  attachRawTracepoint,
  attachSocket,
  attachSockmap,
  attachTc,
  attachTcx,
  attachTracepoint,
  attachTracing,
  attachTracingMulti,
  attachUnlinked,
  attachUprobe,
  attachUprobeMulti,
  attachUsdt,
  attachXdp,
  attachXdpByNetlink,
  type CgroupAttachType,
  type SockmapAttachType,
  type TracingAttachType,
} from "../links/mod.ts";
import { kernelBtf } from "../features/mod.ts";
import type { Program } from "../progs/mod.ts";
import type { AnyToken } from "../tokens/token.ts";
import { parseFunction, parsePattern, parseUprobe, parseUsdt } from "./_attach_targets.ts";
import type { AttachPlace } from "./attach_options.ts";
import type { AttachMethod } from "./sections.ts";
import type { ProgramSpec } from "./spec.ts";

/** Something that is attached. */
export interface AnyAttachment extends Disposable {
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Detaches it. */
  close(reason?: string): void;
}

/** What a method has to go by. */
export interface AttachContext {
  readonly token: AnyToken;
  readonly prog: Program;
  readonly spec: ProgramSpec;
  readonly place: AttachPlace;
  readonly tracefs: string | undefined;
  /** A map of the object's; undefined where it has none of the name. */
  mapOf(name: string): FdSource | undefined;
}

/** Attaches; undefined where neither the section nor the caller says where. */
type Method = (context: AttachContext) => AnyAttachment | undefined;

/** Tries a link, and what kernels had before where there is none. */
function orElse(link: () => AnyAttachment, before: () => AnyAttachment): AnyAttachment {
  try {
    return link();
  } catch (error) {
    if (!(error instanceof NotSupportedError)) throw error;
    return before();
  }
}

const kprobe = (returns: boolean): Method => ({ token, prog, spec, place, tracefs }) => {
  const target = place.function ?? spec.target;
  if (target === undefined) return undefined;
  const { name, offset } = parseFunction(spec.section, target);
  const at = place.offset ?? offset;
  return attachKprobe(token, prog, name, { returns, offset: at, cookie: place.cookie, mode: place.probe, tracefs });
};

const kprobeMulti = (how: "returns" | "session" | "entry"): Method => ({ token, prog, spec, place, tracefs }) => {
  const pattern = place.function ?? spec.target;
  if (pattern === undefined) return undefined;
  const named = /[*?]/.test(pattern) ? { pattern, tracefs } : { symbols: [pattern] };
  return attachKprobeMulti(token, prog, { ...named, returns: how === "returns", session: how === "session" });
};

const ksyscall = (returns: boolean): Method => ({ token, prog, spec, place, tracefs }) => {
  const name = place.function ?? spec.target;
  if (name === undefined) return undefined;
  return attachKsyscall(token, prog, name, { returns, cookie: place.cookie, mode: place.probe, tracefs });
};

const uprobe = (returns: boolean): Method => ({ token, prog, spec, place, tracefs }) => {
  const named = spec.target === undefined ? undefined : parseUprobe(spec.section, spec.target);
  const path = place.path ?? named?.path;
  const symbol = place.function ?? named?.symbol;
  const offset = place.offset ?? (named === undefined ? undefined : named.offset);
  if (path === undefined || (symbol === undefined && offset === undefined)) return undefined;
  const { pid, cookie, probe: mode } = place;
  return attachUprobe(token, prog, { path, symbol, offset, returns, pid, cookie, mode, tracefs });
};

const uprobeMulti = (how: "returns" | "session" | "entry"): Method => ({ token, prog, spec, place }) => {
  const named = spec.target === undefined ? undefined : parsePattern(spec.section, spec.target);
  const [path, pattern] = [place.path ?? named?.path, place.function ?? named?.pattern];
  if (path === undefined || pattern === undefined) return undefined;
  const functions = /[*?]/.test(pattern) ? { pattern } : { symbols: [pattern] };
  const options = { returns: how === "returns", session: how === "session", pid: place.pid };
  return attachUprobeMulti(token, prog, { path, ...functions, ...options });
};

const usdt: Method = ({ token, prog, spec, place, tracefs, mapOf }) => {
  const named = spec.target === undefined ? undefined : parseUsdt(spec.section, spec.target);
  const { pid, cookie, probe: mode } = place;
  const path = place.path ?? named?.path;
  const provider = place.provider ?? named?.provider;
  const name = place.function ?? named?.name;
  if (path === undefined || provider === undefined || name === undefined) return undefined;
  // The maps of usdt.bpf.h, by which programs read arguments: others have none of these.
  const specs = mapOf("__bpf_usdt_specs");
  const maps = specs === undefined ? undefined : { specs, ipToSpecId: mapOf("__bpf_usdt_ip_to_spec_id") };
  return attachUsdt(token, prog, { path, provider, name, pid, cookie, mode, tracefs, maps });
};

const tracing: Method = ({ token, prog, spec, place }) => {
  if (spec.attachTo === undefined) return undefined;
  const { cookie, target } = place;
  if (spec.type === "ext") {
    const name = target === undefined ? undefined : place.function ?? spec.attachTo.name;
    return attachFreplace(token, prog, { target, function: name, cookie });
  }
  return attachTracing(token, prog, { cookie, attachType: spec.expectedAttachType as TracingAttachType });
};

/** The functions of the kernel's BTF whose names fit a pattern. */
function functionsLike(pattern: string): string[] {
  if (!/[*?]/.test(pattern)) return [pattern];
  const source = pattern.replaceAll(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  const like = new RegExp(`^${source}$`);
  const btf: Btf = kernelBtf();
  const names = new Set<string>();
  for (let id = btf.firstId; id < btf.typeCount; id++) {
    if (btf.kindOf(id) === "func" && like.test(btf.nameOf(id))) names.add(btf.nameOf(id));
  }
  return [...names];
}

const tracingMulti: Method = ({ token, prog, spec, place }) => {
  const pattern = place.function ?? spec.target;
  if (pattern === undefined) return undefined;
  const at = String(spec.expectedAttachType).replace(/^trace_|_multi$/g, "") as "fentry" | "fexit" | "fsession";
  return attachTracingMulti(token, prog, { functions: functionsLike(pattern), at });
};

const cgroup: Method = ({ token, prog, spec, place }) => {
  const { cgroup, before, after, revision } = place;
  if (cgroup === undefined) return undefined;
  const attachType = (place.attachType ?? spec.expectedAttachType) as CgroupAttachType | undefined;
  if (attachType === undefined) {
    throw new TypeError(
      `Cannot attach program ${spec.name}: section "${spec.section}" does not say how: give attachType`,
    );
  }
  return orElse(
    () => attachCgroup(token as never, prog, { cgroup, attachType, before, after, revision }),
    () => attachUnlinked(token as never, prog, { cgroup, attachType, allow: "multi" }),
  );
};

const sockmap: Method = ({ token, prog, spec, place, mapOf }) => {
  if (place.map === undefined) return undefined;
  const map = typeof place.map === "string" ? mapOf(place.map) : place.map;
  if (map === undefined) throw new TypeError(`Cannot use map: the object has no map "${place.map}"`);
  const attachType = (place.attachType ?? spec.expectedAttachType) as SockmapAttachType | undefined;
  if (attachType === undefined) {
    throw new TypeError(
      `Cannot attach program ${spec.name}: section "${spec.section}" does not say how: give attachType`,
    );
  }
  return orElse(
    () => attachSockmap(token, prog, { map, attachType }),
    () => attachUnlinked(token as never, prog, { map, attachType }),
  );
};

/** The methods by name. */
export const attachMethods: Readonly<Record<AttachMethod, Method>> = {
  kprobe: kprobe(false),
  kretprobe: kprobe(true),
  kprobe_multi: kprobeMulti("entry"),
  kretprobe_multi: kprobeMulti("returns"),
  kprobe_session: kprobeMulti("session"),
  ksyscall: ksyscall(false),
  kretsyscall: ksyscall(true),
  uprobe: uprobe(false),
  uretprobe: uprobe(true),
  uprobe_multi: uprobeMulti("entry"),
  uretprobe_multi: uprobeMulti("returns"),
  uprobe_session: uprobeMulti("session"),
  ...{ usdt, tracing, cgroup, sockmap },
  tracing_multi: tracingMulti,
  tracepoint: ({ token, prog, spec, place, tracefs }) => {
    const name = place.function ?? spec.target;
    return name === undefined ? undefined : attachTracepoint(token, prog, name, { cookie: place.cookie, tracefs });
  },
  raw_tracepoint: ({ token, prog, spec, place }) => {
    const name = place.function ?? spec.target;
    return name === undefined ? undefined : attachRawTracepoint(token, prog, name, { cookie: place.cookie });
  },
  iter: ({ token, prog, spec, place }) =>
    spec.attachTo === undefined ? undefined : attachIter(token, prog, place.iter ?? {}),
  xdp: ({ token, prog, place: { interface: name, mode } }) =>
    name === undefined ? undefined : orElse(
      () => attachXdp(token as never, prog, { interface: name, mode }),
      () => attachXdpByNetlink(token as never, prog.descriptor, { interface: name, mode }),
    ),
  tc: ({ token, prog, place: { interface: name, direction = "ingress", priority } }) =>
    name === undefined
      ? undefined
      : attachTc(token as never, prog.descriptor, { interface: name, direction, priority }),
  tcx: ({ token, prog, spec, place: { interface: name, before, after, revision, priority } }) => {
    if (name === undefined) return undefined;
    const direction = spec.expectedAttachType === "tcx_egress" ? "egress" : "ingress";
    return orElse(
      () => attachTcx(token as never, prog, { interface: name, direction, before, after, revision }),
      () => attachTc(token as never, prog.descriptor, { interface: name, direction, priority }),
    );
  },
  netkit: ({ token, prog, spec, place: { interface: name, before, after, revision } }) => {
    if (name === undefined) return undefined;
    const side = spec.expectedAttachType === "netkit_peer" ? "peer" : "primary";
    return attachNetkit(token as never, prog, { interface: name, side, before, after, revision });
  },
  netns: ({ token, prog, spec, place: { netns } }) => {
    const attachType = spec.expectedAttachType === "sk_lookup" ? "sk_lookup" : "flow_dissector";
    return netns === undefined ? undefined : attachNetns(token as never, prog, { netns, attachType });
  },
  netfilter: ({ token, prog, place: { family, hook, priority = 0, defrag } }) =>
    family === undefined || hook === undefined
      ? undefined
      : attachNetfilter(token as never, prog, { family, hook, priority, defrag }),
  socket: ({ token, prog, place: { socket } }) =>
    socket === undefined ? undefined : attachSocket(token, prog, { socket, as: "filter" }),
  reuseport: ({ token, prog, place: { socket } }) =>
    socket === undefined ? undefined : attachSocket(token, prog, { socket, as: "reuseport" }),
  lirc: ({ token, prog, place: { lirc } }) =>
    lirc === undefined ? undefined : attachUnlinked(token as never, prog, { lirc, attachType: "lirc_mode2" }),
  perf_event: ({ token, prog, place: { event, sampling, cookie } }) =>
    event !== undefined
      ? attachPerfEvent(token, prog, event, { cookie })
      : sampling === undefined
      ? undefined
      : attachPerfSampling(token, prog, sampling),
};
