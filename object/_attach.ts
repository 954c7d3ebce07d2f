/** Attaches what an object has loaded. */

import { mapDeleteElem } from "../cmds/map_elem.ts";
import type { FdSource } from "../ffi/fd.ts";
import { allocate } from "../ffi/memory.ts";
import { attachStructOps, UnlinkedAttachment } from "../links/mod.ts";
import type { AnyToken } from "../tokens/token.ts";
import { type AnyAttachment, attachMethods } from "./_attach_methods.ts";
import { type Loaded, registerStructOps } from "./_loader.ts";
import type { AttachOptions } from "./attach_options.ts";
import { ObjectLinks } from "./links.ts";
import type { ObjectSpec, ProgramSpec } from "./spec.ts";

/** Attaches every program that its section or the caller names a place for, and every struct of functions. */
export function attachAll(token: AnyToken, spec: ObjectSpec, loaded: Loaded, options: AttachOptions): ObjectLinks {
  const { places = {}, tracefs } = options;
  for (const name of Object.keys(places)) {
    if (!loaded.programs.has(name)) throw new TypeError(`Cannot use places: no program "${name}" is loaded`);
  }
  using stack = new DisposableStack();
  const links = new Map<string, AnyAttachment>();
  const left: string[] = [];
  const mapOf = (name: string): FdSource | undefined => loaded.maps.get(name)?.fd;
  for (const [name, prog] of loaded.programs) {
    const program = spec.programs[name];
    const { def, autoattach } = program;
    if (!autoattach) continue;
    if (Object.hasOwn(places, name) && def?.attach === undefined) throw unattached(program);
    const place = Object.hasOwn(places, name) ? places[name] : {};
    const method = def?.attach === undefined ? undefined : attachMethods[def.attach];
    let link: AnyAttachment | undefined;
    try {
      link = method?.({ token, prog, spec: program, place, tracefs, mapOf });
    } catch (error) {
      if (error instanceof Error) error.message = `${error.message} (program ${name} of the object)`;
      throw error;
    }
    if (link !== undefined) links.set(name, stack.use(link));
    // Programs of structs of functions are attached by their maps.
    else if (def?.type !== "struct_ops") left.push(name);
  }
  for (const [name, struct] of loaded.structOps) {
    if (!spec.maps[name].autoattach) continue;
    links.set(name, stack.use(attachStruct(token, name, struct, loaded, spec)));
  }
  const made = new ObjectLinks(token, links, left);
  stack.move();
  return made;
}

/** Why a place helps nothing: the program is put into a map, named by others, called, or has a section of no meaning. */
function unattached({ name, section }: ProgramSpec): TypeError {
  return new TypeError(
    `Cannot attach program ${name}: programs of section "${section}" are not attached by themselves`,
  );
}

function attachStruct(
  token: AnyToken,
  name: string,
  struct: Parameters<typeof registerStructOps>[2],
  loaded: Loaded,
  spec: ObjectSpec,
): AnyAttachment {
  const { fd } = loaded.maps.get(name)!;
  registerStructOps(token, fd, struct);
  if (spec.maps[name].structOps!.link) return attachStructOps(token, fd);
  return token.adopt(
    new UnlinkedAttachment(() => {
      if (!fd.closed) mapDeleteElem(token, fd, { key: allocate(4) });
    }),
  );
}
