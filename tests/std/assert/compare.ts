/**
 * Assertions on one property of a value.
 *
 * @module
 */

import { AssertionError, show, suffix } from "./_error.ts";

/**
 * Asserts that a value is truthy.
 *
 * @param expr The value.
 * @param msg Words for the message.
 */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** What is falsy in JavaScript. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

/**
 * Asserts that a value is falsy.
 *
 * @param expr The value.
 * @param msg Words for the message.
 */
export function assertFalse(expr: unknown, msg = ""): asserts expr is Falsy {
  if (expr) throw new AssertionError(msg);
}

/**
 * Asserts that a value is neither `null` nor `undefined`.
 *
 * @param actual The value.
 * @param msg Words for the message.
 */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual !== undefined && actual !== null) return;
  throw new AssertionError(`Expected actual: "${actual}" to not be null or undefined${suffix(msg)}`);
}

/**
 * Asserts that an object is an instance of a class.
 *
 * @param actual The object.
 * @param expectedType The class.
 * @param msg Words for the message.
 */
export function assertInstanceOf<T extends abstract new (...args: never[]) => unknown>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  throw new AssertionError(
    `Expected object to be an instance of "${expectedType.name}" but was ${show(actual)}${suffix(msg)}`,
  );
}

/**
 * Asserts that a text holds another.
 *
 * @param actual The text that was found.
 * @param expected What it must hold.
 * @param msg Words for the message.
 */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(`Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`);
}

/**
 * Asserts that a text matches a pattern.
 *
 * @param actual The text that was found.
 * @param expected The pattern.
 * @param msg Words for the message.
 */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) return;
  throw new AssertionError(`Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`);
}

function order<T>(holds: boolean, actual: T, relation: string, expected: T, msg: string | undefined): void {
  if (!holds) throw new AssertionError(`Expect ${show(actual)} ${relation} ${show(expected)}${suffix(msg)}`);
}

/**
 * Asserts that `actual > expected`.
 *
 * @param actual The value that was found.
 * @param expected The bound.
 * @param msg Words for the message.
 */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  order(actual > expected, actual, ">", expected, msg);
}

/**
 * Asserts that `actual >= expected`.
 *
 * @param actual The value that was found.
 * @param expected The bound.
 * @param msg Words for the message.
 */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  order(actual >= expected, actual, ">=", expected, msg);
}

/**
 * Asserts that `actual < expected`.
 *
 * @param actual The value that was found.
 * @param expected The bound.
 * @param msg Words for the message.
 */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  order(actual < expected, actual, "<", expected, msg);
}

/**
 * Asserts that `actual <= expected`.
 *
 * @param actual The value that was found.
 * @param expected The bound.
 * @param msg Words for the message.
 */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  order(actual <= expected, actual, "<=", expected, msg);
}

/**
 * Asserts that two numbers are near each other.
 *
 * @param actual The number that was found.
 * @param expected The number to find.
 * @param tolerance How far apart they may be; a ten-millionth of `expected` where it is left out.
 * @param msg Words for the message.
 */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const most = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= most) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${most}"${
      suffix(msg)
    }`,
  );
}
