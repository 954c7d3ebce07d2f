import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import {
  attached,
  attachKprobe,
  attachLwt,
  attachPerfSampling,
  attachSeg6Local,
  attachUnlinked,
  attachUprobe,
  attachUprobeMulti,
  attachUsdt,
  BpfMap,
  bytes,
  type Fd,
  objGetInfoByFd,
  progDetach,
  progQuery,
} from "../../mod.ts";
import { writeKernelLine } from "../../ffi/kernel_file.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { failEach } from "./_failing.ts";
import { minimalMap } from "./_map_types.ts";
import { makeCgroup, place, type RootToken, rootToken, simpleProg, trying, veth } from "./_objects.ts";
import { CLANG, Probed } from "./_probed.ts";
import { hasKprobes, tracefsProbes } from "./_tracing.ts";

const MODULE = new URL("../../mod.ts", import.meta.url).href;
const CREDENTIALS = new URL("../_credentials.ts", import.meta.url).href;

const noProbes = (): boolean => tracefsProbes("uprobe").length + tracefsProbes("kprobe").length === 0;

const hasMulti = kernelSince("6.6")() === undefined;
const hasCookies = kernelSince("5.15")() === undefined;

kernelTest("probes leave nothing behind, whichever step of attaching fails", {
  needs: ["tracefs"],
  tools: [CLANG],
}, async () => {
  const token = rootToken();
  const tracefs = place("TRACEFS");
  await using probed = await Probed.start();
  const { path } = probed;
  using prog = simpleProg(token, "kprobe");
  using specs = BpfMap.create(token, { type: "array", value: bytes(208), maxEntries: 2 });
  const counts: Record<string, number> = {};
  for (const mode of hasCookies ? ["auto", "link", "perf", "legacy"] as const : ["auto", "perf", "legacy"] as const) {
    counts[`uprobe ${mode}`] = failEach(
      () => attachUprobe(token, prog, { path, symbol: "work", mode, tracefs }),
      noProbes,
    );
    if (hasKprobes() !== undefined) continue;
    const options = { mode, tracefs };
    counts[`kprobe ${mode}`] = failEach(() => attachKprobe(token, prog, "bpf_fentry_test1", options), noProbes);
  }
  if (hasCookies) {
    const usdt = { path, provider: "probed", name: "twice", maps: { specs }, tracefs };
    for (const mode of ["auto", "legacy"] as const) {
      // All specs are free again each time: there are no more than the probe has places.
      counts[`usdt ${mode}`] = failEach(() => attachUsdt(token, prog, { ...usdt, mode }), noProbes);
    }
  }
  if (hasMulti) {
    using multi = simpleProg(token, "kprobe", { expectedAttachType: "trace_uprobe_multi" });
    counts.multi = failEach(() => attachUprobeMulti(token, multi, { path, symbols: ["work"] }));
    counts["usdt multi"] = failEach(() =>
      attachUsdt(token, multi, { path, provider: "probed", name: "twice", maps: { specs } })
    );
  }
  using clock = simpleProg(token, "perf_event");
  // Before 5.15 a program stays with its event: closing that is all there is to do.
  counts.sampling = failEach(() => attachPerfSampling(token, clock, { event: "cpu_clock", frequency: 10 }));
  for (const [what, count] of Object.entries(counts)) assertGreater(count, 0, what);
  assertEquals((await probed.round())[1], 0);
});

kernelTest("a probe of tracefs that was forgotten is taken away by the garbage collector", {
  needs: ["tracefs"],
  tools: [CLANG],
}, async () => {
  await using probed = await Probed.start();
  const child = decodeURIComponent(new URL("_forgotten_probe_child.ts", import.meta.url).pathname);
  const args = ["run", "-A", "--no-check", "--v8-flags=--expose-gc", child, probed.path, place("TRACEFS")];
  const { stdout, stderr } = await run(Deno.execPath(), args, { timeoutMs: 30_000 * SLOWNESS });
  assertEquals(stdout.trim(), "1 0", stderr);
});

/** The IPv4 and IPv6 routes to a place that starts so, in hexadecimal. */
function routes(start4: string, start6: string): number {
  const lines = (file: string): string[] => Deno.readTextFileSync(`/proc/self/net/${file}`).split("\n");
  return lines("route").filter((line) => line.split("\t")[1]?.endsWith(start4)).length +
    lines("ipv6_route").filter((line) => line.startsWith(start6)).length;
}

const hasLwt = trying((token) => {
  using prog = simpleProg(token, "lwt_out");
  attachLwt(token, { out: prog }, { destination: "192.0.2.0/24", interface: "lo" }).close();
  return prog;
});

