/**
 * What a program's instructions say about what it needs.
 *
 * @module
 */

export { type ScannedProgram, scanProgram } from "./_scan.ts";
