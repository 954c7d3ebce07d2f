/**
 * The words of a command line, in bpftool's grammar: keywords may be shortened, and come in an order.
 *
 * @module
 */

import { errnos } from "../uapi/errno.gen.ts";

/** A command that cannot be done: told in one line, or as `{"error": …}`. */
export class CommandError extends Error {
  /** The exit code. */
  readonly exitCode: number;

  /**
   * Says what is wrong.
   *
   * @param message One line.
   * @param exitCode The exit code: 255, or 256 less the errno, as bpftool's are.
   * @param options What led to it.
   */
  constructor(message: string, exitCode = 255, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * The exit code that tells an errno, as bpftool's do.
 *
 * @param errno The positive error number.
 * @returns What is left of −errno in a byte.
 */
export function exitCodeOf(errno: number): number {
  return -errno & 0xff;
}

/** The exit code of what is not there: 256 less ENOENT. */
export const NOT_FOUND: number = exitCodeOf(errnos.ENOENT);
/** The exit code of words that bpftool answers as the kernel would: 256 less EINVAL. */
export const INVALID: number = exitCodeOf(errnos.EINVAL);

/** A failure that what was shown tells of already: nothing more is said. */
export class QuietFailure extends CommandError {
  /** Ends with a code. */
  constructor(exitCode: number) {
    super("", exitCode);
  }
}

/** A command line that makes no sense: the usage is shown. */
export class UsageError extends Error {}

/**
 * Whether a word stands for a keyword: it is the start of it. C name: `is_prefix`.
 *
 * @param word What was typed.
 * @param keyword The keyword.
 * @returns Whether it does.
 */
export function isPrefix(word: string | undefined, keyword: string): boolean {
  return word !== undefined && word !== "" && keyword.startsWith(word);
}

/** Words that are taken one by one. */
export class Words {
  readonly #words: readonly string[];
  #at = 0;

  /** Takes words. */
  constructor(words: readonly string[]) {
    this.#words = words;
  }

  /** How many are left. */
  get left(): number {
    return this.#words.length - this.#at;
  }

  /** The next word, which is not taken. */
  get peek(): string | undefined {
    return this.#words[this.#at];
  }

  /** Takes the next word. */
  next(what: string): string {
    const word = this.#words[this.#at];
    if (word === undefined) throw new CommandError(`expected ${what}, got nothing`);
    this.#at++;
    return word;
  }

  /** Takes the next word where it stands for a keyword. */
  accept(keyword: string): boolean {
    if (!isPrefix(this.peek, keyword)) return false;
    this.#at++;
    return true;
  }

  /** Takes the next word, which has to stand for a keyword. */
  expect(keyword: string): void {
    if (!this.accept(keyword)) throw new CommandError(`expected '${keyword}', got: '${this.peek ?? ""}'?`);
  }

  /** Takes a number: decimal, or hexadecimal after 0x, octal after 0. */
  number(what: string, most = 0xffffffff): number {
    const word = this.next(what);
    const value = parseNumber(word);
    if (value === undefined || value < 0 || value > most) throw new CommandError(`can't parse ${word} as ${what}`);
    return value;
  }

  /** Says that there are words left which nobody wants. */
  end(): void {
    if (this.left > 0) throw new CommandError(`unexpected argument '${this.peek}'`);
  }
}

/**
 * A whole number as strtoul(3) reads it with base 0.
 *
 * @param text The text.
 * @returns The number; undefined where it is none, or not exact.
 */
export function parseNumber(text: string): number | undefined {
  const octal = /^[-+]?0[0-7]+$/.test(text);
  const value = octal ? parseInt(text, 8) : /^[-+]?(\d+|0x[0-9a-f]+)$/i.test(text) ? signed(text) : NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

function signed(text: string): number {
  return text.startsWith("-") ? -Number(text.slice(1)) : Number(text.replace(/^\+/, ""));
}
