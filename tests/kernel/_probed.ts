/**
 * A program, a library and BPF objects that tests compile: what uprobes and USDT probes are attached to.
 *
 * @module
 */

import { SLOWNESS } from "../_kernel_test.ts";
import { hasTool, run } from "../_tools.ts";

const SOURCES = decodeURIComponent(new URL("../testdata/probed/", import.meta.url).pathname);

/** The compiler for C. */
export const CLANG: string = hasTool("clang-19") ? "clang-19" : "clang";

async function compile(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(CLANG, args, { timeoutMs: 60_000 * SLOWNESS });
  if (code !== 0) throw new Error(`Cannot compile: ${stderr}`);
}

/** A compiled program that makes a round of calls for each byte that it reads, while it runs. */
export class Probed implements AsyncDisposable {
  /** The folder of what was compiled. */
  readonly folder: string;
  /** The program's path. */
  readonly path: string;
  /** The library's path. */
  readonly library: string;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor(folder: string) {
    this.folder = folder;
    this.path = `${folder}/probed`;
    this.library = `${folder}/libprobed.so`;
    this.#child = new Deno.Command(this.path, { stdin: "piped", stdout: "piped" }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Compiles and starts it. */
  static async start(): Promise<Probed> {
    const folder = Deno.makeTempDirSync();
    const map = `-Wl,--version-script=${SOURCES}probed.map`;
    const library = `${folder}/libprobed.so`;
    await compile(["-O1", "-shared", "-fPIC", map, "-o", library, `${SOURCES}probed_lib.c`]);
    const rpath = "-Wl,-rpath,$ORIGIN";
    await compile(["-O1", "-o", `${folder}/probed`, `${SOURCES}probed.c`, `-L${folder}`, "-lprobed", rpath]);
    const probed = new Probed(folder);
    await probed.#line();
    return probed;
  }

  /** The process's number. */
  get pid(): number {
    return this.#child.pid;
  }

  async #line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("Cannot go on: the probed program has ended");
      this.#rest += value;
    }
    const [line, ...rest] = this.#rest.split("\n");
    this.#rest = rest.join("\n");
    return line;
  }

  /** Makes a round of calls; gives the number of the round, its counter, and a sum of what the functions returned. */
  async round(): Promise<[round: number, counter: number, sum: number]> {
    await this.#writer.write(new Uint8Array([10]));
    const [round, counter, sum] = (await this.#line()).split(" ").map(Number);
    return [round, counter, sum];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
    await this.#lines.cancel();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Compiles the BPF object and the program that loads it with libbpf; gives their paths. */
export async function compileUsdt(folder: string): Promise<{ object: string; loader: string }> {
  const [object, loader] = [`${folder}/usdt.bpf.o`, `${folder}/usdt_libbpf`];
  const include = `-I/usr/include/${Deno.build.arch}-linux-gnu`;
  const target = `-D__TARGET_ARCH_${Deno.build.arch === "aarch64" ? "arm64" : "x86"}`;
  await compile(["-g", "-O2", "-target", "bpf", target, include, "-c", `${SOURCES}usdt.bpf.c`, "-o", object]);
  await compile(["-O1", `${SOURCES}usdt_libbpf.c`, "-o", loader, "-lbpf"]);
  return { object, loader };
}
