/**
 * The options that all commands know, in front of the words or among them.
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import type { GlobalOptions } from "./_session.ts";
import { UsageError } from "./_words.ts";

/** What the options come to. */
export interface ParsedOptions {
  /** The options. */
  readonly options: GlobalOptions;
  /** What is left. */
  readonly words: string[];
  /** Whether help was asked for. */
  readonly help: boolean;
  /** Whether the version was asked for. */
  readonly version: boolean;
}

const BOOLEANS = {
  json: "j",
  pretty: "p",
  bpffs: "f",
  debug: "d",
  nomount: "n",
  legacy: "l",
  mapcompat: "m",
  "use-loader": "L",
  help: "h",
  version: "V",
} as const;

/**
 * Parses options.
 *
 * @param args The command line, without the program's name.
 * @returns The options, and the words that are left.
 */
export function parseOptions(args: readonly string[]): ParsedOptions {
  let format: GlobalOptions["format"] = "text";
  // `--json=v1` beside `--json`: the flag alone is a boolean.
  const rest = args.filter((arg) => {
    if (!arg.startsWith("--json=")) return true;
    const version = arg.slice("--json=".length);
    if (version !== "v1") throw new UsageError(`there is no JSON schema "${version}", only v1`);
    format = "v1";
    return false;
  });
  const { options, words } = split(rest);
  const unknown: string[] = [];
  const parsed = parseArgs(options, {
    boolean: Object.keys(BOOLEANS),
    string: ["base-btf"],
    alias: { ...Object.fromEntries(Object.entries(BOOLEANS).map(([long, short]) => [short, long])), B: "base-btf" },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  }) as unknown as Record<keyof typeof BOOLEANS, boolean> & { "base-btf"?: string };
  if (unknown.length > 0) throw new UsageError(`unrecognized option '${unknown[0]}'`);
  const pretty = parsed.pretty;
  if (format === "text" && (parsed.json || pretty)) format = "json";
  return {
    options: {
      format,
      pretty,
      bpffs: parsed.bpffs,
      debug: parsed.debug,
      noMount: parsed.nomount,
      legacy: parsed.legacy,
      baseBtf: parsed["base-btf"],
    },
    words,
    help: parsed.help,
    version: parsed.version,
  };
}

/** Groups whose commands have options of their own. */
const WITH_OPTIONS: ReadonlySet<string> = new Set(["top"]);

/** The options, and the other words: options may stand among words, as getopt(3) has it. */
function split(args: readonly string[]): { options: string[]; words: string[] } {
  const [options, words]: [string[], string[]] = [[], []];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at];
    if (arg === "--") {
      words.push(...args.slice(at + 1));
      break;
    }
    const own = words.length > 0 && WITH_OPTIONS.has(words[0]);
    // A dash alone is the standard input; a dash and a digit is a number, which somebody will refuse.
    if (own || !/^-[^-\d]|^--./.test(arg)) words.push(arg);
    else options.push(arg, ...(arg === "-B" || arg === "--base-btf" ? args.slice(++at, at + 1) : []));
  }
  return { options, words };
}
