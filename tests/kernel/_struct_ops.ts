/**
 * TCP congestion control in BPF: the struct_ops that every kernel with the feature has.
 *
 * @module
 */

import { mapUpdateElem } from "../../cmds/map_elem.ts";
import type { Fd } from "../../ffi/fd.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { minimalMap, tcpOpsSize } from "./_map_types.ts";
import { constant, returning, type RootToken, u32s, u64s } from "./_objects.ts";
import { minimalProg, tcpOpsMember } from "./_prog_types.ts";

/** The functions that a congestion control has to have. */
const FUNCTIONS = ["ssthresh", "undo_cwnd", "cong_avoid"] as const;

/** The value of a struct_ops map, and the programs that it names. */
export interface TcpOps extends Disposable {
  readonly value: Uint8Array<ArrayBuffer>;
}

/**
 * A whole TCP congestion control, whose programs are closed when it is disposed of: a map that was made of it has them.
 *
 * @param token A token.
 * @param name The name of the congestion control.
 */
export function tcpOps(token: RootToken, name: string): TcpOps {
  const fields = new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux"))
    .fieldsOf("bpf_struct_ops_tcp_congestion_ops");
  const at = (field: string): number => {
    const place = fields?.get(`data.${field}`);
    if (place === undefined) throw new Error(`Cannot find ${field} of struct tcp_congestion_ops`);
    return place.bit / 8;
  };
  const value = new Uint8Array(new ArrayBuffer(tcpOpsSize()));
  value.set(new TextEncoder().encode(name), at("name"));
  using stack = new DisposableStack();
  for (const member of FUNCTIONS) {
    const prog = stack.use(minimalProg(token, "struct_ops", {
      insns: returning(2),
      expectedAttachType: tcpOpsMember(member),
    }));
    value.set(u64s(BigInt(prog.fd)), at(member));
  }
  const progs = stack.move();
  return { value, [Symbol.dispose]: () => progs.dispose() };
}

/**
 * A struct_ops map with a whole TCP congestion control, which a link puts in force.
 *
 * @param token A token.
 * @param name The name of the congestion control.
 * @returns The map, which holds its programs.
 */
export function tcpCongestionControl(token: RootToken, name: string): Fd {
  using ops = tcpOps(token, name);
  const map = minimalMap(token, "struct_ops", { flags: constant("BPF_F_LINK") });
  try {
    mapUpdateElem(token, map, { key: u32s(0), value: ops.value });
  } catch (error) {
    map.close();
    throw error;
  }
  return map;
}

/** The congestion controls that there are. */
export function congestionControls(): string[] {
  return Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").trim().split(" ");
}
