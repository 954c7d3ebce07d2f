/**
 * Programs: load with types, run, look at, and read what they print.
 *
 * @module
 */

export { btfOfProgram, type DumpedInsn, dumpInsns, type DumpOptions } from "./dump.ts";
export { type FunctionAt, functionsOf, type LineAt, linesOf } from "./lines.ts";
export { type ProgFlag, progFlags, type ProgramBtf, type ProgramOptions, type ProgramTarget } from "./load_options.ts";
export {
  type ProgramByFd,
  type ProgramById,
  type ProgramByName,
  type ProgramByPath,
  type ProgramByTag,
  type ProgramSource,
} from "./open_options.ts";
export { Program, type ProgramParts, type WholeProgInfo } from "./program.ts";
export { type RunFlag, type RunOptions } from "./run.ts";
export { signatureOf } from "./signature.ts";
export { type ProgramRuns, RunStats, withRunStats } from "./run_stats.ts";
export { type OutputOptions } from "./stream.ts";
export { programTag, type TagHash, type TagOptions } from "./tag.ts";
export { parseTraceLine, type TraceLine, tracePipe, type TracePipeOptions } from "./trace_pipe.ts";
