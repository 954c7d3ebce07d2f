/**
 * Runs the tests so that they leave nothing behind and touch nothing foreign: `deno task test:only [ARGUMENT…]`.
 *
 * Arguments that are paths replace the default folders, options go to `deno test`, and any other word is a filter on
 * the tests' names. As root the tests run in a mount and a network namespace and a cgroup of their own, and what the
 * kernel holds afterwards is compared with what it held before.
 *
 * @module
 */

import { kernelState, leftovers } from "./_leftovers.ts";
import { Sandbox } from "./_sandbox.ts";
import { toolPath } from "./_tools.ts";

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);

/** `deno.json` without links, for as long as a run on the JSR packages lasts. */
const JSR_CONFIG = `${ROOT}.jsr.deno.json`;

const FOLDERS: readonly string[] = ["tests/unit", "tests/kernel", "tests/fuzz"];

/** Options of deno test whose value is the next argument. */
const WITH_VALUE: ReadonlySet<string> = new Set(["--filter", "--reporter", "--junit-path", "--seed", "--v8-flags"]);

const SIGNALS: readonly Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * The arguments of deno test for those of this program.
 *
 * @param args Options, paths and words to filter by.
 * @returns Options first, then the paths, or the default folders where there is none.
 */
export function testArguments(args: readonly string[]): string[] {
  const options: string[] = [];
  const paths: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i].startsWith("-")) {
      options.push(args[i]);
      if (WITH_VALUE.has(args[i]) && i + 1 < args.length) options.push(args[++i]);
    } else if (exists(args[i])) paths.push(args[i]);
    else options.push("--filter", args[i]);
  }
  return [...options, ...(paths.length > 0 ? paths : FOLDERS.filter(exists))];
}

/** Waits for a process, handing it the signals that this one gets; one that stays is killed after ten seconds. */
async function ended(child: Deno.ChildProcess): Promise<number> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let received = 0;
  const kill = (signal: Deno.Signal): void => {
    try {
      child.kill(signal);
    } catch {
      // It has ended.
    }
  };
  const listeners = SIGNALS.map((signal, index): [Deno.Signal, () => void] => [signal, () => {
    received ||= [130, 143, 129, 131][index];
    kill(signal);
    timer ??= setTimeout(() => kill("SIGKILL"), 10_000);
  }]);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  try {
    const { code } = await child.status;
    return received || code;
  } finally {
    clearTimeout(timer);
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  }
}

/**
 * Waits until no other run is under way on this machine: they would share the kernel's ids and sysctls. The lock is
 * taken on a file that every machine has, so that none is left behind.
 */
async function turn(): Promise<Disposable> {
  const file = await Deno.open(toolPath("sh") ?? Deno.execPath());
  const timer = setTimeout(() => console.error("tests: waiting for another run on this machine"), 2000);
  await file.lock(true);
  clearTimeout(timer);
  return file;
}

/** Runs deno test inside the sandbox, or here where there is none, and then looks for what is left. */
async function runTests(common: readonly string[], rest: readonly string[]): Promise<number> {
  const deno = Deno.execPath();
  // The network namespace has no way out: what is to download is downloaded, and the types are checked, before.
  const prepared = new Deno.Command(deno, { args: ["test", ...common, "--no-run", ...rest], stdin: "null" }).spawn();
  const preparation = await ended(prepared);
  if (preparation !== 0) return preparation;

  using _turn = await turn();
  const before = await kernelState();
  const sandbox = await Sandbox.make();
  const args = ["test", "-A", ...common, "--no-check", "--cached-only", "--sanitize-ops", ...rest];
  const [command, options] = sandbox?.command(deno, args) ?? [deno, { args }];
  let code = 1;
  const found: string[] = [];
  try {
    code = await ended(new Deno.Command(command, { ...options, stdin: "null" }).spawn());
  } finally {
    found.push(...await sandbox?.remove() ?? []);
    found.push(...await leftovers(before));
  }
  for (const sentence of found) console.error(`tests: ${sentence}`);
  return code === 0 && found.length > 0 ? 1 : code;
}

async function main(args: readonly string[]): Promise<number> {
  Deno.chdir(ROOT);
  const rest = testArguments(args.filter((arg) => arg !== "--jsr"));
  if (!args.includes("--jsr")) return await runTests([], rest);
  const { links: _, ...config } = JSON.parse(await Deno.readTextFile("deno.json"));
  await Deno.writeTextFile(JSR_CONFIG, JSON.stringify(config));
  try {
    return await runTests(["--config", JSR_CONFIG, "--no-lock"], rest);
  } finally {
    await Deno.remove(JSR_CONFIG);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
