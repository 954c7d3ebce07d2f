/**
 * What cli_holders_test.ts runs: a process that holds an object of each kind, and a file that is named like one. It prints
 * their ids as JSON, and ends when its standard input does.
 *
 * @module
 */

import { mapCreate } from "../../cmds/map.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import type { InfoOf } from "../../cmds/obj.ts";
import type { Fd } from "../../ffi/fd.ts";
import { keyValueBtf } from "./_map_types.ts";
import { rootToken, simpleProg, socketFilter } from "./_objects.ts";

const token = rootToken();
using stack = new DisposableStack();
const idOf = (fd: Fd, kind: keyof InfoOf): number => objGetInfoByFd(token, stack.use(fd), { kind }).id;
const prog = stack.use(simpleProg(token, "raw_tracepoint"));
const ids = {
  prog: idOf(socketFilter(token, 0, "held"), "prog"),
  map: idOf(mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, name: "held" }), "map"),
  link: idOf(rawTracepointOpen(token, prog, { name: "sys_enter" }), "link"),
  btf: idOf(btfLoad(token, keyValueBtf()), "btf"),
};
const folder = await Deno.makeTempDir();
try {
  const files = await Promise.all(
    ["bpf-map", "bpf-prog", "bpf_link", "btf"].map((name) =>
      Deno.open(`${folder}/${name}`, { create: true, write: true })
    ),
  );
  console.log(JSON.stringify(ids));
  for await (const _ of Deno.stdin.readable);
  for (const file of files) file.close();
} finally {
  await Deno.remove(folder, { recursive: true });
}
