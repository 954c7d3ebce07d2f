/**
 * What a test run may leave in the kernel, and how to tell it from what others made meanwhile.
 *
 * @module
 */

import { bpftoolJson, hasTool } from "./_tools.ts";

/** The kinds of object that bpftool lists. */
const KINDS = ["prog", "map", "link"] as const;

type Kind = typeof KINDS[number];

/** Objects as text: `prog 12`, with what bpftool says of them. */
type Objects = Map<string, Record<string, unknown>>;

const UNPRIVILEGED_SYSCTL = "/proc/sys/kernel/unprivileged_bpf_disabled";

/** What of the kernel's state a test run must leave as it was. */
export interface KernelState {
  /** The bpf objects that exist; undefined where bpftool cannot tell. */
  readonly objects: Objects | undefined;
  /** The value of kernel.unprivileged_bpf_disabled; undefined where it cannot be read. */
  readonly unprivileged: string | undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

async function list(kind: Kind): Promise<Record<string, unknown>[]> {
  const found = await bpftoolJson([kind, "list"]);
  return Array.isArray(found) ? found.filter(isRecord) : [];
}

async function bpfObjects(): Promise<Objects> {
  const objects: Objects = new Map();
  for (const kind of KINDS) {
    for (const object of await list(kind)) objects.set(`${kind} ${object.id}`, object);
  }
  return objects;
}

function unprivileged(): string | undefined {
  try {
    return Deno.readTextFileSync(UNPRIVILEGED_SYSCTL).trim();
  } catch {
    return undefined;
  }
}

/** The kernel's state now. */
export async function kernelState(): Promise<KernelState> {
  let objects: Objects | undefined;
  if (Deno.uid() === 0 && hasTool("bpftool")) {
    try {
      objects = await bpfObjects();
    } catch (error) {
      console.error(`tests: bpf objects are not compared: ${error instanceof Error ? error.message : error}`);
    }
  }
  return { objects, unprivileged: unprivileged() };
}

/**
 * The objects that a living process holds, and what hangs on them. The run's own processes have ended when this is
 * asked, so that these belong to someone else.
 */
function heldByOthers(objects: Objects): Set<string> {
  const held = new Set<string>();
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const { name: fd } of Deno.readDirSync(`/proc/${pid}/fdinfo`)) {
        const info = Deno.readTextFileSync(`/proc/${pid}/fdinfo/${fd}`);
        for (const [, kind, id] of info.matchAll(/^(prog|map|link)_id:\s+(\d+)$/gm)) held.add(`${kind} ${id}`);
      }
    } catch {
      // The process has ended, or closed the descriptor.
    }
  }
  for (const [name, object] of objects) {
    if (name.startsWith("link ") && held.has(name)) held.add(`prog ${object.prog_id}`);
  }
  for (const [name, object] of objects) {
    if (!name.startsWith("prog ") || !held.has(name) || !Array.isArray(object.map_ids)) continue;
    for (const id of object.map_ids) held.add(`map ${id}`);
  }
  return held;
}

/**
 * Program arrays that nothing holds. Where somebody who lists maps closes one just after its owner has, the kernel takes
 * a reference for clearing it twice and gives one back (prog_array_map_clear() does not look whether its work is waiting
 * already). No process, program or pin of the run is left by then that could hold one.
 */
function keptByMistake(objects: Objects): Set<string> {
  const used = new Set([...objects.values()].flatMap(({ map_ids }) => Array.isArray(map_ids) ? map_ids : []));
  return new Set(
    [...objects].filter(([name, { type }]) => type === "prog_array" && !used.has(Number(name.slice("map ".length))))
      .map(([name]) => name),
  );
}

async function newObjects(before: Objects): Promise<string[]> {
  const now = await bpfObjects();
  const added = [...now].filter(([name]) => !before.has(name));
  if (added.length === 0) return [];
  const held = heldByOthers(now);
  const mistakes = keptByMistake(now);
  return added.filter(([name]) => !held.has(name) && !mistakes.has(name)).map(([name, { type, name: label }]) =>
    `${name} (${type ?? "?"}${label === undefined ? "" : ` "${label}"`})`
  );
}

/**
 * What is left of a run whose processes have ended. Objects get two seconds to go, since the kernel frees them after
 * a grace period.
 *
 * @param before The state before the run.
 * @returns A sentence for each thing that is not as it was.
 */
export async function leftovers(before: KernelState): Promise<string[]> {
  const found: string[] = [];
  if (before.objects !== undefined) {
    let added = await newObjects(before.objects);
    for (const end = Date.now() + 2000; added.length > 0 && Date.now() < end;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      added = await newObjects(before.objects);
    }
    found.push(...added.map((name) => `left in the kernel: ${name}`));
  }
  const now = unprivileged();
  if (now !== before.unprivileged) {
    found.push(`kernel.unprivileged_bpf_disabled was ${before.unprivileged} and is ${now}${restore(before)}`);
  }
  return found;
}

function restore({ unprivileged: value }: KernelState): string {
  // 1 cannot be taken back until the next boot, so that it is never written.
  if (value !== "0" && value !== "2") return "";
  try {
    Deno.writeTextFileSync(UNPRIVILEGED_SYSCTL, value);
    return "; put back";
  } catch (error) {
    return `; not put back: ${error instanceof Error ? error.message : error}`;
  }
}
