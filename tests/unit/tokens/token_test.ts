import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { mapCreate } from "../../../cmds/map.ts";
import { progLoad } from "../../../cmds/prog.ts";
import { PermissionError } from "../../../errors.ts";
import { Fd } from "../../../ffi/fd.ts";
import {
  acquire,
  acquireDelegated,
  type AuditedCall,
  grantToken,
  type Handle,
  PermissionToken,
} from "../../../tokens/token.ts";
import type { BpfToken } from "../../../tokens/bpf_token.ts";
import { capabilities, type Capability, effectiveCapabilities } from "../../../tokens/capabilities.ts";
import { WeakList } from "../../../tokens/_weak_list.ts";
import { run } from "../../_tools.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { ALL, environment } from "./_environments.ts";

class Thing implements Handle {
  closed = false;
  reasons: string[] = [];
  close(reason = ""): void {
    this.closed = true;
    this.reasons.push(reason);
  }
}

/** A fake system on which a process has some capabilities. */
function system(held: readonly Capability[], files: Readonly<Record<string, string>> = {}): FakeKernel {
  const fake = new FakeKernel();
  for (const name of held) fake.capabilities |= 1n << BigInt(capabilities[name]);
  fake.files.set("/proc/sys/kernel/osrelease", "6.18.44-test\n");
  fake.files.set("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
  fake.symlinks.set("/proc/self/ns/user", "user:[4026531837]");
  for (const [path, text] of Object.entries(files)) fake.files.set(path, text);
  return fake;
}

Deno.test("PermissionToken cannot be made but by acquire() and what comes from it", () => {
  const Forged = PermissionToken as unknown as new (...args: unknown[]) => unknown;
  assertThrows(() => new Forged(), TypeError, "call acquire()");
  assertThrows(() => new Forged(Symbol("permission token"), {}), TypeError, "call acquire()");
  const copy = Object.create(PermissionToken.prototype) as PermissionToken;
  assertThrows(() => copy.check({ command: "map_create" }), TypeError);
  assertThrows(() => copy.revoked, TypeError);
});

Deno.test("acquire() looks at the process", () => {
  using _ = system(["CAP_BPF", "CAP_PERFMON"]);
  const token = acquire("CAP_BPF");
  assertEquals(token.capabilities, ["CAP_BPF"]);
  assertEquals(token.environment, {
    capabilities: new Set<Capability>(["CAP_BPF", "CAP_PERFMON"]),
    initialUserNamespace: true,
    unprivilegedBpfDisabled: 2,
    release: 6018,
    releaseName: "6.18.44-test",
  });
  assertEquals([token.readOnly, token.revoked, token.audited, token.bpfToken], [false, false, false, undefined]);
});

Deno.test("acquire() makes do without /proc", () => {
  using fake = system([]);
  fake.files.clear();
  fake.symlinks.clear();
  const { environment: found } = acquire();
  assertEquals(
    [found.initialUserNamespace, found.unprivilegedBpfDisabled, found.release, found.releaseName],
    [true, 0, Infinity, "unknown"],
  );
  assertEquals([...found.capabilities], []);
});

Deno.test("acquire() refuses what the process lacks, and says what would grant it", () => {
  using _ = system(["CAP_BPF"]);
  const error = assertThrows(() => acquire("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"), PermissionError);
  assertEquals([error.command, error.missing], ["acquire", ["CAP_NET_ADMIN", "CAP_PERFMON"]]);
  assertMatch(error.message, /^Cannot acquire a permission token: missing CAP_NET_ADMIN and CAP_PERFMON: /);
  assertMatch(error.message, /kernel\.unprivileged_bpf_disabled is 2/);
  assertMatch(error.message, /sudo setcap cap_net_admin,cap_perfmon\+ep /);
});

Deno.test("acquire() grants CAP_BPF and CAP_PERFMON to CAP_SYS_ADMIN, and CAP_NET_ADMIN not", () => {
  using _ = system(["CAP_SYS_ADMIN"]);
  assertEquals(acquire("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN").capabilities.length, 3);
  assertEquals(assertThrows(() => acquire("CAP_NET_ADMIN"), PermissionError).missing, ["CAP_NET_ADMIN"]);
});

Deno.test("acquire() refuses names that are no capability, those of a prototype included", () => {
  using _ = system(ALL);
  for (const name of ["CAP_KILL", "cap_bpf", "", "constructor", "toString"]) {
    assertThrows(() => acquire(name as never), TypeError, "is none of CAP_NET_ADMIN, CAP_SYS_ADMIN");
  }
});

Deno.test("acquire() refuses capabilities of a user namespace, and acquireDelegated() grants them", () => {
  using fake = system(["CAP_BPF"]);
  fake.symlinks.set("/proc/self/ns/user", "user:[4026532000]");
  const error = assertThrows(() => acquire("CAP_BPF"), PermissionError);
  assertMatch(error.message, /in a user namespace.*tokenCreate\(\), and pass it to acquireDelegated\(\)/);
  assertEquals(acquire().capabilities, []);
  const bpfToken = { fd: 5, rights: {} } as unknown as BpfToken;
  const token = acquireDelegated(bpfToken, "CAP_BPF");
  assertEquals([token.capabilities, token.bpfToken], [["CAP_BPF"], bpfToken]);
  assertEquals(token.only({}).bpfToken, bpfToken);
  assertThrows(() => acquireDelegated(bpfToken, "CAP_NET_ADMIN"), PermissionError, "in its user namespace");
  assertThrows(() => acquireDelegated(bpfToken, "x" as never), TypeError);
});

Deno.test("effectiveCapabilities() reads both words", () => {
  using fake = system([]);
  fake.capabilities = 1n << 12n | 1n << 39n | 1n << 2n | 1n << 40n;
  assertEquals(effectiveCapabilities(), new Set<Capability>(["CAP_NET_ADMIN", "CAP_BPF"]));
});

Deno.test("drop() gives a token without what is dropped", () => {
  const token = grantToken(environment(), ALL);
  const dropped = token.drop("CAP_SYS_ADMIN", "CAP_BPF");
  assertEquals(dropped.capabilities, ["CAP_NET_ADMIN", "CAP_PERFMON"]);
  assertEquals(token.capabilities, ALL);
  assertEquals(dropped.check({ command: "map_get_next_id" }).missing, ["CAP_SYS_ADMIN"]);
  assertThrows(() => token.drop("CAP_SYS_ADIMN" as never), TypeError, 'Cannot drop a capability: "CAP_SYS_ADIMN" is');
});

Deno.test("revoke() ends a token, those derived from it, and what was opened with them", () => {
  const token = grantToken(environment(), ALL);
  const child = token.only({ mapTypes: ["hash"] });
  const grandchild = child.drop("CAP_BPF");
  const sibling = token.only({});
  const things = [token, child, grandchild, sibling].map((from) => from.adopt(new Thing()));
  child.revoke();
  assertEquals([token, child, grandchild, sibling].map(({ revoked }) => revoked), [false, true, true, false]);
  assertEquals(things.map(({ closed }) => closed), [false, true, true, false]);
  assertEquals(things[1].reasons, ["its permission token was revoked"]);
  assertEquals(child.check({ command: "map_lookup_elem" }).reason, "the token was revoked");
  assertThrows(() => child.only({}), PermissionError, "the token was revoked. Call acquire() again");
  assertThrows(() => child.drop("CAP_BPF"), PermissionError, "the token was revoked");
  token.revoke();
  token.revoke();
  assertEquals([token.revoked, sibling.revoked], [true, true]);
  assertEquals(things.map(({ closed }) => closed), [true, true, true, true]);
});

Deno.test("revoke() closes what a derived token opened that is gone itself", async () => {
  const child = new URL("_forgotten_child.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", "--cached-only", "--v8-flags=--expose-gc", child];
  const { code, stdout, stderr } = await run(Deno.execPath(), args);
  assertEquals([code, stderr], [0, ""]);
  // Neither tokens nor handles are kept from the garbage collector.
  assertEquals(JSON.parse(stdout), { derived: true, forgotten: true, closed: true });
});

Deno.test("revoke() makes descriptors say why they are closed", () => {
  using fake = new FakeKernel();
  const token = grantToken(environment(), ALL);
  const map = mapCreate(token.only({}), { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 });
  assertEquals(fake.openFds.size, 1);
  token.revoke();
  assertEquals(fake.openFds.size, 0);
  assertThrows(() => map.fd, TypeError, "its permission token was revoked");
  const options = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 } as const;
  assertThrows(() => mapCreate(token, options), PermissionError, "the token was revoked");
  assertEquals(fake.of("map_create").length, 1);
});

