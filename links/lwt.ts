/**
 * Programs at routes: what a route's packets pass on their way in, out and to the device, and what an IPv6 segment does.
 * What is attached so stays when the process ends.
 *
 * @module
 */

import { encode, ipv4, ipv4Prefix, ipv6, ipv6Prefix } from "../codec.ts";
import { NotSupportedError } from "../errors.ts";
import { type Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import {
  type Attribute,
  attributeString,
  attributeU32,
  netlinkCode,
  NetlinkSocket,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  parseAttributes,
} from "../ffi/netlink.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { assertNetAdmin, keep } from "./_rtnetlink.ts";
import { UnlinkedAttachment } from "./link.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTMSG_SIZE = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;
const LWTUNNEL_ENCAP_BPF = 6;
const LWTUNNEL_ENCAP_SEG6_LOCAL = 7;
const LWT_BPF = { in: 1, out: 2, xmit: 3 } as const;
const LWT_BPF_XMIT_HEADROOM = 4;
const SEG6_LOCAL_ACTION = 1;
const SEG6_LOCAL_BPF = 8;
const SEG6_LOCAL_ACTION_END_BPF = 15;
/** Of both kinds: LWT_BPF_PROG_FD, LWT_BPF_PROG_NAME; SEG6_LOCAL_BPF_PROG, SEG6_LOCAL_BPF_PROG_NAME. */
const PROG_FD = 1;
const PROG_NAME = 2;
const RT_TABLE_UNSPEC = 0;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;

/** Where a route is, and where its packets go. */
export interface RouteOptions {
  /** The addresses that it is for, such as `"192.0.2.0/24"` or `"2001:db8::/32"`. */
  destination: string;
  /** The interface that its packets leave by, by name or index. */
  interface: string | number;
  /** The next hop's address. By default the destination is on the interface's own network. */
  gateway?: string | undefined;
  /** The routing table. @default {254} the main one */
  table?: number | undefined;
  /** The route's metric: lower ones come first. By default the kernel's. */
  priority?: number | undefined;
}

/** Programs of a route: at least one. */
export interface LwtPrograms {
  /** For packets that come in and are for this machine, of type `lwt_in`. C name: LWT_BPF_IN. */
  in?: FdSource | undefined;
  /** For packets that go out, of type `lwt_out`. C name: LWT_BPF_OUT. */
  out?: FdSource | undefined;
  /** For packets right before they go to the device, of type `lwt_xmit`, which may change them. C name: LWT_BPF_XMIT. */
  xmit?: FdSource | undefined;
}

/** What `attachLwt()` takes besides the programs. */
export interface AttachLwtOptions extends RouteOptions {
  /** Bytes that `xmit` may put in front of a packet, at most 256. C name: LWT_BPF_XMIT_HEADROOM. @default {0} */
  headroom?: number | undefined;
}

let names = 0;

/** A name that no other route's program has: by it the kernel tells them apart. */
function uniqueName(): string {
  return `bpf_deno_${Deno.pid}_${++names}_${crypto.getRandomValues(new Uint32Array(1))[0].toString(16)}`;
}

/** A route as messages have it. */
interface Route {
  readonly isIpv6: boolean;
  readonly header: Bytes;
  readonly attributes: readonly Attribute[];
}

function u16(value: number): Bytes {
  const bytes = allocate(2);
  new DataView(bytes.buffer).setUint16(0, value, LITTLE_ENDIAN);
  return bytes;
}

function routeOf(options: RouteOptions): Route {
  const { destination, gateway, table = RT_TABLE_MAIN, priority } = options;
  const isIpv6 = destination.includes(":");
  // Both codecs give the length of the prefix, then the address.
  const prefix = encode(isIpv6 ? ipv6Prefix : ipv4Prefix, destination);
  const header = allocate(RTMSG_SIZE);
  header[0] = isIpv6 ? 10 : 2;
  header[1] = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, LITTLE_ENDIAN);
  header[4] = table < 256 ? table : RT_TABLE_UNSPEC;
  header[5] = RTPROT_STATIC;
  header[6] = isIpv6 || gateway !== undefined ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  header[7] = RTN_UNICAST;
  const attributes: Attribute[] = [
    [RTA_DST, new Uint8Array(prefix.slice(4))],
    [RTA_OIF, attributeU32(interfaceIndex(options.interface))],
    [RTA_TABLE, attributeU32(table)],
  ];
  if (gateway !== undefined) {
    attributes.push([RTA_GATEWAY, new Uint8Array(encode(isIpv6 ? ipv6 : ipv4, gateway))]);
  }
  if (priority !== undefined) attributes.push([RTA_PRIORITY, attributeU32(priority)]);
  return { isIpv6, header, attributes };
}

/** Whether our route is there: routes of IPv6 are removed by their place, whatever programs they have. */
function isOurs(socket: NetlinkSocket, { header }: Route, name: string): boolean {
  const query = allocate(RTMSG_SIZE);
  query[0] = header[0];
  const answers = socket.request({ type: RTM_GETROUTE, flags: NLM_F_DUMP, header: query, action: "look up routes" });
  const wanted = new TextEncoder().encode(`${name}\0`);
  const contains = (bytes: Bytes): boolean => {
    for (let at = 0; at + wanted.length <= bytes.length; at++) {
      if (wanted.every((byte, index) => bytes[at + index] === byte)) return true;
    }
    return false;
  };
  return answers.some(({ type, payload }) => {
    if (type !== RTM_NEWROUTE) return false;
    const encap = parseAttributes(payload.subarray(RTMSG_SIZE)).get(RTA_ENCAP);
    return encap !== undefined && contains(encap);
  });
}

