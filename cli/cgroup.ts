/**
 * Commands of cgroups: `bpf cgroup …`.
 *
 * @module
 */

import { progGetFdById } from "../cmds/id.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { progAttach, progDetach, progQuery } from "../cmds/prog_attach.ts";
import { NotSupportedError, PermissionError, SyscallError } from "../errors.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import type { Fd } from "../ffi/fd.ts";
import { listKernelDirectory, openPath } from "../ffi/kernel_file.ts";
import { BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE, BPF_F_QUERY_EFFECTIVE } from "../uapi/constants.gen.ts";
import { type AttachType, attachTypes } from "../uapi/enums.gen.ts";
import type { CommandGroup } from "./_command.ts";
import type { Writable } from "./_json.ts";
import { mountsOf } from "./_pins.ts";
import { parseRef, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, isPrefix, type Words } from "./_words.ts";

/** The attach types of cgroups. */
const TYPES = (Object.keys(attachTypes) as AttachType[]).filter((name) => /^(cgroup_|lsm_cgroup$)/.test(name));

/** What newer bpftools call some of them. */
const OLD_NAMES: Readonly<Record<string, AttachType>> = {
  ingress: "cgroup_inet_ingress",
  egress: "cgroup_inet_egress",
  sock_create: "cgroup_inet_sock_create",
  sock_release: "cgroup_inet_sock_release",
  sock_ops: "cgroup_sock_ops",
  device: "cgroup_device",
  bind4: "cgroup_inet4_bind",
  bind6: "cgroup_inet6_bind",
  connect4: "cgroup_inet4_connect",
  connect6: "cgroup_inet6_connect",
  post_bind4: "cgroup_inet4_post_bind",
  post_bind6: "cgroup_inet6_post_bind",
  sendmsg4: "cgroup_udp4_sendmsg",
  sendmsg6: "cgroup_udp6_sendmsg",
  recvmsg4: "cgroup_udp4_recvmsg",
  recvmsg6: "cgroup_udp6_recvmsg",
  sysctl: "cgroup_sysctl",
  getsockopt: "cgroup_getsockopt",
  setsockopt: "cgroup_setsockopt",
};

/** A program at a cgroup. */
interface CgroupProg {
  readonly id: number;
  readonly attachType: AttachType;
  /** BPF_F_ALLOW_*; undefined for effective programs, which come from several cgroups. */
  readonly flags: number | undefined;
  readonly name: string;
  readonly attachBtfObjId: number;
  readonly attachBtfId: number;
  /** The function that a security program is attached to. */
  readonly attachBtfName: string;
}

function flagsText(flags: number): string {
  if (flags === BPF_F_ALLOW_MULTI) return "multi";
  if (flags === BPF_F_ALLOW_OVERRIDE) return "override";
  return flags === 0 ? "" : `unknown(${flags.toString(16)})`;
}

/** What is attached to a cgroup by one type; none where the kernel does not know the type. */
function queryType(session: Session, directory: Fd, attachType: AttachType, effective: boolean): CgroupProg[] {
  const { token } = session;
  let result;
  try {
    result = progQuery(token, { target: { fd: directory }, attachType, flags: effective ? BPF_F_QUERY_EFFECTIVE : 0 });
  } catch (error) {
    if (error instanceof NotSupportedError) return [];
    if (error instanceof SyscallError && ["EINVAL", "EOPNOTSUPP"].includes(error.code)) return [];
    throw error;
  }
  return result.progIds.flatMap((id): CgroupProg[] => {
    try {
      using fd = progGetFdById(token, id);
      const { name, attachBtfObjId, attachBtfId } = objGetInfoByFd(token, fd, { kind: "prog" });
      const flags = effective ? undefined : result.attachFlags;
      // Security programs say by the kernel's types where they are.
      const attachBtfName = attachType === "lsm_cgroup" && attachBtfId > 0 ? kernelBtf().nameOf(attachBtfId) : "";
      return [{ id, attachType, flags, name, attachBtfObjId, attachBtfId, attachBtfName }];
    } catch (error) {
      if (error instanceof SyscallError) return [];
      throw error;
    }
  });
}

function query(session: Session, path: string, effective: boolean): CgroupProg[] {
  using directory = orSay(`can't open cgroup ${path}`, () => openPath(path), 255);
  return TYPES.flatMap((type) => queryType(session, directory, type, effective));
}

function progJson({ id, attachType, flags, name, attachBtfObjId, attachBtfId, attachBtfName }: CgroupProg): Writable {
  return {
    id,
    attach_type: attachType,
    attach_flags: flags === undefined ? undefined : flagsText(flags),
    name,
    attach_btf_name: attachBtfName,
    attach_btf_obj_id: attachBtfObjId,
    attach_btf_id: attachBtfId,
  };
}

