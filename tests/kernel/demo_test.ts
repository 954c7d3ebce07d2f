import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { bpftoolJson, run, toolPath } from "../_tools.ts";

const DEMO = new URL("../../cli/demo.ts", import.meta.url).pathname;
const BUSY = new URL("_busy_child.ts", import.meta.url).pathname;
const RUN: readonly string[] = ["run", "--no-check", "--cached-only", "--allow-ffi", DEMO];

/** One line of `--json`. */
// deno-lint-ignore no-explicit-any
type Line = Record<string, any>;

/** A program whose lines are read one by one. */
class Child implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(args: readonly string[], command = Deno.execPath()) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** The next line; undefined at the end. */
  async line(): Promise<string | undefined> {
    while (true) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) return undefined;
      this.#text += value;
    }
  }

  /** The next line of `--json` that passes; those before it are added to `into`. */
  async find(passes: (line: Line) => boolean, into: Line[] = []): Promise<Line> {
    for (let text = await this.line(); text !== undefined; text = await this.line()) {
      const line = JSON.parse(text);
      into.push(line);
      if (passes(line)) return line;
    }
    throw new Error("the program ended without such a line");
  }

  /** All lines that are left, of `--json`. */
  async rest(): Promise<Line[]> {
    const lines: Line[] = [];
    for (let text = await this.line(); text !== undefined; text = await this.line()) lines.push(JSON.parse(text));
    return lines;
  }

  async write(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  async status(): Promise<number> {
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5000 * SLOWNESS);
    await this.#child.stdin.close().catch(() => {});
    await this.#reader.cancel();
    await this.#child.status;
    clearTimeout(timer);
  }
}

function demo(...args: string[]): Child {
  return new Child([...RUN, ...args]);
}

/** Starts the demo for as long as a test wants, and waits until it counts. */
async function counting(...args: string[]): Promise<Child> {
  const child = demo("--json", "--seconds", "0", "--interval", "0.1", "--top", "1000", ...args);
  await child.find(({ type }) => type === "syscall");
  return child;
}

/** Ends a demo that was started by {@linkcode counting}: what it has printed, its end included. */
async function interrupt(child: Child): Promise<Line[]> {
  child.kill("SIGINT");
  const lines = await child.rest();
  assertEquals(await child.status(), 0);
  return lines;
}

function busy(): Child {
  return new Child(["run", "--no-check", "--allow-ffi", BUSY]);
}

/** Lets a child make calls, to the end. */
async function keepBusy(child: Child, calls: number): Promise<void> {
  await child.write(`${calls}\n`);
  assertEquals(await child.line(), `${calls}`);
}

function sum(lines: readonly Line[]): number {
  return lines.reduce((total, { count }) => total + count, 0);
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  syscall: {
    type: "string",
    time: "string",
    pid: "number",
    hostPid: "number",
    comm: "string",
    syscall: "string",
    nr: "number",
    count: "number",
    rate: "number",
  },
  exec: {
    type: "string",
    time: "string",
    pid: "number",
    hostPid: "number",
    uid: "number",
    comm: "string",
    filename: "string",
  },
  end: { type: "string", time: "string", lostCalls: "number", lostExecs: "number" },
};

kernelTest("demo --json prints lines with the documented fields, the end last", {}, async () => {
  await using child = await counting();
  await run("true");
  const lines: Line[] = [];
  await child.find(({ type }) => type === "exec", lines);
  lines.push(...await interrupt(child));
  assertGreater(lines.length, 3);
  assertEquals([...new Set(lines.map(({ type }) => type))].sort(), ["end", "exec", "syscall"]);
  assertEquals(lines.filter(({ type }) => type === "end"), [lines[lines.length - 1]]);
  for (const line of lines) {
    const fields = Object.entries(line).map(([name, value]) => [name, value === null ? "number" : typeof value]);
    assertEquals(Object.fromEntries(fields), FIELDS[line.type]);
    assertLess(Math.abs(Date.parse(line.time) - Date.now()), 60_000);
  }
  const { lostCalls, lostExecs } = lines[lines.length - 1];
  assertEquals([lostCalls, lostExecs], [0, 0]);
});

