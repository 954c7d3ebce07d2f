/**
 * Loads a compiled object, attaches its programs and prints its events, until it is interrupted:
 *
 *     deno run --allow-ffi --allow-read examples/load_object.ts tool.bpf.o
 */

import { acquire, BpfObject } from "../mod.ts";

const token = acquire("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON");
using object = BpfObject.parse(await Deno.readFile(Deno.args[0]));
for (const { action, name, detail } of object.plan(token).steps) console.log(action, name, detail);
object.load(token);
using links = object.attach(token);
console.log("attached:", Object.keys(links.links).join(", "), "; not attached:", links.left.join(", ") || "none");

const [events] = Object.values(object.spec.maps).filter(({ type }) =>
  type === "ringbuf" || type === "perf_event_array"
);
if (events === undefined) console.log("it sends no events");
else for await (const event of object.maps[events.name].events()) console.log(event);
