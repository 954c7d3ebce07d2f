/**
 * How long and how often something is watched.
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { CommandError, type Words } from "./_words.ts";

/** How long and how often. */
export interface Watch {
  /** Seconds; 0 until Ctrl-C. */
  readonly seconds: number;
  /** Seconds between two tables. */
  readonly interval: number;
  /** How many rows are shown. */
  readonly top: number;
}

function numberOption(name: string, text: string | undefined, fallback: number, from: number): number {
  if (text === undefined) return fallback;
  const value = text.trim() === "" ? NaN : Number(text);
  if (Number.isFinite(value) && value >= from && value <= 1e9) return value;
  throw new CommandError(`--${name} takes a number from ${from} on, not "${text}"`);
}

/** Parses what is left of the words. */
export function parseWatch(words: Words): Watch {
  const rest: string[] = [];
  while (words.left > 0) rest.push(words.next("an option"));
  const unknown: string[] = [];
  const { seconds, interval, top } = parseArgs(rest, {
    string: ["seconds", "interval", "top"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (unknown.length > 0) throw new CommandError(`unexpected argument '${unknown[0]}'`);
  return {
    seconds: numberOption("seconds", seconds, 0, 0),
    interval: numberOption("interval", interval, 1, 0.05),
    top: Math.floor(numberOption("top", top, 15, 1)),
  };
}
