/**
 * A process that is handed a map: over a channel that it inherited, or by the map's descriptor itself. It adds 1 to the
 * element with key 1, and says what it was.
 *
 * @module
 */

import { acquire, BpfMap, FdChannel, u32, u64 } from "../../mod.ts";

const [how, number] = Deno.args;
const bare = acquire();
// Before Linux 5.19 whoever may not make maps may not use one that it was handed either, where the sysctl says so.
const token = bare.check({ command: "map_lookup_elem" }).allowed ? bare : acquire("CAP_BPF");
const as = { type: "hash", key: u32, value: u64 } as const;

async function receive(channel: FdChannel): Promise<BpfMap<number, bigint, "get" | "set">> {
  const message = await channel.receive();
  if (message === undefined) throw new Error("Cannot receive the map: the channel was closed");
  return BpfMap.open(token, { fd: message.fds[0] }, as);
}

using channel = how === "inherit"
  ? undefined
  : how === "channel"
  ? new FdChannel(Number(number))
  : FdChannel.connect(number);
using map = channel === undefined ? BpfMap.open(token, { fd: Number(number) }, as) : await receive(channel);
const value = map.get(1)!;
map.set(1, value + 1n);
console.log(`was ${value}`);
