/**
 * What the kernel's rules say about one bpf(2) call: the verdict, from the table in rules.ts.
 *
 * @module
 */

import { BPF_F_ZERO_SEED, BPF_MAXINSNS } from "../uapi/constants.gen.ts";
import { attachTypes, helpers, mapTypes, progTypes } from "../uapi/enums.gen.ts";
import type { AttachType, CommandName, HelperName, MapType, ProgType } from "../uapi/enums.gen.ts";
import { mapTypeSince } from "../uapi/since.gen.ts";
import type { BpfTokenRights } from "./bpf_token.ts";
import type { Capability } from "./capabilities.ts";
import { type Environment, parseRelease, type Release } from "./environment.ts";
import { helperRules } from "./helper_rules.ts";
import { type Clause, type ClauseName, clauses, rules } from "./rules.ts";
import type { MapFeature, ProgFeature } from "./rules.ts";

/** A bpf(2) call, as far as permissions depend on it. Types are given by name or by number. */
export interface PermissionRequest {
  /** The command, in lower case. */
  readonly command: CommandName;
  /** For `map_create`: the map's type. */
  readonly mapType?: MapType | number | undefined;
  /** For `map_create`: BPF_F_* flags. */
  readonly mapFlags?: number | undefined;
  /** For `map_create`: properties that ask for more than the type does. */
  readonly mapFeatures?: readonly MapFeature[] | undefined;
  /** For `prog_load`: the program's type. */
  readonly progType?: ProgType | number | undefined;
  /** For `prog_load`: the number of instructions. */
  readonly insnCount?: number | undefined;
  /** For `prog_load`: the helpers that the program calls. */
  readonly helpers?: Iterable<HelperName | number> | undefined;
  /** For `prog_load`: properties that ask for more than the type does. */
  readonly progFeatures?: readonly ProgFeature[] | undefined;
  /** For `prog_attach`, `prog_detach`, `prog_query`, `link_create`: the attach type; for `prog_load`, the expected one. */
  readonly attachType?: AttachType | number | undefined;
  /** For `obj_pin` and `obj_get`: the path. */
  readonly path?: string | undefined;
}

/** What is known about the caller when a call is judged. */
export interface Caller {
  /** The process and its system. */
  readonly environment: Environment;
  /** The capabilities that count for the call. */
  readonly granted: ReadonlySet<Capability>;
  /** What a BPF token that is passed along allows. */
  readonly delegated: BpfTokenRights | undefined;
}

/** A clause that fails, for one call. */
export interface Refusal {
  /** The first clause that fails: it gives the errno and the reason. */
  readonly clause: Clause;
  /** Every capability that the call lacks. */
  readonly missing: readonly Capability[];
}

/**
 * The lower-case name for a name or a number.
 *
 * @param table The numbers by name.
 * @param value A name, or a number.
 * @returns The name; undefined for a number that has none.
 */
export function nameOf<N extends string>(table: Readonly<Record<N, number>>, value: N | number): N | undefined {
  if (typeof value === "string") return Object.hasOwn(table, value) ? value : undefined;
  return (Object.keys(table) as N[]).find((name) => table[name] === value);
}

const releases = new Map<string, Release>();

function release(text: string): Release {
  let number = releases.get(text);
  if (number === undefined) releases.set(text, number = text === "0" ? 0 : parseRelease(text));
  return number;
}

type Rule = readonly ClauseName[];
type Table = Readonly<Record<string, Rule>>;

function ruleIn(table: Table, name: string | undefined): Rule {
  return name !== undefined && Object.hasOwn(table, name) ? table[name] : [];
}

const ruleOfHelper = new Map<string, Rule>(
  helperRules.flatMap(({ rule, helpers }) => helpers.map((name): [string, Rule] => [name, rule])),
);

function mapRule(request: PermissionRequest, running: Release): Rule {
  const { mapFlags = 0, mapFeatures = [], mapType } = request;
  const features = new Set<MapFeature>(mapFeatures);
  if (mapFlags & BPF_F_ZERO_SEED) features.add("zero_seed");
  const name = mapType === undefined ? undefined : nameOf(mapTypes, mapType);
  // A type that the kernel does not have is EINVAL for everybody.
  const known = name !== undefined && release(mapTypeSince[name]) <= running;
  return [
    ...(known || mapType === undefined ? rules.knownMapType : []),
    ...(known ? rules.mapTypes[name] : []),
    ...[...features].flatMap((feature): Rule => rules.mapFeatures[feature]),
  ];
}

