import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { btfLoad } from "../../../cmds/btf.ts";
import { progLoad } from "../../../cmds/prog.ts";
import { NotSupportedError, type PermissionError, SyscallError, VerifierError } from "../../../errors.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel, type OpenCall } from "../_fake_kernel.ts";
import { ALL, environment } from "../tokens/_environments.ts";

const token = grantToken(environment(), ALL);
const insns = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** How the fake verifier writes its log. */
interface Verifier {
  readonly log: string;
  readonly errno?: number;
  /** Whether it says how long the log is: kernels from 6.4 on. */
  readonly trueSize?: boolean;
}

const NAMES = {
  prog_load: ["log_level", "log_size", "log_buf", "log_true_size"],
  btf_load: ["btf_log_level", "btf_log_size", "btf_log_buf", "btf_log_true_size"],
} as const;

/** A kernel that checks programs: each call with a log is kept as level and size. */
function verifying(fake: FakeKernel, { log, errno = 0, trueSize = true }: Verifier): [level: number, size: number][] {
  const calls: [number, number][] = [];
  const text = new TextEncoder().encode(`${log}\0`);
  fake.answer = (call: OpenCall) => {
    if (call.command !== "prog_load" && call.command !== "btf_load") return undefined;
    const [level, size, buffer, length] = NAMES[call.command];
    const given = Number(call.get(size));
    calls.push([Number(call.get(level)), given]);
    // A kernel refuses output fields that are not zero.
    if (call.get(length) !== 0n) return -errnos.EINVAL;
    if (call.get(level) === 0n) return errno === 0 ? undefined : -errno;
    call.memory(buffer, given).set(text.subarray(0, given));
    if (trueSize) call.set(length, text.length);
    if (text.length > given) {
      call.memory(buffer, given)[given - 1] = 0;
      return -errnos.ENOSPC;
    }
    return errno === 0 ? undefined : -errno;
  };
  return calls;
}

function load(logLevel = 0, onLog?: (log: string) => void): void {
  progLoad(token, { type: "socket_filter", insns, license: "GPL", logLevel, onLog }).close();
}

const KIB = 1024;

Deno.test("progLoad() asks for no log where the program is fine", () => {
  using fake = new FakeKernel();
  const calls = verifying(fake, { log: "verified" });
  load(0, () => {
    throw new Error("a log");
  });
  assertEquals(calls, [[0, 0]]);
});

Deno.test("progLoad() asks once more, for the log, where the verifier refuses", () => {
  using fake = new FakeKernel();
  const calls = verifying(fake, { log: "0: (95) exit\nR0 !read_ok\n", errno: errnos.EACCES });
  const error = assertThrows(() => load(), VerifierError);
  assertEquals(calls, [[0, 0], [1, 64 * KIB]]);
  assertEquals([error.code, error.log], ["EACCES", "0: (95) exit\nR0 !read_ok\n"]);
  assertMatch(error.message, /^Cannot load a program of type socket_filter.*: EACCES \(Permission denied\)/);
  assertMatch(error.message, /\n {2}0: \(95\) exit\n {2}R0 !read_ok$/);
  assertEquals(fake.openFds.size, 0);
});

Deno.test("progLoad() passes the log of each level on", () => {
  for (const level of [1, 2, 4, 6]) {
    using fake = new FakeKernel();
    const calls = verifying(fake, { log: `level ${level}` });
    const logs: string[] = [];
    load(level, (log) => logs.push(log));
    assertEquals([calls, logs], [[[level, 64 * KIB]], [`level ${level}`]]);
  }
});

for (const trueSize of [false, true]) {
  Deno.test(`progLoad() makes room for the whole log ${trueSize ? "at once where it is told" : "step by step"}`, () => {
    for (const errno of [0, errnos.EINVAL]) {
      for (const length of [10, 64 * KIB - 1, 64 * KIB, 600 * KIB, 5000 * KIB]) {
        using fake = new FakeKernel();
        const log = "line\n".repeat(Math.ceil(length / 5)).slice(0, length);
        const calls = verifying(fake, { log, errno, trueSize });
        const logs: string[] = [];
        if (errno === 0) load(1, (text) => logs.push(text));
        else logs.push(assertThrows(() => load(1), VerifierError).log);
        assert(logs[0] === log, `a log of ${logs[0].length} bytes and not ${length}`);
        const sizes = calls.map(([, size]) => size);
        if (trueSize) assert(sizes.length <= 2, `${sizes}`);
        // The last one is the first that has room for the log and its NUL.
        assertEquals(sizes.map((size) => size > length), sizes.map((_, index) => index === sizes.length - 1));
        assert(sizes[sizes.length - 1] <= 16 * KIB * KIB - 1);
      }
    }
  });
}

Deno.test("progLoad() ends at the largest buffer that old kernels take", () => {
  using fake = new FakeKernel();
  const calls = verifying(fake, { log: "x".repeat(17 * KIB * KIB), trueSize: false });
  const error = assertThrows(() => load(2), VerifierError);
  assertEquals([error.code, error.log.length], ["ENOSPC", 16 * KIB * KIB - 2]);
  assertEquals(calls[calls.length - 1], [2, 16 * KIB * KIB - 1]);
  assert(calls.length < 5);
});

Deno.test("progLoad() makes room for a log of any size where the kernel tells how large it is", () => {
  using fake = new FakeKernel();
  const calls = verifying(fake, { log: "x".repeat(17 * KIB * KIB), trueSize: true, errno: errnos.EACCES });
  const error = assertThrows(() => load(2), VerifierError);
  assertEquals([error.code, error.log.length, calls.length], ["EACCES", 17 * KIB * KIB, 2]);
});

