/**
 * A bpffs that delegates: a child in a user namespace of its own opens the file system, and this process, which is
 * privileged, says what is delegated. The system calls of mounting are here, as only tests need them.
 *
 * @module
 */

import { Fd } from "../../ffi/fd.ts";
import { cString } from "../../ffi/memory.ts";
import { syscallNumber } from "../../ffi/libc.ts";
import { SLOWNESS } from "../_kernel_test.ts";

const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const AT_FDCWD = -100;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

function openLibc() {
  return Deno.dlopen("libc.so.6", {
    fsopen: { name: "syscall", parameters: ["i32", "buffer", "u32"], result: "i32" },
    fsconfig: { name: "syscall", parameters: ["i32", "i32", "u32", "buffer", "buffer", "i32"], result: "i32" },
    fsmount: { name: "syscall", parameters: ["i32", "i32", "u32", "u32"], result: "i32" },
    move_mount: { name: "syscall", parameters: ["i32", "i32", "buffer", "i32", "buffer", "u32"], result: "i32" },
    pidfd_open: { name: "syscall", parameters: ["i32", "i32", "u32"], result: "i32" },
    pidfd_getfd: { name: "syscall", parameters: ["i32", "i32", "i32", "u32"], result: "i32" },
  });
}

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what} failed in the test`);
  return result;
}

/** Opens the bpf file system in the user namespace of this process: fsopen(2). */
export function openBpffs(): Fd {
  const libc = openLibc();
  return Fd.own(must(libc.symbols.fsopen(syscallNumber("fsopen"), cString("bpf"), 0), "fsopen(bpf)"));
}

/** Mounts what {@link openBpffs} opened, once it is created, on a directory. */
export function mountBpffs(context: Fd, directory: string): void {
  const libc = openLibc();
  using mount = Fd.own(must(libc.symbols.fsmount(syscallNumber("fsmount"), context.fd, 0, 0), "fsmount"));
  const moved = libc.symbols.move_mount(
    syscallNumber("move_mount"),
    mount.fd,
    cString(""),
    AT_FDCWD,
    cString(directory),
    MOVE_MOUNT_F_EMPTY_PATH,
  );
  must(moved, "move_mount");
}

/** Sets mount options of a file system that another process opened, and creates it. */
function configure(pid: number, fd: number, options: Readonly<Record<string, string>>): void {
  const libc = openLibc();
  using pidFd = Fd.own(must(libc.symbols.pidfd_open(syscallNumber("pidfd_open"), pid, 0), "pidfd_open"));
  const copy = libc.symbols.pidfd_getfd(syscallNumber("pidfd_getfd"), pidFd.fd, fd, 0);
  using context = Fd.own(must(copy, "pidfd_getfd"));
  const fsconfig = (command: number, key: string | null, value: string | null): number =>
    libc.symbols.fsconfig(
      syscallNumber("fsconfig"),
      context.fd,
      command,
      key === null ? null : cString(key),
      value === null ? null : cString(value),
      0,
    );
  for (const [key, value] of Object.entries(options)) {
    must(fsconfig(FSCONFIG_SET_STRING, key, value), `fsconfig(${key}=${value})`);
  }
  must(fsconfig(FSCONFIG_CMD_CREATE, null, null), "fsconfig(create)");
}

/** What the child of {@link runDelegated} says. */
export interface DelegatedResult {
  /** What each of its steps gave, by name. */
  readonly [step: string]: unknown;
}

/**
 * Runs `_token_child.ts` in a user and a mount namespace of its own, with a bpffs that delegates.
 *
 * @param options Mount options, such as `{ delegate_cmds: "map_create" }`.
 * @returns What the child printed last, as JSON.
 */
export async function runDelegated(options: Readonly<Record<string, string>>): Promise<DelegatedResult> {
  const root = decodeURIComponent(new URL("../..", import.meta.url).pathname);
  const script = `${root}tests/kernel/_token_child.ts`;
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--cached-only", "--config", `${root}deno.json`, script];
  const child = new Deno.Command("unshare", {
    args: ["--user", "--map-root-user", "--mount", "--propagation", "private", ...deno],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000 * SLOWNESS);
  const errors = new Response(child.stderr).text();
  const lines: string[] = [];
  const writer = child.stdin.getWriter();
  try {
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      rest += text;
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        const opened = /^opened (\d+)$/.exec(line)?.[1];
        if (opened === undefined) lines.push(line);
        else {
          configure(child.pid, Number(opened), options);
          await writer.write(new TextEncoder().encode("created\n"));
        }
      }
    }
  } finally {
    clearTimeout(timer);
    await writer.close().catch(() => {});
    await child.status;
  }
  const { code } = await child.status;
  if (code !== 0) throw new Error(`The child in its user namespace failed (${code}): ${await errors}`);
  return JSON.parse(lines[lines.length - 1]);
}
