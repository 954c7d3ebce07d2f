/**
 * Where the programs of an object are attached, as far as their sections do not say it.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { DenoSocket } from "../ffi/socket.ts";
import type {
  AttachIterOptions,
  AttachPerfSamplingOptions,
  CgroupAttachType,
  ListPlace,
  NetfilterFamily,
  NetfilterHook,
  ProbeMode,
  SockmapAttachType,
  XdpMode,
} from "../links/mod.ts";

/** Where one program is attached. Which fields count depends on its section; those of the section itself come second. */
export interface AttachPlace extends ListPlace {
  /** For `xdp`, `tc`, `tcx` and `netkit`: the interface, by name or by index. */
  interface?: string | number | undefined;
  /** For `xdp`: how it runs. */
  mode?: XdpMode | undefined;
  /** For `tc`: packets that come in, or that go out. @default {"ingress"} */
  direction?: "ingress" | "egress" | undefined;
  /** For cgroup programs and `lsm_cgroup`: the cgroup, by the path of its directory or a descriptor of that. */
  cgroup?: string | FdSource | undefined;
  /** For `cgroup/skb` and `sk_skb`, whose sections do not say it: how. C name: `attach_type`. */
  attachType?: CgroupAttachType | SockmapAttachType | undefined;
  /** For `flow_dissector` and `sk_lookup`: the network namespace, by path, process number or descriptor. */
  netns?: string | number | { readonly fd: number } | undefined;
  /** For `sk_skb` and `sk_msg`: the map of sockets, by its name in the object or a descriptor. */
  map?: string | FdSource | undefined;
  /** For `socket` and `sk_reuseport`: the socket. */
  socket?: FdSource | DenoSocket | undefined;
  /** For `lirc_mode2`: the device, by the path of its file or a descriptor of that. */
  lirc?: string | FdSource | undefined;
  /** For `netfilter`: the family. */
  family?: NetfilterFamily | undefined;
  /** For `netfilter`: the hook. */
  hook?: NetfilterHook | undefined;
  /** For `netfilter` and `tc`: the place among the others: lower runs first. */
  priority?: number | undefined;
  /** For `netfilter`: whether fragments are put together before. */
  defrag?: boolean | undefined;
  /** For `perf_event`: a perf event that is open already. */
  event?: FdSource | undefined;
  /** For `perf_event`: what is counted, and how often it runs. */
  sampling?: AttachPerfSamplingOptions | undefined;
  /** For `iter`: what it runs over. */
  iter?: AttachIterOptions | undefined;
  /** For probes: the function, instead of the section's. Of `kprobe.multi` and others a pattern, with `*` and `?`. */
  function?: string | undefined;
  /** For `uprobe` and `usdt`: the program or library, instead of the section's. */
  path?: string | undefined;
  /** For `usdt`: who defines the probe, instead of the section's. */
  provider?: string | undefined;
  /** For `kprobe` and `uprobe`: bytes from the function's start. */
  offset?: number | undefined;
  /** For `uprobe` and `usdt`: only in this process. */
  pid?: number | undefined;
  /** For `kprobe`, `uprobe`, `usdt`: how the probe is made. */
  probe?: ProbeMode | undefined;
  /** For `freplace`: the program whose function is replaced, where it is another than the one it was loaded for. */
  target?: FdSource | undefined;
  /** What bpf_get_attach_cookie() returns in the program. */
  cookie?: bigint | undefined;
}

/** What `BpfObject.attach()` takes besides the token. */
export interface AttachOptions {
  /** Where programs are attached, by their names, as far as their sections do not say it. @default {{}} */
  places?: Readonly<Record<string, AttachPlace>> | undefined;
  /** Where tracefs is mounted. By default where it usually is. @default {"/sys/kernel/tracing"} */
  tracefs?: string | undefined;
}
