/**
 * One command line: its options, what it prints, and what it may do.
 *
 * @module
 */

import { errnoMeaning, NotSupportedError, PermissionError, SyscallError } from "../errors.ts";
import type { Capability } from "../tokens/capabilities.ts";
import { readEnvironment } from "../tokens/environment.ts";
import { acquire, type PermissionToken } from "../tokens/token.ts";
import { toJsonV1, type Writable, writeJson } from "./_json.ts";
import { plainStyle, type Style } from "./_style.ts";
import { CommandError, exitCodeOf } from "./_words.ts";

/** A token with all that the process may do: what that is not, the kernel's rules refuse. */
export type HeldToken = PermissionToken<Capability>;

/** How answers are written: for people, as bpftool's JSON, or as the library's own. */
export type Format = "text" | "json" | "v1";

/** The options that all commands know. */
export interface GlobalOptions {
  /** How answers are written. */
  readonly format: Format;
  /** Whether JSON is laid out over lines. */
  readonly pretty: boolean;
  /** Whether names of pinned objects are looked for. */
  readonly bpffs: boolean;
  /** Whether what libbpf would say is said. */
  readonly debug: boolean;
  /** Whether no bpffs may be mounted. */
  readonly noMount: boolean;
  /** Whether legacy map definitions are taken. */
  readonly legacy: boolean;
  /** The BTF that split BTF continues. */
  readonly baseBtf: string | undefined;
}

/** Where text goes. */
export interface Output {
  /** Writes to the standard output. */
  out(text: string): void;
  /** Writes to the standard error. */
  err(text: string): void;
  /** Whether the standard output is a terminal. */
  readonly terminal: boolean;
  /** Whether colours are shown there. */
  readonly colours: boolean;
}

/** What a command answers: each form is made only where it is asked for. */
export interface Answer {
  /** As bpftool's `-j` has it. */
  readonly json: () => Writable;
  /** The kind of the answer, such as `"prog.show"`, and what the library says itself; what `json` gives where left out. */
  readonly v1?: readonly [kind: string, data: () => unknown];
  /** For people. */
  readonly text: () => string;
}

/** One command line. */
export class Session {
  /** The options that all commands know. */
  readonly options: GlobalOptions;
  /** Where text goes. */
  readonly output: Output;
  /** How text for people looks. */
  readonly style: Style;
  #token: HeldToken | undefined;

  /** Begins a command line. */
  constructor(options: GlobalOptions, output: Output, style: Style = plainStyle) {
    this.options = options;
    this.output = output;
    this.style = style;
  }

  /** A token with all that the process may do. */
  get token(): HeldToken {
    return this.#token ??= acquireHeld();
  }

  /** Whether answers are for people. */
  get isText(): boolean {
    return this.options.format === "text";
  }

  /** Writes an answer. */
  answer({ json, v1, text }: Answer): void {
    const { format, pretty } = this.options;
    if (format === "text") return this.output.out(text());
    if (format === "json") return this.output.out(`${writeJson(json(), pretty)}\n`);
    const data = v1 === undefined ? json() : v1[1]();
    const document = { version: 1, kind: v1?.[0] ?? "value", data: toJsonV1(data) };
    this.output.out(`${writeJson(document, pretty)}\n`);
  }

  /** Writes an answer that is nothing but that it was done. */
  done(): void {
    this.answer({ json: () => null, v1: ["done", () => null], text: () => "" });
  }

  /** Ends what was opened. */
  close(): void {
    this.#token?.revoke();
  }
}

/** A token with every capability that the process has; outside of the initial user namespace none counts. */
export function acquireHeld(): HeldToken {
  const { capabilities: held, initialUserNamespace } = readEnvironment();
  return acquire(...(initialUserNamespace ? held : [])) as HeldToken;
}

/**
 * What is said of an error, and the exit code that goes with it.
 *
 * @param error What was thrown.
 * @returns One line, and the code; undefined for errors that are bugs.
 */
export function explain(error: unknown): { message: string; exitCode: number } | undefined {
  if (error instanceof CommandError) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof SyscallError) return { message: firstLine(error.message), exitCode: exitCodeOf(error.errno) };
  if (error instanceof PermissionError || error instanceof NotSupportedError) {
    return { message: firstLine(error.message), exitCode: 255 };
  }
  if (error instanceof Deno.errors.NotCapable) {
    return { message: `${firstLine(error.message)}`, exitCode: 77 };
  }
  if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) {
    return { message: firstLine(error.message), exitCode: 255 };
  }
  // What Deno says of files, with a class of its own or without.
  const isOfFiles = (of: Error): boolean =>
    Object.values(Deno.errors).some((kind) => of instanceof kind) || /\(os error \d+\)$/.test(of.message);
  if (error instanceof Error && isOfFiles(error)) {
    return { message: firstLine(error.message), exitCode: 255 };
  }
  return undefined;
}

function firstLine(text: string): string {
  const end = text.indexOf("\n");
  return end < 0 ? text : text.slice(0, end);
}

/**
 * Does what the kernel may refuse, and says so in bpftool's words: `get by id (7): No such file or directory`.
 *
 * @param what What is done.
 * @param work Does it.
 * @param exitCode The exit code where it is refused; by the errno where it is left out.
 * @returns What the work gives.
 */
export function orSay<T>(what: string, work: () => T, exitCode?: number): T {
  try {
    return work();
  } catch (error) {
    const cause = error instanceof SyscallError ? error : (error as Error).cause;
    const errno = error instanceof SyscallError || error instanceof PermissionError
      ? error.errno
      : cause instanceof SyscallError
      ? cause.errno
      : undefined;
    if (errno === undefined || error instanceof PermissionError) throw error;
    throw new CommandError(`${what}: ${errnoMeaning(errno)}`, exitCode ?? exitCodeOf(errno), { cause: error });
  }
}
