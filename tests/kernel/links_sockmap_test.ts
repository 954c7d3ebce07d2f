import { assert, assertEquals } from "@std/assert";
import { attachSockmap, attachUnlinked, BpfMap, type ProgType, type SockmapAttachType } from "../../mod.ts";
import { socketFd } from "../../ffi/socket.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { Counter } from "./_counter.ts";
import { rootToken, simpleProg } from "./_objects.ts";

/** Two ends of a TCP connection over the loopback interface. */
async function connection(): Promise<{ client: Deno.TcpConn; server: Deno.TcpConn } & Disposable> {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const [client, server] = await Promise.all([Deno.connect({ port, hostname: "127.0.0.1" }), listener.accept()]);
  return {
    client,
    server,
    [Symbol.dispose]: () => {
      client.close();
      server.close();
    },
  };
}

const KINDS: readonly [ProgType, SockmapAttachType, since: string][] = [
  ["sk_msg", "sk_msg_verdict", "5.10"],
  ["sk_skb", "sk_skb_stream_verdict", "5.10"],
  ["sk_skb", "sk_skb_verdict", "5.13"],
  // A parser says how long a message is: here all messages have 8 bytes.
  ["sk_skb", "sk_skb_stream_parser", "5.10"],
];

kernelTest(
  "attachSockmap() and attachUnlinked() run programs at the sockets of a map",
  { needs: ["netns"] },
  async () => {
    const token = rootToken();
    let runs = 0;
    for (const [type, attachType, since] of KINDS) {
      if (kernelSince(since)() !== undefined) continue;
      for (const linked of [true, false]) {
        if (linked && kernelSince("6.10")() !== undefined) continue;
        using sockets = await connection();
        const { client, server } = sockets;
        using map = BpfMap.create(token, { type: "sockmap", maxEntries: 2 });
        // SK_PASS: the data goes where it was going.
        const isParser = attachType === "sk_skb_stream_parser";
        using counter = new Counter(token, type, isParser ? 8 : 1, { expectedAttachType: attachType });
        using verdict = simpleProg(token, "sk_skb", { value: 1, expectedAttachType: "sk_skb_stream_verdict" });
        using _verdict = isParser
          ? attachUnlinked(token, verdict, { map, attachType: "sk_skb_stream_verdict" })
          : undefined;
        const attachment = linked
          ? attachSockmap(token, counter.prog, { map, attachType })
          : attachUnlinked(token, counter.prog, { map, attachType });
        // Programs of messages run where data is sent, those of buffers where it comes in.
        const end = type === "sk_msg" ? client : server;
        const buffer = new Uint8Array(16);
        await counter.seen(attachment, async () => {
          // A socket keeps the programs that the map had when it was put in.
          map.set(0, socketFd(end));
          await client.write(new Uint8Array(8).fill(7));
          const count = await server.read(buffer);
          assertEquals([count, buffer[0]], [8, 7], attachType);
          map.delete(0);
        });
        runs++;
      }
    }
    assert(runs >= 2);
  },
);
