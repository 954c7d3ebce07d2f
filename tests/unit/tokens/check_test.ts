import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { BpfToken, BpfTokenRights } from "../../../tokens/bpf_token.ts";
import type { Capability } from "../../../tokens/capabilities.ts";
import type { PermissionRequest } from "../../../tokens/check.ts";
import { grantToken, type Verdict } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { ALL, type Differences, environment } from "./_environments.ts";

/** A BPF token that nobody has to open. */
function delegating(rights: Partial<Record<keyof BpfTokenRights, readonly string[]>>): BpfToken {
  const set = (names: readonly string[] = []): Set<never> => new Set(names as never[]);
  return {
    fd: 77,
    rights: {
      commands: set(rights.commands),
      mapTypes: set(rights.mapTypes),
      progTypes: set(rights.progTypes),
      attachTypes: set(rights.attachTypes),
    },
  } as unknown as BpfToken;
}

/** What a token of some capabilities says of a call. */
function verdict(
  granted: readonly Capability[],
  request: PermissionRequest,
  differences: Differences = {},
  bpfToken?: BpfToken,
): Verdict {
  return grantToken(environment(differences), granted, bpfToken).check(request);
}

/** "allowed", or what is missing and the errno's name. */
function summary({ allowed, missing, errno }: Verdict): string {
  if (allowed) return "allowed";
  const name = Object.entries(errnos).find(([, number]) => number === errno)?.[0];
  return `${missing.join("+")} ${name}`;
}

type Row = readonly [granted: readonly Capability[], request: PermissionRequest, expected: string, Differences?];

function holds(rows: readonly Row[]): void {
  for (const [granted, request, expected, differences] of rows) {
    const label = `${granted.join("+")} ${JSON.stringify(request)} ${JSON.stringify(differences ?? {})}`;
    assertEquals(summary(verdict(granted, request, differences)), expected, label);
  }
  assertGreater(rows.length, 0);
}

const hash: PermissionRequest = { command: "map_create", mapType: "hash" };
const lruHash: PermissionRequest = { command: "map_create", mapType: "lru_hash" };
const lookup: PermissionRequest = { command: "map_lookup_elem" };
const filter: PermissionRequest = { command: "prog_load", progType: "socket_filter" };
const kprobe: PermissionRequest = { command: "prog_load", progType: "kprobe" };
const xdp: PermissionRequest = { command: "prog_load", progType: "xdp" };
const nextId: PermissionRequest = { command: "map_get_next_id" };

Deno.test("check() follows the sysctl", () => {
  holds([
    [[], hash, "allowed", { sysctl: 0 }],
    [[], hash, "CAP_BPF EPERM", { sysctl: 1 }],
    [[], hash, "CAP_BPF EPERM", { sysctl: 2 }],
    [[], lruHash, "CAP_BPF EPERM", { sysctl: 0 }],
    [[], filter, "allowed", { sysctl: 0 }],
    [[], filter, "CAP_BPF EPERM", { sysctl: 2 }],
    [[], kprobe, "CAP_BPF+CAP_PERFMON EPERM", { sysctl: 0 }],
    [[], lookup, "allowed", { sysctl: 2 }],
  ]);
});

Deno.test("check() follows the release", () => {
  holds([
    // Before 5.19 the sysctl kept every command from the unprivileged.
    [[], lookup, "CAP_BPF EPERM", { release: "5.10" }],
    [[], lookup, "allowed", { release: "5.10", sysctl: 0 }],
    [[], lookup, "allowed", { release: "5.19" }],
    [["CAP_BPF"], lookup, "allowed", { release: "5.10" }],
    // Freezing asked for CAP_BPF until 6.5.
    [[], { command: "map_freeze" }, "CAP_BPF EPERM", { release: "6.4" }],
    [[], { command: "map_freeze" }, "allowed", { release: "6.5" }],
    // CAP_SYS_ADMIN stands in for CAP_NET_ADMIN from 6.9 on where it did not before.
    [["CAP_SYS_ADMIN"], { command: "prog_query" }, "CAP_NET_ADMIN EPERM", { release: "6.8" }],
    [["CAP_SYS_ADMIN"], { command: "prog_query" }, "allowed", { release: "6.9" }],
    // A type that the kernel does not have yet asks for nothing: it is EINVAL for all.
    [["CAP_BPF"], { command: "map_create", mapType: "bloom_filter" }, "allowed", { release: "5.10" }],
    [[], { command: "map_create", mapType: "arena" }, "allowed", { release: "6.8", sysctl: 0 }],
    [[], { command: "map_create", mapType: "arena" }, "CAP_BPF EPERM", { release: "6.9", sysctl: 0 }],
  ]);
});