/** Adds a route with programs, whose descriptors are the attachment's own. */
function attachToRoute(token: AnyToken, route: Route, parts: {
  readonly encapType: number;
  readonly encap: readonly Attribute[];
  readonly name: string;
  readonly kept: readonly Fd[];
  readonly feature: string;
}): UnlinkedAttachment {
  const { encapType, encap, name, kept, feature } = parts;
  const attributes: Attribute[] = [
    ...route.attributes,
    [RTA_ENCAP_TYPE, u16(encapType)],
    [RTA_ENCAP, encap],
  ];
  const remove = (): void => {
    using socket = new NetlinkSocket();
    if (route.isIpv6 && !isOurs(socket, route, name)) return;
    socket.request({ type: RTM_DELROUTE, header: route.header, attributes, action: "remove a route" });
  };
  const close = (): void => {
    for (const fd of kept) fd.close();
  };
  try {
    using socket = new NetlinkSocket();
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    socket.request({ type: RTM_NEWROUTE, flags, header: route.header, attributes, action: "add a route" });
  } catch (error) {
    const code = netlinkCode(error);
    if (code === undefined) {
      // The kernel's answer was lost: the route may be there all the same.
      try {
        remove();
      } catch {
        // The error that led here says more.
      }
    }
    close();
    if (code !== "EOPNOTSUPP") throw error;
    throw new NotSupportedError(feature, { reason: "the kernel was built without it", cause: error });
  }
  return token.adopt(
    new UnlinkedAttachment(() => {
      try {
        remove();
      } catch (error) {
        // Somebody removed it, or its interface is gone.
        const code = netlinkCode(error);
        if (code !== "ESRCH" && code !== "ENODEV" && code !== "ENOENT") throw error;
      } finally {
        close();
      }
    }),
  );
}

/**
 * Adds a route whose packets pass programs. It stays when the process ends; disposing of what is returned removes it, unless
 * another one has taken its place. Since Linux 4.10.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param programs The programs: they return BPF_OK (0), BPF_DROP (2), BPF_REDIRECT (7) or BPF_LWT_REROUTE (128).
 * @param options The route, and how much `xmit` may put in front of packets.
 * @returns What removes it.
 * @throws {TypeError} For no program at all, or where there is no such interface.
 * @throws {RangeError} For an address that is none.
 * @throws {NotSupportedError} Where the kernel was built without CONFIG_LWTUNNEL_BPF.
 * @throws {SyscallError} EEXIST where there is such a route; EINVAL for programs of another type.
 */
export function attachLwt(
  token: PermissionToken<"CAP_NET_ADMIN">,
  programs: LwtPrograms,
  options: AttachLwtOptions,
): UnlinkedAttachment {
  assertNetAdmin(token, "attach to a route");
  const places = (["in", "out", "xmit"] as const).filter((place) => programs[place] !== undefined);
  if (places.length === 0) throw new TypeError("Cannot attach to a route: give a program for in, out or xmit");
  const { headroom = 0 } = options;
  if (!Number.isInteger(headroom) || headroom < 0 || headroom > 256) {
    throw new RangeError(`Cannot use headroom: ${headroom} is not an integer from 0 to 256`);
  }
  const route = routeOf(options);
  const name = uniqueName();
  const kept: Fd[] = [];
  try {
    const encap = places.map((place): Attribute => {
      const fd = keep(programs[place]!, place);
      kept.push(fd);
      return [LWT_BPF[place], [
        [PROG_FD, attributeU32(fdNumber(fd, place))],
        [PROG_NAME, attributeString(name)],
      ]];
    });
    if (headroom > 0) encap.push([LWT_BPF_XMIT_HEADROOM, attributeU32(headroom)]);
    const feature = "programs at routes (CONFIG_LWTUNNEL_BPF)";
    return attachToRoute(token as AnyToken, route, { encapType: LWTUNNEL_ENCAP_BPF, encap, name, kept, feature });
  } catch (error) {
    for (const fd of kept) fd.close();
    throw error;
  }
}

/**
 * Adds a route to an IPv6 segment that is handled by a program: End.BPF. It stays when the process ends; disposing of what is
 * returned removes it, unless another one has taken its place. Since Linux 4.18.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program, of type `lwt_seg6local`: it returns BPF_OK (0), BPF_DROP (2) or BPF_REDIRECT (7).
 * @param options The segment as the route's destination.
 * @returns What removes it.
 * @throws {TypeError} Where there is no such interface, or the destination is no IPv6 address.
 * @throws {NotSupportedError} Where the kernel was built without CONFIG_IPV6_SEG6_BPF.
 * @throws {SyscallError} EEXIST where there is such a route; EINVAL for a program of another type.
 */
export function attachSeg6Local(
  token: PermissionToken<"CAP_NET_ADMIN">,
  prog: FdSource,
  options: RouteOptions,
): UnlinkedAttachment {
  assertNetAdmin(token, "attach to a segment");
  const route = routeOf(options);
  if (!route.isIpv6) throw new TypeError(`Cannot use destination: "${options.destination}" is no IPv6 segment`);
  const name = uniqueName();
  const kept = keep(prog);
  const encap: Attribute[] = [
    [SEG6_LOCAL_ACTION, attributeU32(SEG6_LOCAL_ACTION_END_BPF)],
    [SEG6_LOCAL_BPF, [[PROG_FD, attributeU32(kept.fd)], [PROG_NAME, attributeString(name)]]],
  ];
  const feature = "programs at IPv6 segments (CONFIG_IPV6_SEG6_BPF)";
  return attachToRoute(token as AnyToken, route, {
    encapType: LWTUNNEL_ENCAP_SEG6_LOCAL,
    encap,
    name,
    kept: [kept],
    feature,
  });
}