kernelTest("programs without links, and routes, leave nothing behind, whichever step of attaching fails", {
  needs: ["cgroup", "netns", hasLwt],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  using cgroup = makeCgroup("failures");
  const attachType = "cgroup_inet_sock_create";
  using sock = simpleProg(token, "cgroup_sock", { value: 1, expectedAttachType: attachType });
  using dissector = simpleProg(token, "flow_dissector");
  using message = simpleProg(token, "sk_msg", { value: 1, expectedAttachType: "sk_msg_verdict" });
  using out = simpleProg(token, "lwt_out");
  using segment = simpleProg(token, "lwt_seg6local");
  using map = minimalMap(token, "sockmap");
  const emptyCgroup = (): boolean => progQuery(token, { target: { fd: cgroup.fd }, attachType }).progIds.length === 0;
  const noRoutes = (): boolean => routes("004D0A", "fc000077") === 0;
  const interfaceName = pair.names[0];
  const counts = {
    cgroup: failEach(
      () => attachUnlinked(token, sock, { cgroup: cgroup.path, attachType, allow: "multi" }),
      emptyCgroup,
    ),
    alone: failEach(() => attachUnlinked(token, sock, { cgroup: { fd: cgroup.fd }, attachType }), emptyCgroup),
    netns: failEach(() => attachUnlinked(token, dissector, { netns: "own", attachType: "flow_dissector" })),
    map: failEach(() => attachUnlinked(token, message, { map, attachType: "sk_msg_verdict" })),
    route: failEach(
      () => attachLwt(token, { out }, { destination: "10.77.0.0/24", interface: interfaceName }),
      noRoutes,
    ),
    route6: failEach(
      () => attachLwt(token, { out }, { destination: "fc00:77::/64", interface: interfaceName }),
      noRoutes,
    ),
    segment: failEach(
      () => attachSeg6Local(token, segment, { destination: "fc00:77::1/128", interface: interfaceName }),
      noRoutes,
    ),
  };
  for (const [what, count] of Object.entries(counts)) assertGreater(count, 0, what);
  // Asking leaves no descriptor either.
  for (const where of [{ interface: interfaceName }, { cgroup: cgroup.path, tree: true }, { netns: "own" }] as const) {
    failEach(() => {
      attached(token, where);
      return { [Symbol.dispose]: () => {} };
    });
  }
});

/** Another process that attaches what a script says, says so, and stays until it is killed. */
async function other(script: string): Promise<AsyncDisposable> {
  const program = `import * as bpf from ${JSON.stringify(MODULE)};
    const token = bpf.acquire("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYS_ADMIN");
    const load = (type, value, expectedAttachType) => bpf.progLoad(token, { type, license: "GPL", expectedAttachType,
      insns: bpf.asm\`
        r0 = \${value}
        exit
      \` });
    ${script}
    console.log("attached");
    await new Promise((resolve) => setTimeout(resolve, 1e9));`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", "--ext=ts", program],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
  };
  if (new TextDecoder().decode(value).trim() === "attached") return { [Symbol.asyncDispose]: kill };
  await kill();
  throw new Error("Cannot go on: the other process has not attached");
}

const idOf = (token: RootToken, prog: Fd): number => objGetInfoByFd(token, prog, { kind: "prog" }).id;

