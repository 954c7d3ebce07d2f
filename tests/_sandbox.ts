/**
 * A place of its own for a test run: mount and network namespace, file systems, a cgroup.
 *
 * @module
 */

import { run, toolPath } from "./_tools.ts";

/**
 * Mounts the file systems on directories of the run's own, moves to the run's cgroup and becomes the test process: one
 * process id from unshare to deno, so that a signal reaches it. What the kernel lacks is taken out of the environment.
 */
const ENTER = `
mount -t bpf bpf "$BPF_TEST_BPFFS" || unset BPF_TEST_BPFFS
mount -t tracefs tracefs "$BPF_TEST_TRACEFS" || unset BPF_TEST_TRACEFS
mount -t debugfs debugfs "$BPF_TEST_DEBUGFS" || unset BPF_TEST_DEBUGFS
ip link set lo up || echo "tests: loopback stays down" >&2
if [ -n "$BPF_TEST_CGROUP" ]; then echo $$ > "\${BPF_TEST_CGROUP%/*}/runner/cgroup.procs"; fi
exec "$@"
`;

/** Where the cgroup v2 hierarchy is mounted: /sys/fs/cgroup mostly, a folder of it beside version 1. */
export function cgroup2Mount(): string | undefined {
  for (const line of Deno.readTextFileSync("/proc/self/mounts").split("\n")) {
    const [, path, type, options = ""] = line.split(" ");
    if (type === "cgroup2" && options.split(",").includes("rw")) return path;
  }
  return undefined;
}

/** Removes a cgroup with all below it, ending the processes in it; gives how many those were. */
async function removeCgroup(path: string): Promise<number> {
  let ended = 0;
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    if (isDirectory) ended += await removeCgroup(`${path}/${name}`);
  }
  const processes = (): string[] => Deno.readTextFileSync(`${path}/cgroup.procs`).split("\n").filter(Boolean);
  const left = processes();
  for (const pid of left) {
    try {
      Deno.kill(Number(pid), "SIGKILL");
      ended++;
    } catch {
      // It has ended by itself.
    }
  }
  for (const end = Date.now() + 5000; processes().length > 0 && Date.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // A cgroup counts as busy for a moment after its last process has ended.
  for (let tries = 0;; tries++) {
    try {
      Deno.removeSync(path);
      return ended;
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A test run's own place, as root. */
export class Sandbox {
  readonly #folder: string;
  readonly #cgroup: string | undefined;

  private constructor(folder: string, cgroup: string | undefined) {
    this.#folder = folder;
    this.#cgroup = cgroup;
  }

  /** Makes the place; undefined, with the reason printed, where this process cannot. */
  static async make(): Promise<Sandbox | undefined> {
    if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
      console.error("tests: not root on Linux, so that tests of the kernel are skipped");
      return undefined;
    }
    for (const tool of ["unshare", "mount", "ip"]) {
      if (toolPath(tool) !== undefined) continue;
      console.error(`tests: no ${tool} here, so that tests that need a place of their own are skipped`);
      return undefined;
    }
    const tried = await run("unshare", ["--mount", "--net", "--propagation", "private", "true"]);
    if (tried.code !== 0) {
      console.error(`tests: tests that need a place of their own are skipped: ${tried.stderr.trim()}`);
      return undefined;
    }
    const folder = Deno.makeTempDirSync({ prefix: "bpf_deno_tests_" });
    // Tests run programs as other users too, who must get at the files.
    Deno.chmodSync(folder, 0o755);
    for (const name of ["bpf", "tracefs", "debugfs"]) Deno.mkdirSync(`${folder}/${name}`);
    Deno.mkdirSync(`${folder}/tmp`);
    Deno.chmodSync(`${folder}/tmp`, 0o1777);
    return new Sandbox(folder, Sandbox.#makeCgroup(folder));
  }

  static #makeCgroup(folder: string): string | undefined {
    try {
      const root = cgroup2Mount();
      if (root === undefined) throw new Error("no cgroup v2 is mounted");
      const path = `${root}/${folder.slice(folder.lastIndexOf("/") + 1)}`;
      // The runner stands beside the tests' cgroup, so that what they attach there does not reach it.
      for (const name of ["", "/runner", "/tests"]) Deno.mkdirSync(path + name);
      return path;
    } catch (error) {
      console.error(`tests: no cgroup: ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
  }

  /** The command that runs another inside, with its arguments and environment. */
  command(command: string, args: readonly string[]): [string, Deno.CommandOptions] {
    const folder = this.#folder;
    return [toolPath("unshare") ?? "unshare", {
      args: ["--mount", "--net", "--propagation", "private", "sh", "-c", ENTER, "sh", command, ...args],
      env: {
        PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`,
        TMPDIR: `${folder}/tmp`,
        BPF_TEST_NETNS: "1",
        BPF_TEST_BPFFS: `${folder}/bpf`,
        BPF_TEST_TRACEFS: `${folder}/tracefs`,
        BPF_TEST_DEBUGFS: `${folder}/debugfs`,
        ...(this.#cgroup === undefined ? {} : { BPF_TEST_CGROUP: `${this.#cgroup}/tests` }),
      },
    }];
  }

  /** Ends what still runs inside and removes the place; gives a sentence for each thing that should not be. */
  async remove(): Promise<string[]> {
    const found: string[] = [];
    try {
      const ended = this.#cgroup === undefined ? 0 : await removeCgroup(this.#cgroup);
      if (ended > 0) found.push(`${ended} processes outlived the tests and were ended`);
    } catch (error) {
      found.push(`the cgroup ${this.#cgroup} is not removed: ${error instanceof Error ? error.message : error}`);
    }
    try {
      Deno.removeSync(this.#folder, { recursive: true });
    } catch (error) {
      found.push(`${this.#folder} is not removed: ${error instanceof Error ? error.message : error}`);
    }
    return found;
  }
}
