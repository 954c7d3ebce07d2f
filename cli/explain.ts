/**
 * Which capability a command needs, and what this process lacks: `bpf explain …`.
 *
 * @module
 */

import type { PermissionRequest } from "../tokens/check.ts";
import { acquire, type Verdict } from "../tokens/token.ts";
import {
  type AttachType,
  attachTypes,
  type CommandName,
  commands,
  type MapType,
  mapTypes,
  type ProgType,
  progTypes,
} from "../uapi/enums.gen.ts";
import type { CommandGroup } from "./_command.ts";
import type { Session } from "./_session.ts";
import { CommandError, isPrefix, type Words } from "./_words.ts";

const LIST_PROGS: readonly CommandName[] = ["prog_get_next_id", "prog_get_fd_by_id", "obj_get_info_by_fd"];
const LIST_MAPS: readonly CommandName[] = ["map_get_next_id", "map_get_fd_by_id", "obj_get_info_by_fd"];
const LIST_LINKS: readonly CommandName[] = ["link_get_next_id", "link_get_fd_by_id", "obj_get_info_by_fd"];
const LIST_BTFS: readonly CommandName[] = ["btf_get_next_id", "btf_get_fd_by_id", "obj_get_info_by_fd"];

/** The bpf(2) commands that each command makes, where it names its object by id. */
const MADE: Readonly<Record<string, readonly CommandName[]>> = {
  "prog show": LIST_PROGS,
  "prog dump": [...LIST_PROGS, "btf_get_fd_by_id"],
  "prog pin": [...LIST_PROGS, "obj_pin"],
  "prog load": ["btf_load", "map_create", "prog_load", "obj_pin"],
  "prog loadall": ["btf_load", "map_create", "prog_load", "obj_pin"],
  "prog attach": [...LIST_PROGS, "prog_attach"],
  "prog detach": [...LIST_PROGS, "prog_detach"],
  "prog run": [...LIST_PROGS, "prog_test_run"],
  "map show": LIST_MAPS,
  "map create": ["map_create", "obj_pin"],
  "map dump": [...LIST_MAPS, "map_get_next_key", "map_lookup_elem"],
  "map update": [...LIST_MAPS, "map_update_elem"],
  "map lookup": [...LIST_MAPS, "map_lookup_elem"],
  "map getnext": [...LIST_MAPS, "map_get_next_key"],
  "map delete": [...LIST_MAPS, "map_delete_elem"],
  "map pin": [...LIST_MAPS, "obj_pin"],
  "map peek": [...LIST_MAPS, "map_lookup_elem"],
  "map pop": [...LIST_MAPS, "map_lookup_and_delete_elem"],
  "map freeze": [...LIST_MAPS, "map_freeze"],
  "link show": LIST_LINKS,
  "link pin": [...LIST_LINKS, "obj_pin"],
  "link detach": [...LIST_LINKS, "link_detach"],
  "btf show": LIST_BTFS,
  "btf dump": LIST_BTFS,
  "cgroup show": ["prog_query", ...LIST_PROGS],
  "cgroup tree": ["prog_query", ...LIST_PROGS],
  "cgroup attach": [...LIST_PROGS, "prog_attach"],
  "cgroup detach": [...LIST_PROGS, "prog_detach"],
  "net show": ["prog_query", ...LIST_PROGS],
  "perf show": ["task_fd_query"],
  "iter pin": ["btf_load", "prog_load", "link_create", "obj_pin"],
  "struct_ops show": LIST_MAPS,
  "struct_ops dump": [...LIST_MAPS, "map_lookup_elem"],
  "struct_ops register": ["btf_load", "prog_load", "map_create", "map_update_elem"],
  "struct_ops unregister": [...LIST_MAPS, "map_delete_elem"],
  "feature probe": ["prog_load", "map_create", "btf_load"],
};

function typeIn<T extends string>(table: Readonly<Record<T, number>>, word: string): T | undefined {
  return Object.hasOwn(table, word) ? word as T : undefined;
}

