import { assertEquals, assertThrows } from "@std/assert";
import { attached, attachNetns, attachUnlinked, objGetInfoByFd, SyscallError } from "../../mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { Counter } from "./_counter.ts";
import { fanoutSocket, hardwareAddress, ipv4Frame, sendFrame } from "./_frames.ts";
import { rootToken, veth } from "./_objects.ts";

kernelTest("attachNetns() and attachUnlinked() run a flow dissector of a network namespace", {
  needs: ["netns"],
  tools: ["ip"],
}, async () => {
  const token = rootToken();
  await using pair = await veth();
  const [out, into] = pair.ifindexes;
  // Packet sockets that share packets by their hash ask for the dissector.
  using _socket = fanoutSocket(into);
  const frame = ipv4Frame(await hardwareAddress(pair.names[1]), "10.66.0.1", "10.66.0.2");
  const attachType = "flow_dissector";
  for (const linked of [true, false]) {
    using counter = new Counter(token, attachType, 0, { expectedAttachType: attachType });
    const attachment = linked
      ? attachNetns(token, counter.prog, { attachType })
      : attachUnlinked(token, counter.prog, { netns: "own", attachType });
    const told = attached(token, { netns: Deno.pid });
    const { id } = objGetInfoByFd(token, counter.prog, { kind: "prog" });
    assertEquals(told.map(({ progId, linkId }) => [progId, linkId !== undefined]), [[id, linked]]);
    assertThrows(() => attachNetns(token, counter.prog, { attachType }), SyscallError, linked ? "E2BIG" : "EEXIST");
    await counter.seen(attachment, () => sendFrame(out, frame));
    assertEquals(attached(token, { netns: Deno.pid }), []);
  }
});
