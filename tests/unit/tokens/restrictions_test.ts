import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { posix } from "node:path";
import type { Capability } from "../../../tokens/capabilities.ts";
import type { PermissionRequest } from "../../../tokens/check.ts";
import type { Restrictions } from "../../../tokens/restrictions.ts";
import { grantToken, type PermissionToken } from "../../../tokens/token.ts";
import {
  type AttachType,
  attachTypes,
  type CommandName,
  commands,
  type MapType,
  mapTypes,
  type ProgType,
  progTypes,
} from "../../../uapi/enums.gen.ts";
import { ALL, environment } from "./_environments.ts";

const root = grantToken(environment(), ALL);

function allows(restrictions: Restrictions, request: PermissionRequest): boolean {
  return root.only(restrictions).check(request).allowed;
}

const COMMANDS = Object.keys(commands) as CommandName[];

Deno.test("only() leaves the commands that are named", () => {
  const token = root.only({ commands: ["map_create", "map_lookup_elem"] });
  assertEquals(COMMANDS.filter((command) => token.check({ command }).allowed), ["map_create", "map_lookup_elem"]);
  const { reason, remedy, missing, errno } = token.check({ command: "prog_load" });
  assertEquals(
    [reason, remedy, missing, errno],
    [
      "the token was restricted to other commands than prog_load",
      "Use the token that it was derived from",
      [],
      undefined,
    ],
  );
  assertEquals(COMMANDS.filter((command) => allows({ commands: [] }, { command })), []);
});

Deno.test("only() leaves the types that are named, by name and by number", () => {
  const token = root.only({ mapTypes: ["hash"], progTypes: ["xdp"], attachTypes: ["xdp"] });
  const cases: readonly (readonly [PermissionRequest, boolean])[] = [
    [{ command: "map_create", mapType: "hash" }, true],
    [{ command: "map_create", mapType: mapTypes.hash }, true],
    [{ command: "map_create", mapType: "array" }, false],
    [{ command: "map_create", mapType: mapTypes.array }, false],
    [{ command: "map_create", mapType: 9999 }, false],
    [{ command: "prog_load", progType: "xdp" }, true],
    [{ command: "prog_load", progType: progTypes.kprobe }, false],
    [{ command: "prog_load", progType: 9999 }, false],
    // What a program expects is no attachment.
    [{ command: "prog_load", progType: "xdp", attachType: "cgroup_inet_egress" }, true],
    [{ command: "link_create", attachType: "xdp" }, true],
    [{ command: "link_create", attachType: attachTypes.cgroup_inet_egress }, false],
    [{ command: "prog_attach", attachType: "cgroup_inet_egress" }, false],
    [{ command: "prog_detach", attachType: "cgroup_inet_egress" }, false],
    [{ command: "prog_query", attachType: 9999 }, false],
  ];
  for (const [request, expected] of cases) {
    assertEquals(token.check(request).allowed, expected, JSON.stringify(request));
  }
});

Deno.test("only() with readOnly leaves the commands that change nothing", () => {
  const token = root.only({ readOnly: true });
  assertEquals(token.readOnly, true);
  assertEquals(token.only({ readOnly: false }).readOnly, true);
  const left = COMMANDS.filter((command) => token.check({ command }).allowed).sort();
  assertEquals(left, [
    "btf_get_fd_by_id",
    "btf_get_next_id",
    "iter_create",
    "link_get_fd_by_id",
    "link_get_next_id",
    "map_get_fd_by_id",
    "map_get_next_id",
    "map_get_next_key",
    "map_lookup_batch",
    "map_lookup_elem",
    "obj_get",
    "obj_get_info_by_fd",
    "prog_get_fd_by_id",
    "prog_get_next_id",
    "prog_query",
    "task_fd_query",
  ]);
  assertMatch(token.check({ command: "map_update_elem" }).reason, /restricted to reading/);
});

Deno.test("only() leaves the paths below the folders that are named", () => {
  const cases: readonly (readonly [pins: string[], path: string, expected: boolean])[] = [
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine/map", true],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine", true],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine/", true],
    [["/sys/fs/bpf/mine/"], "/sys/fs/bpf/mine/a/b", true],
    [["/sys/fs/bpf/mine"], "//sys/fs//bpf/./mine/map", true],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine/../mine/map", true],
    // Neither another name that begins alike, nor a way out.
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine2/map", false],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/min", false],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf", false],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine/../other/map", false],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/mine/a/../../other", false],
    [["/sys/fs/bpf/mine"], "/../../sys/fs/bpf/other", false],
    [["/sys/fs/bpf/mine"], "/sys/fs/bpf/MINE/map", false],
    // Relative paths start from who knows where.
    [["/sys/fs/bpf/mine"], "map", false],
    [["/sys/fs/bpf/mine"], "sys/fs/bpf/mine/map", false],
    [["/"], "map", false],
    [["mine"], "mine/map", false],
    [["mine"], "/mine/map", false],
    [["/"], "/anything", true],
    [["/a", "/b"], "/b/map", true],
    [[], "/sys/fs/bpf/map", false],
    [["/sys/fs/bpf/mine"], "", false],
  ];
  for (const command of ["obj_pin", "obj_get"] as const) {
    for (const [pins, path, expected] of cases) {
      assertEquals(allows({ pins }, { command, path }), expected, `${command} ${path} in ${pins.join()}`);
    }
  }
  assertEquals(allows({ pins: ["/a"] }, { command: "obj_pin" }), false);
  assertEquals(allows({ pins: [] }, { command: "map_create" }), true);
});

