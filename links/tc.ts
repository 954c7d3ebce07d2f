/**
 * Programs at the traffic of network interfaces by clsact and netlink, for kernels without tcx. What is attached so stays
 * when the process ends.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { NotSupportedError } from "../errors.ts";
import { fdNumber, type FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import {
  type Attribute,
  attributeString,
  attributeU32,
  netlinkCode,
  type NetlinkRequest,
  NetlinkSocket,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_ECHO,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  parseAttributes,
} from "../ffi/netlink.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { ignoring, numberIn } from "./_rtnetlink.ts";
import { UnlinkedAttachment } from "./link.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAGS_GEN = 9;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;
/** TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW */
const RUNS = { software: 1 << 0, hardware: 1 << 1 } as const;
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const PARENTS = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
/** ETH_P_ALL in network byte order. */
const ALL_PROTOCOLS = 0x0300;

/** `struct tcmsg` of an interface. */
function trafficHeader(ifindex: number, parent: number, handle: number, info: number): Bytes {
  const bytes = allocate(20);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, ifindex, LITTLE_ENDIAN);
  view.setUint32(8, handle, LITTLE_ENDIAN);
  view.setUint32(12, parent, LITTLE_ENDIAN);
  view.setUint32(16, info, LITTLE_ENDIAN);
  return bytes;
}

/** What `attachTc()` takes besides the program. */
export interface AttachTcOptions {
  /** The interface, by name or by index. */
  interface: string | number;
  /** Packets that come in, or that go out. */
  direction: "ingress" | "egress";
  /** The place among the filters: lower runs first, 1 to 65535. By default the kernel chooses. */
  priority?: number | undefined;
  /** The filter's number at its priority. By default the kernel chooses. */
  handle?: number | undefined;
  /** Whether the program's answer is what is done (TC_ACT_*), instead of a class. @default {true} */
  directAction?: boolean | undefined;
  /** What tc(8) shows. @default {"bpf"} */
  name?: string | undefined;
  /**
   * Where the program runs: only on this machine's CPUs, or only in the device, which few can. C names:
   * TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW. By default wherever it can. Since 4.9.
   */
  runsIn?: "software" | "hardware" | undefined;
  /** Whether a filter of the same priority and handle is replaced. @default {false} */
  replace?: boolean | undefined;
}

/** A filter that is attached to an interface's traffic. */
export interface TcFilter {
  /** Its priority. */
  readonly priority: number;
  /** Its handle. */
  readonly handle: number;
  /** What tc(8) shows. */
  readonly name: string;
  /** The id of its program. */
  readonly progId: number;
  /** Whether the program's answer is what is done. */
  readonly directAction: boolean;
}

/** What the clsact qdisc of an interface is asked by. */
function clsact(ifindex: number): Pick<NetlinkRequest, "header" | "attributes"> {
  const header = trafficHeader(ifindex, TC_H_CLSACT, CLSACT_HANDLE, 0);
  return { header, attributes: [[TCA_KIND, attributeString("clsact")]] };
}

/** Makes the interface's clsact qdisc; false where it was there. */
function addClsact(socket: NetlinkSocket, ifindex: number): boolean {
  const action = "make the clsact qdisc of an interface";
  try {
    socket.request({ type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_EXCL, ...clsact(ifindex), action });
    return true;
  } catch (error) {
    if (netlinkCode(error) !== "EEXIST") throw error;
    return false;
  }
}

/** Takes back a qdisc that was made for a filter that could not be. */
function removeClsact(ifindex: number): void {
  using socket = new NetlinkSocket();
  socket.request({ type: RTM_DELQDISC, ...clsact(ifindex), action: "remove the clsact qdisc of an interface" });
}

/** Adds a filter, and the qdisc for it; gives what the kernel chose for it. */
function addFilter(ifindex: number, request: NetlinkRequest & { offloads: boolean }): { handle: number; info: number } {
  using socket = new NetlinkSocket();
  const made = addClsact(socket, ifindex);
  try {
    const [{ payload }] = socket.request(request);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    return { handle: view.getUint32(8, LITTLE_ENDIAN), info: view.getUint32(16, LITTLE_ENDIAN) };
  } catch (error) {
    if (made) ignoring(() => removeClsact(ifindex));
    const code = netlinkCode(error);
    if (!request.offloads || (code !== "EOPNOTSUPP" && code !== "EINVAL")) throw error;
    const reason = "the interface's device does not run programs";
    throw new NotSupportedError("traffic filters in hardware", { reason, cause: error });
  }
}

/**
 * Attaches a program to an interface's traffic as a filter of its clsact qdisc, which is made where it is not there and
 * stays. The filter stays when the process ends; disposing of what is returned removes it. Since Linux 4.5.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program, of type `sched_cls`.
 * @param options The interface, the direction, and the place among the filters.
 * @returns What removes it.
 * @throws {RangeError} For a priority that is out of range.
 * @throws {NotSupportedError} Where it is to run in a device that runs no programs.
 * @throws {SyscallError} EEXIST where the priority and handle are taken; ENODEV where there is no such interface.
 */
