/**
 * Errors of values that do not fit, which learn the path to their field on the way out.
 *
 * @module
 */

/** What an error was made of, to be told again with a longer path. */
interface Misfit {
  readonly what: string;
  readonly reason: string;
  path: string;
}

const misfits = new WeakMap<Error, Misfit>();

function message({ what, reason, path }: Misfit): string {
  return `Cannot encode ${path === "" ? what : path}: ${reason}`;
}

/** Throws a RangeError for a value that does not fit. */
export function misfit(what: string, reason: string): never {
  return fail(RangeError, what, reason);
}

/** Throws a TypeError for a value of another type than the codec's. */
export function wrongType(what: string, value: unknown, wanted: string): never {
  return fail(TypeError, what, `${show(value)} is not ${wanted}`);
}

function fail(type: typeof RangeError | typeof TypeError, what: string, reason: string): never {
  const made: Misfit = { what, reason, path: "" };
  const error = new type(message(made));
  misfits.set(error, made);
  throw error;
}

/** A value, short enough for a message. */
export function show(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Puts a field's name in front of an error's path, and throws it on. */
export function within(error: unknown, field: string): never {
  const made = error instanceof Error ? misfits.get(error) : undefined;
  if (made !== undefined) {
    made.path = made.path === "" ? field : `${field}${made.path.startsWith("[") ? "" : "."}${made.path}`;
    (error as Error).message = message(made);
  }
  throw error;
}
