/**
 * XDP programs at network interfaces by netlink, for kernels without the links. What is attached so stays when the process
 * ends.
 *
 * @module
 */

import { type Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import {
  type Attribute,
  attributeU32,
  netlinkCode,
  NetlinkSocket,
  NLM_F_DUMP,
  parseAttributes,
} from "../ffi/netlink.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import type { AnyToken } from "../tokens/token.ts";
import { ignoring, keep, numberIn } from "./_rtnetlink.ts";
import { withoutOffload, type XdpMode, xdpModeFlags } from "./interface.ts";
import { UnlinkedAttachment } from "./link.ts";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const IFLA_IFNAME = 3;
const IFLA_XDP = 43;
const IFLA_XDP_FD = 1;
const IFLA_XDP_ATTACHED = 2;
const IFLA_XDP_FLAGS = 3;
const IFLA_XDP_PROG_ID = 4;
const IFLA_XDP_DRV_PROG_ID = 5;
const IFLA_XDP_SKB_PROG_ID = 6;
const IFLA_XDP_HW_PROG_ID = 7;
const IFLA_XDP_EXPECTED_FD = 8;
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1;
const XDP_FLAGS_REPLACE = 1 << 4;

/** `struct ifinfomsg` of an interface. */
function interfaceHeader(ifindex: number): Bytes {
  const bytes = allocate(16);
  new DataView(bytes.buffer).setInt32(4, ifindex, LITTLE_ENDIAN);
  return bytes;
}

/** What `attachXdpByNetlink()` takes besides the program. */
export interface AttachXdpByNetlinkOptions {
  /** The interface, by name or by index. */
  interface: string | number;
  /** How it runs; without it in the driver where that can, else generically. */
  mode?: XdpMode | undefined;
  /** The program that has to be there, whose place it takes; without it none may be there. Since 5.7. */
  replace?: FdSource | undefined;
  /** Whether it takes the place of whatever program is there. @default {false} */
  overwrite?: boolean | undefined;
}

function setXdp(ifindex: number, fd: number, flags: number, expected: number | undefined, action: string): void {
  const xdp: Attribute[] = [[IFLA_XDP_FD, attributeU32(fd >>> 0)], [IFLA_XDP_FLAGS, attributeU32(flags)]];
  if (expected !== undefined) xdp.push([IFLA_XDP_EXPECTED_FD, attributeU32(expected)]);
  using socket = new NetlinkSocket();
  socket.request({ type: RTM_SETLINK, header: interfaceHeader(ifindex), attributes: [[IFLA_XDP, xdp]], action });
}

/**
 * Attaches an XDP program to an interface by netlink. It stays when the process ends; disposing of what is returned
 * detaches it, unless another program has taken its place. Since Linux 4.8.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program, of type `xdp`.
 * @param options The interface, how it runs there, and which program it replaces.
 * @returns What detaches it.
 * @throws {SyscallError} EBUSY where a program is attached there; EEXIST where another one than expected is.
 */
export function attachXdpByNetlink(
  token: AttachToken<"link_create", "xdp">,
  prog: Fd,
  options: AttachXdpByNetlinkOptions,
): UnlinkedAttachment {
  token.assert({ command: "link_create", attachType: "xdp" }, "attach an XDP program");
  const { mode, replace, overwrite = false } = options;
  const ifindex = interfaceIndex(options.interface);
  const modeFlags = xdpModeFlags(mode);
  const onlyFirst = overwrite ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST;
  const flags = modeFlags | (replace === undefined ? onlyFirst : XDP_FLAGS_REPLACE);
  const expected = replace === undefined ? undefined : fdNumber(replace, "replace");
  const kept = keep(prog);
  /** Only what is ours goes. */
  const detach = (): void => setXdp(ifindex, -1, modeFlags | XDP_FLAGS_REPLACE, kept.fd, "detach an XDP program");
  try {
    setXdp(ifindex, kept.fd, flags, expected, "attach an XDP program");
  } catch (error) {
    // Where the kernel's answer was lost, the program may be there all the same.
    if (netlinkCode(error) === undefined) ignoring(detach);
    kept.close();
    throw withoutOffload(error, mode);
  }
  return (token as AnyToken).adopt(
    new UnlinkedAttachment(() => {
      try {
        detach();
      } catch (error) {
        // Another program is there by now, or the interface is gone.
        const code = netlinkCode(error);
        if (code !== "EEXIST" && code !== "ENOENT" && code !== "ENODEV") throw error;
      }
    }, () => kept.close()),
  );
}

/**
 * Detaches the XDP program of an interface, whoever attached it by netlink. One that a link holds stays.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param options The interface, and how the program runs there.
 * @throws {SyscallError} EBUSY where a link holds the program; ENODEV where there is no such interface.
 */
export function detachXdp(
  token: AttachToken<"link_create", "xdp">,
  options: Pick<AttachXdpByNetlinkOptions, "interface" | "mode">,
): void {
  token.assert({ command: "link_create", attachType: "xdp" }, "detach an XDP program");
  const ifindex = interfaceIndex(options.interface);
  setXdp(ifindex, -1, xdpModeFlags(options.mode), undefined, "detach an XDP program");
}

/** What XDP programs an interface has. */
export interface XdpState {
  /** How the program runs: several where there are programs of more than one mode. */
  readonly attached: XdpMode | "several" | undefined;
  /** The ids of the programs by their mode. */
  readonly progIds: { readonly [M in XdpMode]?: number };
}

const ATTACHED: readonly XdpState["attached"][] = [undefined, "native", "generic", "offload", "several"];

/** What an interface's message tells of its XDP programs. */
function xdpStateOf(attributes: ReadonlyMap<number, Bytes>): XdpState {
  const xdp = parseAttributes(attributes.get(IFLA_XDP) ?? allocate(0));
  const attached = ATTACHED[numberIn(xdp, IFLA_XDP_ATTACHED) ?? 0];
  const ids = {
    native: numberIn(xdp, IFLA_XDP_DRV_PROG_ID),
    generic: numberIn(xdp, IFLA_XDP_SKB_PROG_ID),
    offload: numberIn(xdp, IFLA_XDP_HW_PROG_ID),
  };
  // Kernels before 4.19 tell one id, of the mode that there is.
  const only = numberIn(xdp, IFLA_XDP_PROG_ID);
  if (only !== undefined && attached !== undefined && attached !== "several") ids[attached] ??= only;
  return { attached, progIds: Object.fromEntries(Object.entries(ids).filter(([, id]) => id !== undefined)) };
}

/** An interface of this network namespace. */
export interface InterfaceState {
  /** Its index. */
  readonly ifindex: number;
  /** Its name. */
  readonly name: string;
  /** Its XDP programs. */
  readonly xdp: XdpState;
}

/** Interfaces of this network namespace: all, or the one with an index. */
export function queryInterfaces(ifindex?: number): InterfaceState[] {
  using socket = new NetlinkSocket();
  const header = interfaceHeader(ifindex ?? 0);
  const flags = ifindex === undefined ? NLM_F_DUMP : 0;
  const action = ifindex === undefined ? "list interfaces" : "look up an interface";
  const answers = socket.request({ type: RTM_GETLINK, flags, header, action });
  return answers.filter(({ type }) => type === RTM_NEWLINK).map(({ payload }) => {
    const attributes = parseAttributes(payload.subarray(header.length));
    return {
      ifindex: new DataView(payload.buffer, payload.byteOffset, payload.length).getInt32(4, LITTLE_ENDIAN),
      name: textOf(attributes.get(IFLA_IFNAME) ?? allocate(0)),
      xdp: xdpStateOf(attributes),
    };
  });
}

/**
 * Which XDP programs an interface has, whoever attached them.
 *
 * @param name The interface, by name or by index.
 * @returns Their modes and ids.
 * @throws {SyscallError} ENODEV where there is no such interface.
 */
export function queryXdp(name: string | number): XdpState {
  return queryInterfaces(interfaceIndex(name))[0]?.xdp ?? { attached: undefined, progIds: {} };
}
