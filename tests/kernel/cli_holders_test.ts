import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { objGetInfoByFd, objPin } from "../../cmds/obj.ts";
import type { Held, HeldKind } from "../../cli/_held.ts";
import type { HeldToken } from "../../cli/_session.ts";
import { findInProc } from "../../cli/_proc_files.ts";
import { TaskFiles } from "../../cli/_task_files.ts";
import { kernelSince, kernelTest, type KernelTestOptions, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { MAIN, ours, ROOT } from "./_cli.ts";
import { hashMap, place, rootToken } from "./_objects.ts";

const CHILD = decodeURIComponent(new URL("_holder_child.ts", import.meta.url).pathname);
const THREADS = decodeURIComponent(new URL("holder_threads.c", import.meta.url).pathname);
const KINDS: readonly HeldKind[] = ["prog", "map", "link", "btf"];
const OPTIONS: KernelTestOptions = { needs: ["btf"] };

/** The holders, as the iterator finds them; undefined where it cannot be run. */
function findInTaskFiles(token: HeldToken, kind: HeldKind): Map<number, Held> | undefined {
  using files = TaskFiles.tryOpen(token, kind);
  return files?.tryFind();
}

type Ids = Readonly<Record<HeldKind, number>>;

/** The first line that a process prints; what else it prints is not read. */
async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  await reader.cancel();
  return text.trim();
}

/** A process that holds an object of each kind, until the test ends. */
async function holder(): Promise<AsyncDisposable & { readonly pid: number; readonly ids: Ids }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--no-check", CHILD],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000 * SLOWNESS);
  return {
    pid: child.pid,
    ids: JSON.parse(await firstLine(child)) as Ids,
    [Symbol.asyncDispose]: async () => {
      await child.stdin.close();
      const { success } = await child.status;
      clearTimeout(timer);
      assert(success, "the holder failed");
    },
  };
}

/** What was found, without what only one of both ways knows. */
function plain(found: ReadonlyMap<number, Held> | undefined): unknown {
  return [...found ?? []].map(([id, { holders }]) => [id, holders]).sort(([one], [other]) =>
    Number(one) - Number(other)
  );
}

kernelTest("TaskFiles finds the holders that findInProc() finds", OPTIONS, async () => {
  const token = rootToken();
  await using child = await holder();
  for (const kind of KINDS) {
    const found = findInTaskFiles(token, kind);
    const shown = findInProc(kind);
    assertEquals(plain(found), plain(shown), kind);
    assertEquals(found?.get(child.ids[kind])?.holders, [{ pid: child.pid, comm: "deno" }], kind);
    // Files that are only named like one hold nothing: of each kind the process has what it says it has.
    const held = [...found ?? []].filter(([, { holders }]) => holders.some(({ pid }) => pid === child.pid));
    assertEquals(held.length, kind === "prog" ? 2 : 1, kind);
    assert(!found?.has(0), kind);
  }
  const { prog } = child.ids;
  const memlock = findInTaskFiles(token, "prog")?.get(prog)?.fields?.get("memlock");
  assertNotEquals(memlock, undefined);
  assertEquals(memlock, findInProc("prog").get(prog)?.fields?.get("memlock"));
});

kernelTest("TaskFiles tells a process once, whose threads have files of their own", {
  needs: ["btf", "bpffs"],
  tools: ["cc"],
}, async () => {
  const token = rootToken();
  using map = hashMap(token, { name: "threads" });
  const { id } = objGetInfoByFd(token, map, { kind: "map" });
  const path = `${place("BPFFS")}/threads`;
  objPin(token, map, { path });
  const folder = await Deno.makeTempDir();
  try {
    const compiled = await run("cc", ["-O1", "-pthread", "-o", `${folder}/threads`, THREADS]);
    assertEquals(compiled.code, 0, compiled.stderr);
    const child = new Deno.Command(`${folder}/threads`, { args: [path], stdin: "piped", stdout: "piped" }).spawn();
    try {
      const pids = (await firstLine(child)).split(" ").map(Number);
      assertEquals(pids.length, 2);
      const found = findInTaskFiles(token, "map")?.get(id);
      assertEquals(found?.holders.map(({ pid }) => pid), pids);
      assertEquals(findInProc("map").get(id)?.holders, found?.holders);
    } finally {
      await child.stdin.close();
      assertEquals((await child.status).code, 0);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
    Deno.removeSync(path);
  }
});

kernelTest("TaskFiles leaves nothing behind", OPTIONS, async () => {
  const names = async (): Promise<unknown[]> =>
    (JSON.parse((await ours("-j", "prog", "show")).out) as { name?: string }[]).map(({ name }) => name);
  assert(!(await names()).includes("who_holds"));
  assert(findInTaskFiles(rootToken(), "map") !== undefined);
  assert(!(await names()).includes("who_holds"));
});

kernelTest("TaskFiles leaves it to /proc where the token allows no iterator", OPTIONS, () => {
  const token = rootToken();
  assertEquals(findInTaskFiles(token.only({ progTypes: ["xdp"] }), "prog"), undefined);
  assertEquals(findInTaskFiles(token.only({ commands: ["map_create"] }), "prog"), undefined);
});

kernelTest("bpf prog show tells holders by their numbers in its own PID namespace", {
  needs: ["btf", kernelSince("5.8")],
  tools: ["unshare"],
}, async () => {
  // Both are in the namespace. The holder ends with what the shell has open for it.
  const script = `
    mkfifo hold
    ${Deno.execPath()} run -A --no-lock --no-check ${CHILD} <hold >held &
    exec 3>hold
    while ! [ -s held ]; do sleep 0.05; done
    ${Deno.execPath()} run --no-lock --no-check --allow-ffi ${MAIN} -j prog show name held
    exec 3>&-
    wait
  `;
  const folder = await Deno.makeTempDir();
  try {
    await Deno.symlink(`${ROOT}deno.json`, `${folder}/deno.json`);
    const args = ["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script];
    const { code, stdout, stderr } = await run("unshare", args, { cwd: folder, timeoutMs: 60_000 * SLOWNESS });
    assertEquals(code, 0, stderr + stdout);
    const { pids } = JSON.parse(stdout) as { pids: { pid: number; comm: string }[] };
    assertEquals(pids.map(({ comm }) => comm), ["deno"]);
    assert(pids[0].pid < 100, `process ${pids[0].pid} is not of the namespace`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