Deno.test("check() takes CAP_SYS_ADMIN for the capabilities that were split off from it, and not the other way", () => {
  holds([
    [["CAP_SYS_ADMIN"], lruHash, "allowed"],
    [["CAP_SYS_ADMIN"], kprobe, "allowed"],
    [["CAP_SYS_ADMIN"], xdp, "allowed"],
    [["CAP_SYS_ADMIN"], nextId, "allowed"],
    [["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"], nextId, "CAP_SYS_ADMIN EPERM"],
    [["CAP_BPF"], xdp, "CAP_NET_ADMIN EPERM"],
    [["CAP_NET_ADMIN"], xdp, "CAP_BPF EPERM"],
    [["CAP_BPF"], kprobe, "CAP_PERFMON EPERM"],
    [["CAP_BPF", "CAP_PERFMON"], kprobe, "allowed"],
  ]);
});

Deno.test("check() looks at what a program does", () => {
  const cases: readonly (readonly [Partial<PermissionRequest>, string])[] = [
    [{ insnCount: 4096 }, "allowed"],
    [{ insnCount: 4097 }, "CAP_BPF E2BIG"],
    [{ progFeatures: ["subprograms"] }, "CAP_BPF EPERM"],
    [{ progFeatures: ["loops"] }, "CAP_BPF+CAP_PERFMON EINVAL"],
    [{ progFeatures: ["pointer_leaks"] }, "CAP_PERFMON EACCES"],
    [{ helpers: ["map_lookup_elem"] }, "allowed"],
    [{ helpers: ["trace_printk"] }, "CAP_BPF+CAP_PERFMON EINVAL"],
    [{ helpers: [6] }, "CAP_BPF+CAP_PERFMON EINVAL"],
    [{ helpers: ["probe_write_user"] }, "CAP_SYS_ADMIN EINVAL"],
    [{ helpers: [99999] }, "allowed"],
  ];
  for (const [difference, expected] of cases) {
    assertEquals(
      summary(verdict([], { ...filter, ...difference }, { sysctl: 0 })),
      expected,
      JSON.stringify(difference),
    );
  }
});

Deno.test("check() takes types by number as by name, and asks for CAP_BPF for programs that nobody knows", () => {
  holds([
    [["CAP_BPF"], { command: "prog_load", progType: 6 }, "CAP_NET_ADMIN EPERM"],
    [[], { command: "map_create", mapType: 9 }, "CAP_BPF EPERM", { sysctl: 0 }],
    [[], { command: "map_create", mapType: 9999 }, "allowed", { sysctl: 0 }],
    [[], { command: "prog_load", progType: 9999 }, "CAP_BPF EPERM", { sysctl: 0 }],
    [[], { command: "prog_attach", attachType: 0 }, "CAP_NET_ADMIN EINVAL", { sysctl: 0 }],
    [[], { command: "link_create", attachType: "cgroup_inet_egress" }, "CAP_NET_ADMIN EPERM", { sysctl: 0 }],
    [[], { command: "prog_detach", attachType: 0 }, "allowed", { sysctl: 0 }],
  ]);
});

Deno.test("check() does not take names from an object's prototype", () => {
  for (const name of ["constructor", "toString", "__proto__"] as never[]) {
    assertEquals(summary(verdict([], { command: "map_create", mapType: name }, { sysctl: 0 })), "allowed");
    assertEquals(summary(verdict([], { command: "prog_load", progType: name }, { sysctl: 0 })), "CAP_BPF EPERM");
    assertEquals(summary(verdict([], { command: "prog_attach", attachType: name }, { sysctl: 0 })), "allowed");
    assertEquals(summary(verdict([], { command: name }, { sysctl: 0 })), "allowed");
  }
});