/** What a word that is a type adds to a request. */
function withTypes(command: CommandName, words: readonly string[]): PermissionRequest {
  let request: PermissionRequest = { command };
  for (const word of words) {
    const mapType = command === "map_create" ? typeIn<MapType>(mapTypes, word) : undefined;
    const progType = command === "prog_load" ? typeIn<ProgType>(progTypes, word) : undefined;
    const attachType = ["prog_attach", "prog_detach", "prog_query", "link_create"].includes(command)
      ? typeIn<AttachType>(attachTypes, word)
      : undefined;
    if (mapType !== undefined) request = { ...request, mapType };
    if (progType !== undefined) request = { ...request, progType };
    if (attachType !== undefined) request = { ...request, attachType };
  }
  return request;
}

/** The requests that some words stand for. */
function requestsOf(words: readonly string[]): PermissionRequest[] {
  const plain = words[0]?.toLowerCase().replace(/^bpf_/, "") ?? "";
  if (Object.hasOwn(commands, plain)) return [withTypes(plain as CommandName, words.slice(1))];
  const [group, command = "show"] = words;
  const made = Object.keys(MADE).find((name) => {
    const [one, other] = name.split(" ");
    return isPrefix(group, one) && (isPrefix(command, other) || (command === "list" && other === "show"));
  });
  if (made === undefined) {
    throw new CommandError(
      `nothing known of '${
        words.join(" ")
      }': give a command, such as 'map create', or one of bpf(2), such as 'prog_load xdp'`,
    );
  }
  return MADE[made].map((name) => withTypes(name, words.slice(2)));
}

/** What a request came to. */
interface Explained {
  readonly request: PermissionRequest;
  readonly verdict: Verdict;
  /** What somebody without any capability would be told: what the command needs at all. */
  readonly needs: readonly string[];
}

function explainAll(session: Session, words: readonly string[]): Explained[] {
  const nobody = acquire();
  try {
    return requestsOf(words).map((request) => ({
      request,
      verdict: session.token.check(request),
      needs: nobody.check(request).missing,
    }));
  } finally {
    nobody.revoke();
  }
}

function explain(session: Session, words: Words): void {
  const rest: string[] = [];
  while (words.left > 0) rest.push(words.next("a word"));
  if (rest.length === 0) throw new CommandError("expected a command to explain, got nothing");
  const explained = explainAll(session, rest);
  const { environment } = session.token;
  const held = [...environment.capabilities];
  session.answer({
    json: () =>
      explained.map(({ request, verdict, needs }) => ({
        command: request.command,
        map_type: request.mapType,
        prog_type: request.progType,
        attach_type: request.attachType,
        needs,
        allowed: verdict.allowed,
        missing: verdict.missing,
        errno: verdict.errno,
        reason: verdict.reason === "" ? undefined : verdict.reason,
        remedy: verdict.remedy === "" ? undefined : verdict.remedy,
      })),
    v1: ["explain", () => ({ environment: { ...environment, capabilities: held }, commands: explained })],
    text: () => {
      const { style } = session;
      let text = `this process: ${held.length === 0 ? "no capabilities" : held.join(", ")}; ` +
        `kernel.unprivileged_bpf_disabled is ${environment.unprivilegedBpfDisabled}; kernel ${environment.releaseName}\n`;
      for (const { request: { command, mapType, progType, attachType }, verdict, needs } of explained) {
        const types = [mapType, progType, attachType].filter((type) => type !== undefined).join(" ");
        const name = `BPF_${command.toUpperCase()}${types === "" ? "" : ` ${types}`}`;
        text += `${style.name(name)}: needs ${needs.length === 0 ? "nothing" : needs.join(" and ")}; `;
        text += verdict.allowed ? "allowed\n" : `${style.bad("refused")}: ${verdict.reason}; ${verdict.remedy}\n`;
      }
      return text;
    },
  });
}

/** Which capability a command needs. */
export const group: CommandGroup = {
  usage: `Usage: {} explain COMMAND …

       COMMAND := { a command of {}'s, such as "map create type hash" | one of bpf(2), such as "prog_load xdp" }
`,
  commands: { "": explain },
};
