/**
 * Assertions on whole values.
 *
 * @module
 */

import nodeAssert from "node:assert";
import { isDeepStrictEqual } from "node:util";
import { AssertionError, show, suffix } from "./_error.ts";

/**
 * Asserts that two values are deeply equal.
 *
 * @param actual The value that was found.
 * @param expected The value to find.
 * @param msg Words for the message.
 */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  let difference = `${show(actual)}\n\n${show(expected)}`;
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch (error) {
    if (error instanceof Error) difference = error.message;
  }
  throw new AssertionError(`Values are not equal${suffix(msg)}\n${difference}`);
}

/**
 * Asserts that two values are not deeply equal.
 *
 * @param actual The value that was found.
 * @param expected The value that must not be found.
 * @param msg Words for the message.
 */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!isDeepStrictEqual(actual, expected)) return;
  throw new AssertionError(`Expected actual: ${show(actual)} not to be: ${show(expected)}${suffix(msg)}`);
}

/**
 * Asserts that two values are the same, by `Object.is`.
 *
 * @param actual The value that was found.
 * @param expected The value to find.
 * @param msg Words for the message.
 */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const alike = isDeepStrictEqual(actual, expected);
  const text = alike ? "Values have the same structure but are not the same" : "Values are not strictly equal";
  throw new AssertionError(`${text}${suffix(msg)}\n    ${show(actual)}\n    ${show(expected)}`);
}

/**
 * Asserts that `actual` holds all that `expected` holds, at every depth.
 *
 * @param actual The object that was found.
 * @param expected What it must hold.
 * @param msg Words for the message.
 */
export function assertObjectMatch(
  actual: object,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(common(actual, expected), common(expected, expected), msg);
}

/** What `actual` has of the keys of `expected`, as plain objects. */
function common(actual: unknown, expected: unknown): unknown {
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return expected.map((item, index) => common(actual[index], item));
  }
  if (actual instanceof Map && expected instanceof Map) {
    return new Map(
      [...expected].filter(([key]) => actual.has(key)).map(([key, value]) => [key, common(actual.get(key), value)]),
    );
  }
  if (actual instanceof Set && expected instanceof Set) return new Set([...expected].filter((one) => actual.has(one)));
  if (!isRecord(actual) || !isRecord(expected)) return actual;
  const shared = Reflect.ownKeys(expected).filter((key) => key in actual);
  return Object.fromEntries(shared.map((key) => [key, common(actual[key], expected[key])]));
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return !(ArrayBuffer.isView(value) || value instanceof RegExp || value instanceof Date || value instanceof Map ||
    value instanceof Set || Array.isArray(value));
}

/**
 * Asserts that an array holds each of some values.
 *
 * @param actual The array that was found.
 * @param expected The values it must hold, in any order.
 * @param msg Words for the message.
 */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void {
  const items = Array.from(actual);
  const missing = Array.from(expected).filter((wanted) => !items.some((item) => isDeepStrictEqual(item, wanted)));
  if (missing.length === 0) return;
  throw new AssertionError(
    `Expected actual: ${show(actual)} to include: ${show(expected)}${suffix(msg)}\nmissing: ${show(missing)}`,
  );
}
