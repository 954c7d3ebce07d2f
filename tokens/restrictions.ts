/**
 * What a permission token was restricted to by `only()`, beyond its capabilities.
 *
 * @module
 */

import { attachTypes, mapTypes, progTypes } from "../uapi/enums.gen.ts";
import type { AttachType, CommandName, MapType, ProgType } from "../uapi/enums.gen.ts";
import { nameOf, type PermissionRequest } from "./check.ts";

/** What `token.only()` takes: each list that is given is all that remains. */
export interface Restrictions {
  /** The bpf(2) commands that may be called. */
  commands?: readonly CommandName[] | undefined;
  /** The types of maps that may be created. */
  mapTypes?: readonly MapType[] | undefined;
  /** The types of programs that may be loaded. */
  progTypes?: readonly ProgType[] | undefined;
  /** The attach types by which programs may be attached, detached and queried. */
  attachTypes?: readonly AttachType[] | undefined;
  /** The paths below which objects may be pinned and opened; compared as text, so that a symbolic link leads out. */
  pins?: readonly string[] | undefined;
  /** Whether only commands remain that change nothing. Maps are opened read-only then. @default {false} */
  readOnly?: boolean | undefined;
}

/** Commands that change nothing, given that maps are opened read-only. */
const READING: ReadonlySet<CommandName> = new Set<CommandName>([
  "map_lookup_elem",
  "map_get_next_key",
  "map_lookup_batch",
  "obj_get",
  "obj_get_info_by_fd",
  "prog_query",
  "prog_get_next_id",
  "map_get_next_id",
  "btf_get_next_id",
  "link_get_next_id",
  "prog_get_fd_by_id",
  "map_get_fd_by_id",
  "btf_get_fd_by_id",
  "link_get_fd_by_id",
  "task_fd_query",
  "iter_create",
]);

/** Commands that name an attach type of their own; BPF_PROG_LOAD's is only an expectation. */
const ATTACHING: ReadonlySet<CommandName> = new Set<CommandName>([
  "prog_attach",
  "prog_detach",
  "prog_query",
  "link_create",
]);

/** The names of all restrictions, and what each takes. */
const KNOWN: Readonly<Record<keyof Restrictions, "list" | "boolean">> = {
  commands: "list",
  mapTypes: "list",
  progTypes: "list",
  attachTypes: "list",
  pins: "list",
  readOnly: "boolean",
};

/**
 * Refuses restrictions that would restrict nothing, because of a name that is misspelled, say.
 *
 * @param restrictions What a caller passed.
 * @throws {TypeError} For a restriction that there is not, and for one of another type.
 */
export function checkRestrictions(restrictions: Restrictions): void {
  for (const [name, value] of Object.entries(restrictions)) {
    const fail = (problem: string): never => {
      throw new TypeError(`Cannot restrict a permission token: ${problem}`);
    };
    if (!Object.hasOwn(KNOWN, name)) fail(`"${name}" is none of ${Object.keys(KNOWN).join(", ")}`);
    const kind = KNOWN[name as keyof Restrictions];
    const right = kind === "list" ? Array.isArray(value) : typeof value === "boolean";
    if (value !== undefined && !right) fail(`${name} is no ${kind}`);
  }
}

function resolve(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

function below(path: string, folder: string): boolean {
  const resolved = resolve(path);
  const root = resolve(folder);
  if (resolved === undefined || root === undefined) return false;
  return root === "/" || resolved === root || resolved.startsWith(`${root}/`);
}

/**
 * Two restrictions at once.
 *
 * @param first One.
 * @param second The other.
 * @returns Restrictions that allow only what both allow.
 */
export function intersect(first: Restrictions, second: Restrictions): Restrictions {
  const both = <T>(a: readonly T[] | undefined, b: readonly T[] | undefined): readonly T[] | undefined =>
    a === undefined || b === undefined ? a ?? b : a.filter((item) => b.includes(item));
  const { pins: outer } = first;
  const { pins: inner } = second;
  return {
    commands: both(first.commands, second.commands),
    mapTypes: both(first.mapTypes, second.mapTypes),
    progTypes: both(first.progTypes, second.progTypes),
    attachTypes: both(first.attachTypes, second.attachTypes),
    // The narrower of each two folders that contain one another.
    pins: outer === undefined || inner === undefined ? outer ?? inner : [
      ...inner.filter((pin) => outer.some((o) => below(pin, o))),
      ...outer.filter((pin) => inner.some((i) => below(pin, i))),
    ],
    readOnly: (first.readOnly ?? false) || (second.readOnly ?? false),
  };
}

/**
 * What a restriction has against a call.
 *
 * @param restrictions The restrictions.
 * @param request The call.
 * @returns Why it is refused; undefined where nothing is against it.
 */
export function restrictionAgainst(restrictions: Restrictions, request: PermissionRequest): string | undefined {
  const { command } = request;
  const allows = <N extends string>(
    list: readonly N[] | undefined,
    table: Readonly<Record<N, number>>,
    value: N | number | undefined,
  ): boolean => {
    if (list === undefined || value === undefined) return true;
    const name = nameOf(table, value);
    return name !== undefined && list.includes(name);
  };
  if (restrictions.commands !== undefined && !restrictions.commands.includes(command)) {
    return `the token was restricted to other commands than ${command}`;
  }
  if (restrictions.readOnly === true && !READING.has(command)) return "the token was restricted to reading";
  if (command === "map_create" && !allows(restrictions.mapTypes, mapTypes, request.mapType)) {
    return `the token was restricted to other map types than ${request.mapType}`;
  }
  if (command === "prog_load" && !allows(restrictions.progTypes, progTypes, request.progType)) {
    return `the token was restricted to other program types than ${request.progType}`;
  }
  if (ATTACHING.has(command) && !allows(restrictions.attachTypes, attachTypes, request.attachType)) {
    return `the token was restricted to other attach types than ${request.attachType}`;
  }
  if (command === "obj_pin" || command === "obj_get") {
    const { path = "" } = request;
    if (restrictions.pins !== undefined && !restrictions.pins.some((pin) => below(path, pin))) {
      return `the token was restricted to other paths than "${path}"`;
    }
  }
  return undefined;
}