function progRule(request: PermissionRequest): Rule {
  const { progType, insnCount = 0, progFeatures = [] } = request;
  const name = progType === undefined ? undefined : nameOf(progTypes, progType);
  const byType: Rule = progType === undefined ? [] : name === undefined ? rules.otherProgType : rules.progTypes[name];
  const found = Object.entries(rules.progFeatures).filter(([feature]) => progFeatures.includes(feature as ProgFeature));
  return [
    ...(insnCount > BPF_MAXINSNS ? rules.largeProg : []),
    ...byType,
    ...found.flatMap(([, rule]): Rule => rule),
    ...[...(request.helpers ?? [])].flatMap((helper): Rule => ruleOfHelper.get(nameOf(helpers, helper) ?? "") ?? []),
  ];
}

function attachRule(request: PermissionRequest): Rule {
  const { command, attachType } = request;
  if (attachType === undefined || (command !== "prog_attach" && command !== "link_create")) return [];
  const name = nameOf(attachTypes, attachType);
  return ruleIn(rules.attachTypes[command], name);
}

/** Every clause that the kernel checks for a call, in its order. */
function clausesFor(request: PermissionRequest, running: Release): Clause[] {
  const { command } = request;
  const names: Rule = [
    ...rules.anyCommand,
    ...ruleIn(rules.commands, command),
    ...(command === "map_create" ? mapRule(request, running) : []),
    ...(command === "prog_load" ? progRule(request) : []),
    ...attachRule(request),
  ];
  const progType = request.progType === undefined ? undefined : nameOf(progTypes, request.progType);
  return names.map((name): Clause => clauses[name]).filter(({ since = "0", until, exempt }) =>
    release(since) <= running && (until === undefined || running < release(until)) &&
    (exempt === undefined || exempt !== progType)
  );
}

/** Whether a BPF token lets its holder make a call: the kernel ignores a token that does not. */
function delegates(rights: BpfTokenRights | undefined, request: PermissionRequest): boolean {
  if (rights === undefined || !rights.commands.has(request.command)) return false;
  const has = <N extends string>(set: ReadonlySet<N>, table: Readonly<Record<N, number>>, value?: N | number) => {
    const name = value === undefined ? undefined : nameOf(table, value);
    return name !== undefined && set.has(name);
  };
  if (request.command === "map_create") return has(rights.mapTypes, mapTypes, request.mapType);
  if (request.command === "prog_load") {
    return has(rights.progTypes, progTypes, request.progType) &&
      has(rights.attachTypes, attachTypes, request.attachType ?? 0);
  }
  return true;
}

function holds(clause: Clause, request: PermissionRequest, caller: Caller): boolean {
  const { environment, granted, delegated } = caller;
  const running = environment.release;
  let held = granted;
  if (!environment.initialUserNamespace) {
    const usable = clause.delegable !== undefined && release(clause.delegable) <= running;
    if (clause.namespace === "own") held = environment.capabilities;
    else if (!usable || !delegates(delegated, request)) return false;
  }
  if (held.has(clause.need)) return true;
  return clause.standIn !== undefined && release(clause.standIn) <= running && held.has("CAP_SYS_ADMIN");
}

/**
 * Judges a call by the kernel's rules.
 *
 * @param request The call.
 * @param caller The process, and the capabilities that count.
 * @returns What refuses it; undefined where nothing does.
 */
export function refusal(request: PermissionRequest, caller: Caller): Refusal | undefined {
  const { unprivilegedBpfDisabled, release: running } = caller.environment;
  const failing = clausesFor(request, running).filter((clause) =>
    (clause.when === undefined || unprivilegedBpfDisabled !== 0) && !holds(clause, request, caller)
  );
  if (failing.length === 0) return undefined;
  return { clause: failing[0], missing: [...new Set(failing.map(({ need }) => need))] };
}