Deno.test("check() counts no capability in a user namespace without a BPF token", () => {
  for (const request of [lruHash, kprobe, xdp, nextId]) {
    const { allowed, remedy } = verdict(ALL, request, { userNamespace: true });
    assertEquals(allowed, false, JSON.stringify(request));
    assertMatch(remedy, request === nextId ? /initial user namespace/ : /BPF token \(Linux 6\.9\)/);
  }
  // What is asked of nobody is asked of nobody there, either.
  assertEquals(verdict([], hash, { userNamespace: true, sysctl: 0 }).allowed, true);
  assertEquals(verdict(ALL, hash, { userNamespace: true, sysctl: 2 }).allowed, false);
  // A BPF token is made with a capability of the own namespace.
  assertEquals(verdict([], { command: "token_create" }, { userNamespace: true }).allowed, true);
  const powerless: Differences = { userNamespace: true, capabilities: [] };
  assertEquals(summary(verdict([], { command: "token_create" }, powerless)), "CAP_BPF EPERM");
});

Deno.test("check() counts the namespace's capabilities for what a BPF token delegates, since 6.9", () => {
  const token = delegating({
    commands: ["map_create", "prog_load"],
    mapTypes: ["lru_hash"],
    progTypes: ["xdp"],
    attachTypes: ["cgroup_inet_ingress", "xdp"],
  });
  const inside: Differences = { userNamespace: true };
  const cases: readonly (readonly [readonly Capability[], PermissionRequest, boolean, Differences?])[] = [
    [["CAP_BPF"], lruHash, true],
    [[], lruHash, false],
    [["CAP_BPF"], { ...lruHash, mapType: "stack" }, false],
    [["CAP_BPF"], lruHash, false, { release: "6.8" }],
    [["CAP_BPF", "CAP_NET_ADMIN"], xdp, true],
    [["CAP_BPF", "CAP_NET_ADMIN"], { ...xdp, attachType: "xdp" }, true],
    [["CAP_BPF", "CAP_NET_ADMIN"], { ...xdp, attachType: "xdp_devmap" }, false],
    [["CAP_BPF"], xdp, false],
    [["CAP_SYS_ADMIN"], xdp, true],
    [["CAP_BPF", "CAP_PERFMON"], kprobe, false],
    [["CAP_BPF"], { command: "btf_load" }, false],
    [["CAP_SYS_ADMIN"], nextId, false],
  ];
  for (const [granted, request, allowed, differences] of cases) {
    const found = verdict(granted, request, { ...inside, ...differences }, token).allowed;
    assertEquals(found, allowed, `${granted.join("+")} ${JSON.stringify(request)} ${JSON.stringify(differences)}`);
  }
  const btf = delegating({ commands: ["btf_load", "btf_get_fd_by_id"] });
  assertEquals(verdict(["CAP_BPF"], { command: "btf_load" }, inside, btf).allowed, true);
  const byId: PermissionRequest = { command: "btf_get_fd_by_id" };
  assertEquals(verdict(["CAP_SYS_ADMIN"], byId, { ...inside, release: "6.16" }, btf).allowed, false);
  assertEquals(verdict(["CAP_SYS_ADMIN"], byId, { ...inside, release: "6.17" }, btf).allowed, true);
});

Deno.test("check() says what is missing, why, and what would grant it", () => {
  const powerless: Differences = { capabilities: [] };
  const refused = verdict([], kprobe, powerless);
  assertEquals(refused.missing, ["CAP_BPF", "CAP_PERFMON"]);
  assertMatch(refused.reason, /unprivileged/);
  assertMatch(refused.remedy, /^Run as root, or grant it: sudo setcap cap_bpf,cap_perfmon\+ep /);
  assertMatch(verdict([], hash, powerless).remedy, /sudo sysctl kernel\.unprivileged_bpf_disabled=0$/);
  assertMatch(verdict([], hash, { ...powerless, sysctl: 1 }).remedy, /is 1 and stays so until the next boot$/);
  // The process has it, and only the token lacks it.
  assertEquals(verdict([], kprobe).remedy, 'The process has it: name "CAP_BPF", "CAP_PERFMON" in acquire()');
  assertMatch(verdict([], kprobe, { capabilities: ["CAP_SYS_ADMIN"] }).remedy, /^The process has it/);
  assertMatch(verdict([], xdp, { capabilities: ["CAP_BPF"] }).remedy, /^Run as root/);
  assertEquals(verdict(ALL, kprobe), { allowed: true, missing: [], errno: undefined, reason: "", remedy: "" });
});
