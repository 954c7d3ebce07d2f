/**
 * What benchmarks share: a program in C that takes turns with us, and medians.
 *
 * @module
 */

import type { Fd } from "../mod.ts";

/** How long some passes took, and the sum of what they saw. */
export interface Sample {
  readonly nanoseconds: number;
  readonly sum: number;
}

/** A program in C, compiled when the benchmark starts, that is asked line by line: `OPERATION PASSES`. */
export class Baseline implements AsyncDisposable {
  readonly #folder: string;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #reader: ReadableStreamDefaultReader<string>;

  /**
   * Compiles and starts it.
   *
   * @param file The source, beside this file.
   * @param args Its arguments.
   * @param options Descriptors that it inherits, and libraries that it is linked with.
   */
  constructor(
    file: string,
    args: readonly (string | number)[],
    options: { inherit?: readonly Fd[]; libraries?: readonly string[] } = {},
  ) {
    const { inherit = [], libraries = [] } = options;
    this.#folder = Deno.makeTempDirSync({ prefix: "bpf_deno_bench_" });
    const binary = `${this.#folder}/baseline`;
    const source = decodeURIComponent(new URL(file, import.meta.url).pathname);
    const compilers = ["clang-19", "clang", "gcc", "cc"];
    const rest = libraries.map((library) => `-l${library}`);
    if (!compilers.some((compiler) => compile(compiler, ["-O2", "-o", binary, source, ...rest]))) {
      throw new Error(`Cannot measure the baseline: no ${compilers.join(", ")} here compiles ${source}`);
    }
    for (const fd of inherit) fd.setInheritable(true);
    this.#child = new Deno.Command(binary, { args: args.map(String), stdin: "piped", stdout: "piped" }).spawn();
    for (const fd of inherit) fd.setInheritable(false);
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Runs some passes. */
  async run(operation: string, passes: number): Promise<Sample> {
    await this.#writer.write(new TextEncoder().encode(`${operation} ${passes}\n`));
    let text = "";
    while (!text.endsWith("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`Cannot measure ${operation} in C: the process has ended`);
      text += value;
    }
    const [nanoseconds, sum] = text.trim().split(" ").map(Number);
    return { nanoseconds, sum };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
    await this.#reader.cancel();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

function compile(compiler: string, args: readonly string[]): boolean {
  try {
    return new Deno.Command(compiler, { args: [...args] }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs some passes here. */
export function measure(pass: () => number, passes: number): Sample {
  let sum = 0;
  const start = performance.now();
  for (let index = 0; index < passes; index++) sum += pass();
  return { nanoseconds: (performance.now() - start) * 1e6, sum };
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
