/**
 * Commands of programs: `bpf prog …`.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { progAttach, progDetach } from "../cmds/prog_attach.ts";
import type { AttachType } from "../uapi/enums.gen.ts";
import { pin as pinAt } from "./_bpffs.ts";
import type { CommandGroup } from "./_command.ts";
import { progJson, progText, ProgViewer, type ShownProg } from "./_prog_show.ts";
import { MAPS, parseRef, parseRefs, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { CommandError, INVALID, isPrefix, type Words } from "./_words.ts";

function show(session: Session, words: Words): void {
  const viewer = new ProgViewer(session);
  const shown: ShownProg[] = [];
  const one = words.left > 0;
  if (one) {
    using stack = new DisposableStack();
    const found = parseRefs(PROGS, session, words).map((prog) => stack.use(prog));
    if (found.length === 0) throw new CommandError("no program matches this handle");
    words.end();
    for (const { fd, info } of found) shown.push(viewer.look(fd, info));
  } else for (const { fd, info } of eachObject(session.token, "prog")) shown.push(viewer.look(fd, info()));
  session.answer({
    // One program stands alone, several in an array.
    json: () => one && shown.length === 1 ? progJson(shown[0]) : shown.map(progJson),
    v1: ["prog.show", () => shown.map(({ info, ...rest }) => ({ ...info, ...rest }))],
    text: () => shown.map((prog) => progText(prog, session)).join(""),
  });
}

function pin(session: Session, words: Words): void {
  using prog = parseRef(PROGS, session, words);
  const path = words.next("a path");
  words.end();
  pinAt(session, prog.fd, path);
  session.done();
}

/** The places that `prog attach` knows, by bpftool's names. */
const ATTACH_TYPES: Readonly<Record<string, AttachType>> = {
  sk_msg_verdict: "sk_msg_verdict",
  sk_skb_verdict: "sk_skb_verdict",
  sk_skb_stream_verdict: "sk_skb_stream_verdict",
  sk_skb_stream_parser: "sk_skb_stream_parser",
  flow_dissector: "flow_dissector",
};
const OLD_ATTACH_NAMES: Readonly<Record<string, AttachType>> = {
  msg_verdict: "sk_msg_verdict",
  skb_verdict: "sk_skb_verdict",
  stream_verdict: "sk_skb_stream_verdict",
  stream_parser: "sk_skb_stream_parser",
};

function parseAttachType(words: Words): AttachType {
  const word = words.next("an attach type");
  const known = { ...ATTACH_TYPES, ...OLD_ATTACH_NAMES };
  const name = Object.hasOwn(known, word) ? word : Object.keys(known).find((one) => isPrefix(word, one));
  if (name === undefined) throw new CommandError(`invalid attach/detach type: ${word}`, INVALID);
  return known[name];
}

/** Attaches to, or detaches from, the sockets of a map; a flow dissector has no map. */
function changeAttachment(session: Session, words: Words, what: "attach" | "detach"): void {
  using prog = parseRef(PROGS, session, words);
  const attachType = parseAttachType(words);
  using map = attachType === "flow_dissector" ? undefined : parseRef(MAPS, session, words);
  words.end();
  const options = { attachType: attachType as "flow_dissector", target: { fd: map?.fd ?? 0 } };
  const { token } = session;
  orSay(`failed prog ${what}`, () => {
    if (what === "attach") progAttach(token, prog.fd, options);
    else progDetach(token, { ...options, prog: prog.fd });
  });
  session.done();
}

async function tracelog(session: Session, words: Words): Promise<void> {
  const { tracelog: follow } = await import("./_tracelog.ts");
  await follow(session, words);
}

/** Commands of programs. */
export const group: CommandGroup = {
  usage: `Usage: {} prog { show | list } [PROG]
       {} prog dump xlated PROG [{ file FILE | [opcodes] [linum] [visual] }]
       {} prog dump jited  PROG [{ file FILE | [opcodes] [linum] }]
       {} prog pin   PROG FILE
       {} prog { load | loadall } OBJ  PATH [type TYPE] [map { idx IDX | name NAME } MAP]
                         [pinmaps MAP_DIR] [autoattach]
       {} prog attach PROG ATTACH_TYPE [MAP]
       {} prog detach PROG ATTACH_TYPE [MAP]
       {} prog run PROG data_in FILE [data_out FILE [data_size_out L]]
                         [ctx_in FILE [ctx_out FILE [ctx_size_out M]]] [repeat N]
       {} prog profile PROG [duration DURATION] METRICs
       {} prog tracelog [{ stdout | stderr } PROG]

       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
       ATTACH_TYPE := { sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict | sk_skb_stream_parser |
                        flow_dissector }
       METRIC := { cycles | instructions | l1d_loads | llc_misses | itlb_misses | dtlb_misses }
`,
  commands: {
    show,
    list: show,
    dump: async (session, words) => (await import("./_prog_dump.ts")).dump(session, words),
    pin,
    loadall: async (session, words) => (await import("./_prog_load.ts")).load(session, words, true),
    load: async (session, words) => (await import("./_prog_load.ts")).load(session, words, false),
    attach: (session, words) => changeAttachment(session, words, "attach"),
    detach: (session, words) => changeAttachment(session, words, "detach"),
    run: async (session, words) => (await import("./_prog_run.ts")).run(session, words),
    profile: async (session, words) => (await import("./_prog_profile.ts")).profile(session, words),
    tracelog,
  },
};
