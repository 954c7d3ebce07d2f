/**
 * Packages that a single command needs. Written where they are imported, Deno would fetch them before the first command of
 * any kind.
 *
 * @module
 */

/** Draws pictures of graphs: Graphviz. */
export const VIZ = "npm:@viz-js/viz@^3";

/** Disassembles machine code: Capstone. */
export const CAPSTONE = "npm:@alexaltea/capstone-js@^5";
