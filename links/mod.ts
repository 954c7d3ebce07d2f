/**
 * Links: programs attached to what the kernel lets them attach to, one function a kind of target.
 *
 * @module
 */

export { attached, type AttachedWhere } from "./attached.ts";
export type {
  Attached,
  AttachedBase,
  AttachedByLink,
  AttachedByProcess,
  AttachedToCgroup,
  AttachedToInterface,
  AttachedToNetns,
} from "./attached_types.ts";
export { attachUsdt, type AttachUsdtOptions, type UsdtMaps } from "./attach_usdt.ts";
export { attachCgroup, type AttachCgroupOptions, type CgroupAttachType } from "./cgroup.ts";
export {
  attachTcx,
  type AttachTcxOptions,
  attachXdp,
  type AttachXdpOptions,
  type ListAnchor,
  type ListPlace,
  type XdpMode,
} from "./interface.ts";
export { attachIter, type AttachIterOptions, type CgroupIterOrder, IterLink } from "./iter.ts";
export { attachKprobe, type AttachKprobeOptions, attachKsyscall } from "./kprobe.ts";
export { attachKprobeMulti, type AttachKprobeMultiOptions } from "./kprobe_multi.ts";
export { AttachmentGroup } from "./group.ts";
export { Attachment, Link, type LinkSource, UnlinkedAttachment } from "./link.ts";
export { attachLwt, type AttachLwtOptions, attachSeg6Local, type LwtPrograms, type RouteOptions } from "./lwt.ts";
export { attachSockmap, type AttachSockmapOptions, attachStructOps, type SockmapAttachType } from "./map.ts";
export {
  attachNetfilter,
  type AttachNetfilterOptions,
  attachNetns,
  type AttachNetnsOptions,
  type NetfilterFamily,
  type NetfilterHook,
} from "./netns.ts";
export { attachNetkit, type AttachNetkitOptions } from "./netkit.ts";
export { attachTc, type AttachTcOptions, queryTc, type TcFilter } from "./tc.ts";
export {
  attachXdpByNetlink,
  type AttachXdpByNetlinkOptions,
  detachXdp,
  queryXdp,
  type XdpState,
} from "./xdp_netlink.ts";
export {
  attachPerfEvent,
  attachTracepoint,
  type AttachTracepointOptions,
  type PerfEventOptions,
} from "./perf_event.ts";
export { attachPerfSampling, type AttachPerfSamplingOptions, type PerfCounter } from "./perf_sampling.ts";
export type { ProbeMode, ProbeOptions } from "./_probe.ts";
export {
  attachRawTracepoint,
  attachTracing,
  type AttachTracingOptions,
  type CookieOptions,
  type TracingAttachType,
} from "./raw_tracepoint.ts";
export { attachSocket, type AttachSocketOptions } from "./socket.ts";
export {
  attachFreplace,
  type AttachFreplaceOptions,
  attachTracingMulti,
  type AttachTracingMultiOptions,
} from "./tracing.ts";
export { attachUnlinked, type AttachUnlinkedOptions, type UnlinkedTarget } from "./unlinked.ts";
export { attachUprobe, type AttachUprobeOptions } from "./uprobe.ts";
export { attachUprobeMulti, type AttachUprobeMultiOptions } from "./uprobe_multi.ts";
export { type UsdtProbe, usdtProbes } from "./usdt.ts";
export { parseUsdtArguments, type UsdtArgument, type UsdtArgumentBase, type UsdtMachine } from "./usdt_args.ts";
