/**
 * Compiled objects: read, adapt to the running kernel, load, attach.
 *
 * @module
 */

export { type AttachOptions as ObjectAttachOptions, type AttachPlace } from "./attach_options.ts";
export { generateModule, type GenerateOptions } from "./generate.ts";
export { type ObjectLink, ObjectLinks } from "./links.ts";
export { type LoadOptions as ObjectLoadOptions } from "./load_options.ts";
export { type ObjectNeeds, type ProgramNeeds } from "./needs.ts";
export { type AnyObject, BpfObject, type ObjectMap, type ObjectShape, type SectionOf } from "./object.ts";
export { type ParseOptions as ObjectParseOptions } from "./parse.ts";
export { type Plan, type PlanStep } from "./plan.ts";
export {
  type AttachMethod,
  type SectionDef,
  type SectionDefName,
  sectionDefs,
  type SectionMeaning,
  sectionMeaning,
} from "./sections.ts";
export {
  type ExternSpec,
  type FunctionSpec,
  type MapDefinition,
  type MapKind,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  type Relocation,
  type SlotSpec,
  type StructOpsSpec,
} from "./spec.ts";
export { type VariableMemory, Variables, type VariableSpec } from "./variables.ts";
