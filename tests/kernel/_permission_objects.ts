/**
 * The objects that the calls of the permission test are about. They are made with all privileges, so that a call that
 * fails later on fails for want of its own.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { kernel } from "../../ffi/kernel.ts";
import { attachTypes, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import type { AttachType, ProgType } from "../../uapi/enums.gen.ts";
import { BtfBytes } from "./_btf_bytes.ts";
import { attrOf } from "./_permission_cells.ts";
import { BPF_F_NO_PREALLOC, BPF_NETFILTER } from "./_permission_numbers.ts";

/** File descriptors, ids and paths. */
export interface Objects {
  readonly hash: number;
  readonly doomedHash: number;
  readonly doomedArray: number;
  readonly queue: number;
  readonly mapId: number;
  readonly socketFilter: number;
  readonly progId: number;
  readonly cgroupDevice: number;
  readonly attachedSysctl: number;
  readonly rawTracepoint: number;
  readonly rawTracepointLink: number;
  readonly cgroupLink: number;
  readonly doomedLink: number;
  readonly linkId: number;
  readonly iterLink: number;
  readonly btf: number;
  readonly btfId: number;
  readonly btfBytes: Uint8Array<ArrayBuffer>;
  readonly specialTypes: Readonly<Record<"spin_lock" | "timer", { id: number; size: number }>>;
  readonly execTypeId: number;
  readonly cgroup: number;
  readonly bpffs: number;
  readonly pinDirectory: string;
  readonly pinned: string;
  readonly pid: number;
  /** A program for each attach type that a program can be loaded for here. */
  readonly attachable: { readonly [T in AttachType]?: number };
  /** What is attached to, where it is no cgroup. */
  readonly targets: { readonly [T in AttachType]?: number };
}

type Fields = Parameters<typeof attrOf>[1];

function tryBpf(command: Parameters<typeof attrOf>[0], fields: Fields): number {
  const attr = attrOf(command, fields);
  return kernel().bpf(attr.number, attr.bytes, attr.bytes.length);
}

function bpf(command: Parameters<typeof attrOf>[0], fields: Fields): number {
  const result = tryBpf(command, fields);
  if (result < 0) throw new Error(`Cannot set the test up: ${command} gave ${result}`);
  return result;
}

function firstInfoWords(fd: number): DataView {
  const info = new Uint8Array(new ArrayBuffer(32));
  bpf("obj_get_info_by_fd", { bpf_fd: fd, info, info_len: info.length });
  return new DataView(info.buffer);
}

/** Maps, programs and links say their id in the second word, BTF objects in the fourth. */
const idOf = (fd: number): number => firstInfoWords(fd).getUint32(4, true);
const btfIdOf = (fd: number): number => firstInfoWords(fd).getUint32(12, true);

const ONE = asm`
  r0 = 1
  exit
`;

/** The program type of each attach type that goes with one, and the type that it has to expect. */
const PROG_OF: { readonly [T in AttachType]?: readonly [type: ProgType, expected?: number] } = {
  cgroup_inet_ingress: ["cgroup_skb", attachTypes.cgroup_inet_ingress],
  cgroup_inet_egress: ["cgroup_skb", attachTypes.cgroup_inet_egress],
  cgroup_inet_sock_create: ["cgroup_sock", attachTypes.cgroup_inet_sock_create],
  cgroup_inet_sock_release: ["cgroup_sock", attachTypes.cgroup_inet_sock_release],
  cgroup_inet4_post_bind: ["cgroup_sock", attachTypes.cgroup_inet4_post_bind],
  cgroup_inet6_post_bind: ["cgroup_sock", attachTypes.cgroup_inet6_post_bind],
  cgroup_sock_ops: ["sock_ops"],
  cgroup_device: ["cgroup_device"],
  cgroup_sysctl: ["cgroup_sysctl"],
  cgroup_getsockopt: ["cgroup_sockopt", attachTypes.cgroup_getsockopt],
  cgroup_setsockopt: ["cgroup_sockopt", attachTypes.cgroup_setsockopt],
  flow_dissector: ["flow_dissector"],
  sk_lookup: ["sk_lookup", attachTypes.sk_lookup],
  sk_msg_verdict: ["sk_msg"],
  sk_skb_stream_parser: ["sk_skb"],
  sk_skb_stream_verdict: ["sk_skb"],
  sk_skb_verdict: ["sk_skb"],
  tcx_ingress: ["sched_cls"],
  tcx_egress: ["sched_cls"],
  xdp: ["xdp"],
  netfilter: ["netfilter", BPF_NETFILTER],
};

/** The attach types of cgroup_sock_addr programs: all of them look alike. */
const SOCK_ADDR =
  /^cgroup_(inet[46]_(bind|connect|getpeername|getsockname)|udp[46]_(sendmsg|recvmsg)|unix_(connect|sendmsg|recvmsg|getpeername|getsockname))$/;

const LOOPBACK = 1;

function attachablePrograms(): { [T in AttachType]?: number } {
  const programs: { [T in AttachType]?: number } = {};
  for (const name of Object.keys(attachTypes) as AttachType[]) {
    const [type, expected = 0] = SOCK_ADDR.test(name)
      ? ["cgroup_sock_addr" as const, attachTypes[name]]
      : PROG_OF[name] ?? [];
    if (type === undefined) continue;
    const fields = { prog_type: progTypes[type], insns: ONE, insn_cnt: 2, license: "GPL" };
    const fd = tryBpf("prog_load", { ...fields, expected_attach_type: expected });
    if (fd >= 0) programs[name] = fd;
  }
  return programs;
}

