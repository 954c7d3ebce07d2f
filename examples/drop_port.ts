// examples/drop_port.ts: a program that drops packets to a UDP port, tried out before it is attached anywhere.
import { acquire, asm, Program, VerifierError } from "@bpf/deno";

const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
try {
  using prog = Program.load(token, {
    type: "xdp",
    name: "drop_port",
    license: "GPL",
    insns: asm`
      r2 = *(u32 *)(r1 +0)          ; data
      r3 = *(u32 *)(r1 +4)          ; data_end
      r0 = 2                        ; XDP_PASS
      r4 = r2
      r4 += 38                      ; Ethernet, IPv4 and four bytes of UDP
      if r4 > r3 goto out
      r5 = *(u16 *)(r2 +36)
      r5 = be16 r5
      if r5 != 9999 goto out
      r0 = 1                        ; XDP_DROP
    out:
      exit
    `,
  });
  const packet = new Uint8Array(64);
  new DataView(packet.buffer).setUint16(36, 9999);
  const { returnValue, durationNs } = prog.run({ data: packet, repeat: 1000 });
  console.log(returnValue, `${durationNs} ns`); // 1: dropped
  console.log(prog.dump()); // as `bpftool prog dump xlated` prints it
} catch (error) {
  if (error instanceof VerifierError) console.error(error.summary); // source line, instruction, registers, reason
  else throw error;
}
