/**
 * Commands of network interfaces: `bpf net …`.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { progGetFdById } from "../cmds/id.ts";
import { SyscallError } from "../errors.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import {
  attached,
  type AttachedToInterface,
  type AttachedToNetns,
  attachXdpByNetlink,
  detachXdp,
} from "../links/mod.ts";
import type { XdpMode } from "../links/mod.ts";
import { Link } from "../links/link.ts";
import type { CommandGroup } from "./_command.ts";
import type { Writable } from "./_json.ts";
import { parseRef, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, INVALID, isPrefix, type Words } from "./_words.ts";

/** How bpftool calls the modes of XDP. */
const MODES: Readonly<Record<XdpMode, string>> = { generic: "generic", native: "driver", offload: "offload" };

/** How bpftool calls the places of traffic control. */
const KINDS: Readonly<Partial<Record<AttachedToInterface["hook"], string>>> = {
  tcx_ingress: "tcx/ingress",
  tcx_egress: "tcx/egress",
  netkit_primary: "netkit/primary",
  netkit_peer: "netkit/peer",
  clsact_ingress: "clsact/ingress",
  clsact_egress: "clsact/egress",
};

const PROTOCOLS: Readonly<Record<number, string>> = { 2: "ip", 10: "ip6" };
const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"];

/** The name of a program, for those that have none of their filter's. */
function progName(session: Session, id: number): string {
  try {
    using fd = progGetFdById(session.token, id);
    return objGetInfoByFd(session.token, fd, { kind: "prog" }).name;
  } catch (error) {
    if (error instanceof SyscallError) return "";
    throw error;
  }
}

function show(session: Session, words: Words): void {
  let only: number | undefined;
  if (words.left > 0) {
    words.expect("dev");
    const name = words.next("an interface");
    only = /^\d+$/.test(name) ? interfaceIndex(Number(name)) : interfaceIndex(name);
    words.end();
  }
  const { token } = session;
  const found = [...attached(token, { netns: "own" })];
  const places = found.filter((one): one is AttachedToInterface =>
    one.where === "interface" && (only === undefined || one.ifindex === only)
  );
  const xdp = places.filter(({ hook }) => hook === "xdp");
  const tc = places.filter(({ hook }) => hook !== "xdp");
  const dissectors = found.filter((one): one is AttachedToNetns =>
    one.where === "netns" && one.attachType === "flow_dissector"
  );
  const filters = only === undefined ? netfilters(session) : [];
  const named = tc.map((one) => ({ ...one, name: one.name ?? progName(session, one.progId) }));
  const kind = ({ hook, parent }: AttachedToInterface): string =>
    KINDS[hook] ?? `handle ${((parent ?? 0) >>> 16).toString(16)}:${((parent ?? 0) & 0xffff).toString(16)}`;
  session.answer({
    json: () => [{
      xdp: xdp.map(({ interface: devname, ifindex, mode, progId }): Writable => ({
        devname,
        ifindex,
        mode: mode === undefined ? undefined : MODES[mode],
        id: progId,
      })),
      tc: named.map((one): Writable => ({
        devname: one.interface,
        ifindex: one.ifindex,
        kind: kind(one),
        name: one.name,
        [one.hook.startsWith("tcx") || one.hook.startsWith("netkit") ? "prog_id" : "id"]: one.progId,
        link_id: one.linkId,
      })),
      flow_dissector: dissectors.map(({ progId }): Writable => ({ id: progId })),
      netfilter: only !== undefined ? undefined : filters.map(({ info }) => ({
        id: info.id,
        prog_id: info.progId,
        pf: info.pf,
        hook: info.hooknum,
        prio: info.priority,
        flags: info.flags,
      })),
    }],
    v1: ["net.show", () => [...places, ...dissectors]],
    text: () => {
      const line = (one: AttachedToInterface, rest: string): string =>
        `${safe(one.interface)}(${one.ifindex}) ${rest}\n`;
      let text = "xdp:\n";
      for (const one of xdp) {
        text += line(
          one,
          `${one.mode === undefined ? "" : `${MODES[one.mode]} `}id ${session.style.id(`${one.progId}`)}`,
        );
      }
      text += "\ntc:\n";
      for (const one of named) {
        const link = one.linkId === undefined ? "" : ` link_id ${one.linkId}`;
        const id = one.hook.startsWith("tcx") || one.hook.startsWith("netkit") ? "prog_id" : "id";
        text += line(
          one,
          `${kind(one)} ${session.style.name(safe(one.name))} ${id} ${session.style.id(`${one.progId}`)}${link}`,
        );
      }
      text += "\nflow_dissector:\n";
      for (const { progId } of dissectors) text += `id ${progId}\n`;
      if (only !== undefined) return `${text}\n`;
      text += "\nnetfilter:\n";
      for (const { info } of filters) {
        text += `id ${info.id} prog_id ${info.progId} ${PROTOCOLS[info.pf] ?? `pf: ${info.pf}`} ${
          HOOKS[info.hooknum] ?? `hook ${info.hooknum}`
        } prio ${info.priority}${info.flags > 0 ? ` flags 0x${info.flags.toString(16)}` : ""}\n`;
      }
      return `${text}\n`;
    },
  });
}

