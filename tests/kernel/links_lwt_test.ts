import { assert, assertEquals, assertThrows } from "@std/assert";
import { attachLwt, attachSeg6Local, type LwtPrograms, NotSupportedError, SyscallError } from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { hardwareAddress, ipv4Frame, segmentFrame, sendFrame } from "./_frames.ts";
import { rootToken, simpleProg, trying, veth } from "./_objects.ts";
import { sendUdp } from "./_sockets.ts";

async function ip(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("ip", args);
  if (code !== 0) throw new Error(`Cannot run ip ${args.join(" ")}: ${stderr}`);
  return stdout;
}

const hasLwt = trying((token) => {
  using prog = simpleProg(token, "lwt_out");
  attachLwt(token, { out: prog }, { destination: "192.0.2.0/24", interface: "lo" }).close();
  return prog;
});

const hasSegments = trying((token) => {
  using prog = simpleProg(token, "lwt_seg6local");
  attachSeg6Local(token, prog, { destination: "fc00:77::9/128", interface: "lo" }).close();
  return prog;
});

kernelTest("attachLwt() runs programs on a route's packets in each direction, and removes only its own route", {
  needs: ["netns", hasLwt],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [name, peer] = pair.names;
  await ip("addr", "add", "10.76.0.1/24", "dev", name);
  for (const [file, value] of [["all/forwarding", 1], [`${peer}/rp_filter`, 0], ["all/rp_filter", 0]] as const) {
    Deno.writeTextFileSync(`/proc/sys/net/ipv4/conf/${file}`, `${value}`);
  }
  const address = await hardwareAddress(peer);
  const destination = "10.77.0.0/24";
  const provoke = {
    out: () => sendUdp([10, 77, 0, 5]),
    xmit: () => sendUdp([10, 77, 0, 5]),
    in: () => sendFrame(pair.ifindexes[0], ipv4Frame(address, "10.66.0.1", "10.77.0.5")),
  };
  for (const place of ["out", "xmit", "in"] as const) {
    // Packets that come in over one end leave by the other one's route all the same.
    using counter = new Counter(token, `lwt_${place}`, 0);
    const attachment = attachLwt(token, { [place]: counter.prog } as LwtPrograms, { destination, interface: name });
    assert((await ip("route", "show", destination)).includes("encap bpf"), place);
    await counter.seen(attachment, async () => {
      if (await ip("route", "show", destination) === "") await ip("route", "add", "10.77.0.0/24", "dev", name);
      provoke[place]();
      await ip("route", "del", "10.77.0.0/24", "dev", name).catch(() => "");
    }).catch((error) => {
      throw new Error(`${place}: ${error}`);
    });
  }
  using out = simpleProg(token, "lwt_out");
  using xmit = simpleProg(token, "lwt_xmit");
  const both = attachLwt(token, { out, xmit }, {
    destination,
    interface: name,
    gateway: "10.76.0.2",
    priority: 7,
    table: 300,
    headroom: 64,
  });
  const shown = await ip("route", "show", "table", "300");
  for (const part of ["10.77.0.0/24", "encap bpf", "via 10.76.0.2", "metric 7"]) {
    assert(shown.includes(part), shown);
  }
  both.close();
  both.close();
  assertEquals(await ip("route", "show", "table", "300"), "");
  // Two of the same route do not go together, and what others put in its place stays.
  for (const [to, options] of [["10.78.0.0/24", []], ["fc00:78::/64", ["-6"]]] as const) {
    const route = attachLwt(token, { out }, { destination: to, interface: name });
    assertThrows(() => attachLwt(token, { out }, { destination: to, interface: name }), SyscallError, "EEXIST");
    await ip(...options, "route", "replace", to, "dev", name);
    route.close();
    assert((await ip(...options, "route", "show", to)).startsWith(to), to);
    await ip(...options, "route", "del", to, "dev", name);
    const again = attachLwt(token, { out }, { destination: to, interface: name });
    assert((await ip(...options, "route", "show", to)).includes("encap bpf"), to);
    again.close();
    assertEquals(await ip(...options, "route", "show", to), "");
  }
  const other = rootToken();
  const revoked = attachLwt(other, { out }, { destination, interface: name });
  other.revoke();
  assertEquals([revoked.closed, await ip("route", "show", destination)], [true, ""]);
  for (
    const [programs, options, kind, message] of [
      [{}, {}, TypeError, "for in, out or xmit"],
      [{ out }, { headroom: 300 }, RangeError, "300"],
      [{ out }, { destination: "10.77.0.0/99" }, RangeError, "99"],
      [{ out }, { interface: "nowhere0" }, TypeError, "nowhere0"],
      [{ out: 5 }, {}, TypeError, "a program or its Fd"],
      [{ out: xmit }, {}, SyscallError, "EINVAL"],
    ] as const
  ) {
    assertThrows(() => attachLwt(token, programs, { destination, interface: name, ...options }), kind, message);
  }
});

kernelTest("attachSeg6Local() runs a program on the packets of an IPv6 segment", {
  needs: ["netns", hasSegments],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [, peer] = pair.names;
  Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  using counter = new Counter(token, "lwt_seg6local", 0);
  const destination = "fc00:77::1/128";
  const attachment = attachSeg6Local(token, counter.prog, { destination, interface: peer });
  const shown = await ip("-6", "route", "show", destination);
  assert(shown.includes("encap seg6local action End.BPF"), shown);
  const address = await hardwareAddress(peer);
  const frame = segmentFrame(address, ["fc00:77::1", "fc00:99::1"]);
  await counter.seen(attachment, () => sendFrame(pair.ifindexes[0], frame));
  assertEquals(await ip("-6", "route", "show", destination), "");
  assertThrows(
    () => attachSeg6Local(token, counter.prog, { destination: "10.0.0.0/8", interface: peer }),
    TypeError,
    "no IPv6 segment",
  );
});

kernelTest("attachLwt() and attachSeg6Local() say that the kernel was built without them", {
  needs: [() => hasLwt() === undefined && hasSegments() === undefined ? "the kernel has both" : undefined],
}, () => {
  const token = rootToken();
  if (hasLwt() !== undefined) {
    using prog = simpleProg(token, "lwt_out");
    const options = { destination: "192.0.2.0/24", interface: "lo" };
    assertThrows(() => attachLwt(token, { out: prog }, options), NotSupportedError, "CONFIG_LWTUNNEL_BPF");
  }
  if (hasSegments() !== undefined) {
    using prog = simpleProg(token, "lwt_seg6local");
    const options = { destination: "fc00::1/128", interface: "lo" };
    assertThrows(() => attachSeg6Local(token, prog, options), NotSupportedError, "CONFIG_IPV6_SEG6_BPF");
  }
});
