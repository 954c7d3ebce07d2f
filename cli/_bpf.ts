/**
 * The groups of commands, and what is done with a command line.
 *
 * @module
 */

import type { CommandGroup } from "./_command.ts";
import { writeJson } from "./_json.ts";
import { parseOptions } from "./_options.ts";
import { explain, type GlobalOptions, type Output, Session } from "./_session.ts";
import { colourStyle, plainStyle } from "./_style.ts";
import { isPrefix, QuietFailure, UsageError, Words } from "./_words.ts";

/** The groups of commands, each read when it is asked for. */
const GROUPS: Readonly<Record<string, () => Promise<{ group: CommandGroup }>>> = {
  prog: () => import("./prog.ts"),
  map: () => import("./map.ts"),
  link: () => import("./link.ts"),
  cgroup: () => import("./cgroup.ts"),
  perf: () => import("./perf.ts"),
  net: () => import("./net.ts"),
  feature: () => import("./feature.ts"),
  btf: () => import("./btf.ts"),
  gen: () => import("./gen.ts"),
  struct_ops: () => import("./struct_ops.ts"),
  iter: () => import("./iter.ts"),
  token: () => import("./token.ts"),
  top: () => import("./top.ts"),
  graph: () => import("./graph.ts"),
  explain: () => import("./explain.ts"),
  trace: () => import("./trace.ts"),
  completion: () => import("./completion.ts"),
};

/** The names of the groups, and of what else stands in their place. */
export const GROUP_NAMES: readonly string[] = [...Object.keys(GROUPS), "batch", "version", "help"];

/** A group by its whole name; undefined for what is none. */
export async function groupOf(name: string): Promise<CommandGroup | undefined> {
  return Object.hasOwn(GROUPS, name) ? (await GROUPS[name]()).group : undefined;
}

const PROGRAM = "bpf";

const USAGE = `Usage: {} [OPTIONS] OBJECT { COMMAND | help }
       {} batch file FILE
       {} version

       OBJECT := { prog | map | link | cgroup | perf | net | feature | btf | gen | struct_ops | iter | token }
       OPTIONS := { {-j|--json[=v1]} [{-p|--pretty}] | {-d|--debug} | {-l|--legacy} | {-f|--bpffs} |
                    {-m|--mapcompat} | {-n|--nomount} | {-B|--base-btf FILE} | {-V|--version} }

       {} top [--seconds N] …          programs by CPU time and calls a second, live
       {} graph [svg | dot] [FILE]      programs, maps, links, cgroups and interfaces as a picture
       {} explain COMMAND …             which capability a command needs, and what this process lacks
       {} trace COMMAND …               a command, and the bpf(2) calls that it makes
       {} completion { bash | zsh }     what the shell reads to complete commands
`;

function usageText(usage: string): string {
  return usage.replaceAll("{}", PROGRAM);
}

/** Does one command, whose group comes first. */
export async function runWords(session: Session, words: Words): Promise<void> {
  const name = words.peek;
  if (name === undefined || isPrefix(name, "help") && name.length > 1 || name === "h") {
    if (session.isText) session.output.err(usageText(USAGE));
    else session.done();
    return;
  }
  if (isPrefix(name, "version")) return showVersion(session);
  if (name === "batch") {
    const { batch } = await import("./batch.ts");
    words.next("batch");
    return await batch(session, words);
  }
  const groups = Object.keys(GROUPS);
  const found = groups.find((group) => group === name) ?? groups.find((group) => isPrefix(name, group));
  if (found === undefined) throw new UsageError(usageText(USAGE));
  words.next("an object");
  const { group } = await GROUPS[found]();
  const command = words.peek;
  if (command !== undefined && isPrefix(command, "help")) {
    if (session.isText) session.output.err(usageText(group.usage));
    else session.done();
    return;
  }
  const names = Object.keys(group.commands);
  // A group with one command alone has no name for it.
  if (names.length === 1 && names[0] === "") return await group.commands[""](session, words);
  const chosen = command === undefined
    ? names[0]
    : names.find((one) => one === command) ?? names.find((one) => isPrefix(command, one));
  if (chosen === undefined) throw new UsageError(usageText(group.usage));
  if (command !== undefined) words.next("a command");
  await group.commands[chosen](session, words);
}

function showVersion(session: Session): void {
  const version = "0.1.0";
  session.answer({
    json: () => ({ version, features: { libbfd: false, skeletons: true } }),
    v1: ["version", () => ({ version, deno: Deno.version.deno })],
    text: () => `${PROGRAM} v${version}\nusing Deno ${Deno.version.deno}\n`,
  });
}

/**
 * Does what a command line asks for.
 *
 * @param args The command line, without the program's name.
 * @param output Where text goes.
 * @returns The exit code: 0, 255 for what cannot be done, or 256 less the kernel's errno.
 */
export async function bpf(args: readonly string[], output: Output): Promise<number> {
  let options: GlobalOptions | undefined;
  let session: Session | undefined;
  try {
    const parsed = parseOptions(args);
    options = parsed.options;
    session = new Session(options, output, output.colours ? colourStyle : plainStyle);
    if (parsed.version) showVersion(session);
    else if (parsed.help) output.err(usageText(USAGE));
    else await runWords(session, new Words(parsed.words));
    return 0;
  } catch (error) {
    return report(error, output, session);
  } finally {
    session?.close();
  }
}

/** Says what went wrong; gives the exit code. */
export function report(error: unknown, output: Output, session: Session | undefined): number {
  // Nobody reads any more.
  if (error instanceof Deno.errors.BrokenPipe) return 0;
  const json = session !== undefined && !session.isText;
  if (error instanceof UsageError) {
    if (json) output.out("null\n");
    output.err(error.message.startsWith("Usage") ? error.message : `Error: ${error.message}\n${usageText(USAGE)}`);
    return 255;
  }
  if (error instanceof QuietFailure) return error.exitCode;
  const said = explain(error);
  if (said === undefined) throw error;
  if (json) {
    // What was begun is no longer JSON as a whole: the error is a line of its own.
    output.out(`${writeJson({ error: said.message }, session.options.pretty)}\n`);
  } else output.err(`${(session?.style ?? plainStyle).bad("Error:")} ${said.message}\n`);
  return said.exitCode;
}