Deno.test("progLoad() asks for no log of errors that no log explains", () => {
  for (const name of ["EPERM", "ENOMEM", "EMFILE", "EBADF"] as const) {
    using fake = new FakeKernel();
    const calls = verifying(fake, { log: "", errno: errnos[name] });
    const error = assertThrows(() => load(), Error) as SyscallError | PermissionError;
    assertEquals([error.code, calls.length], [name, 1]);
    assertEquals(error.name, name === "EPERM" ? "PermissionError" : "SyscallError");
  }
});

Deno.test("progLoad() throws no VerifierError where there is no log", () => {
  using fake = new FakeKernel();
  verifying(fake, { log: "", errno: errnos.EINVAL });
  const error = assertThrows(() => load(), SyscallError);
  assertEquals([error.name, error.code], ["SyscallError", "EINVAL"]);
});

Deno.test("progLoad() blames the kernel's age where there is no log, and the program where there is one", () => {
  using fake = new FakeKernel();
  verifying(fake, { log: "", errno: errnos.EINVAL });
  const old = grantToken(environment({ release: "5.10" }), ALL);
  const options = { type: "socket_filter", insns, license: "GPL", fdArray: [5] } as const;
  const error = assertThrows(() => progLoad(old, options), NotSupportedError);
  assertEquals([error.since, error.feature], ["5.14", "field fd_array of BPF_PROG_LOAD"]);
  verifying(fake, { log: "something", errno: errnos.EINVAL });
  const refused = assertThrows(() => progLoad(old, options), VerifierError);
  assertEquals((refused.cause as SyscallError).code, "EINVAL");
});

Deno.test("progLoad() blames the kernel's age where the verifier did not get to the first instruction", () => {
  using fake = new FakeKernel();
  const old = grantToken(environment({ release: "5.10" }), ALL);
  const options = { type: "lsm", insns, license: "GPL", expectedAttachType: "lsm_cgroup" } as const;
  const end = "insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
  verifying(fake, { log: `attach_btf_id is wrong\nprocessed 0 ${end}`, errno: errnos.EINVAL });
  const error = assertThrows(() => progLoad(old, options), NotSupportedError);
  assertEquals([error.since, error.feature], ["6.0", "attach type lsm_cgroup"]);
  verifying(fake, { log: `0: (95) exit\nprocessed 1 ${end}`, errno: errnos.EINVAL });
  assertThrows(() => progLoad(old, options), VerifierError);
});

Deno.test("progLoad() closes the program where onLog throws", () => {
  using fake = new FakeKernel();
  verifying(fake, { log: "fine" });
  const throwing = (): never => {
    throw new RangeError("mine");
  };
  assertThrows(() => load(1, throwing), RangeError, "mine");
  assertEquals([fake.openFds.size, fake.closed.length], [0, 1]);
});

Deno.test("btfLoad() has its log in fields of its own", () => {
  using fake = new FakeKernel();
  const log = "magic: 0xeb9f\n".repeat(10_000);
  const calls = verifying(fake, { log, errno: errnos.EINVAL });
  const error = assertThrows(() => btfLoad(token, new Uint8Array(24)), VerifierError);
  assertEquals([error.command, error.log.length], ["btf_load", log.length]);
  assertEquals(calls.map(([level]) => level), [0, 1, 1]);
});

Deno.test("progLoad() refuses programs that the kernel need not see", () => {
  using fake = new FakeKernel();
  const base = { type: "socket_filter", license: "GPL" } as const;
  const cases: readonly (readonly [Parameters<typeof progLoad<"socket_filter">>[1], new () => Error, string])[] = [
    [{ ...base, insns: new Uint8Array(0) }, RangeError, "Cannot use insns: there is no instruction"],
    [{ ...base, insns: new Uint8Array(12) }, RangeError, "12 bytes are no multiple of 8"],
    [{ ...base, insns: [1, 2] as never }, TypeError, "Cannot use insns: it is no Uint8Array"],
    [{ ...base, insns: new Uint8Array(8_000_008) }, RangeError, "1000001 are more than the limit of 1000000"],
    [{ ...base, insns, license: "x".repeat(128) }, RangeError, "Cannot use license: 128 bytes are more than"],
    [{ ...base, insns, license: "a\0b" }, TypeError, "NUL"],
    [{ ...base, insns, name: "sixteen_letters_" }, RangeError, "Cannot use name: 16 characters are more than"],
    [{ ...base, insns, name: "no-dashes" }, TypeError, 'Cannot use name "no-dashes"'],
    [{ ...base, insns, type: "nothing" as never }, TypeError, 'Cannot use type: "nothing" is unknown'],
    [{ ...base, insns, type: -1 as never }, RangeError, "Cannot use type: -1 is not"],
    [{ ...base, insns, expectedAttachType: "toString" as never }, TypeError, "Cannot use expectedAttachType"],
    [
      { ...base, insns, btf: { fd: 5, funcInfo: { records: new Uint8Array(9), size: 8 } } },
      RangeError,
      "Cannot use funcInfo: 9 bytes are no multiple of the record size 8",
    ],
    [
      { ...base, insns, btf: { fd: 5, lineInfo: { records: new Uint8Array(8), size: 0 } } },
      RangeError,
      "Cannot use lineInfo",
    ],
  ];
  for (const [options, kind, message] of cases) assertThrows(() => progLoad(token, options), kind, message);
  assertEquals(fake.seen.length, 0);
  progLoad(token, { ...base, insns, license: "x".repeat(127), name: "fifteen_letters" }).close();
  assertEquals(fake.seen.length, 1);
});
