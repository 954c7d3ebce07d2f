/**
 * A stand-in for `@std/cli` where JSR cannot be reached: `parseArgs`, which behaves as the real one does. Its types are
 * simpler: aliases and dotted names are `unknown`.
 *
 * @module
 */

import { FlagTable, isNumeric } from "./_flags.ts";

/** The options of {@linkcode parseArgs}. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
  DD extends boolean = boolean,
> {
  /** Whether what stands behind `--` goes to `"--"` instead of `_`. */
  "--"?: DD;
  /** Other names of an option. */
  alias?: Record<string, string | readonly string[]>;
  /** The options without a value; `true` for each `--name` without `=`. They are `false` where not given. */
  boolean?: boolean | B | readonly B[];
  /** What an option is where it is not given. */
  default?: D;
  /** Whether everything behind the first non-option goes to `_`. */
  stopEarly?: boolean;
  /** The options whose value stays text, even where it looks like a number. */
  string?: S | readonly S[];
  /** The options that may be given several times: they are arrays. */
  collect?: C | readonly C[];
  /** The options that `--no-name` sets to `false`. */
  negatable?: N | readonly N[];
  /** Called with each option that is not known, and each non-option; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Flags<B extends string, S extends string, C extends string, N extends string> =
  & { [K in Exclude<B, C> as string extends K ? never : K]: boolean }
  & { [K in B & C]: boolean[] }
  & { [K in Exclude<S, C>]?: string | (K extends N ? false : never) }
  & { [K in S & C]: string[] }
  & { [K in Exclude<C, B | S>]: unknown[] };

type WithDefaults<F, D> =
  & Omit<F, keyof D>
  & { [K in keyof D]: K extends keyof F ? D[K] | NonNullable<F[K]> : unknown };

/** What {@linkcode parseArgs} gives: the options by name, and the rest in `_`. */
export type Args<F = Record<string, unknown>, DD extends boolean = false> =
  & Record<string, unknown>
  & F
  & { /** The arguments that belong to no option. */ _: (string | number)[] }
  & (DD extends true ? { /** The arguments behind `--`. */ "--": string[] } : Record<never, never>);

/**
 * Reads command line arguments.
 *
 * @param args The arguments.
 * @param options Which options there are.
 * @returns The options by name, and the rest in `_`.
 */
export function parseArgs<
  const B extends string = never,
  const S extends string = never,
  const C extends string = never,
  const N extends string = never,
  D extends Record<string, unknown> = Record<never, never>,
  const DD extends boolean = false,
>(args: string[], options: ParseOptions<B, S, C, N, D, DD> = {}): Args<WithDefaults<Flags<B, S, C, N>, D>, DD> {
  const table = new FlagTable(options);
  const end = args.indexOf("--");
  const behind = end < 0 ? [] : args.slice(end + 1);
  const before = end < 0 ? args : args.slice(0, end);
  const rest: (string | number)[] = [];
  for (let i = 0; i < before.length; i++) {
    const arg = before[i];
    if (/^--./s.test(arg)) i += table.long(arg, before[i + 1]);
    else if (/^-./s.test(arg)) i += table.short(arg, before[i + 1]);
    else {
      if (options.unknown?.(arg) !== false) rest.push(table.isString("_") || !isNumeric(arg) ? arg : Number(arg));
      if (options.stopEarly) {
        rest.push(...before.slice(i + 1));
        break;
      }
    }
  }
  table.fillIn();
  const result: Record<string, unknown> = table.values;
  result._ = options["--"] ? rest : [...rest, ...behind];
  if (options["--"]) result["--"] = behind;
  return result as Args<WithDefaults<Flags<B, S, C, N>, D>, DD>;
}