/** The BTF of the test's maps: int, long, and structs with what the kernel manages. */
function testBtf(): { bytes: Uint8Array<ArrayBuffer>; special: Objects["specialTypes"] } {
  const btf = new BtfBytes();
  const int = btf.int("int", 4, 1);
  const long = btf.int("long", 8);
  const lock = btf.struct("bpf_spin_lock", 4, [{ name: "val", type: int, bit: 0 }]);
  const timer = btf.struct("bpf_timer", 16, [
    { name: "__opaque0", type: long, bit: 0 },
    { name: "__opaque1", type: long, bit: 64 },
  ]);
  const withLock = btf.struct("with_lock", 8, [
    { name: "value", type: int, bit: 0 },
    { name: "lock", type: lock, bit: 32 },
  ]);
  const withTimer = btf.struct("with_timer", 16, [{ name: "timer", type: timer, bit: 0 }]);
  return { bytes: btf.bytes(), special: { spin_lock: { id: withLock, size: 8 }, timer: { id: withTimer, size: 16 } } };
}

function load(type: ProgType, more: Fields = {}): number {
  return bpf("prog_load", { prog_type: progTypes[type], insns: ONE, insn_cnt: 2, license: "GPL", ...more });
}

function open(path: string): number {
  const fd = kernel().open(path, 0, 0);
  if (fd < 0) throw new Error(`Cannot set the test up: open ${path} gave ${fd}`);
  return fd;
}

/** Where objects are made, and what is known of the kernel. */
export interface Surroundings {
  /** A cgroup of the row's own. */
  readonly cgroup: string;
  /** The mount point of a bpffs. */
  readonly bpffs: string;
  /** A directory on it of the row's own. */
  readonly pinDirectory: string;
  /** The kernel's id of the function `bpf_iter_task`: it is looked up once for all rows. */
  readonly iterTaskId: number;
  /** The kernel's id of the typedef `btf_trace_sched_process_exec`. */
  readonly execTypeId: number;
}

/** Makes all objects. They go when the process does, but for the pin. */
export function makeObjects(surroundings: Surroundings): Objects {
  const { pinDirectory, iterTaskId, execTypeId } = surroundings;
  const hashFields = {
    map_type: mapTypes.hash,
    key_size: 4,
    value_size: 8,
    max_entries: 16,
    map_flags: BPF_F_NO_PREALLOC,
  };
  const element = { key: new Uint8Array(new ArrayBuffer(4)), value: new Uint8Array(new ArrayBuffer(8)) };
  const filledHash = (): number => {
    const map_fd = bpf("map_create", hashFields);
    bpf("map_update_elem", { map_fd, ...element });
    return map_fd;
  };
  const hash = filledHash();
  const queue = bpf("map_create", { map_type: mapTypes.queue, value_size: 8, max_entries: 4 });
  bpf("map_update_elem", { map_fd: queue, value: element.value });
  const pinned = `${pinDirectory}/pinned`;
  bpf("obj_pin", { bpf_fd: hash, pathname: pinned });
  Deno.chmodSync(pinned, 0o666);

  const { bytes: btfBytes, special } = testBtf();
  const btf = bpf("btf_load", { btf: btfBytes, btf_size: btfBytes.length });
  const socketFilter = load("socket_filter");
  const cgroupDevice = load("cgroup_device");
  const rawTracepoint = load("raw_tracepoint");
  const rawTracepointLink = bpf("raw_tracepoint_open", { prog_fd: rawTracepoint, name: "sched_process_fork" });
  const cgroup = open(surroundings.cgroup);
  const cgroupLink = (attachType: AttachType, prog: number): number =>
    bpf("link_create", { prog_fd: prog, target_fd: cgroup, attach_type: attachTypes[attachType] });
  const sysctl = load("cgroup_sysctl");
  bpf("prog_attach", {
    target_fd: cgroup,
    attach_bpf_fd: sysctl,
    attach_type: attachTypes.cgroup_sysctl,
    attach_flags: 2,
  });
  const link = cgroupLink("cgroup_device", cgroupDevice);
  const iterProg = load("tracing", {
    expected_attach_type: attachTypes.trace_iter,
    attach_btf_id: iterTaskId,
    insns: asm`
      r0 = 0
      exit
    `,
  });
  const netns = open("/proc/thread-self/ns/net");
  const sockmap = bpf("map_create", { map_type: mapTypes.sockmap, key_size: 4, value_size: 4, max_entries: 1 });
  return {
    hash,
    doomedHash: filledHash(),
    doomedArray: bpf("map_create", { map_type: mapTypes.array, key_size: 4, value_size: 8, max_entries: 1 }),
    queue,
    mapId: idOf(hash),
    socketFilter,
    progId: idOf(socketFilter),
    cgroupDevice,
    attachedSysctl: sysctl,
    rawTracepoint,
    rawTracepointLink,
    cgroupLink: link,
    doomedLink: cgroupLink("cgroup_device", cgroupDevice),
    linkId: idOf(link),
    iterLink: bpf("link_create", { prog_fd: iterProg, attach_type: attachTypes.trace_iter }),
    btf,
    btfId: btfIdOf(btf),
    btfBytes,
    specialTypes: special,
    execTypeId,
    cgroup,
    bpffs: open(surroundings.bpffs),
    pinDirectory,
    pinned,
    pid: Deno.pid,
    attachable: attachablePrograms(),
    targets: {
      flow_dissector: netns,
      sk_lookup: netns,
      sk_msg_verdict: sockmap,
      sk_skb_stream_parser: sockmap,
      sk_skb_stream_verdict: sockmap,
      sk_skb_verdict: sockmap,
      tcx_ingress: LOOPBACK,
      tcx_egress: LOOPBACK,
      xdp: LOOPBACK,
      netfilter: 0,
    },
  };
}
