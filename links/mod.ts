/**
 * Links: programs attached to what the kernel lets them attach to, one function a kind of target.
 *
 * @module
 */

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
export { Attachment, Link, type LinkSource, UnlinkedAttachment } from "./link.ts";
export { attachSockmap, type AttachSockmapOptions, attachStructOps, type SockmapAttachType } from "./map.ts";
export {
  attachNetfilter,
  type AttachNetfilterOptions,
  attachNetns,
  type AttachNetnsOptions,
  type NetfilterFamily,
  type NetfilterHook,
} from "./netns.ts";
export {
  attachTc,
  type AttachTcOptions,
  attachXdpByNetlink,
  type AttachXdpByNetlinkOptions,
  queryTc,
  queryXdp,
  type TcFilter,
  type XdpState,
} from "./netlink.ts";
export { attachPerfEvent, attachTracepoint, type AttachTracepointOptions } from "./perf_event.ts";
export {
  attachKprobe,
  attachKprobeMulti,
  type AttachKprobeMultiOptions,
  type AttachKprobeOptions,
  attachUprobe,
  attachUprobeMulti,
  type AttachUprobeMultiOptions,
  type AttachUprobeOptions,
  type ProbeOptions,
} from "./probe.ts";
export { attachRawTracepoint, attachTracing, type CookieOptions } from "./raw_tracepoint.ts";
export { attachSocket, type AttachSocketOptions } from "./socket.ts";
