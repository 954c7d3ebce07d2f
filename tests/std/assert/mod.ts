/**
 * A stand-in for `@std/assert` where JSR cannot be reached: the functions that this project uses, with the real
 * package's signatures, over `node:assert` and `node:util`. It differs in one thing: 0 and -0 are not equal here.
 *
 * @module
 */

export { AssertionError } from "./_error.ts";
export * from "./compare.ts";
export * from "./equality.ts";
export * from "./throws.ts";
