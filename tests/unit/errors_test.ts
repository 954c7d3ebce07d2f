import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import {
  errnoMeaning,
  errnoName,
  NotSupportedError,
  PermissionError,
  SyscallError,
  VerifierError,
} from "../../errors.ts";
import { errnos } from "../../uapi/errno.gen.ts";

Deno.test("errnoName() names every error number, by its usual name where there are two", () => {
  for (const [name, number] of Object.entries(errnos)) {
    assertEquals(errnos[errnoName(number) as keyof typeof errnos], number, name);
  }
  assertEquals([errnoName(11), errnoName(95), errnoName(35)], ["EAGAIN", "EOPNOTSUPP", "EDEADLK"]);
  assertEquals([errnoName(0), errnoName(4000)], ["E0", "E4000"]);
});

Deno.test("errnoMeaning() speaks as strerror(3) does", () => {
  assertEquals(
    [1, 2, 22, 11].map(errnoMeaning),
    ["Operation not permitted", "No such file or directory", "Invalid argument", "Resource temporarily unavailable"],
  );
  assertEquals(errnoMeaning(4000), "Unknown error 4000");
});

Deno.test("SyscallError says what could not be done, and why", () => {
  const cause = new Error("before");
  const error = new SyscallError({
    command: "map_create",
    errno: 12,
    action: "create a map",
    hint: "too large",
    cause,
  });
  assert(error instanceof Error);
  assertEquals(
    [error.name, error.command, error.errno, error.code, error.hint],
    ["SyscallError", "map_create", 12, "ENOMEM", "too large"],
  );
  assertMatch(error.message, /^Cannot create a map.*: ENOMEM \(Cannot allocate memory\): too large$/);
  assertStrictEquals(error.cause, cause);
  const plain = new SyscallError({ command: "open", errno: 2, action: "open /x" });
  assertEquals(plain.message, "Cannot open /x: ENOENT (No such file or directory)");
  assertEquals([plain.hint, "cause" in plain], [undefined, false]);
});

Deno.test("PermissionError says what is missing, why, and what would grant it", () => {
  const init = { command: "prog_load", action: "load a program", reason: "it can do harm", remedy: "Run as root" };
  const error = new PermissionError({ ...init, missing: ["CAP_BPF", "CAP_PERFMON"], errno: 1 });
  assertMatch(
    error.message,
    /^Cannot load a program.*: missing CAP_BPF and CAP_PERFMON: it can do harm\. Run as root$/,
  );
  assertEquals([error.name, error.errno, error.code, error.remedy], ["PermissionError", 1, "EPERM", "Run as root"]);
  const restricted = new PermissionError({ ...init, missing: [] });
  assertMatch(restricted.message, /^Cannot load a program.*: it can do harm\. Run as root$/);
  assertEquals([restricted.errno, restricted.code, restricted.missing], [undefined, undefined, []]);
});

Deno.test("NotSupportedError names the release, or another reason", () => {
  assertEquals(
    new NotSupportedError("BPF_TOKEN_CREATE", { since: "6.9" }).message,
    "Cannot use BPF_TOKEN_CREATE: the running kernel does not have it; Linux 6.9 has it",
  );
  const other = new NotSupportedError("bpf(2)", { reason: "this is darwin" });
  assertEquals([other.message, other.since, other.feature, other.name], [
    "Cannot use bpf(2): this is darwin",
    undefined,
    "bpf(2)",
    "NotSupportedError",
  ]);
});

Deno.test("VerifierError shows the log's last lines, and keeps the whole", () => {
  const init = { command: "prog_load", errno: 13, action: "load a program" };
  const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`);
  const error = new VerifierError(init, `${lines.join("\n")}\n`);
  assert(error instanceof SyscallError);
  assertEquals([error.name, error.code, error.log.split("\n").length], ["VerifierError", "EACCES", 31]);
  const shown = error.message.split("\n");
  assertEquals(shown.slice(1), ["  … 18 lines above", ...lines.slice(-12).map((line) => `  ${line}`)]);
  const short = new VerifierError(init, "only line\n");
  assertEquals(short.message.split("\n").slice(1), ["  only line"]);
  assertEquals(new VerifierError(init, "").message.includes("\n"), false);
});
