/**
 * Loading compiled objects: `bpf prog load`, `bpf prog loadall`.
 *
 * @module
 */

import { SyscallError, VerifierError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { interfaceIndex } from "../ffi/interface.ts";
import { Link } from "../links/link.ts";
import { pin as pinAt, prepareBpffs } from "./_bpffs.ts";
import { BpfObject, type ObjectLink, type ObjectLoadOptions, sectionMeaning } from "../object/mod.ts";
import { MAPS, parseRef } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** What bpftool calls types beside the names of sections. */
const TYPE_SECTIONS: Readonly<Record<string, string>> = {
  socket_filter: "socket",
  sched_cls: "tc",
  sched_act: "action",
};

/** How an object is loaded. */
interface LoadChoice {
  type: string | undefined;
  ifindex: number;
  maps: { readonly name: string | number; readonly fd: FdSource }[];
  pinMaps: string | undefined;
  autoattach: boolean;
}

function parseChoice(session: Session, words: Words, stack: DisposableStack): LoadChoice {
  const choice: LoadChoice = { type: undefined, ifindex: 0, maps: [], pinMaps: undefined, autoattach: false };
  while (words.left > 0) {
    if (words.accept("type")) {
      if (choice.type !== undefined) throw new CommandError("program type already specified");
      // Programs of a type that is followed by a slash have a place, too: any will do.
      choice.type = words.next("a type");
    } else if (words.accept("map")) {
      if (words.accept("idx")) {
        const index = words.number("map index");
        choice.maps.push({ name: index, fd: stack.use(parseRef(MAPS, session, words)).fd });
      } else if (words.accept("name")) {
        const name = words.next("a name");
        choice.maps.push({ name, fd: stack.use(parseRef(MAPS, session, words)).fd });
      } else throw new CommandError(`expected 'idx' or 'name', got: '${words.peek ?? ""}'?`);
    } else if (words.accept("dev") || words.accept("offload_dev") || words.accept("xdpmeta_dev")) {
      choice.ifindex = interfaceIndex(words.next("an interface"));
    } else if (words.accept("pinmaps")) choice.pinMaps = words.next("a folder");
    else if (words.accept("autoattach")) choice.autoattach = true;
    else throw new CommandError(`expected no more arguments, 'type', 'map' or 'dev', got: '${words.peek}'?`);
  }
  return choice;
}

/** Gives all programs of an object a type. */
function setType(object: BpfObject, type: string): void {
  const section = TYPE_SECTIONS[type] ?? type;
  const meaning = sectionMeaning(section) ?? sectionMeaning(`${section}/`);
  if (meaning === undefined) throw new CommandError(`unknown program type '${type}'`);
  for (const program of Object.values(object.spec.programs)) {
    program.type = meaning.def.type;
    program.expectedAttachType = meaning.def.expectedAttachType;
  }
}

/** The maps in the place of which others are used, by name; bpftool counts those that C declares. */
function replacements(object: BpfObject, { maps }: LoadChoice): Record<string, FdSource> {
  const names = Object.values(object.spec.maps).map(({ name }) => name);
  return Object.fromEntries(maps.map(({ name, fd }) => {
    const found = typeof name === "number" ? names[name] : names.find((one) => one === name);
    if (found === undefined) {
      throw new CommandError(typeof name === "number" ? `map idx '${name}' not found` : `map name '${name}' not found`);
    }
    return [found, fd];
  }));
}

/** What is pinned on the way, which goes again where something fails. */
class Pins implements Disposable {
  readonly #paths: string[] = [];

  pin(session: Session, object: FdSource, path: string): void {
    pinAt(session, object, path);
    this.#paths.push(path);
  }

  /** Makes a folder, and notes it where it is new. */
  folder(session: Session, path: string): void {
    prepareBpffs(session, path);
    try {
      Deno.mkdirSync(path);
      this.#paths.push(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }

  /** Keeps all. */
  keep(): void {
    this.#paths.length = 0;
  }

  [Symbol.dispose](): void {
    for (const path of this.#paths.reverse()) {
      try {
        Deno.removeSync(path);
      } catch {
        // Gone by now, or not empty: the error that led here says more.
      }
    }
  }
}

/** The name of a file for a map of variables: bpffs takes no dots. C name: `sanitize_pin_path`. */
function pinName(name: string): string {
  return name.replaceAll(".", "_");
}

function joined(folder: string, name: string): string {
  return `${folder.replace(/(.)\/+$/, "$1")}/${name}`;
}

/** What has a link that can be pinned. */
function linkOf(link: ObjectLink | undefined): Link | undefined {
  return link instanceof Link ? link : undefined;
}

/** Loads an object. What the verifier says is shown, and the code is that of any failure. */
export function loadOrSay(session: Session, object: BpfObject, options: ObjectLoadOptions = {}): void {
  try {
    object.load(session.token, options);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error instanceof VerifierError && session.isText) session.output.err(`${error.summary}\n`);
    const { message } = error;
    throw new CommandError(message.split("\n")[0], 255, { cause: error });
  }
}

/**
 * Loads an object, and pins what is in it.
 *
 * @param session The command line.
 * @param words What follows the command.
 * @param all Whether all programs are pinned, in a folder, or the first one.
 */
export async function load(session: Session, words: Words, all: boolean): Promise<void> {
  const [file, path] = [words.next("a file"), words.next("a path")];
  using stack = new DisposableStack();
  const choice = parseChoice(session, words, stack);
  const { token } = session;
  const name = file.slice(file.lastIndexOf("/") + 1).replace(/\.(bpf\.)?o$/, "");
  using object = BpfObject.parse(await Deno.readFile(file), { name, legacyMaps: session.options.legacy });
  const programs = Object.values(object.spec.programs);
  if (programs.length === 0) throw new CommandError("object file doesn't contain any bpf program");
  if (choice.type !== undefined) setType(object, choice.type);
  for (const program of programs) program.ifindex = choice.ifindex;
  loadOrSay(session, object, { maps: replacements(object, choice) });
  using pins = new Pins();
  if (choice.pinMaps !== undefined) {
    pins.folder(session, choice.pinMaps);
    for (const map of Object.values(object.spec.maps)) {
      const loaded = object.maps[map.name];
      if (loaded !== undefined) {
        pins.pin(
          session,
          loaded.descriptor,
          joined(choice.pinMaps, pinName(map.kind === "map" ? map.name : map.kernelName)),
        );
      }
    }
  }
  const links = choice.autoattach ? stack.use(object.attach(token)) : undefined;
  const chosen = all ? programs : programs.slice(0, 1);
  if (all) pins.folder(session, path);
  for (const program of chosen) {
    const loaded = object.progs[program.name];
    if (loaded === undefined) continue;
    const place = all ? joined(path, program.name) : path;
    if (links === undefined) pins.pin(session, loaded.descriptor, place);
    else {
      const link = linkOf(links.get(program.name));
      if (link !== undefined) pins.pin(session, link.descriptor, place);
      else if (session.isText) {
        session.output.err(`Program ${program.name} does not support autoattach, falling back to pinning\n`);
      }
      if (link === undefined) pins.pin(session, loaded.descriptor, place);
    }
  }
  pins.keep();
  session.done();
}