/** The links at netfilter's hooks. */
function netfilters({ token }: Session): { info: Extract<Link["info"], { type: "netfilter" }> }[] {
  const found: { info: Extract<Link["info"], { type: "netfilter" }> }[] = [];
  for (const { info } of Link.all(token)) {
    if (info.type === "netfilter") found.push({ info: info as Extract<Link["info"], { type: "netfilter" }> });
  }
  return found;
}

/** The ways in which XDP programs are attached, by bpftool's names. */
const ATTACH_TYPES: Readonly<Record<string, XdpMode | undefined>> = {
  xdp: undefined,
  xdpgeneric: "generic",
  xdpdrv: "native",
  xdpoffload: "offload",
};

function parseType(words: Words): XdpMode | undefined {
  const word = words.next("an attach type");
  const name = Object.hasOwn(ATTACH_TYPES, word) ? word : Object.keys(ATTACH_TYPES).find((one) => isPrefix(word, one));
  if (name === undefined) throw new CommandError(`invalid net attach/detach type: ${word}`, INVALID);
  return ATTACH_TYPES[name];
}

function parseDevice(words: Words): number {
  words.expect("dev");
  const name = words.next("an interface");
  try {
    return interfaceIndex(name);
  } catch (error) {
    if (error instanceof TypeError) throw new CommandError(`invalid devname ${name}`, INVALID);
    throw error;
  }
}

function attach(session: Session, words: Words): void {
  const mode = parseType(words);
  using prog = parseRef(PROGS, session, words);
  const ifindex = parseDevice(words);
  const overwrite = words.accept("overwrite");
  words.end();
  orSay("interface xdp attach failed", () => {
    // Nothing holds it: it stays when the command has ended.
    attachXdpByNetlink(session.token, prog.fd, { interface: ifindex, mode, overwrite }).leave();
  });
  session.done();
}

function detach(session: Session, words: Words): void {
  const mode = parseType(words);
  const ifindex = parseDevice(words);
  words.end();
  orSay("interface xdp detach failed", () => detachXdp(session.token, { interface: ifindex, mode }));
  session.done();
}

/** Commands of network interfaces. */
export const group: CommandGroup = {
  usage: `Usage: {} net { show | list } [dev <devname>]
       {} net attach ATTACH_TYPE PROG dev <devname> [ overwrite ]
       {} net detach ATTACH_TYPE dev <devname>

       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
       ATTACH_TYPE := { xdp | xdpgeneric | xdpdrv | xdpoffload }

Note: programs at cgroups are shown by "{} cgroup", those that processes hold by "{} perf",
      all links by "{} link".
`,
  commands: { show, list: show, attach, detach },
};
