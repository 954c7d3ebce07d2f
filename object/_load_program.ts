/** Loads one program of an object: its target found, what the kernel lacks left out, and its errors explained. */

import type { ProgBtf } from "../cmds/prog.ts";
import type { BtfKind } from "../btf/mod.ts";
import { NotSupportedError, SyscallError, VerifierError } from "../errors.ts";
import { hasAttachType, hasFeature, hasProgType } from "../features/mod.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { openModuleBtf } from "../progs/module_btf.ts";
import { Program, type ProgramOptions } from "../progs/mod.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { AttachType, ProgType } from "../uapi/enums.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { kernelVersion } from "./_kernel_config.ts";
import { kernelName } from "./_map_defs.ts";
import type { Modules } from "./_modules.ts";
import type { ObjectSpec, ProgramSpec } from "./spec.ts";

/** Kernels before 5.0 (as releases count) want to hear their own version from kprobes. */
const VERSION_NOT_ASKED = 5000;

/** What a program is loaded with besides its description. */
export interface ProgramParts {
  /** Its instructions. */
  readonly insns: Bytes;
  /** Its BTF. */
  readonly btf: ProgBtf | undefined;
  /** The modules' BTF that its instructions name, by index; the first stands for the kernel's own. */
  readonly fdArray: readonly FdSource[] | undefined;
  /** For members of structs of functions: the struct, and which member. */
  readonly member: { readonly typeId: number; readonly index: number; readonly module: string | undefined } | undefined;
  /** What explains a number that no helper has. */
  readonly explain: (log: string) => string | undefined;
}

/** How targets stand in BTF, by what the program is loaded for. */
function placeOf(type: ProgType | number, attachType: AttachType | number | undefined): [BtfKind, string] {
  if (type === "lsm") return ["func", "bpf_lsm_"];
  if (attachType === "trace_raw_tp") return ["typedef", "btf_trace_"];
  return ["func", attachType === "trace_iter" ? "bpf_iter_" : ""];
}

/** The target of a program as BPF_PROG_LOAD takes it. */
function targetOf(
  token: AnyToken,
  program: ProgramSpec,
  modules: Modules,
  stack: DisposableStack,
): Partial<ProgramOptions> {
  const { attachTo, def, section, name } = program;
  if (attachTo === undefined) {
    if (def?.attachBtf !== true) return {};
    throw new TypeError(
      `Cannot load program ${name}: section "${section}" names no target: set attachTo of its description`,
    );
  }
  if (attachTo.prog !== undefined || program.type === "ext") return { attachTo };
  const [kind, prefix] = placeOf(program.type ?? 0, program.expectedAttachType);
  const found = modules.find(kind, prefix + attachTo.name, attachTo.module);
  if (found === undefined) {
    const where = attachTo.module === undefined ? "the kernel" : `module ${attachTo.module}`;
    throw new NotSupportedError(`program ${name}`, { reason: `${where} has no ${kind} ${prefix}${attachTo.name}` });
  }
  if (found.module === undefined) return { attachBtfId: found.id };
  return { attachBtfId: found.id, attachTo: stack.use(openModuleBtf(token, found.module)) };
}

/** Whether the kernel has the type of a program, and what it is loaded for. */
export function isSupported(token: AnyToken, { type, expectedAttachType, def }: ProgramSpec): boolean {
  if (typeof type === "string" && hasProgType(token, type) === false) return false;
  // Kernels without tcx load its programs all the same, which tc attaches then.
  const isTcx = expectedAttachType === "tcx_ingress" || expectedAttachType === "tcx_egress";
  if (typeof expectedAttachType !== "string" || def?.optional === true || isTcx) return true;
  return hasAttachType(token, expectedAttachType) !== false;
}

/** What a program is loaded for: USDT probes with one link for all their places, where the kernel has it. */
function attachTypeOf(token: AnyToken, { def, expectedAttachType }: ProgramSpec): ProgramSpec["expectedAttachType"] {
  if (def?.attach !== "usdt" || expectedAttachType !== undefined) return expectedAttachType;
  return hasAttachType(token, "trace_uprobe_multi") === true ? "trace_uprobe_multi" : undefined;
}

/** Loads a program. */
export function loadProgram(
  token: AnyToken,
  spec: ObjectSpec,
  program: ProgramSpec,
  { parts, modules, log }: {
    parts: ProgramParts;
    modules: Modules;
    log?: ((name: string, text: string) => void) | undefined;
  },
): Program {
  const { type, name, def } = program;
  if (type === undefined) {
    throw new TypeError(
      `Cannot load program ${name}: section "${program.section}" tells no type: set type of its description`,
    );
  }
  using stack = new DisposableStack();
  const { member } = parts;
  const target: Partial<ProgramOptions> = member === undefined ? targetOf(token, program, modules, stack) : {
    attachBtfId: member.typeId,
    ...(member.module === undefined ? {} : { attachTo: stack.use(openModuleBtf(token, member.module)) }),
  };
  const drops = def?.optional === true && hasFeature(token, "expected_attach_type") === false;
  const isOldKprobe = type === "kprobe" && token.environment.release < VERSION_NOT_ASKED;
  const options: ProgramOptions = {
    ...{ type, insns: parts.insns, license: spec.license, flags: program.flags, ifindex: program.ifindex },
    name: hasFeature(token, "object_names") === false ? "" : kernelName(name),
    expectedAttachType: drops ? 0 : member?.index ?? attachTypeOf(token, program),
    kernelVersion: spec.kernelVersion !== 0 || !isOldKprobe ? spec.kernelVersion : kernelVersion(),
    btf: parts.btf,
    fdArray: parts.fdArray,
    logLevel: program.logLevel,
    onLog: log === undefined ? undefined : (text) => log(name, text),
    ...target,
  };
  try {
    return Program.load(token as never, options);
  } catch (error) {
    throw explained(lackingType(token, type, error) ?? error, name, parts.explain);
  }
}

/** Kernels that are new enough for a type may have been built without it, and call that EINVAL without a word. */
function lackingType(token: AnyToken, type: ProgType | number, error: unknown): NotSupportedError | undefined {
  if (!(error instanceof SyscallError) || error instanceof VerifierError || error.errno !== errnos.EINVAL) {
    return undefined;
  }
  if (typeof type === "number" || hasProgType(token, type) !== false) return undefined;
  const reason = "the kernel was built without it";
  return new NotSupportedError(`program type ${type}`, { reason, cause: error });
}

/** Adds the program's name to an error, and what a number means that no helper has. */
function explained(error: unknown, name: string, explain: (log: string) => string | undefined): unknown {
  if (!(error instanceof Error)) return error;
  if (!(error instanceof VerifierError)) {
    error.message = `${error.message} (program ${name} of the object)`;
    return error;
  }
  const hint = explain(error.log);
  const { command, errno } = error;
  return new VerifierError(
    { command, errno, action: `load program ${name}`, hint: hint ?? error.hint, cause: error },
    error.log,
  );
}