Deno.test("adopt() closes what is opened while the token is revoked", () => {
  using fake = new FakeKernel();
  const token = grantToken(environment(), ALL);
  using _ = token.audit(() => token.revoke());
  const map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 });
  assert(map instanceof Fd);
  assertEquals([map.closed, fake.openFds.size], [true, 0]);
});

Deno.test("assert() throws the verdict", () => {
  const token = grantToken(environment({ capabilities: [] }), []);
  const error = assertThrows(() => token.assert({ command: "btf_load" }, "load BTF"), PermissionError);
  assertEquals([error.command, error.missing, error.code], ["btf_load", ["CAP_BPF"], "EPERM"]);
  assertMatch(error.message, /^Cannot load BTF.*: missing CAP_BPF: /);
  token.assert({ command: "map_lookup_elem" }, "look up");
});

Deno.test("audit() tells of the calls of a token and of those derived from it", () => {
  using _ = new FakeKernel();
  const token = grantToken(environment(), ALL);
  const child = token.only({});
  const [above, below]: AuditedCall[][] = [[], []];
  const first = token.audit((call) => above.push(call));
  assertEquals([token.audited, child.audited], [true, true]);
  using _second = child.audit((call) => below.push(call));
  const create = (from: PermissionToken<Capability>): void =>
    mapCreate(from, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1, name: "seen" }).close();
  create(token);
  create(child);
  assertEquals([above.length, below.length], [2, 1]);
  assertEquals(above[0].command, "map_create");
  assert(above[0].result > 2);
  assertMatch(
    above[0].text,
    /^bpf\(BPF_MAP_CREATE, \{map_type=BPF_MAP_TYPE_HASH, key_size=4, .*map_name="seen".*\) = \d+$/,
  );
  first[Symbol.dispose]();
  create(child);
  assertEquals([above.length, below.length, token.audited, child.audited], [2, 2, false, true]);
});

