/**
 * What is made of objects: `bpf gen …`.
 *
 * @module
 */

import { Btf, coreMinimalBtf, parseBtfExt } from "../btf/mod.ts";
import { Elf } from "../elf/mod.ts";
import type { CommandGroup } from "./_command.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** The BTF of a kernel that some objects need, and nothing else of it. */
async function minCoreBtf(session: Session, words: Words): Promise<void> {
  const [input, output, first] = [words.next("a kernel's BTF"), words.next("a file"), words.next("an object")];
  const objects = [first];
  while (words.left > 0) objects.push(words.next("an object"));
  const bytes = input.startsWith("/sys/kernel/btf/")
    ? (await import("../ffi/kernel_file.ts")).readKernelFile(input)
    : await Deno.readFile(input);
  const kernel = Btf.parse(bytes[0] === 0x7f ? Elf.parse(bytes).section(".BTF")?.data ?? bytes : bytes);
  const locals = await Promise.all(objects.map(async (path) => {
    const elf = Elf.parse(await Deno.readFile(path));
    const [types, ext] = [elf.section(".BTF"), elf.section(".BTF.ext")];
    if (types === undefined) throw new CommandError(`${path} has no BTF`);
    const btf = Btf.parse(types.data);
    const relos = ext === undefined ? [] : parseBtfExt(ext.data, btf).coreRelo.flatMap(({ records }) => records);
    return { btf, relos };
  }));
  await Deno.writeFile(output, coreMinimalBtf(kernel, locals));
  session.done();
}

/** TypeScript for an object: its maps, variables, programs and events by their types. */
async function typescript(session: Session, words: Words): Promise<void> {
  const [input, output] = [words.next("an object"), words.left > 0 ? words.next("a file") : undefined];
  words.end();
  const { BpfObject, generateModule } = await import("../object/mod.ts");
  const name = input.slice(input.lastIndexOf("/") + 1).replace(/\..*$/, "");
  const bytes = await Deno.readFile(input);
  const text = generateModule(BpfObject.parse(bytes, { name }), { bytes });
  if (output !== undefined) {
    await Deno.writeTextFile(output, text);
    return session.done();
  }
  session.answer({ json: () => text, v1: ["gen.object", () => text], text: () => text });
}

/** What is made of objects. */
export const group: CommandGroup = {
  usage: `Usage: {} gen object OBJECT [OUTPUT]
       {} gen min_core_btf INPUT OUTPUT OBJECT [OBJECT...]

       object        a TypeScript module with the object's maps, variables, programs and events
       min_core_btf  the types of the kernel INPUT that the objects need, for kernels without BTF
`,
  commands: { object: typescript, skeleton: typescript, min_core_btf: minCoreBtf },
};
