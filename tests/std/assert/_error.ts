/** What a failed assertion throws. */
export class AssertionError extends Error {
  /**
   * Makes an assertion error.
   *
   * @param message What was expected, and what there was.
   * @param options The error's cause.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

/** Ends a message: with the caller's own words, where there are some. */
export function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}

/** A value as a message shows it. */
export function show(value: unknown): string {
  return Deno.inspect(value, { depth: 10, iterableLimit: 100, strAbbreviateSize: 10_000, sorted: true });
}
