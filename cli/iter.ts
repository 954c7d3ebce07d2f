/**
 * Commands of iterators: `bpf iter …`.
 *
 * @module
 */

import { Link } from "../links/link.ts";
import { pin as pinAt } from "./_bpffs.ts";
import { BpfObject } from "../object/mod.ts";
import type { CommandGroup } from "./_command.ts";
import { MAPS, parseRef } from "./_refs.ts";
import { loadOrSay } from "./_prog_load.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

async function pin(session: Session, words: Words): Promise<void> {
  const [file, path] = [words.next("a file"), words.next("a path")];
  using stack = new DisposableStack();
  const map = words.accept("map") ? stack.use(parseRef(MAPS, session, words)) : undefined;
  words.end();
  const { token } = session;
  const object = stack.use(BpfObject.parse(await Deno.readFile(file)));
  const program = Object.values(object.spec.programs).find(({ section }) => /^iter(\.s)?\//.test(section));
  if (program === undefined) throw new CommandError(`can't find bpf program in file ${file}: none is an iterator`);
  // The others are not needed.
  for (const other of Object.values(object.spec.programs)) other.autoload = other.autoattach = other === program;
  loadOrSay(session, object);
  const links = stack.use(
    object.attach(token, { places: { [program.name]: map === undefined ? {} : { iter: { map: map.fd } } } }),
  );
  const link = links.get(program.name);
  if (!(link instanceof Link)) throw new CommandError("attach_iter failed for program " + program.name);
  pinAt(session, link.descriptor, path);
  session.done();
}

/** Commands of iterators. */
export const group: CommandGroup = {
  usage: `Usage: {} iter pin OBJ PATH [map MAP]

       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
`,
  commands: { pin },
};
