/**
 * Programs of the machine, as tests run them.
 *
 * @module
 */

/** Where programs are, besides PATH: an ordinary user's PATH often lacks the administrator's folders. */
const EXTRA_PATH: readonly string[] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** What a program left when it ended. */
export interface RunResult {
  /** The exit code; 128 + the signal's number where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether it was killed because its time was over. */
  readonly timedOut: boolean;
}

/** How {@linkcode run} runs a program. */
export interface RunOptions {
  /** What the program reads; nothing where left out. */
  readonly stdin?: string | Uint8Array;
  /** Milliseconds after which it is killed. @default {30_000} */
  readonly timeoutMs?: number;
  /** Its working directory. */
  readonly cwd?: string;
  /** Variables added to its environment. */
  readonly env?: Record<string, string>;
}

/**
 * Where a program is.
 *
 * @param name The program's name, or a path.
 * @returns Its path; undefined where the machine lacks it.
 */
export function toolPath(name: string): string | undefined {
  const folders = name.includes("/") ? [""] : [...(Deno.env.get("PATH") ?? "").split(":"), ...EXTRA_PATH];
  for (const folder of folders) {
    const path = folder === "" ? name : `${folder}/${name}`;
    try {
      const { isFile, mode } = Deno.statSync(path);
      if (isFile && ((mode ?? 0) & 0o111) !== 0) return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/**
 * Whether the machine has a program.
 *
 * @param name The program's name.
 * @returns Whether it is in PATH or in an administrator's folder.
 */
export function hasTool(name: string): boolean {
  return toolPath(name) !== undefined;
}

/**
 * Runs a program to its end.
 *
 * @param cmd The program's name.
 * @param args Its arguments.
 * @param options What it reads, and how long it may take.
 * @returns What it wrote, and its exit code.
 * @throws {Error} Where the machine lacks the program.
 */
export async function run(cmd: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  const path = toolPath(cmd);
  if (path === undefined) throw new Error(`Cannot run ${cmd}: this machine lacks it (deno task setup installs it)`);
  const { stdin, timeoutMs = 30_000, cwd, env = {} } = options;
  const child = new Deno.Command(path, {
    args: [...args],
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    env,
    ...(cwd === undefined ? {} : { cwd }),
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const written = stdin === undefined ? Promise.resolve() : feed(child.stdin, stdin);
    const [{ code, stdout, stderr }] = await Promise.all([child.output(), written]);
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr), timedOut };
  } finally {
    clearTimeout(timer);
  }
}

async function feed(stream: WritableStream<Uint8Array>, data: string | Uint8Array): Promise<void> {
  const writer = stream.getWriter();
  try {
    await writer.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
    await writer.close();
  } catch (error) {
    // A program may end without reading all: its exit code tells whether that was right.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/**
 * What bpftool says, as JSON.
 *
 * @param args Its arguments, without `-j`.
 * @returns What it printed, parsed.
 * @throws {Error} Where the machine lacks bpftool, or where it failed.
 */
export async function bpftoolJson(args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await run("bpftool", ["-j", ...args]);
  if (code !== 0) throw new Error(`Cannot ask bpftool ${args.join(" ")}: ${stderr || stdout}`);
  return JSON.parse(stdout);
}
