/**
 * What loading an object would do, and whether a token allows it, told before anything is done.
 *
 * @module
 */

import { NotSupportedError } from "../errors.ts";
import type { PermissionRequest } from "../tokens/check.ts";
import type { AnyToken, Verdict } from "../tokens/token.ts";
import { pinPathOf } from "./_create_maps.ts";
import { structOpsUsers } from "./_struct_ops.ts";
import type { LoadOptions } from "./load_options.ts";
import { programRequest, rawLinker } from "./needs.ts";
import type { ObjectSpec } from "./spec.ts";

/** One step of loading an object. */
export interface PlanStep {
  /** What is done. */
  readonly action: "load BTF" | "create map" | "use map" | "pin map" | "fill map" | "freeze map" | "load program";
  /** The name of the map or the program; the object's name for its BTF. */
  readonly name: string;
  /** What is asked of the kernel. */
  readonly request: PermissionRequest;
  /** Whether the token allows it, and what it lacks otherwise. */
  readonly verdict: Verdict;
  /** What is special about it: where it is pinned, what it is loaded to attach to. */
  readonly detail: string;
}

/** What loading an object would do. */
export interface Plan {
  /** The steps, in their order. A pin that exists is used instead of a new map. */
  readonly steps: readonly PlanStep[];
  /** Whether the token allows all of them. */
  readonly allowed: boolean;
  /** The capabilities that the token lacks. */
  readonly missing: readonly string[];
}

/**
 * Works out what loading an object would do.
 *
 * @param token The token that it would be loaded with.
 * @param spec The object.
 * @param options How it would be loaded.
 * @returns The steps, in their order, with what the token says to each.
 * @throws {NotSupportedError} For big-endian objects, which are not loaded.
 */
export function planObject(token: AnyToken, spec: ObjectSpec, options: LoadOptions = {}): Plan {
  if (spec.byteOrder !== "little") {
    throw new NotSupportedError("this object", { reason: "it was compiled for big-endian machines, and this is none" });
  }
  const steps: PlanStep[] = [];
  const add = (action: PlanStep["action"], name: string, request: PermissionRequest, detail = ""): void => {
    steps.push({ action, name, request, verdict: token.check(request), detail });
  };
  if (spec.btf !== undefined) add("load BTF", spec.name, { command: "btf_load" });
  for (const map of Object.values(spec.maps)) {
    if (!map.autocreate) continue;
    const { name, type, flags, kind } = map;
    if (Object.hasOwn(options.maps ?? {}, name) || map.reuse !== undefined) {
      add("use map", name, { command: "obj_get_info_by_fd" });
      continue;
    }
    const pin = pinPathOf(spec, map);
    if (pin !== undefined) add("use map", name, { command: "obj_get", path: pin }, `where ${pin} exists`);
    add("create map", name, { command: "map_create", mapType: type, mapFlags: flags }, String(type));
    if (map.data !== undefined && map.data.some((byte) => byte !== 0)) {
      add("fill map", name, { command: "map_update_elem" });
    }
    if (kind === "rodata" || kind === "kconfig") add("freeze map", name, { command: "map_freeze" });
    if (pin !== undefined) add("pin map", name, { command: "obj_pin", path: pin }, pin);
  }
  for (const map of Object.values(spec.maps)) {
    if (map.inner !== undefined && map.slots.length > 0) add("fill map", map.name, { command: "map_update_elem" });
  }
  const users = structOpsUsers(spec);
  const linker = rawLinker(spec);
  for (const program of Object.values(spec.programs)) {
    if (users.get(program.name) ?? program.autoload) {
      add("load program", program.name, programRequest(program, linker), program.section);
    }
  }
  for (const map of Object.values(spec.maps)) {
    if (map.type === "prog_array" && map.slots.length > 0) add("fill map", map.name, { command: "map_update_elem" });
  }
  const refused = steps.filter(({ verdict }) => !verdict.allowed);
  return {
    steps,
    allowed: refused.length === 0,
    missing: [...new Set(refused.flatMap(({ verdict }) => verdict.missing))],
  };
}
