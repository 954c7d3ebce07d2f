/**
 * What a program attaches to, found by its name in the BTF of the kernel, a module or another program.
 *
 * @module
 */

import { Btf, type BtfKind } from "../btf/mod.ts";
import { btfGetFdById } from "../cmds/id.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { NotSupportedError } from "../errors.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { type AttachType, attachTypes, type ProgType, progTypes } from "../uapi/enums.gen.ts";
import type { ProgramTarget } from "./load_options.ts";
import { openModuleBtf } from "./module_btf.ts";

/** What BPF_PROG_LOAD is told of a target. */
export interface FoundTarget {
  readonly attachBtfId: number;
  readonly attachTo?: FdSource | undefined;
  readonly expectedAttachType?: number | undefined;
  /** The descriptor of a module's BTF, which was opened for the call. */
  readonly owned?: Fd | undefined;
}

/** How the targets of an attach type stand in BTF. */
interface Place {
  readonly kind: BtfKind;
  readonly prefix: string;
  /** What they are, for messages. */
  readonly what: string;
}

const FUNCTION: Place = { kind: "func", prefix: "", what: "function" };
const HOOK: Place = { kind: "func", prefix: "bpf_lsm_", what: "LSM hook" };

/** Places by attach type, for programs of type tracing. */
const TRACING: { readonly [T in AttachType]?: Place } = {
  trace_raw_tp: { kind: "typedef", prefix: "btf_trace_", what: "tracepoint" },
  trace_iter: { kind: "func", prefix: "bpf_iter_", what: "iterator" },
  trace_fentry: FUNCTION,
  trace_fexit: FUNCTION,
  modify_return: FUNCTION,
  trace_fsession: FUNCTION,
};

/** What the kernel itself is called in messages. */
const KERNEL = "the kernel";

function nameIn<N extends string>(table: Readonly<Record<N, number>>, value: N | number | undefined): N | undefined {
  if (typeof value !== "number") return value;
  return (Object.keys(table) as N[]).find((name) => table[name] === value);
}

function placeOf(type: ProgType | number, attachType: AttachType | number | undefined): Place {
  switch (nameIn<ProgType>(progTypes, type)) {
    case "tracing": {
      const name = nameIn<AttachType>(attachTypes, attachType);
      const place = name === undefined ? undefined : TRACING[name];
      if (place !== undefined) return place;
      throw new TypeError(
        `Cannot use attachTo: a tracing program needs an expectedAttachType, one of ${Object.keys(TRACING).join(", ")}`,
      );
    }
    case "lsm":
      return HOOK;
    case "ext":
      return FUNCTION;
    case "struct_ops":
      return { kind: "struct", prefix: "", what: "struct" };
    default:
      throw new TypeError(
        `Cannot use attachTo: programs of type ${type} say when they are attached what they attach to`,
      );
  }
}

/** The BTF of another program. */
function progBtf(token: AnyToken, prog: FdSource): Btf {
  const { btfId, id } = objGetInfoByFd(token, prog, { kind: "prog" });
  if (btfId === 0) throw new TypeError(`Cannot use attachTo: program ${id} has no BTF`);
  using fd = btfGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, btfId);
  const { btf } = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
  return Btf.parse(btf as Uint8Array);
}

function find(btf: Btf, { kind, prefix, what }: Place, name: string, where: string): number {
  // A module's BTF continues the kernel's, whose types are no targets of the module.
  const id = btf.findAll(kind, `${prefix}${name}`).find((id) => id >= btf.firstId);
  if (id !== undefined) return id;
  const advice = where === KERNEL ? "; where a module has it, name the module" : "";
  throw new TypeError(`Cannot use attachTo: ${where} has no ${what} "${name}"${advice}`);
}

function memberIndex(btf: Btf, id: number, target: ProgramTarget): number {
  const members = btf.members(id).map(({ name }) => name);
  if (target.member === undefined) {
    throw new TypeError(`Cannot use attachTo: name the member of struct ${target.name} that the program is`);
  }
  const index = members.indexOf(target.member);
  if (index >= 0) return index;
  throw new TypeError(`Cannot use attachTo: struct ${target.name} has no member "${target.member}"`);
}

/** Types of the kernel or of a module; a TypeError where there is no such module. */
function typesOf(module: string | undefined): Btf {
  try {
    return kernelBtf(module);
  } catch (error) {
    if (module === undefined || !(error instanceof NotSupportedError)) throw error;
    throw new TypeError(`Cannot use attachTo: there is no module "${module}" with BTF`, { cause: error });
  }
}

/** Finds a target by name. */
export function findTarget(
  token: AnyToken,
  program: { type: ProgType | number; expectedAttachType?: AttachType | number | undefined },
  given: string | ProgramTarget,
): FoundTarget {
  const target: ProgramTarget = typeof given === "string" ? { name: given } : given;
  const { name, module, prog } = target;
  if (typeof name !== "string" || name === "") throw new TypeError("Cannot use attachTo: its name is empty");
  if (module !== undefined && prog !== undefined) {
    throw new TypeError("Cannot use attachTo: give a module or a program, not both");
  }
  const place = placeOf(program.type, program.expectedAttachType);
  if (prog !== undefined) {
    return { attachBtfId: find(progBtf(token, prog), place, name, "the program"), attachTo: prog };
  }
  if (program.type === "ext" || program.type === progTypes.ext) {
    throw new TypeError("Cannot use attachTo: name the program whose function is replaced");
  }
  const btf = typesOf(module);
  const where = module === undefined ? KERNEL : `module ${module}`;
  const attachBtfId = find(btf, place, name, where);
  const expectedAttachType = place.kind === "struct" ? memberIndex(btf, attachBtfId, target) : undefined;
  if (module === undefined) return { attachBtfId, expectedAttachType };
  const fd = openModuleBtf(token, module);
  return { attachBtfId, expectedAttachType, attachTo: fd, owned: fd };
}
