/**
 * Instructions of programs: `bpf prog dump xlated`, `bpf prog dump jited`.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { spacedHex } from "./_bytes.ts";
import { type DumpedInsn, dumpInsns } from "../progs/mod.ts";
import { type DumpChoice, parseChoice, placeJson, placeText } from "./_dump_choice.ts";
import { hexBytes, type Writable } from "./_json.ts";
import { parseRef, PROGS } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

function xlatedText(insns: readonly DumpedInsn[], { opcodes, linum }: DumpChoice, session: Session): string {
  let text = "";
  for (const { insn, text: shown, bytes, signature, source } of insns) {
    if (signature !== undefined) text += `${session.style.name(safe(signature))}:\n`;
    if (source !== undefined) {
      text += session.style.dim(`; ${safe(source.text.trimStart())}${placeText(source, linum)}`) + "\n";
    }
    text += `${`${insn}`.padStart(4)}: ${shown}\n`;
    if (opcodes) text += `       ${spacedHex(bytes)}\n`;
  }
  return text;
}

function xlatedJson(insns: readonly DumpedInsn[], { opcodes, linum }: DumpChoice): Writable {
  return insns.map(({ text, bytes, signature, source }) => ({
    proto: signature,
    src: source?.text.trimStart(),
    ...placeJson(source, linum),
    disasm: text,
    opcodes: opcodes
      ? {
        code: hexBytes(bytes.subarray(0, 1))[0],
        src_reg: `0x${(bytes[1] >> 4).toString(16)}`,
        dst_reg: `0x${(bytes[1] & 15).toString(16)}`,
        off: hexBytes(bytes.subarray(2, 4)),
        // Both halves of a load of 64 bits, and what stands between them.
        imm: hexBytes(bytes.subarray(4)),
      }
      : undefined,
  }));
}

async function dumpXlated(session: Session, words: Words): Promise<void> {
  using prog = parseRef(PROGS, session, words);
  const choice = parseChoice(words);
  const { token } = session;
  if (choice.file !== undefined) {
    const { xlatedInsns } = objGetInfoByFd(token, prog.fd, { kind: "prog", details: ["xlatedInsns"] });
    if (xlatedInsns === undefined || xlatedInsns.length === 0) {
      throw new CommandError("error: no instructions returned");
    }
    Deno.writeFileSync(choice.file, xlatedInsns);
    return session.done();
  }
  const insns = dumpInsns(token, prog.fd);
  if (insns.length === 0) throw new CommandError("error: no instructions returned");
  if (!choice.visual) {
    return session.answer({
      json: () => xlatedJson(insns, choice),
      v1: ["prog.dump.xlated", () => insns],
      text: () => xlatedText(insns, choice, session),
    });
  }
  const { progGraph } = await import("./_prog_graph.ts");
  const graph = progGraph(insns, choice);
  session.answer({ json: () => graph, v1: ["prog.dump.graph", () => graph], text: () => graph });
}

/** Shows the instructions of a program. */
export async function dump(session: Session, words: Words): Promise<void> {
  if (words.accept("xlated")) return await dumpXlated(session, words);
  if (words.accept("jited")) return await (await import("./_prog_jited.ts")).dumpJited(session, words);
  throw new CommandError(`expected 'xlated' or 'jited', got: '${words.peek ?? ""}'?`);
}