export function attachTc(
  token: AttachToken<"link_create", "tcx_ingress">,
  prog: FdSource,
  options: AttachTcOptions,
): UnlinkedAttachment {
  token.assert({ command: "link_create", attachType: "tcx_ingress" }, "attach a traffic filter");
  const { direction, priority = 0, handle = 0, directAction = true, name = "bpf", replace = false } = options;
  if (!Number.isInteger(priority) || priority < 0 || priority > 0xffff) {
    throw new RangeError(`Cannot use priority: ${priority} is not an integer from 0 to 65535`);
  }
  if (!Object.hasOwn(PARENTS, direction)) throw new TypeError(`Cannot use direction: "${direction}" is unknown`);
  const { runsIn } = options;
  if (runsIn !== undefined && !Object.hasOwn(RUNS, runsIn)) {
    throw new TypeError(`Cannot use runsIn: "${runsIn}" is none of software, hardware`);
  }
  const ifindex = interfaceIndex(options.interface);
  const { id } = objGetInfoByFd(token, prog, { kind: "prog" });
  const parent = PARENTS[direction];
  const place: Attribute[] = runsIn === undefined ? [] : [[TCA_BPF_FLAGS_GEN, attributeU32(RUNS[runsIn])]];
  const { handle: given, info } = addFilter(ifindex, {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_ECHO | (replace ? NLM_F_REPLACE : NLM_F_EXCL),
    header: trafficHeader(ifindex, parent, handle, priority * 0x10000 + ALL_PROTOCOLS),
    attributes: [
      [TCA_KIND, attributeString("bpf")],
      [TCA_OPTIONS, [
        [TCA_BPF_FD, attributeU32(fdNumber(prog, "prog"))],
        [TCA_BPF_NAME, attributeString(name)],
        [TCA_BPF_FLAGS, attributeU32(directAction ? TCA_BPF_FLAG_ACT_DIRECT : 0)],
        ...place,
      ]],
    ],
    action: "attach a traffic filter",
    offloads: runsIn === "hardware",
  });
  return (token as AnyToken).adopt(
    new UnlinkedAttachment(() => {
      // Somebody may have replaced it: only what has our program goes.
      const ours = queryTc(ifindex, direction).some((filter) =>
        filter.handle === given && filter.priority === info >>> 16 && filter.progId === id
      );
      if (!ours) return;
      using closing = new NetlinkSocket();
      closing.request({
        type: RTM_DELTFILTER,
        header: trafficHeader(ifindex, parent, given, info),
        attributes: [[TCA_KIND, attributeString("bpf")]],
        action: "remove a traffic filter",
      });
    }),
  );
}

/**
 * The BPF filters of an interface's clsact qdisc, whoever attached them.
 *
 * @param name The interface, by name or by index.
 * @param direction Packets that come in, or that go out.
 * @returns The filters, in their order; none where there is no such qdisc.
 */
export function queryTc(name: string | number, direction: "ingress" | "egress"): TcFilter[] {
  return filtersOf(interfaceIndex(name), PARENTS[direction]);
}

/** The handles of an interface's qdiscs that are neither clsact nor ingress: filters hang below them, too. */
export function queryQdiscs(ifindex: number): number[] {
  using socket = new NetlinkSocket();
  const action = "list the qdiscs of an interface";
  const answers = socket.request({
    type: RTM_GETQDISC,
    flags: NLM_F_DUMP,
    header: trafficHeader(ifindex, 0, 0, 0),
    action,
  });
  const handles = answers.filter(({ type }) => type === RTM_NEWQDISC).flatMap(({ payload }) => {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    // Kernels dump the qdiscs of all interfaces.
    const handle = view.getUint32(8, LITTLE_ENDIAN);
    return view.getInt32(4, LITTLE_ENDIAN) === ifindex && handle !== 0 && handle !== CLSACT_HANDLE ? [handle] : [];
  });
  return [...new Set(handles)];
}

/** The BPF filters below a parent. */
export function filtersOf(ifindex: number, parent: number): TcFilter[] {
  using socket = new NetlinkSocket();
  const filters: TcFilter[] = [];
  let answers;
  try {
    answers = socket.request({
      type: RTM_GETTFILTER,
      flags: NLM_F_DUMP,
      header: trafficHeader(ifindex, parent, 0, 0),
      action: "look up traffic filters",
    });
  } catch (error) {
    // No qdisc that has filters, or no such interface any more.
    const code = netlinkCode(error);
    if (code === "EINVAL" || code === "ENODEV") return [];
    throw error;
  }
  for (const { type, payload } of answers) {
    if (type !== RTM_NEWTFILTER) continue;
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const attributes = parseAttributes(payload.subarray(20));
    const handle = view.getUint32(8, LITTLE_ENDIAN);
    const options = parseAttributes(attributes.get(TCA_OPTIONS) ?? allocate(0));
    const progId = numberIn(options, TCA_BPF_ID);
    if (progId === undefined) continue;
    filters.push({
      priority: view.getUint32(16, LITTLE_ENDIAN) >>> 16,
      handle,
      name: textOf(options.get(TCA_BPF_NAME) ?? allocate(0)),
      progId,
      directAction: ((numberIn(options, TCA_BPF_FLAGS) ?? 0) & TCA_BPF_FLAG_ACT_DIRECT) !== 0,
    });
  }
  return filters;
}