kernelTest("demo counts what a process counts itself", {}, async () => {
  const CALLS = 400_000;
  await using worker = busy();
  await keepBusy(worker, 1);
  await using child = await counting();
  await keepBusy(worker, CALLS);
  const lines = (await interrupt(child)).filter(({ type, pid }) => type === "syscall" && pid === worker.pid);
  const mine = lines.filter(({ syscall }) => syscall === "getppid");
  // A call that comes while the kernel hands over an element and deletes it may be lost: one each time.
  const counted = sum(mine);
  assert(counted <= CALLS && counted >= CALLS - mine.length, `${counted} of ${CALLS} calls in ${mine.length} lines`);
  assertEquals(mine.map(({ comm }) => comm), mine.map(() => "deno"));
  for (const { count, rate } of mine) assert(rate > 0 && count / rate < 2, `${count} at ${rate} a second`);
  // Its other calls are there, too: it wrote what it had counted.
  assert(lines.some(({ syscall }) => syscall === "write" || syscall === "writev"));
});

kernelTest("demo reports each new process with the file that was asked for", {}, async () => {
  const PROCESSES = 20;
  const folder = await Deno.makeTempDir();
  try {
    const file = toolPath("true")!;
    const long = `${folder}/${"x".repeat(200)}`;
    await Deno.symlink(file, long);
    await using child = await counting();
    const pids: number[] = [];
    for (let index = 0; index < PROCESSES; index++) {
      const one = new Deno.Command(index === 7 ? long : file, { stdin: "null" }).spawn();
      pids.push(one.pid);
      await one.status;
    }
    const execs = (await interrupt(child)).filter(({ type, pid }) => type === "exec" && pids.includes(pid));
    assertEquals(execs.map(({ pid }) => pid), pids);
    assertEquals(execs.map(({ uid }) => uid), pids.map(() => 0));
    // 127 bytes are what there is room for.
    assertEquals(
      execs.map(({ filename }) => filename),
      pids.map((_, index) => index === 7 ? long.slice(0, 127) : file),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest("demo leaves its own calls out", {}, async () => {
  await using worker = busy();
  await using child = await counting();
  await keepBusy(worker, 1000);
  const lines = await interrupt(child);
  assert(lines.some(({ pid }) => pid === worker.pid));
  assertEquals(lines.filter(({ pid }) => pid === child.pid), []);
});

kernelTest("demo shows the numbers of its own PID namespace, and leaves itself out there", {
  tools: ["unshare"],
}, async () => {
  const script = `
    while :; do /bin/true; done &
    loop=$!
    echo "{\\"loop\\": $loop}"
    "$@" &
    echo "{\\"demo\\": $!}"
    wait $!
    echo "{\\"code\\": $?}"
    kill $loop
  `;
  const options = ["--json", "--seconds", `${1.5 * SLOWNESS}`, "--interval", "0.3", "--top", "1000"];
  const args = ["--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", Deno.execPath(), ...RUN, ...options];
  const { code, stdout } = await run("unshare", args);
  const lines: Line[] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(code, 0);
  assert(lines.some((line) => line.code === 0));
  const told = Object.assign({}, ...lines.filter(({ type }) => type === undefined));
  const loop = lines.filter(({ type, pid }) => type === "syscall" && pid === told.loop);
  assertGreater(loop.length, 0);
  assertEquals([...new Set(loop.map(({ comm }) => comm))], ["sh"]);
  assert(loop.every(({ hostPid }) => hostPid !== told.loop), "the number in the initial namespace is another one");
  const inside = lines.filter(({ type, pid }) => type === "exec" && pid !== null);
  assertGreater(inside.length, 3);
  assert(inside.every(({ filename, pid, hostPid }) => filename === "/bin/true" && pid > told.loop && hostPid !== pid));
  assertEquals(lines.filter(({ pid }) => pid === told.demo), []);
  // This process is not in the namespace, and makes calls.
  assert(lines.filter(({ hostPid }) => hostPid === Deno.pid).every(({ pid }) => pid === null));
});

kernelTest("demo --pid shows that process only", {}, async () => {
  await using worker = busy();
  await using other = busy();
  await keepBusy(worker, 1);
  await using child = demo("--json", "--seconds", "0", "--interval", "0.1", "--pid", `${worker.pid}`);
  const seen: Line[] = [];
  const both = (async () => {
    while (seen.length === 0) {
      await keepBusy(worker, 100);
      await keepBusy(other, 100);
      await delay(20);
    }
  })();
  await child.find(() => true, seen);
  await both;
  await keepBusy(other, 100);
  seen.push(...await interrupt(child));
  const calls = seen.filter(({ type }) => type === "syscall");
  assert(calls.some(({ syscall }) => syscall === "getppid"));
  assertEquals([...new Set(calls.map(({ pid }) => pid))], [worker.pid]);
  assertEquals(seen.filter(({ type }) => type === "exec"), []);
});

kernelTest("demo --top limits the rows, the busiest first", {}, async () => {
  const worker = new AbortController();
  const noise = (async () => {
    await using child = busy();
    while (!worker.signal.aborted) await keepBusy(child, 1000);
  })();
  await using child = demo("--json", "--seconds", `${SLOWNESS}`, "--interval", `${0.25 * SLOWNESS}`, "--top", "2");
  const lines = await child.rest();
  worker.abort();
  await noise;
  const tables = Map.groupBy(lines.filter(({ type }) => type === "syscall"), ({ time }) => time);
  assertGreater(tables.size, 2);
  for (const table of tables.values()) {
    assertEquals(table.length, 2);
    assert(table[0].rate >= table[1].rate);
  }
  assert([...tables.values()].some(([first]) => first.syscall === "getppid"));
});

kernelTest("demo prints plain tables where the output is no terminal", {}, async () => {
  const { code, stdout, stderr } = await run(Deno.execPath(), [
    ...RUN,
    ...["--seconds", `${0.9 * SLOWNESS}`, "--interval", "0.3", "--top", "3"],
  ]);
  assertEquals([code, stderr], [0, ""]);
  // deno-lint-ignore no-control-regex
  assert(!/\x1b/.test(stdout));
  const tables = stdout.split("\n\n").filter((table) => table.trim() !== "");
  assertGreater(tables.length, 1);
  for (const table of tables) {
    const [title, head, ...rows] = table.split("\n").filter((line) => !line.startsWith("+ "));
    assertMatch(title, /^\d+ system calls a second by \d+ processes$/);
    assertMatch(head, /^PROCESS +PID SYSCALL +CALLS\/S$/);
    assert(rows.length <= 3);
    for (const row of rows) assertMatch(row, /^.{16} +\d+ \w+ +[\d.]+( [▏▎▍▌▋▊▉█]+)?$/u);
  }
});

/** The demo's objects in the kernel, as `map 12`. */
async function objects(): Promise<Set<string>> {
  const names = new Set(["syscall_counts", "lost", "exec_files", "execs", "count_syscalls", "report_execs", "own_pid"]);
  const found = new Set<string>();
  const programs = new Set<number>();
  for (const kind of ["map", "prog", "link"] as const) {
    for (const { id, name, prog_id: program } of await bpftoolJson([kind, "list"]) as Line[]) {
      if (kind === "link" ? !programs.has(program) : !names.has(name)) continue;
      if (kind === "prog") programs.add(id);
      found.add(`${kind} ${id}`);
    }
  }
  return found;
}

const SIGNALS: readonly (readonly [Deno.Signal, number])[] = [
  ["SIGINT", 0],
  ["SIGTERM", 0],
  ["SIGHUP", 0],
  ["SIGKILL", 137],
];

for (const [signal, expected] of SIGNALS) {
  kernelTest(`demo leaves nothing loaded after ${signal}`, { tools: ["bpftool"] }, async () => {
    const before = await objects();
    await using child = await counting();
    const during = (await objects()).difference(before);
    const kinds = Object.entries(Object.groupBy([...during], (name) => name.split(" ")[0]));
    assertEquals(Object.fromEntries(kinds.map(([kind, all]) => [kind, all!.length])), { map: 4, prog: 2, link: 2 });
    child.kill(signal);
    assertEquals(await child.status(), expected);
    let left = during.intersection(await objects());
    for (const end = Date.now() + 2000 * SLOWNESS; left.size > 0 && Date.now() < end;) {
      await delay(50);
      left = during.intersection(await objects());
    }
    assertEquals([...left], []);
  });
}

kernelTest("demo says what is missing where it may not, and exits with 77", { tools: ["setpriv"] }, async () => {
  const args = ["--bounding-set=-all", "--inh-caps=-all", Deno.execPath(), ...RUN];
  const { code, stdout, stderr } = await run("setpriv", args);
  assertEquals([code, stdout], [77, ""]);
  assertMatch(stderr, /missing CAP_BPF and CAP_PERFMON/);
  const sysctl = (await Deno.readTextFile("/proc/sys/kernel/unprivileged_bpf_disabled")).trim();
  assert(stderr.includes(`kernel.unprivileged_bpf_disabled is ${sysctl}`), stderr);
  assertMatch(stderr, /sudo setcap cap_bpf,cap_perfmon\+ep "\$\(readlink -f "\$\(command -v deno\)"\)"/);
  assertEquals(stderr.trim().split("\n").length, 1);
});

kernelTest("demo names only what is missing", { tools: ["setpriv"] }, async () => {
  const caps = "-all,+bpf";
  const args = [`--bounding-set=${caps}`, "--inh-caps=-all", Deno.execPath(), ...RUN];
  const { code, stderr } = await run("setpriv", args);
  assertEquals(code, 77);
  assertMatch(stderr, /missing CAP_PERFMON: /);
  assertMatch(stderr, /setcap cap_perfmon\+ep/);
});

kernelTest("demo runs with CAP_BPF and CAP_PERFMON alone", { tools: ["setpriv"] }, async () => {
  const limited = ["setpriv", "--bounding-set=-all,+bpf,+perfmon", "--inh-caps=-all", Deno.execPath(), ...RUN];
  // Kernels before 5.11 charge maps to RLIMIT_MEMLOCK, which nobody raises without CAP_SYS_RESOURCE.
  const script = 'ulimit -l unlimited 2>/dev/null; exec "$@"';
  const { code, stdout, stderr } = await run("sh", ["-c", script, "sh", ...limited, "--seconds", "0.3"]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /system calls a second/);
});

kernelTest("demo says in one line that it needs --allow-ffi, and exits with 77", { root: false }, async () => {
  const { code, stdout, stderr } = await run(Deno.execPath(), ["run", "--no-check", "--cached-only", DEMO]);
  assertEquals([code, stdout], [77, ""]);
  assertMatch(stderr, /^Cannot run the demo: .*--allow-ffi.*\n$/);
});

kernelTest("demo exits with 2 for arguments that it does not take", { root: false }, async () => {
  const refused: readonly (readonly [args: string[], message: RegExp])[] = [
    [["--bogus"], /unknown argument "--bogus"/],
    [["word"], /unknown argument "word"/],
    [["--seconds", "x"], /--seconds takes a number from 0 on, not "x"/],
    [["--seconds", "-1"], /--seconds/],
    [["--seconds", " "], /--seconds takes a number from 0 on, not " "/],
    [["--interval", "0"], /--interval takes a number from 0.05 on, not "0"/],
    [["--top", "1.5"], /--top takes a whole number from 1 on, not "1.5"/],
    [["--pid", "0"], /--pid takes a whole number from 1 on, not "0"/],
    [["--pid", "1e99"], /--pid/],
  ];
  for (const [args, message] of refused) {
    const { code, stdout, stderr } = await run(Deno.execPath(), [...RUN, ...args]);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, message);
    assertMatch(stderr, /Usage: deno task demo/);
  }
});

kernelTest("demo --help prints the usage", { root: false }, async () => {
  for (const option of ["--help", "-h"]) {
    const { code, stdout, stderr } = await run(Deno.execPath(), [...RUN, option]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /Usage: deno task demo/);
  }
});

for (const option of ["--json", "--top=5"]) {
  kernelTest(`demo ${option} ends quietly where its reader has gone`, {}, async () => {
    const script = '{ "$@"; echo "code $?" >&2; } | head -1';
    const args = [
      "-c",
      script,
      "sh",
      Deno.execPath(),
      ...RUN,
      "--seconds",
      `${20 * SLOWNESS}`,
      "--interval",
      "0.1",
      option,
    ];
    const start = Date.now();
    const { code, stdout, stderr } = await run("sh", args);
    assertEquals([code, stderr], [0, "code 0\n"]);
    assertEquals(stdout.trim().split("\n").length, 1);
    assertLess(Date.now() - start, 10_000 * SLOWNESS);
  });
}

kernelTest("demo redraws its table in place on a terminal, and gives the cursor back", {
  tools: ["script"],
}, async () => {
  const demoCommand = [Deno.execPath(), ...RUN, "--seconds", "0", "--interval", "0.2", "--top", "4"];
  // The terminal's Ctrl-C, after some tables and a new process. The shell gets it too, and some would end of it.
  const command = `trap : INT; stty cols 70 rows 20; ${demoCommand.join(" ")}; echo "code $?"`;
  const [warmUp, rest] = [2 * SLOWNESS, 0.5 * SLOWNESS];
  const input = `sleep ${warmUp}; /bin/true; sleep ${rest}; printf "\\003"; sleep ${2 * rest}`;
  const shell = `(${input}) | script -qec "$1" /dev/null`;
  const { code, stdout } = await run("sh", ["-c", shell, "sh", command]);
  assertEquals(code, 0);
  assertMatch(stdout, /code 0/);
  const [hidden, shown] = [stdout.indexOf("\x1b[?25l"), stdout.lastIndexOf("\x1b[?25h")];
  assert(hidden >= 0 && shown > hidden, "the cursor is hidden first, and shown in the end");
  assert(shown < stdout.indexOf("code 0"));
  const body = stdout.slice(hidden, shown);
  const titles = body.match(/\d+ system calls a second/g) ?? [];
  assertGreater(titles.length, 2);
  // Before each table but the first, the cursor goes to where the last one began and clears from there.
  // deno-lint-ignore no-control-regex
  const redraws = body.match(/\x1b\[\d+F\x1b\[J/g) ?? [];
  assert(redraws.length >= titles.length - 1, `${redraws.length} redraws of ${titles.length} tables`);
  const exec = body.indexOf("+ /bin/true (pid ");
  assert(exec > 0 && body.indexOf("system calls a second", exec) > 0, "the new process stands above the table");
  // Tables have a title, a head and at most four rows; no line is wider than the terminal.
  // deno-lint-ignore no-control-regex
  for (const [, up] of body.matchAll(/\x1b\[(\d+)F/g)) assert(Number(up) <= 6, up);
  // deno-lint-ignore no-control-regex
  const lines = body.replace(/\x1b\[[?\d]*[A-Za-z]/g, "").split("\r\n");
  for (const line of lines) assert([...line.replace(/^\^C/, "")].length <= 70, line);
});