Deno.test("audit() tells nobody of calls that the token refuses", () => {
  using fake = new FakeKernel();
  const token = grantToken(environment(), ALL).only({ commands: ["map_lookup_elem"] });
  const calls: AuditedCall[] = [];
  using _ = token.audit((call) => calls.push(call));
  const options = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 } as const;
  assertThrows(() => mapCreate(token, options), PermissionError, "restricted to other commands than map_create");
  assertEquals([calls.length, fake.seen.length], [0, 0]);
});

Deno.test("audit() passes on what a listener throws, and no descriptor is left open then", () => {
  using fake = new FakeKernel();
  const token = grantToken(environment(), ALL);
  using _ = token.audit(() => {
    throw new RangeError("mine");
  });
  const insns = new Uint8Array([0x95, 0, 0, 0, 0, 0, 0, 0]);
  assertThrows(
    () => mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 }),
    RangeError,
    "mine",
  );
  for (const logLevel of [0, 1]) {
    assertThrows(
      () => progLoad(token, { type: "socket_filter", license: "GPL", insns, logLevel }),
      RangeError,
      "mine",
    );
  }
  assertEquals([fake.seen.length, fake.closed.length, fake.openFds.size], [3, 3, 0]);
});

Deno.test("WeakList forgets what is no longer in use", () => {
  const list = new WeakList<Thing>(({ closed }) => !closed);
  const open = Array.from({ length: 10 }, () => new Thing());
  for (const thing of open) list.add(thing);
  const kept: Thing[] = [];
  for (let index = 0; index < 10_000; index++) {
    const thing = new Thing();
    kept.push(thing);
    list.add(thing);
    thing.close();
  }
  assert(list.length <= 64, `${list.length}`);
  for (const thing of open) assert(!thing.closed);
  const left = list.take();
  assertEquals(left.filter(({ closed }) => !closed), open);
  assertEquals([list.length, list.take()], [0, []]);
  // The more are in use, the rarer the sweeps.
  const many = Array.from({ length: 1000 }, () => new Thing());
  for (const thing of many) list.add(thing);
  assertEquals(list.take(), many);
});
