/**
 * Registering structs of kernel functions of an object: `bpf struct_ops register`.
 *
 * @module
 */

import { Link } from "../links/link.ts";
import { pin as pinAt } from "./_bpffs.ts";
import { BpfObject } from "../object/mod.ts";
import { loadOrSay } from "./_prog_load.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

/** Registers all structs of an object; those with links are pinned in a folder, or go with the command. */
export async function register(session: Session, words: Words): Promise<void> {
  const file = words.next("a file");
  const folder = words.left > 0 ? words.next("a folder") : undefined;
  words.end();
  const { token } = session;
  using object = BpfObject.parse(await Deno.readFile(file));
  const structs = Object.values(object.spec.maps).filter(({ structOps }) => structOps !== undefined);
  if (structs.length === 0) throw new CommandError(`object file ${file} doesn't contain any struct_ops`);
  for (const program of Object.values(object.spec.programs)) program.autoattach = false;
  loadOrSay(session, object);
  const links = object.attach(token);
  const done: { name: string; id: number; linkId: number | undefined }[] = [];
  try {
    for (const { name } of structs) {
      const link = links.get(name);
      const { id } = object.maps[name].info;
      if (link instanceof Link) {
        if (folder !== undefined) {
          const path = `${folder}/${name}`;
          pinAt(session, link.descriptor, path);
        }
        done.push({ name, id, linkId: link.info.id });
      } else if (link !== undefined) {
        // Without a link it stays registered: nothing takes it back but unregister.
        done.push({ name, id, linkId: undefined });
      }
    }
  } catch (error) {
    links.close();
    throw error;
  }
  for (const { name } of structs) {
    const link = links.get(name);
    if (link instanceof Link) link.close();
    else if (link !== undefined && "leave" in link) (link as { leave(): void }).leave();
  }
  session.answer({
    json: () => null,
    v1: ["struct_ops.register", () => done],
    text: () =>
      done.map(({ name, id, linkId }) =>
        `Registered ${object.spec.maps[name].structOps?.struct} ${safe(name)} id ${id}${
          linkId === undefined ? "" : ` link id ${linkId}`
        }\n`
      ).join(""),
  });
}
