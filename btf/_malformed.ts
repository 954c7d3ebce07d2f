/** The error of malformed BTF. */

/** The largest number of types that chains and nesting by value may have, as in the kernel (MAX_RESOLVE_DEPTH). */
export const MAX_DEPTH = 32;

/**
 * The error of malformed input.
 *
 * @param offset Where, in bytes from the input's start.
 * @param reason What is wrong.
 * @param action What cannot be done.
 * @returns A SyntaxError with `offset`.
 */
export function malformed(offset: number, reason: string, action = "read BTF"): SyntaxError & { offset: number } {
  return Object.assign(new SyntaxError(`Cannot ${action} at byte ${offset}: ${reason}`), { offset });
}