Deno.test("only() refuses restrictions that would restrict nothing", () => {
  const wrong: readonly (readonly [restrictions: unknown, message: string])[] = [
    [{ mapType: ["hash"] }, '"mapType" is none of commands, mapTypes, progTypes, attachTypes, pins, readOnly'],
    [{ readonly: true }, '"readonly" is none of'],
    [{ toString: [] }, '"toString" is none of'],
    [{ commands: "map_create" }, "commands is no list"],
    [{ pins: "/sys/fs/bpf" }, "pins is no list"],
    [{ mapTypes: new Set(["hash"]) }, "mapTypes is no list"],
    [{ readOnly: "yes" }, "readOnly is no boolean"],
    [{ progTypes: null }, "progTypes is no list"],
  ];
  for (const [restrictions, message] of wrong) {
    assertThrows(
      () => root.only(restrictions as Restrictions),
      TypeError,
      `Cannot restrict a permission token: ${message}`,
    );
  }
  assertEquals(root.only({ commands: undefined, readOnly: undefined }).check({ command: "map_create" }).allowed, true);
});

/** Short lists out of a few names, so that they often meet. */
function some<T>(...items: T[]): fc.Arbitrary<T[] | undefined> {
  return fc.option(fc.subarray(items), { nil: undefined });
}

const SEGMENTS = ["a", "ab", "b", "..", ".", "", "a.b"];

const absolute = fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 5 }).map((parts) => `/${parts.join("/")}`);
const anyPath = fc.oneof({ weight: 5, arbitrary: absolute }, { weight: 1, arbitrary: absolute.map((p) => p.slice(1)) });

const someCommands: CommandName[] = [
  "map_create",
  "prog_load",
  "link_create",
  "prog_query",
  "obj_pin",
  "obj_get",
  "map_lookup_elem",
  "map_update_elem",
  "map_get_next_id",
];
const someMaps: MapType[] = ["hash", "lru_hash", "devmap", "array"];
const someProgs: ProgType[] = ["socket_filter", "xdp", "kprobe"];
const someAttaches: AttachType[] = ["xdp", "cgroup_inet_egress", "cgroup_device"];

const restrictions: fc.Arbitrary<Restrictions> = fc.record({
  commands: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, {
    weight: 1,
    arbitrary: some(...someCommands),
  }),
  mapTypes: some(...someMaps),
  progTypes: some(...someProgs),
  attachTypes: some(...someAttaches),
  pins: fc.option(fc.array(anyPath, { maxLength: 3 }), { nil: undefined }),
  readOnly: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.boolean() }),
});

const request: fc.Arbitrary<PermissionRequest> = fc.record({
  command: fc.constantFrom(...someCommands),
  mapType: fc.option(fc.constantFrom<(MapType | number)[]>(...someMaps, 5, 999), { nil: undefined }),
  progType: fc.option(fc.constantFrom<(ProgType | number)[]>(...someProgs, 6, 999), { nil: undefined }),
  attachType: fc.option(fc.constantFrom<(AttachType | number)[]>(...someAttaches, 0, 999), { nil: undefined }),
  path: fc.option(anyPath, { nil: undefined }),
});

const OPTIONS = { seed: 20_240_601, numRuns: 5000 };

Deno.test("only() twice allows what both alone allow, and nothing else", () => {
  let [allowed, refused] = [0, 0];
  fc.assert(
    fc.property(restrictions, restrictions, request, (first, second, asked) => {
      const both = root.only(first).only(second).check(asked).allowed;
      assertEquals(both, allows(first, asked) && allows(second, asked));
      if (both) allowed++;
      else refused++;
    }),
    OPTIONS,
  );
  // A test that only ever refuses says nothing.
  assertGreater(allowed, 500);
  assertGreater(refused, 500);
});

type Step = { readonly only: Restrictions } | { readonly drop: Capability };

Deno.test("only() and drop() never give what the token before them did not have", () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    restrictions.map((only) => ({ only })),
    fc.constantFrom(...ALL).map((drop) => ({ drop })),
  );
  let kept = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 2),
      fc.constantFrom("5.10", "5.19", "6.9", "6.18"),
      fc.subarray([...ALL]),
      fc.array(step, { minLength: 1, maxLength: 4 }),
      request,
      (sysctl, release, granted, steps, asked) => {
        let token: PermissionToken<Capability> = grantToken(environment({ sysctl, release }), granted);
        for (const one of steps) {
          const weaker = "only" in one ? token.only(one.only) : token.drop(one.drop);
          if (weaker.check(asked).allowed) {
            assert(token.check(asked).allowed);
            kept++;
          }
          token = weaker as PermissionToken<Capability>;
        }
      },
    ),
    OPTIONS,
  );
  assertGreater(kept, 500);
});

Deno.test("only() finds out where a path leads as POSIX does", () => {
  let inside = 0;
  fc.assert(
    fc.property(absolute, absolute, (folder, path) => {
      const [base, target] = [posix.resolve(folder), posix.resolve(path)];
      const expected = !posix.relative(base, target).split("/").includes("..");
      assertEquals(allows({ pins: [folder] }, { command: "obj_get", path }), expected);
      if (expected) inside++;
    }),
    OPTIONS,
  );
  assertGreater(inside, 200);
});
