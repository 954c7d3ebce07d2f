/**
 * Commands of links: `bpf link …`.
 *
 * @module
 */

import { linkGetFdById } from "../cmds/id.ts";
import { linkDetach } from "../cmds/link.ts";
import { Link } from "../links/link.ts";
import { pin as pinAt } from "./_bpffs.ts";
import type { CommandGroup } from "./_command.ts";
import { linkJson, linkText, type ShownLink } from "./_link_show.ts";
import { orSay, type Session } from "./_session.ts";
import { Finder } from "./_shown.ts";
import { CommandError, parseNumber, type Words } from "./_words.ts";

/** The link that the next words name. */
function parseLink({ token }: Session, words: Words): Link {
  if (words.accept("id")) {
    const word = words.next("ID");
    const id = parseNumber(word);
    if (id === undefined || id < 0 || id > 0xffffffff) throw new CommandError(`can't parse ${word} as ID`);
    const fd = orSay(`failed to get link with ID ${id}`, () => linkGetFdById(token, id));
    return Link.open(token, { fd });
  }
  if (words.accept("pinned")) {
    const path = words.next("a path");
    return orSay(`bpf obj get (${path})`, () => Link.open(token, { path }), 255);
  }
  throw new CommandError(`expected 'id' or 'pinned', got: '${words.peek ?? ""}'?`);
}

function show(session: Session, words: Words): void {
  const one = words.left > 0;
  const finder = new Finder(session, "link");
  const shown: ShownLink[] = [];
  const look = (link: Link): void => {
    const { info } = link;
    shown.push({ info, ...finder.find(info.id) });
  };
  if (one) {
    using link = parseLink(session, words);
    words.end();
    look(link);
  } else for (const link of Link.all(session.token)) look(link);
  session.answer({
    json: () => one ? linkJson(shown[0], session) : shown.map((link) => linkJson(link, session)),
    v1: ["link.show", () => shown.map(({ info, ...rest }) => ({ ...info, ...rest }))],
    text: () => shown.map((link) => linkText(link, session)).join(""),
  });
}

function pin(session: Session, words: Words): void {
  using link = parseLink(session, words);
  const path = words.next("a path");
  words.end();
  pinAt(session, link.descriptor, path);
  session.done();
}

function detach(session: Session, words: Words): void {
  using link = parseLink(session, words);
  words.end();
  orSay("failed link detach", () => linkDetach(session.token, link.descriptor));
  session.done();
}

/** Commands of links. */
export const group: CommandGroup = {
  usage: `Usage: {} link { show | list }   [LINK]
       {} link pin        LINK  FILE
       {} link detach     LINK

       LINK := { id LINK_ID | pinned FILE }
`,
  commands: { show, list: show, pin, detach },
};
