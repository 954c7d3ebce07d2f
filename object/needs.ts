/**
 * What an object needs of the kernel and of whoever loads it, told by its description alone.
 *
 * @module
 */

import { scanProgram } from "../cmds/scan.ts";
import type { Capability } from "../tokens/capabilities.ts";
import { type PermissionRequest, refusal } from "../tokens/check.ts";
import { parseRelease } from "../tokens/environment.ts";
import { attachTypes, type HelperName, helpers, mapTypes, progTypes } from "../uapi/enums.gen.ts";
import { attachTypeSince, mapTypeSince, progTypeSince } from "../uapi/since.gen.ts";
import { NO_RECORDS } from "./_ext_records.ts";
import { SLOT } from "./_functions.ts";
import { Linker } from "./_link.ts";
import type { ObjectSpec, ProgramSpec } from "./spec.ts";

/** What a program needs. */
export interface ProgramNeeds {
  /** Its instructions, with those of the functions that it calls. */
  readonly insnCount: number;
  /** The helpers that it calls, without `bpf_`; numbers that have no name here are left out. */
  readonly helpers: readonly HelperName[];
  /** The functions of the kernel that it calls. */
  readonly kfuncs: readonly string[];
  /** The maps that it uses. */
  readonly maps: readonly string[];
  /** The functions of the object that it calls, directly or by others. */
  readonly functions: readonly string[];
  /** The release that brought its type and what it is loaded for. */
  readonly since: string;
}

/** What an object needs. */
export interface ObjectNeeds {
  /** The capabilities that loading it asks for, where bpf(2) is not for everybody: on a kernel of today. */
  readonly capabilities: readonly Capability[];
  /** The newest release that brought a type of its maps and programs. Helpers may be newer. */
  readonly since: string;
  /** Whether it is adapted to the kernel's types, so that the kernel has to have BTF. */
  readonly kernelBtf: boolean;
  /** What it uses of the kernel's configuration, variables and functions; what may be lacking is left out. */
  readonly externs: readonly string[];
  /** What each program that is loaded needs, by name. */
  readonly programs: Readonly<Record<string, ProgramNeeds>>;
}

const helperNames = new Map<number, HelperName>(
  (Object.entries(helpers) as [HelperName, number][]).map(([name, number]) => [number, name]),
);

/** A kernel of today, for a process that has nothing. */
const NOBODY = {
  environment: {
    capabilities: new Set<Capability>(),
    ...{ initialUserNamespace: true, unprivilegedBpfDisabled: 2, release: parseRelease("7.2"), releaseName: "7.2" },
  },
  granted: new Set<Capability>(),
  delegated: undefined,
};

function newest(releases: readonly (string | undefined)[]): string {
  const known = releases.filter((one) => one !== undefined);
  return known.reduce((last, one) => parseRelease(one) > parseRelease(last) ? one : last, "3.18");
}

function sinceIn<N extends string>(
  table: Readonly<Record<N, string>>,
  numbers: Readonly<Record<N, number>>,
  value: N | number | undefined,
): string | undefined {
  if (typeof value === "number") value = (Object.keys(numbers) as N[]).find((name) => numbers[name] === value);
  return value === undefined ? undefined : table[value as N];
}

/** Links programs as they are before they know the kernel. */
export function rawLinker({ functions }: ObjectSpec): Linker {
  return new Linker(functions, (number) => functions[number].insns, NO_RECORDS);
}

/** What a program asks of the permission rules. */
export function programRequest(program: ProgramSpec, linker: Linker): PermissionRequest {
  const { insns, open } = linker.link(program.function);
  const { helpers, features } = scanProgram(insns);
  const callsKernel = open.some(({ kind }) => kind === "kfunc") && !features.includes("kfuncs");
  return {
    ...{ command: "prog_load", progType: program.type, insnCount: insns.length / SLOT, helpers },
    ...{ progFeatures: callsKernel ? [...features, "kfuncs"] : features, attachType: program.expectedAttachType },
  };
}

/** What all commands of loading an object ask of the permission rules, in their order. */
export function loadRequests(spec: ObjectSpec): PermissionRequest[] {
  const maps = Object.values(spec.maps).filter(({ autocreate }) => autocreate);
  const programs = Object.values(spec.programs).filter(({ autoload }) => autoload);
  const linker = rawLinker(spec);
  return [
    ...(spec.btf === undefined ? [] : [{ command: "btf_load" as const }]),
    ...maps.map(({ type, flags }) => ({ command: "map_create" as const, mapType: type, mapFlags: flags })),
    ...programs.map((program) => programRequest(program, linker)),
  ];
}

/**
 * What a program of an object needs.
 *
 * @param spec The object.
 * @param program The program.
 * @param linker What puts it together with the functions that it calls.
 * @returns What it needs.
 */
function programNeeds(spec: ObjectSpec, program: ProgramSpec, linker: Linker): ProgramNeeds {
  const { insns, open, functions } = linker.link(program.function);
  const numbers = [...scanProgram(insns).helpers];
  const maps = open.flatMap((one) => one.kind === "map" || one.kind === "data" ? [one.map] : []);
  const kfuncs = open.flatMap((one) => one.kind === "kfunc" ? [spec.externs[one.extern].name] : []);
  return {
    insnCount: insns.length / SLOT,
    helpers: numbers.map((number) => helperNames.get(number)).filter((name) => name !== undefined).sort(),
    kfuncs: [...new Set(kfuncs)],
    maps: [...new Set(maps)],
    functions: functions.slice(1).map((one) => spec.functions[one.function].name),
    since: newest([
      sinceIn(progTypeSince, progTypes, program.type),
      sinceIn(attachTypeSince, attachTypes, program.expectedAttachType),
    ]),
  };
}

/**
 * What an object needs.
 *
 * @param spec The object.
 * @returns What it needs.
 */
export function objectNeeds(spec: ObjectSpec): ObjectNeeds {
  const wanted = Object.values(spec.programs).filter(({ autoload }) => autoload);
  const linker = rawLinker(spec);
  const programs = Object.fromEntries(wanted.map((program) => [program.name, programNeeds(spec, program, linker)]));
  const missing = loadRequests(spec).flatMap((request) => refusal(request, NOBODY)?.missing ?? []);
  return {
    capabilities: [...new Set(missing)].sort(),
    since: newest([
      ...Object.values(spec.maps).map(({ type }) => sinceIn(mapTypeSince, mapTypes, type)),
      ...Object.values(programs).map(({ since }) => since),
    ]),
    kernelBtf: spec.functions.some(({ coreRelos }) => coreRelos.length > 0) ||
      wanted.some(({ def }) => def?.attachBtf === true || def?.type === "struct_ops"),
    externs: spec.externs.filter(({ weak }) => !weak).map(({ name }) => name),
    programs,
  };
}