kernelTest("two processes leave each other's attachments alone, and a killed one leaves what the docs say", {
  needs: ["cgroup", "tracefs", "netns", hasLwt],
  tools: [CLANG, "ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  await using probed = await Probed.start();
  using cgroup = makeCgroup("two");
  const tracefs = place("TRACEFS");
  const attachType = "cgroup_inet_sock_create";
  const query = () => progQuery(token, { target: { fd: cgroup.fd }, attachType }).progIds;
  const ipRoute = async (to: string): Promise<string> => (await run("ip", ["route", "show", to])).stdout;
  const common = `{ path: ${JSON.stringify(probed.path)}, symbol: "work", tracefs: ${JSON.stringify(tracefs)} }`;
  {
    await using _other = await other(`
      const sock = load("cgroup_sock", 1, "${attachType}");
      globalThis.kept = [sock, load("kprobe", 0), load("lwt_out", 0)];
      kept.push(bpf.attachUnlinked(token, sock, { cgroup: ${
      JSON.stringify(cgroup.path)
    }, attachType: "${attachType}", allow: "multi" }));
      kept.push(bpf.attachUprobe(token, kept[1], { ...${common}, mode: "legacy" }));
      kept.push(bpf.attachUprobe(token, kept[1], { ...${common}, mode: "perf" }));
      kept.push(bpf.attachLwt(token, { out: kept[2] }, { destination: "10.77.0.0/24", interface: "${pair.names[0]}" }));
    `);
    const [theirs] = query();
    using sock = simpleProg(token, "cgroup_sock", { value: 1, expectedAttachType: attachType });
    using probe = simpleProg(token, "kprobe");
    using route = simpleProg(token, "lwt_out");
    const ours = [
      attachUnlinked(token, sock, { cgroup: cgroup.path, attachType, allow: "multi" }),
      attachUprobe(token, probe, { path: probed.path, symbol: "work", mode: "legacy", tracefs }),
      attachLwt(token, { out: route }, { destination: "10.78.0.0/24", interface: pair.names[0] }),
    ];
    assertEquals([query(), tracefsProbes("uprobe").length], [[theirs, idOf(token, sock)], 2]);
    for (const one of ours) one.close();
    assertEquals([query(), tracefsProbes("uprobe").length], [[theirs], 1]);
    assertStringIncludes(await ipRoute("10.77.0.0/24"), "encap bpf");
    assertEquals(await ipRoute("10.78.0.0/24"), "");
  }
  // What BPF_PROG_ATTACH, netlink and tracefs hold outlives the process.
  assertEquals([query().length, tracefsProbes("uprobe").length], [1, 1]);
  assertStringIncludes(await ipRoute("10.77.0.0/24"), "encap bpf");
  for (const name of tracefsProbes("uprobe")) writeKernelLine(`${tracefs}/uprobe_events`, name.replace(/^p/, "-"));
  assertEquals(tracefsProbes("uprobe"), []);
  const [id] = query();
  const { progGetFdById } = await import("../../mod.ts");
  using left = progGetFdById(token, id);
  progDetach(token, { target: { fd: cgroup.fd }, attachType, prog: left });
  assertEquals(query(), []);
});

/** Attaching, and the capabilities that are missing where a token lacks them: by name of the function. */
const REFUSED: readonly [what: string, token: string, call: string, missing: string][] = [
  [
    "attachLwt",
    "CAP_BPF",
    `bpf.attachLwt(token, { out: 5 }, { destination: "10.0.0.0/8", interface: "lo" })`,
    "CAP_NET_ADMIN",
  ],
  [
    "attachSeg6Local",
    "CAP_BPF",
    `bpf.attachSeg6Local(token, 5, { destination: "fc00::/64", interface: "lo" })`,
    "CAP_NET_ADMIN",
  ],
  ["attached interface", "CAP_BPF CAP_NET_ADMIN", `bpf.attached(token, { interface: "lo" })`, "CAP_SYS_ADMIN"],
  ["attached processes", "CAP_BPF CAP_NET_ADMIN", `bpf.attached(token, { processes: true })`, "CAP_SYS_ADMIN"],
];

kernelTest("attaching says which capability is missing, before anything reaches the kernel", {}, async () => {
  const script = `
    import * as bpf from ${JSON.stringify(MODULE)};
    for (const [what, capability, call] of ${JSON.stringify(REFUSED)}) {
      const token = bpf.acquire(...capability.split(" "));
      try {
        new Function("bpf", "token", "return " + call)(bpf, token);
        console.log(what + ": attached");
      } catch (error) {
        console.log([what, error.name, (error.missing ?? []).join()].join(": "));
      }
    }
  `;
  const { stdout, stderr, code } = await run(Deno.execPath(), ["run", "-A", "--no-check", "-"], {
    stdin: script,
    timeoutMs: 30_000 * SLOWNESS,
  });
  assertEquals(code, 0, stderr);
  assertEquals(
    stdout.trim().split("\n"),
    REFUSED.map(([what, , , missing]) => `${what}: PermissionError: ${missing}`),
  );
});

kernelTest(
  "probes in tracefs are refused to those who may not write there",
  { needs: ["tracefs"], tools: [CLANG] },
  async () => {
    await using probed = await Probed.start();
    Deno.chmodSync(probed.folder, 0o755);
    const script = `
    import * as bpf from ${JSON.stringify(MODULE)};
    import { dropTo } from ${JSON.stringify(CREDENTIALS)};
    const token = bpf.acquire("CAP_BPF", "CAP_PERFMON");
    const prog = bpf.progLoad(token, { type: "kprobe", license: "GPL", insns: bpf.asm\`
      r0 = 0
      exit
    \` });
    dropTo(65534, []);
    try {
      bpf.attachUprobe(token, prog, { path: ${JSON.stringify(probed.path)}, offset: 0x1000, mode: "legacy",
        tracefs: ${JSON.stringify(place("TRACEFS"))} });
      console.log("attached");
    } catch (error) {
      console.log(error.name, error.message);
    }
  `;
    const { stdout, stderr, code } = await run(Deno.execPath(), ["run", "-A", "--no-check", "-"], {
      stdin: script,
      timeoutMs: 30_000 * SLOWNESS,
    });
    assertEquals(code, 0, stderr);
    // A folder of tracefs that may not be entered looks as if nothing were there.
    const expected = /PermissionError .*only the owner|NotSupportedError .*no tracefs/;
    assertEquals(expected.test(stdout), true, stdout);
    assertEquals(tracefsProbes("uprobe"), []);
  },
);
