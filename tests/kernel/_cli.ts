/**
 * The command line as tests run it: our own in this process, bpftool beside it.
 *
 * @module
 */

import { bpf } from "../../cli/main.ts";
import { SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

/** The command line's entry. */
export const MAIN: string = decodeURIComponent(new URL("../../cli/main.ts", import.meta.url).pathname);
/** The project's folder. */
export const ROOT: string = decodeURIComponent(new URL("../../", import.meta.url).pathname);
/** Where compiled objects are. */
export const OBJECTS: string = decodeURIComponent(new URL("../testdata/objects/", import.meta.url).pathname);

/** What a command left. */
export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Does a command by our own program. */
export async function ours(...args: string[]): Promise<Result> {
  return await shown(args, false);
}

/** Does a command by our own program, on a terminal or elsewhere. */
export async function shown(args: readonly string[], terminal: boolean): Promise<Result> {
  let [out, err] = ["", ""];
  const output = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) };
  const code = await bpf(args, { ...output, terminal, colours: terminal });
  return { code, out, err };
}

/** Does a command by our own program in a process of its own. */
export async function apart(...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await run(Deno.execPath(), ["run", "--no-lock", "--allow-ffi", MAIN, ...args], {
    cwd: ROOT,
    timeoutMs: 30_000 * SLOWNESS,
  });
  return { code, out: stdout, err: stderr };
}

/** Does a command by bpftool. */
export async function theirs(...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await run("bpftool", args, { timeoutMs: 60_000 * SLOWNESS });
  return { code, out: stdout, err: stderr };
}
