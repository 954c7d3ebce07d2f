/**
 * Programs, maps, links, cgroups and interfaces as one picture: `bpf graph`.
 *
 * @module
 */

import type { Attached } from "../links/mod.ts";
import type { CommandGroup } from "./_command.ts";
import { VIZ } from "./_packages.ts";
import type { Session } from "./_session.ts";
import { type Snapshot, takeSnapshot } from "./_snapshot.ts";
import { CommandError, type Words } from "./_words.ts";

/** A text between quotes of Graphviz: what others chose cannot end it. */
function quoted(...lines: readonly string[]): string {
  // deno-lint-ignore no-control-regex
  const safe = lines.map((line) => line.replace(/[\u0000-\u001f\u007f]/g, "?").replace(/[\\"]/g, "\\$&"));
  return `"${safe.join("\\n")}"`;
}

/** What a program is attached to: the name of its box, and what is written in it. */
function placeOf(one: Attached): { id: string; lines: readonly string[]; how: string; shape: string } {
  switch (one.where) {
    case "interface":
      return { id: `dev ${one.ifindex}`, lines: [one.interface, "interface"], how: one.hook, shape: "hexagon" };
    case "cgroup":
      return { id: `cgroup ${one.cgroupId}`, lines: [one.cgroup, "cgroup"], how: one.attachType, shape: "folder" };
    case "netns":
      return {
        id: `netns ${one.netns}`,
        lines: [`${one.netns}`, "network namespace"],
        how: one.attachType,
        shape: "tab",
      };
    case "process":
      return {
        id: `event ${one.fdType} ${one.name}`,
        lines: [one.name === "" ? `0x${one.probeAddress.toString(16)}` : one.name, `${one.fdType}`],
        how: "",
        shape: "cds",
      };
    default: {
      const { link } = one;
      const details = Object.entries(link).filter(([name, value]) =>
        !["id", "progId", "type"].includes(name) && (typeof value === "string" || typeof value === "number")
      ).map(([, value]) => `${value}`);
      return { id: `link ${link.id}`, lines: [...details, `link ${link.id}: ${link.type}`], how: "", shape: "cds" };
    }
  }
}

/** What `dot` reads. */
export function dotOf({ progs, maps, attached, holders }: Snapshot): string {
  const lines = [
    "digraph bpf {",
    '\trankdir="LR";',
    '\tnode [fontname="sans-serif", fontsize=11, style="filled", fillcolor="white"];',
    '\tedge [fontname="sans-serif", fontsize=9, color="gray40"];',
  ];
  const places = new Map<string, string>();
  const edges = new Set<string>();
  for (const one of attached) {
    const { id, lines: text, how, shape } = placeOf(one);
    places.set(id, `\t${quoted(id)} [label=${quoted(...text)}, shape=${shape}, fillcolor="#fdf0d5"];`);
    if (one.progId > 0) edges.add(`\t${quoted(id)} -> ${quoted(`prog ${one.progId}`)} [label=${quoted(how)}];`);
    if (one.where === "link" && "mapId" in one.link) {
      edges.add(`\t${quoted(id)} -> ${quoted(`map ${one.link.mapId}`)};`);
    }
  }
  for (const { id, name, type, mapIds } of progs) {
    const held = (holders.get(id) ?? []).map(({ pid, comm }) => `${comm} (${pid})`);
    const label = quoted(name === "" ? `${id}` : name, `${type} ${id}`, ...held.slice(0, 3));
    lines.push(`\t${quoted(`prog ${id}`)} [label=${label}, shape=box, fillcolor="#d6e8fa"];`);
    for (const map of mapIds) edges.add(`\t${quoted(`prog ${id}`)} -> ${quoted(`map ${map}`)};`);
  }
  const shown = new Set(maps.map(({ id }) => id));
  for (const { id, name, type, maxEntries } of maps) {
    const label = quoted(name === "" ? `${id}` : name, `${type} ${id}`, `${maxEntries} entries`);
    lines.push(`\t${quoted(`map ${id}`)} [label=${label}, shape=cylinder, fillcolor="#dcf3dc"];`);
  }
  // Maps that went meanwhile, or that may not be seen.
  for (const map of new Set(progs.flatMap(({ mapIds }) => mapIds))) {
    if (!shown.has(map)) lines.push(`\t${quoted(`map ${map}`)} [label=${quoted(`map ${map}`)}, shape=cylinder];`);
  }
  return [...lines, ...places.values(), ...edges, "}", ""].join("\n");
}

async function graph(session: Session, words: Words): Promise<void> {
  const kind = words.accept("dot") ? "dot" : words.accept("svg") ? "svg" : "svg";
  const file = words.left > 0 ? words.next("a file") : undefined;
  words.end();
  const dot = dotOf(takeSnapshot(session.token));
  let text = dot;
  if (kind === "svg") {
    const { instance } = await import(VIZ) as typeof import("@viz-js/viz");
    const result = (await instance()).render(dot, { format: "svg", engine: "dot" });
    if (result.status !== "success") throw new CommandError(`the picture can't be drawn: ${result.errors[0]?.message}`);
    text = result.output;
  }
  if (file !== undefined) {
    await Deno.writeTextFile(file, text);
    return session.done();
  }
  session.answer({ json: () => text, v1: [`graph.${kind}`, () => text], text: () => text });
}

/** Everything as one picture. */
export const group: CommandGroup = {
  usage: `Usage: {} graph [{ svg | dot }] [FILE]

       svg   a picture, as browsers show it
       dot   what Graphviz reads
`,
  commands: { "": graph },
};
