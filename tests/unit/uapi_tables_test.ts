import { assertEquals, assertGreater } from "@std/assert";
import { constants } from "node:os";
import { errnoMeanings, errnos } from "../../uapi/errno.gen.ts";
import { syscallNames } from "../../uapi/syscalls.gen.ts";

const isLinux = Deno.build.os === "linux";

Deno.test({
  name: "errnos have the numbers of node:os",
  ignore: !isLinux,
  fn: () => {
    // These two are second names of other errors, which a number cannot be told apart by.
    const ours: Readonly<Record<string, number>> = {
      ...errnos,
      ENOTSUP: errnos.EOPNOTSUPP,
      EWOULDBLOCK: errnos.EAGAIN,
    };
    const theirs = Object.entries(constants.errno).filter(([name]) => !name.startsWith("WSA"));
    assertEquals(theirs.filter(([name, number]) => ours[name] !== number), []);
    assertGreater(theirs.length, 70);
  },
});

Deno.test("errnos and errnoMeanings name the same errors, each number with one meaning", () => {
  assertEquals(Object.keys(errnoMeanings), Object.keys(errnos));
  const meanings = new Map<number, string>();
  for (const [name, number] of Object.entries<number>(errnos)) {
    const meaning = Object.entries(errnoMeanings).find(([one]) => one === name)?.[1] ?? "";
    assertGreater(meaning.length, 0, name);
    assertEquals(meanings.get(number) ?? meaning, meaning, name);
    meanings.set(number, meaning);
  }
});

/** The numbers that C headers give system calls; undefined where this machine lacks them. */
function headerNumbers(arch: string): Map<string, number> | undefined {
  const file = arch === "x86_64" ? "asm/unistd_64.h" : "asm-generic/unistd.h";
  for (const folder of [`/usr/include/${arch}-linux-gnu`, "/usr/include"]) {
    try {
      const text = Deno.readTextFileSync(`${folder}/${file}`);
      return new Map(
        [...text.matchAll(/^#define __NR_(\w+)\s+(\d+)$/gm)].map(([, name, number]) => [name, Number(number)]),
      );
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

const { arch } = Deno.build;
const header = isLinux && arch === "x86_64" ? headerNumbers(arch) : undefined;

Deno.test({
  name: `syscallNames has the numbers of <asm/unistd_64.h>${header === undefined ? " (skipped: no such header)" : ""}`,
  ignore: header === undefined,
  fn: () => {
    const names = syscallNames[arch];
    const theirs = [...header ?? []];
    assertEquals(theirs.filter(([name, number]) => names[number] !== name), []);
    assertGreater(theirs.length, 300);
  },
});

Deno.test("syscallNames has the system calls that the library makes, on both architectures", () => {
  for (const [known, number] of [["x86_64", 321], ["aarch64", 280]] as const) {
    assertEquals(syscallNames[known].indexOf("bpf"), number);
    for (const name of ["perf_event_open", "capget", "epoll_pwait", "eventfd2", "mmap", "openat"]) {
      assertGreater(syscallNames[known].indexOf(name), -1, `${known} ${name}`);
    }
    const names = syscallNames[known].filter((name) => name !== undefined);
    assertEquals(new Set(names).size, names.length);
  }
});
