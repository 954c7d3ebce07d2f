/**
 * Installs the programs that the tests use, where this is root on Debian or a relative; says how to do it elsewhere.
 * Where all is there it does nothing: `deno task setup`. With `--vm` also what `deno task test:vm` uses.
 *
 * @module
 */

import { hasTool } from "../tests/_tools.ts";

/** A program or header that tests use. */
interface Need {
  readonly what: string;
  /** The Debian packages that have it: the first that the suite knows is installed. */
  readonly packages: readonly string[];
  readonly present: () => boolean;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function tool(name: string, packages: readonly string[]): Need {
  return { what: name, packages, present: () => hasTool(name) };
}

/** What `deno task test:vm` uses, which nobody needs for the other tests. */
const VM_NEEDS: readonly Need[] = [
  tool("qemu-system-x86_64", ["qemu-system-x86"]),
  tool("busybox", ["busybox-static"]),
];

const NEEDS: readonly Need[] = [
  ...(Deno.args.includes("--vm") ? VM_NEEDS : []),
  { what: "clang", packages: ["clang-19", "clang"], present: () => hasTool("clang-19") || hasTool("clang") },
  tool("readelf", ["binutils"]),
  { what: "a C compiler", packages: ["gcc"], present: () => hasTool("gcc") || hasTool("cc") },
  { what: "the C library's headers", packages: ["libc6-dev"], present: () => exists("/usr/include/stdio.h") },
  { what: "libbpf's headers", packages: ["libbpf-dev"], present: () => exists("/usr/include/bpf/bpf_helpers.h") },
  tool("bpftool", ["bpftool", "linux-tools-common"]),
  tool("strace", ["strace"]),
  tool("ip", ["iproute2"]),
  tool("capsh", ["libcap2-bin"]),
  tool("unshare", ["util-linux"]),
];

/** A machine that just started may be busy with its own updates. */
const WAIT: readonly string[] = ["-o", "DPkg::Lock::Timeout=120"];

async function apt(command: string, args: readonly string[]): Promise<boolean> {
  const { code } = await new Deno.Command(command, {
    args: [...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  return code === 0;
}

/** The first of some packages that this suite can install. */
async function available(packages: readonly string[]): Promise<string | undefined> {
  for (const name of packages) {
    const { stdout } = await new Deno.Command("apt-cache", { args: ["policy", name], stderr: "null" }).output();
    if (/Candidate: (?!\(none\))/.test(new TextDecoder().decode(stdout))) return name;
  }
  return undefined;
}

function missing(): Need[] {
  return NEEDS.filter(({ present }) => !present());
}

function aptLine(packages: readonly string[]): string {
  return `apt-get update && apt-get install -y --no-install-recommends ${packages.join(" ")}`;
}

async function install(): Promise<void> {
  console.log("setup: apt-get update");
  if (!await apt("apt-get", [...WAIT, "update", "-qq"])) console.error("setup: apt-get update failed");
  const wanted: string[] = [];
  for (const { what, packages } of missing()) {
    const name = await available(packages);
    if (name === undefined) console.error(`setup: no package for ${what} here (of ${packages.join(", ")})`);
    else wanted.push(name);
  }
  if (wanted.length === 0) return;
  console.log(`setup: apt-get install -y --no-install-recommends ${wanted.join(" ")}`);
  if (await apt("apt-get", [...WAIT, "install", "-y", "-qq", "--no-install-recommends", ...wanted])) return;
  // One package that cannot be installed must not keep the others out.
  for (const name of wanted) await apt("apt-get", [...WAIT, "install", "-y", "-qq", "--no-install-recommends", name]);
}

async function main(): Promise<number> {
  const lacking = missing();
  if (lacking.length === 0) {
    console.log("setup: all programs that the tests use are there");
    return 0;
  }
  console.log(`setup: missing ${lacking.map(({ what }) => what).join(", ")}`);
  if (Deno.build.os === "linux" && hasTool("apt-get") && Deno.uid() === 0) await install();
  const left = missing();
  if (left.length === 0) return 0;
  console.error(`setup: still missing ${left.map(({ what }) => what).join(", ")}; tests that need them are skipped`);
  console.error(`setup: on Debian, as root: ${aptLine(left.map(({ packages }) => packages[0]))}`);
  return Deno.env.get("CI") ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