function head(effective: boolean): string {
  const flags = effective ? "" : ` ${"AttachFlags".padEnd(15)}`;
  return `${"ID".padEnd(8)} ${"AttachType".padEnd(15)}${flags} ${"Name".padEnd(15)}\n`;
}

function progText({ id, attachType, flags, name, attachBtfName }: CgroupProg, { style }: Session): string {
  const cell = (text: string): string => text.padEnd(15);
  const shown = flags === undefined ? "" : ` ${cell(flagsText(flags))}`;
  const head = `${style.id(`${id}`.padEnd(8))} ${style.type(cell(attachType))}${shown}`;
  return `${head} ${style.name(cell(safe(name)))} ${cell(attachBtfName)}\n`;
}

function show(session: Session, words: Words): void {
  const path = words.next("the path of a cgroup");
  const effective = words.accept("effective");
  words.end();
  const progs = query(session, path, effective);
  session.answer({
    json: () => progs.map(progJson),
    v1: ["cgroup.show", () => progs],
    text: () => progs.length === 0 ? "" : head(effective) + progs.map((prog) => progText(prog, session)).join(""),
  });
}

/** A cgroup, and those below it, by their paths. */
function* walk(path: string): Generator<string, void> {
  yield path;
  for (const { name, isDirectory } of listKernelDirectory(path)) if (isDirectory) yield* walk(`${path}/${name}`);
}

function tree(session: Session, words: Words): void {
  // `effective` alone is the keyword, as it is nobody's cgroup.
  const given = words.peek !== undefined && !isPrefix(words.peek, "effective") ? words.next("a path") : undefined;
  const effective = words.accept("effective");
  words.end();
  const [mounted] = mountsOf("cgroup2");
  const root = given ?? mounted;
  if (root === undefined) throw new CommandError("cgroup v2 isn't mounted");
  const found: { path: string; progs: CgroupProg[] }[] = [];
  const top = root.replace(/(.)\/+$/, "$1");
  for (const path of walk(top)) {
    try {
      const progs = query(session, path, effective);
      if (progs.length > 0) found.push({ path, progs });
    } catch (error) {
      // Cgroups come and go meanwhile; the one that was asked for has to be there.
      if (path === top || error instanceof PermissionError) throw error;
    }
  }
  session.answer({
    json: () => found.map(({ path, progs }) => ({ cgroup: path, programs: progs.map(progJson) })),
    v1: ["cgroup.tree", () => found],
    text: () =>
      `CgroupPath\n${head(effective)}` +
      found.map(({ path, progs }) => {
        // Below the place that was asked for, programs stand a little to the right.
        const indent = path === top ? "" : "    ";
        return `${safe(path)}\n${progs.map((prog) => indent + progText(prog, session)).join("")}`;
      }).join(""),
  });
}

function parseType(words: Words): AttachType {
  const word = words.next("an attach type");
  const exact = TYPES.find((name) => name === word) ?? TYPES.find((name) => isPrefix(word, name));
  const old = Object.keys(OLD_NAMES).find((name) => isPrefix(word, name));
  const type = exact ?? (old === undefined ? undefined : OLD_NAMES[old]);
  if (type === undefined) throw new CommandError(`invalid attach type: ${word}`);
  return type;
}

function attach(session: Session, words: Words): void {
  const path = words.next("the path of a cgroup");
  using directory = orSay(`can't open cgroup ${path}`, () => openPath(path), 255);
  const attachType = parseType(words);
  using prog = parseRef(PROGS, session, words);
  let flags = 0;
  while (words.left > 0) {
    if (words.accept("multi") || words.accept("allow_multi")) flags |= BPF_F_ALLOW_MULTI;
    else if (words.accept("override") || words.accept("allow_override")) flags |= BPF_F_ALLOW_OVERRIDE;
    else throw new CommandError(`unknown option: ${words.peek}`);
  }
  const options = { target: { fd: directory }, attachType, flags };
  orSay("failed to attach program", () => progAttach(session.token, prog.fd, options), 255);
  session.done();
}

function detach(session: Session, words: Words): void {
  const path = words.next("the path of a cgroup");
  using directory = orSay(`can't open cgroup ${path}`, () => openPath(path), 255);
  const attachType = parseType(words);
  using prog = parseRef(PROGS, session, words);
  words.end();
  const options = { prog: prog.fd, target: { fd: directory }, attachType };
  orSay("failed to detach program", () => progDetach(session.token, options), 255);
  session.done();
}

/** Commands of cgroups. */
export const group: CommandGroup = {
  usage: `Usage: {} cgroup { show | list } CGROUP [effective]
       {} cgroup tree [CGROUP_ROOT] [effective]
       {} cgroup attach CGROUP ATTACH_TYPE PROG [ATTACH_FLAGS]
       {} cgroup detach CGROUP ATTACH_TYPE PROG

       ATTACH_TYPE := { ${TYPES.join(" | ")} }
       ATTACH_FLAGS := { multi | override }
       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
`,
  commands: { show, list: show, tree, attach, detach },
};
